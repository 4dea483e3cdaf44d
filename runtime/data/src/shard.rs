//! The tokens of one file: ids, where documents start, hashes and classes.
//!
//! A shard that was made here is one stretch of bytes, in memory or mapped, so that both are read by
//! the same code. Files that are ids already stay where they are.
//! Layout of one that was made here: ids, starts of documents (u64, one more than documents),
//! hashes (u128), classes (u32), a bit for each token that may be a target, each at a multiple of
//! 8; [`file`] adds what a file needs.

mod build;
pub(crate) mod file;

use serde::{Deserialize, Serialize};

pub(crate) use build::Builder;

use crate::{error::Error, file::Original, mmap::Map};

/// Bytes of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Width {
    /// A byte.
    One,
    /// 16 bits.
    Two,
    /// 32 bits.
    Four,
}

impl Width {
    /// How many.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Width::One => 1,
            Width::Two => 2,
            Width::Four => 4,
        }
    }

    /// Copies ids out of their bytes.
    fn ids(self, bytes: &[u8], out: &mut [i32]) {
        match self {
            Width::One => out.iter_mut().zip(bytes).for_each(|(o, &b)| *o = i32::from(b)),
            Width::Two => {
                let ids = bytes.as_chunks().0.iter().map(|b| i32::from(u16::from_le_bytes(*b)));
                out.iter_mut().zip(ids).for_each(|(o, id)| *o = id);
            }
            Width::Four => {
                let ids = bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b));
                out.iter_mut().zip(ids).for_each(|(o, id)| *o = id);
            }
        }
    }

    /// The least that holds ids below `vocab`; a byte is for files that are read as they are.
    pub(crate) fn of(vocab: u64) -> Width {
        if vocab <= 1 << 16 { Width::Two } else { Width::Four }
    }
}

/// What a shard holds, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// Of an id.
    pub(crate) width: Width,
    /// The first byte of the ids.
    pub(crate) ids_at: usize,
    /// How many tokens.
    pub(crate) n_tokens: u64,
    /// Where documents start, and how many there are.
    pub(crate) documents: Option<Documents>,
    /// Where the bits of targets are; `None`: all tokens may be targets.
    pub(crate) targets_at: Option<usize>,
    /// The classes that occur, by their number in the shard.
    pub(crate) classes: Vec<String>,
    /// Documents that a filter left out.
    pub(crate) filtered: u64,
}

/// Where the tables of documents are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Documents {
    /// How many.
    pub(crate) n: u64,
    /// Of the starts.
    pub(crate) starts_at: usize,
    /// Of the hashes.
    pub(crate) hashes_at: usize,
    /// Of the classes, where there are any.
    pub(crate) classes_at: Option<usize>,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    Mapped(Map),
    /// Ids alone.
    Original(Original),
}

/// The tokens of a file.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) layout: Layout,
    store: Store,
}

impl Shard {
    /// A file that is ids already.
    pub(crate) fn of_ids(file: Original, ids_at: usize, width: Width, n_tokens: u64) -> Shard {
        let layout = Layout {
            width,
            ids_at,
            n_tokens,
            documents: None,
            targets_at: None,
            classes: Vec::new(),
            filtered: 0,
        };
        Shard { layout, store: Store::Original(file) }
    }

    /// One that was made in memory.
    fn in_memory(layout: Layout, bytes: Vec<u8>) -> Shard {
        Shard { layout, store: Store::Memory(bytes) }
    }

    /// One that was read back.
    fn mapped(layout: Layout, map: Map) -> Shard {
        Shard { layout, store: Store::Mapped(map) }
    }

    /// Of a shard that was made here.
    fn bytes(&self) -> &[u8] {
        match &self.store {
            Store::Memory(bytes) => bytes,
            Store::Mapped(map) => map.bytes(),
            Store::Original(_) => unreachable!("a file of ids has no tables"),
        }
    }

    /// How many documents; none for text.
    pub(crate) fn n_documents(&self) -> u64 {
        self.layout.documents.as_ref().map_or(0, |d| d.n)
    }

    /// Copies the ids from `start` on; all of them must exist.
    pub(crate) fn read(&self, start: u64, out: &mut [i32]) -> Result<(), Error> {
        let width = self.layout.width.bytes();
        let from = self.layout.ids_at + at(start) * width;
        let n = out.len() * width;
        match &self.store {
            Store::Original(file) => file.read_at(from as u64, n, |done, bytes| {
                let first = done / width;
                self.layout.width.ids(bytes, &mut out[first..first + bytes.len() / width]);
            }),
            Store::Memory(_) | Store::Mapped(_) => {
                self.layout.width.ids(&self.bytes()[from..from + n], out);
                Ok(())
            }
        }
    }

    /// Takes the targets that are none away; `out[0]` is the token at `start`.
    pub(crate) fn mask(&self, start: u64, out: &mut [i32]) {
        let Some(targets_at) = self.layout.targets_at else { return };
        let bits = &self.bytes()[targets_at..];
        for (i, target) in out.iter_mut().enumerate() {
            let token = at(start) + i;
            if bits[token / 8] >> (token % 8) & 1 == 0 {
                *target = -1;
            }
        }
    }

    /// The first token of a document; that of the one behind the last is the end.
    pub(crate) fn start(&self, document: u64) -> u64 {
        let tables = self.tables();
        assert!(document <= tables.n, "a document of the shard");
        let from = tables.starts_at + 8 * at(document);
        u64::from_le_bytes(array(&self.bytes()[from..]))
    }

    /// What tells a document from all others.
    pub(crate) fn hash(&self, document: u64) -> u128 {
        let from = self.tables().hashes_at + 16 * at(document);
        u128::from_le_bytes(array(&self.bytes()[from..]))
    }

    /// The class of a document by its number in the shard.
    pub(crate) fn class(&self, document: u64) -> Option<u32> {
        let from = self.tables().classes_at? + 4 * at(document);
        Some(u32::from_le_bytes(array(&self.bytes()[from..])))
    }

    fn tables(&self) -> &Documents {
        self.layout.documents.as_ref().expect("asked of shards with documents only")
    }
}

/// The first `N` bytes.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("a table holds all of its entries")
}

/// A position in memory.
fn at(n: u64) -> usize {
    usize::try_from(n).expect("a position in memory")
}
