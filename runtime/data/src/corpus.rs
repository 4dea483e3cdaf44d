//! Text files as one row of tokens, cut into splits.
//!
//! In: the data of a plan and the spec's folder. Out: the facts that compilation needs and the
//! corpus that training reads. Bytes stay in the mapped files; characters become ids once.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Position},
    hash,
    mmap::Map,
    paths,
    tokenizer::Vocabulary,
};

/// Largest vocabulary.
const MAX_VOCABULARY: usize = 1 << 24;

/// What compilation needs to know of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Size of the vocabulary.
    pub vocab: u64,
    /// Tokens of each split, in order.
    pub tokens: Vec<(String, u64)>,
    /// SHA-256 of tokenizer, sizes and contents.
    pub hash: String,
    /// The files, in order.
    pub files: Vec<PathBuf>,
}

/// The tokens of all files in order, and the splits.
#[derive(Debug)]
pub struct Corpus {
    vocabulary: Vocabulary,
    tokens: Tokens,
    splits: Vec<(String, Range<u64>)>,
    hash: String,
}

#[derive(Debug)]
enum Tokens {
    /// Ids are bytes; each map with the position of its first token.
    Bytes(Vec<(u64, Map)>),
    /// Ids of characters.
    Ids(Vec<u32>),
}

/// Opens and checks all files.
pub fn scan(data: &plan::Data, base: &Path) -> Result<(Facts, Corpus), Error> {
    built(data)?;
    let files = paths::resolve(&data.sources[0].paths, base)?;
    let maps = files.iter().map(|path| Map::open(path)).collect::<Result<Vec<_>, _>>()?;
    let mut hasher = Sha256::new();
    let is_bytes = data.tokenizer == plan::Tokenizer::Bytes;
    hasher.update(if is_bytes { b"bytes" } else { b"chars" });
    for map in &maps {
        hasher.update(map.len().to_le_bytes());
        hasher.update(map.bytes()?);
    }
    let hash = hash::hex(&hasher.finalize());
    let (vocabulary, tokens) =
        if is_bytes { (Vocabulary::Bytes, bytes(maps)) } else { chars(&maps)? };
    let splits = cut(&data.splits, tokens.len());
    let corpus = Corpus { vocabulary, tokens, splits, hash: hash.clone() };
    let lengths = corpus.splits.iter().map(|(name, r)| (name.clone(), r.end - r.start));
    let facts = Facts { vocab: corpus.vocabulary.size(), tokens: lengths.collect(), hash, files };
    Ok((facts, corpus))
}

/// Refuses what the reader does not do yet.
fn built(data: &plan::Data) -> Result<(), Error> {
    let paths = data.paths().cloned().collect();
    let plain = plan::Data {
        splits: data.splits.clone(),
        shuffle: data.shuffle,
        ..plan::Data::text(paths, data.tokenizer.clone())
    };
    let is_known = matches!(data.tokenizer, plan::Tokenizer::Bytes | plan::Tokenizer::Chars);
    let has_window = matches!(data.shuffle, plan::Shuffle::Window(_));
    if is_known && !has_window && *data == plain {
        return Ok(());
    }
    let path = data.paths().next().map_or("the data", String::as_str);
    Err(Error::new(path, "the reader takes one `text` with `bytes` or `chars` so far"))
}

fn bytes(maps: Vec<Map>) -> Tokens {
    let mut start = 0;
    let mut placed = Vec::with_capacity(maps.len());
    for map in maps {
        let len = map.len();
        placed.push((start, map));
        start += len;
    }
    Tokens::Bytes(placed)
}

fn chars(maps: &[Map]) -> Result<(Vocabulary, Tokens), Error> {
    let mut seen = BTreeSet::new();
    let mut texts = Vec::with_capacity(maps.len());
    for map in maps {
        let text = std::str::from_utf8(map.bytes()?).map_err(|error| {
            let message = "not valid UTF-8, which `tokenizer chars` needs; \
                           `tokenizer bytes` reads any file";
            Error::at(map.path(), Position::Byte(error.valid_up_to() as u64), message)
        })?;
        // A look into a table is much cheaper than one into the set for nearly all of a text.
        let mut ascii = [false; 128];
        for c in text.chars() {
            match ascii.get_mut(c as usize) {
                Some(flag) => *flag = true,
                None => _ = seen.insert(c),
            }
        }
        seen.extend((0u8..128).filter(|&b| ascii[b as usize]).map(char::from));
        texts.push(text);
    }
    if seen.len() > MAX_VOCABULARY {
        let message = format!("{} different characters; the limit is {MAX_VOCABULARY}", seen.len());
        return Err(Error::new(maps[0].path(), message));
    }
    let vocabulary = Vocabulary::Chars(seen.into_iter().collect());
    let mut ids = Vec::new();
    for (map, text) in maps.iter().zip(texts) {
        let part = vocabulary.encode(text);
        ids.extend(part.map_err(|unknown| unknown.within(&map.path().display().to_string()))?);
    }
    Ok((vocabulary, Tokens::Ids(ids)))
}

/// Shares to ranges, in order from the start; no split at all is all `train`.
fn cut(splits: &[plan::Split], total: u64) -> Vec<(String, Range<u64>)> {
    if splits.is_empty() {
        return vec![("train".to_owned(), 0..total)];
    }
    let mut ranges = Vec::with_capacity(splits.len());
    let (mut share, mut start) = (0.0, 0);
    for split in splits {
        share += split.share;
        // Shares of 0.9 and 0.1 need not add up to 1 exactly; the last token still belongs.
        let end = if share > 1.0 - 1e-9 { total } else { (share * total as f64).floor() as u64 };
        let end = end.clamp(start, total);
        ranges.push((split.name.clone(), start..end));
        start = end;
    }
    ranges
}

impl Tokens {
    fn len(&self) -> u64 {
        match self {
            Tokens::Bytes(maps) => maps.last().map_or(0, |(start, map)| start + map.len()),
            Tokens::Ids(ids) => ids.len() as u64,
        }
    }
}

impl Corpus {
    /// What the ids mean.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Hash of tokenizer, sizes and contents.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The tokens of a split.
    pub fn split(&self, name: &str) -> Option<Range<u64>> {
        self.splits.iter().find(|(n, _)| n == name).map(|(_, range)| range.clone())
    }

    /// Copies the tokens from `start` on; all of them must exist.
    pub fn read(&self, start: u64, out: &mut [i32]) -> Result<(), Error> {
        match &self.tokens {
            Tokens::Bytes(maps) => read_bytes(maps, start, out),
            Tokens::Ids(ids) => {
                let start = usize::try_from(start).expect("a position in memory");
                for (to, &from) in out.iter_mut().zip(&ids[start..]) {
                    *to = i32::try_from(from).expect("ids stay below 2^24");
                }
                Ok(())
            }
        }
    }
}

fn read_bytes(maps: &[(u64, Map)], start: u64, out: &mut [i32]) -> Result<(), Error> {
    let mut at = start;
    let mut idx = maps.partition_point(|(first, _)| *first <= start) - 1;
    let mut rest = out;
    while !rest.is_empty() {
        let (first, map) = &maps[idx];
        let skip = usize::try_from(at - first).expect("a position in memory");
        let here = &map.bytes()?[skip..];
        let n = here.len().min(rest.len());
        let (now, later) = rest.split_at_mut(n);
        for (to, &from) in now.iter_mut().zip(here) {
            *to = i32::from(from);
        }
        (rest, at, idx) = (later, at + n as u64, idx + 1);
    }
    Ok(())
}

/// A corpus of bytes in two files, for tests of what reads one.
#[cfg(test)]
pub(crate) fn sample(scratch: &Path, text: &[u8]) -> Corpus {
    let half = text.len() / 2;
    std::fs::write(scratch.join("1.txt"), &text[..half]).unwrap();
    std::fs::write(scratch.join("2.txt"), &text[half..]).unwrap();
    let split = |name: &str, share| plan::Split { name: name.to_owned(), share };
    let data = plan::Data {
        splits: vec![split("train", 0.9), split("val", 0.1)],
        ..plan::Data::text(vec!["*.txt".to_owned()], plan::Tokenizer::Bytes)
    };
    scan(&data, scratch).unwrap().1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn chars_of(scratch: &Scratch) -> Result<(Facts, Corpus), Error> {
        let data = plan::Data::text(vec!["*.txt".to_owned()], plan::Tokenizer::Chars);
        scan(&data, scratch.path())
    }

    #[test]
    fn bytes_run_across_files() {
        let scratch = Scratch::new("text_bytes");
        let text: Vec<u8> = (0..200).collect();
        let corpus = sample(scratch.path(), &text);
        let mut out = [0; 20];
        corpus.read(90, &mut out).unwrap();
        assert_eq!(out.to_vec(), (90..110).collect::<Vec<i32>>());
        assert_eq!(corpus.split("train"), Some(0..180));
        assert_eq!(corpus.split("val"), Some(180..200));
        assert_eq!(corpus.split("test"), None);
    }

    #[test]
    fn characters_come_in_code_point_order() {
        let scratch = Scratch::new("text_chars");
        std::fs::write(scratch.path().join("a.txt"), "zébé\n").unwrap();
        let (facts, corpus) = chars_of(&scratch).unwrap();
        assert_eq!(corpus.vocabulary(), &Vocabulary::Chars(vec!['\n', 'b', 'z', 'é']));
        assert_eq!((facts.vocab, facts.tokens), (4, vec![("train".to_owned(), 5)]));
        let mut out = [0; 5];
        corpus.read(0, &mut out).unwrap();
        assert_eq!(out, [2, 3, 1, 3, 0]);
    }

    #[test]
    fn invalid_utf8_is_located() {
        let scratch = Scratch::new("text_utf8");
        std::fs::write(scratch.path().join("a.txt"), b"ab\xffc").unwrap();
        let error = chars_of(&scratch).unwrap_err();
        assert!(error.to_string().contains("a.txt: byte 2: not valid UTF-8"), "{error}");
    }

    #[test]
    fn splits_cover_every_token_once() {
        for total in [0, 1, 2, 10, 999] {
            for shares in [vec![0.9, 0.1], vec![0.7, 0.2, 0.1], vec![1.0], vec![0.5]] {
                let splits: Vec<plan::Split> = shares
                    .iter()
                    .map(|&share| plan::Split { name: String::new(), share })
                    .collect();
                let ranges = cut(&splits, total);
                let mut at = 0;
                for (_, range) in &ranges {
                    assert_eq!(range.start, at);
                    at = range.end;
                }
                assert!(at == total || shares == [0.5]);
            }
        }
    }

    #[test]
    fn the_hash_follows_contents_and_cuts() {
        let scratch = Scratch::new("text_hash");
        let one = sample(scratch.path(), b"abcdef").hash().to_owned();
        assert_eq!(sample(scratch.path(), b"abcdef").hash(), one);
        assert_ne!(sample(scratch.path(), b"abcdeg").hash(), one);
    }
}
