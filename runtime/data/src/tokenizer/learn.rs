//! Counts what a vocabulary is learnt from.
//!
//! Of a long text a part is counted, the same one each time: all pieces of the first
//! [`WHOLE_BYTES`], every second of as many again, every fourth, and so on; so memory and time grow
//! with the logarithm of a text that is longer.

use std::collections::{BTreeMap, BTreeSet};

use super::{bpe::Bpe, split, wordpiece::WordPiece, words::Words};

/// Bytes that are counted before pieces are left out.
const WHOLE_BYTES: u64 = 16 << 20;

/// What is counted.
#[derive(Debug)]
pub(super) enum Counts {
    Chars(BTreeSet<char>),
    Words(BTreeMap<Box<str>, u64>),
    Bpe(BTreeMap<Box<str>, u64>),
    WordPiece(BTreeMap<Box<str>, u64>),
}

/// Counts over the texts of all sources, in order.
#[derive(Debug)]
pub(crate) struct Learner {
    counts: Counts,
    /// Ids of the vocabulary, without those of special tokens.
    size: usize,
    /// Bytes that were counted.
    counted: u64,
    /// Number of the text.
    n: u64,
}

impl Learner {
    pub(super) fn new(counts: Counts, size: u64) -> Learner {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Learner { counts, size, counted: 0, n: 0 }
    }

    /// Takes notice of a text.
    pub(crate) fn read(&mut self, text: &str) {
        if let Counts::Chars(seen) = &mut self.counts {
            return characters(text, seen);
        }
        let stride = 1u64 << (self.counted / WHOLE_BYTES).min(40);
        self.n += 1;
        if !self.n.is_multiple_of(stride) {
            return;
        }
        self.counted += text.len() as u64;
        match &mut self.counts {
            Counts::Chars(_) => {}
            Counts::Words(counts) => super::words::words(text).for_each(|w| count(counts, w)),
            Counts::Bpe(counts) => split::pieces(text).for_each(|piece| count(counts, piece)),
            Counts::WordPiece(counts) => {
                super::wordpiece::words(text).for_each(|w| count(counts, w))
            }
        }
    }

    /// What was learnt.
    pub(super) fn finish(self) -> super::Model {
        match self.counts {
            Counts::Chars(seen) => super::Model::Chars(seen.into_iter().collect()),
            Counts::Words(counts) => super::Model::Words(Words::learn(&counts, self.size)),
            Counts::Bpe(counts) => super::Model::Bpe(Bpe::learn(&counts, self.size)),
            Counts::WordPiece(counts) => {
                super::Model::WordPiece(WordPiece::learn(&counts, self.size))
            }
        }
    }
}

fn count(counts: &mut BTreeMap<Box<str>, u64>, piece: &str) {
    match counts.get_mut(piece) {
        Some(n) => *n += 1,
        None => _ = counts.insert(piece.into(), 1),
    }
}

fn characters(text: &str, seen: &mut BTreeSet<char>) {
    // A look into a table is much cheaper than one into the set for nearly all of a text.
    let mut ascii = [false; 128];
    for c in text.chars() {
        match ascii.get_mut(c as usize) {
            Some(flag) => *flag = true,
            None => _ = seen.insert(c),
        }
    }
    seen.extend((0u8..128).filter(|&b| ascii[b as usize]).map(char::from));
}
