//! What compilation, and people, need to know of the data.

use std::path::PathBuf;

use crate::corpus::Corpus;

/// What the data holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Size of the vocabulary.
    pub vocab: u64,
    /// Tokens of each split, in order.
    pub tokens: Vec<(String, u64)>,
    /// Documents of each split, in order; 0 where the data has none.
    pub documents: Vec<(String, u64)>,
    /// The classes by number.
    pub classes: Vec<String>,
    /// The id that ends a document.
    pub end: Option<u32>,
    /// The id that fills rows up.
    pub pad: Option<u32>,
    /// How long the documents of all splits are.
    pub lengths: Option<Lengths>,
    /// Documents that were left out because they came before.
    pub duplicates: u64,
    /// Documents that a filter left out, or that have no text.
    pub filtered: u64,
    /// Documents of `val` that are in `train` too.
    pub shared: u64,
    /// SHA-256 of settings and contents.
    pub hash: String,
    /// The files, in order.
    pub files: Vec<PathBuf>,
}

/// Tokens of documents, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lengths(Vec<u32>);

impl Lengths {
    /// The length that `share` of all documents do not exceed.
    pub fn quantile(&self, share: f64) -> u64 {
        let last = self.0.len() - 1;
        let at = (share.clamp(0.0, 1.0) * last as f64).round();
        u64::from(self.0[(at as usize).min(last)])
    }

    /// The share of documents that a row of `context` tokens cuts.
    pub fn longer_than(&self, context: u64) -> f64 {
        let whole = self.0.partition_point(|&n| u64::from(n) <= context);
        (self.0.len() - whole) as f64 / self.0.len() as f64
    }
}

/// Looks at all documents once.
pub(crate) fn of(corpus: &Corpus, files: Vec<PathBuf>, duplicates: u64) -> Facts {
    let count = |n: fn(&crate::split::Stream) -> u64| {
        let of_split =
            |split: &crate::corpus::Split| (split.name.clone(), split.streams.iter().map(n).sum());
        corpus.splits.iter().map(of_split).collect::<Vec<(String, u64)>>()
    };
    let mut lengths = Vec::new();
    for stream in corpus.splits.iter().flat_map(|split| &split.streams) {
        for (shard, document) in stream.documents() {
            let shard = &corpus.shards[shard];
            let n = shard.start(document + 1) - shard.start(document);
            lengths.push(u32::try_from(n).unwrap_or(u32::MAX));
        }
    }
    lengths.sort_unstable();
    Facts {
        vocab: corpus.vocabulary.size(),
        tokens: count(crate::split::Stream::n_tokens),
        documents: count(crate::split::Stream::n_documents),
        classes: corpus.classes.clone(),
        end: corpus.vocabulary.end(),
        pad: corpus.vocabulary.pad(),
        lengths: (!lengths.is_empty()).then_some(Lengths(lengths)),
        duplicates,
        filtered: corpus.shards.iter().map(|shard| shard.layout.filtered).sum(),
        shared: shared(corpus),
        hash: corpus.hash().to_owned(),
        files,
    }
}

/// Documents of `val` that are in `train` too.
fn shared(corpus: &Corpus) -> u64 {
    let hashes = |name: &str| -> Vec<u128> {
        let streams = corpus.split(name).map_or(&[][..], |split| &split.streams);
        let documents = streams.iter().flat_map(|stream| stream.documents());
        documents.map(|(shard, document)| corpus.shards[shard].hash(document)).collect()
    };
    let val = hashes("val");
    if val.is_empty() {
        return 0;
    }
    let mut train = hashes("train");
    train.sort_unstable();
    val.iter().filter(|hash| train.binary_search(hash).is_ok()).count() as u64
}
