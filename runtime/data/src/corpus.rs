//! All data of a spec: vocabulary, tokens and splits.
//!
//! In: the data of a plan and the spec's folder. Out: the facts that compilation needs and the
//! corpus that training reads. Bytes of plain text and files of ids stay where they are; all other
//! text becomes ids once, file by file, and is kept in the cache folder when there is one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use plan::{Clean, Data, Format, LossOn, Pack, Task};
use sha2::{Digest, Sha256};

use crate::{
    check::check,
    encode,
    error::Error,
    facts::Facts,
    file::{Original, beside},
    hash, paths,
    shard::{self, Shard},
    source::{self, is_packed, tokens},
    split::{self, Stream},
    tokenizer::{self, Needs, Start, Vocabulary},
};

/// The tokens of all files, and the splits.
#[derive(Debug)]
pub struct Corpus {
    pub(crate) data: Data,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) shards: Vec<Shard>,
    /// Of each shard the number of each of its classes.
    pub(crate) class_numbers: Vec<Vec<u32>>,
    pub(crate) classes: Vec<String>,
    pub(crate) splits: Vec<Split>,
    hash: String,
}

/// A split: a stream, or one for each source of a mixture.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) name: String,
    pub(crate) streams: Vec<Stream>,
}

/// A file of a source.
struct Input<'d> {
    file: Original,
    format: &'d Format,
    source: usize,
    /// Whether it is read as it lies: bytes that are ids.
    is_ids: bool,
    /// SHA-256 of its bytes, where something is kept under it.
    hash: String,
}

/// Opens and checks all files; `cache` is the folder where ids are kept.
pub fn scan(data: &Data, base: &Path, cache: Option<&Path>) -> Result<(Facts, Corpus), Error> {
    check(data)?;
    let folder = cache.map(|folder| folder.join("data"));
    let mut inputs = inputs(data, base)?;
    let hash = hash_of(data, &mut inputs)?;
    let needs = needs(data);
    let vocabulary = vocabulary(data, base, &inputs, needs, folder.as_deref())?;
    let files: Vec<PathBuf> = inputs.iter().map(|input| input.file.path().to_owned()).collect();
    let sources: Vec<usize> = inputs.iter().map(|input| input.source).collect();
    let shards = inputs
        .into_iter()
        .map(|input| shard_of(input, data, &vocabulary, folder.as_deref()))
        .collect::<Result<Vec<Shard>, Error>>()?;
    let (classes, class_numbers) = classes(&shards, data)?;
    let chosen = split::choose(data, &shards, &sources, &class_numbers);
    let splits = chosen.splits;
    let corpus =
        Corpus { data: data.clone(), vocabulary, shards, class_numbers, classes, splits, hash };
    for split in corpus.splits.iter().filter(|_| data.loss_on == LossOn::Completion) {
        if !corpus.has_target(split) {
            let path = files.first().expect("the data names files");
            let message = format!(
                "no token of `{}` is a target: `loss_on completion` counts what replies say, and \
                 it holds none",
                split.name
            );
            return Err(Error::new(path, message));
        }
    }
    let facts = crate::facts::of(&corpus, files, chosen.duplicates);
    Ok((facts, corpus))
}

/// Special tokens that the data asks for.
fn needs(data: &Data) -> Needs {
    let roles = |format: &Format| match format {
        Format::Jsonl(plan::Fields::Pair { .. } | plan::Fields::Messages(_)) => true,
        Format::Table { columns: plan::Columns::Pair { .. }, .. } => true,
        Format::Text | Format::Tokens | Format::Jsonl(_) | Format::Table { .. } => false,
    };
    Needs {
        end: data.sources.iter().any(|s| source::has_documents(&s.format)),
        pad: data.pack == Pack::Rows || matches!(data.task, Task::Classes { .. }),
        mask: matches!(data.task, Task::Masked { .. }),
        roles: data.sources.iter().any(|s| roles(&s.format)),
    }
}

/// All files, in order.
fn inputs<'d>(data: &'d Data, base: &Path) -> Result<Vec<Input<'d>>, Error> {
    let mut inputs = Vec::new();
    for (source, one) in data.sources.iter().enumerate() {
        for path in paths::resolve(&one.paths, base)? {
            let file = Original::look(&path)?;
            let is_ids = match one.format {
                Format::Tokens => true,
                Format::Text => {
                    data.tokenizer == plan::Tokenizer::Bytes
                        && data.clean.normalize.is_empty()
                        && !is_packed(&path)?
                }
                Format::Jsonl(_) | Format::Table { .. } => false,
            };
            inputs.push(Input { file, format: &one.format, source, is_ids, hash: String::new() });
        }
    }
    Ok(inputs)
}

/// The hash of settings and contents; those of the files are noted.
fn hash_of(data: &Data, inputs: &mut [Input<'_>]) -> Result<String, Error> {
    let name = match data.tokenizer {
        plan::Tokenizer::Bytes => Some("bytes"),
        plan::Tokenizer::Chars => Some("chars"),
        plan::Tokenizer::Words(_) | plan::Tokenizer::Bpe(_) | plan::Tokenizer::WordPiece(_) => None,
        plan::Tokenizer::Gpt2 | plan::Tokenizer::File(_) | plan::Tokenizer::Ids(_) => None,
    };
    let is_text = data.sources.iter().all(|s| s.format == Format::Text && s.share.is_none());
    let is_plain = is_text && data.clean == Clean::default() && data.task == Task::NextToken;
    let mut hasher = Sha256::new();
    match name.filter(|_| is_plain) {
        Some(name) => hasher.update(name),
        None => {
            for source in &data.sources {
                hasher.update(format!("{:?} {:?}\n", source.format, source.share));
            }
            let Data { tokenizer, clean, task, loss_on, pack, .. } = data;
            hasher.update(format!("{tokenizer:?} {clean:?} {task:?} {loss_on:?} {pack:?}\n"));
            if matches!(task, Task::Classes { .. }) {
                // Their names are those without white space around them.
                hasher.update("classes 2\n");
            }
        }
    }
    for input in inputs {
        hasher.update(input.file.len().to_le_bytes());
        let mut own = Sha256::new();
        input.file.read(|_, bytes| {
            hasher.update(bytes);
            if !input.is_ids {
                own.update(bytes);
            }
            Ok(())
        })?;
        input.hash = hash::hex(&own.finalize());
    }
    Ok(hash::hex(&hasher.finalize()))
}

/// The vocabulary, which may have to be learnt from the text.
fn vocabulary(
    data: &Data,
    base: &Path,
    inputs: &[Input<'_>],
    needs: Needs,
    folder: Option<&Path>,
) -> Result<Vocabulary, Error> {
    let mut learner = match tokenizer::start(&data.tokenizer, needs, base)? {
        Start::Known(vocabulary) => return Ok(vocabulary),
        Start::Learns(learner) => learner,
    };
    let mut key = Sha256::new();
    key.update(format!("vocabulary 3 {:?} {needs:?} {:?}\n", data.tokenizer, data.clean));
    for input in inputs {
        key.update(format!("{:?} {} {}\n", input.format, ending(input), input.hash));
    }
    let key = hash::hex(&key.finalize());
    let kept = folder.map(|folder| folder.join(format!("{key}.json")));
    if let Some(vocabulary) = kept.as_deref().and_then(kept_vocabulary) {
        return Ok(vocabulary);
    }
    for input in inputs {
        if input.is_ids {
            continue;
        }
        let mut see = |text: &str| learner.read(text);
        encode::texts(&input.file, input.format, data, &mut see)?;
    }
    let vocabulary = Vocabulary::learnt(learner, needs)?;
    if vocabulary.size() > 1 << 24 {
        let message =
            format!("{} different characters; the limit is {}", vocabulary.size(), 1 << 24);
        return Err(Error::new(inputs[0].file.path(), message));
    }
    if let (Some(folder), Some(path)) = (folder, kept) {
        let json = vocabulary.to_json();
        keep(folder, &path, &format!("{}\n{json}", hash::sha256(json.as_bytes())));
    }
    Ok(vocabulary)
}

/// A vocabulary that was kept, under the hash of its text; a damaged one is as good as none.
fn kept_vocabulary(path: &Path) -> Option<Vocabulary> {
    let text = std::fs::read_to_string(path).ok()?;
    let (sum, json) = text.split_once('\n')?;
    if hash::sha256(json.as_bytes()) != sum {
        return None;
    }
    Vocabulary::from_json(json).ok()
}

/// Writes a file that only saves time: what goes wrong does no harm.
fn keep(folder: &Path, path: &Path, text: &str) {
    let Ok((temporary, mut file)) = std::fs::create_dir_all(folder).and_then(|()| beside(path))
    else {
        return;
    };
    let written = std::io::Write::write_all(&mut file, text.as_bytes());
    if written.and_then(|()| std::fs::rename(&temporary, path)).is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
}

/// The tokens of a file: as they lie, kept from before, or made now.
fn shard_of(
    input: Input<'_>,
    data: &Data,
    vocabulary: &Vocabulary,
    folder: Option<&Path>,
) -> Result<Shard, Error> {
    if *input.format == Format::Tokens {
        return tokens::open(input.file, vocabulary.size());
    }
    if input.is_ids {
        let n = input.file.len();
        return Ok(Shard::of_ids(input.file, 0, shard::Width::One, n));
    }
    let Some(folder) = folder else {
        return encode::shard(&input.file, input.format, data, vocabulary, None);
    };
    let ending = ending(&input);
    let settings = format!("{:?} {ending} {:?} {:?}", input.format, data.clean, data.loss_on);
    let is_masked = data.loss_on == LossOn::Completion;
    let parts = [&settings, &input.hash, &vocabulary.hash(), &is_masked.to_string()];
    let key = hash::sha256(format!("shard 3 {parts:?}").as_bytes());
    if let Some(shard) = shard::file::open(folder, &key) {
        return Ok(shard);
    }
    let writer = shard::file::Writer::new(folder, &key)?;
    encode::shard(&input.file, input.format, data, vocabulary, Some(writer))
}

/// The part of a table's name that says what is between its cells.
fn ending<'i>(input: &'i Input<'_>) -> &'i str {
    let name = input.file.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let ending = name.split_once('.').map_or("", |(_, ending)| ending);
    if matches!(input.format, Format::Table { .. }) { ending } else { "" }
}

/// The classes of all shards in order, and the number of each class of each shard.
fn classes(shards: &[Shard], data: &Data) -> Result<(Vec<String>, Vec<Vec<u32>>), Error> {
    let mut all: Vec<&String> = shards.iter().flat_map(|shard| &shard.layout.classes).collect();
    let is_numbers = all.iter().all(|name| name.parse::<i64>().is_ok());
    if is_numbers {
        all.sort_by_key(|name| (name.parse::<i64>().unwrap_or_default(), name.as_str()));
    } else {
        all.sort();
    }
    all.dedup();
    if let Task::Classes { n } = data.task {
        let path = data.paths().next().map_or("the data", String::as_str);
        if all.len() < 2 {
            let (found, shown) = (all.len(), rarest(shards));
            let message = format!("classes need at least two, the data has {found}: {shown}");
            return Err(Error::new(path, message));
        }
        if n.is_some_and(|n| n != all.len() as u64) {
            let n = n.unwrap_or_default();
            let (found, shown) = (all.len(), rarest(shards));
            let message = format!("`classes {n}`, but the data has {found}: {shown}");
            return Err(Error::new(path, message));
        }
    }
    let numbers: BTreeMap<&String, u32> = all.iter().copied().zip(0..).collect();
    let of_shard = |shard: &Shard| shard.layout.classes.iter().map(|name| numbers[name]).collect();
    let class_numbers = shards.iter().map(of_shard).collect();
    Ok((all.into_iter().cloned().collect(), class_numbers))
}

/// Classes with the number of their documents, the rarest first: a slip is rare.
fn rarest(shards: &[Shard]) -> String {
    const SHOWN: usize = 12;
    let mut counts: BTreeMap<&String, u64> = BTreeMap::new();
    for shard in shards {
        let mut of_shard = vec![0; shard.layout.classes.len()];
        for class in (0..shard.n_documents()).filter_map(|document| shard.class(document)) {
            of_shard[class as usize] += 1;
        }
        for (name, n) in shard.layout.classes.iter().zip(of_shard) {
            *counts.entry(name).or_default() += n;
        }
    }
    let mut counts: Vec<(&String, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|&(name, n)| (n, name));
    let one = |(name, n): &(&String, u64)| match n {
        1 => format!("`{name}` in 1 document"),
        n => format!("`{name}` in {n} documents"),
    };
    let mut shown: Vec<String> = counts.iter().take(SHOWN).map(one).collect();
    if counts.len() > SHOWN {
        shown.push(format!("and {} more", counts.len() - SHOWN));
    }
    shown.join(", ")
}

impl Corpus {
    /// What the ids mean.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Hash of settings and contents.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The classes by number; none where the data has no classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Whether a token of a split is a target, or there is no token at all.
    fn has_target(&self, split: &Split) -> bool {
        const STRETCH: u64 = 1 << 16;
        let mut is_empty = true;
        for stream in &split.streams {
            let end = stream.n_tokens();
            for start in (0..end).step_by(STRETCH as usize) {
                is_empty = false;
                let mut targets = vec![0; STRETCH.min(end - start) as usize];
                stream.mask(&self.shards, start, &mut targets);
                if targets.contains(&0) {
                    return true;
                }
            }
        }
        is_empty
    }

    /// The class of a document of a stream.
    pub(crate) fn class(&self, stream: &Stream, document: u64) -> i32 {
        let (shard, number) = stream.document(document);
        let class = self.shards[shard].class(number);
        let number = class.map(|class| self.class_numbers[shard][class as usize]);
        number.and_then(|n| i32::try_from(n).ok()).unwrap_or(-1)
    }

    pub(crate) fn split(&self, name: &str) -> Option<&Split> {
        self.splits.iter().find(|split| split.name == name)
    }

    /// Whether there is a split of that name.
    pub fn has_split(&self, name: &str) -> bool {
        self.split(name).is_some()
    }

    /// How many tokens a split has.
    pub fn n_tokens(&self, name: &str) -> u64 {
        let streams = self.split(name).map_or(&[][..], |split| &split.streams);
        streams.iter().map(Stream::n_tokens).sum()
    }

    /// The first tokens of a split, `most` at most.
    pub fn first_tokens(&self, name: &str, most: usize) -> Result<Vec<u32>, Error> {
        let Some(stream) = self.split(name).and_then(|split| split.streams.first()) else {
            return Ok(Vec::new());
        };
        let n = usize::try_from(stream.n_tokens()).map_or(most, |n| n.min(most));
        let mut ids = vec![0; n];
        stream.read(&self.shards, 0, &mut ids)?;
        Ok(ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect())
    }
}
