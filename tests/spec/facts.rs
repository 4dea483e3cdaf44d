//! What the data of a spec is taken to hold, where no file is read.

use std::collections::BTreeSet;

use llmc::Front;
use sema::{DataSource, Facts, Overlap, Source, Tokenizer, Weights};

/// Bytes and distinct characters of the play that specs are checked with.
const PLAY: (f64, u64) = (1_115_394.0, 65);

/// Tokens of a document, where the play is documents.
const ROW: u64 = 256;

/// A file that is named twice.
fn twice(request: &DataSource) -> Vec<Overlap> {
    // One source reads a file once, however often it is named.
    let of_source =
        |s: &Source| s.paths.iter().map(|(path, _)| path.clone()).collect::<BTreeSet<_>>();
    let mut paths: Vec<String> = request.sources.iter().flat_map(of_source).collect();
    paths.sort();
    let found = paths.windows(2).find(|pair| pair[0] == pair[1]);
    let between = ["train", "val"].map(str::to_owned);
    let overlap = |pair: &[String]| Overlap { between, documents: 1, file: Some(pair[0].clone()) };
    found.map(overlap).into_iter().collect()
}

/// Some weights of a small GPT.
fn trained() -> Weights {
    let tensors = [("tok_emb.weight", [256, 32]), ("pos_emb.weight", [64, 32])];
    Weights {
        checkpoint: "runs/base/step-100".to_owned(),
        sha256: "made up".to_owned(),
        tensors: tensors.map(|(name, shape)| (name.to_owned(), shape.to_vec())).to_vec(),
    }
}

/// The facts of the play for the data that a spec asks for.
pub(crate) fn made_up(front: &Front) -> Facts {
    let (bytes, n_chars) = PLAY;
    let Some(request) = front.data_request() else { return Facts::default() };
    let share = |share: f64| (bytes * share) as u64;
    Facts {
        vocab: Some(match request.tokenizer {
            Tokenizer::Bytes | Tokenizer::File(_) => 256,
            Tokenizer::Chars => n_chars,
            Tokenizer::Words(n)
            | Tokenizer::Bpe(n)
            | Tokenizer::Wordpiece(n)
            | Tokenizer::Ids(n) => n,
            Tokenizer::Gpt2 => 50257,
        }),
        chars: None,
        classes: request.has_labels().then_some(5),
        pad: Some(0),
        tokens: request.splits.iter().map(|(name, s)| (name.clone(), share(*s))).collect(),
        // Rows of one length, and what a file that is named twice brings with it.
        lengths: vec![ROW; 100],
        overlaps: twice(&request),
        documents: request.splits.iter().map(|(name, s)| (name.clone(), share(*s) / ROW)).collect(),
        hash: Some("made up".to_owned()),
        weights: front.origin().map(|_| trained()),
    }
}
