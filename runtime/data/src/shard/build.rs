//! Makes a shard, token by token, in memory or into a file.

use std::collections::BTreeMap;

use super::{Documents, Layout, Shard, Width, file::Writer};
use crate::error::Error;

/// Where the bytes go.
#[derive(Debug)]
enum Sink {
    Memory(Vec<u8>),
    File(Writer),
}

/// A shard in the making; ids leave at once, tables at the end.
#[derive(Debug)]
pub(crate) struct Builder {
    sink: Sink,
    width: Width,
    n_tokens: u64,
    starts: Vec<u64>,
    hashes: Vec<u128>,
    /// Of each document, in order of appearance.
    classes: Vec<u32>,
    names: BTreeMap<String, u32>,
    bits: Option<Vec<u8>>,
    filtered: u64,
}

impl Builder {
    /// In memory, or into `file`. `has_mask`: whether some tokens may be no targets.
    pub(crate) fn new(width: Width, has_mask: bool, file: Option<Writer>) -> Builder {
        Builder {
            sink: file.map_or(Sink::Memory(Vec::new()), Sink::File),
            width,
            n_tokens: 0,
            starts: Vec::new(),
            hashes: Vec::new(),
            classes: Vec::new(),
            names: BTreeMap::new(),
            bits: has_mask.then(Vec::new),
            filtered: 0,
        }
    }

    /// How many documents were opened.
    pub(crate) fn n_documents(&self) -> u64 {
        self.starts.len() as u64
    }

    /// How many tokens there are.
    pub(crate) fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    /// The tokens that follow are of a new document.
    pub(crate) fn open_document(&mut self, hash: u128, class: Option<&str>) {
        self.starts.push(self.n_tokens);
        self.hashes.push(hash);
        if let Some(class) = class {
            let next = u32::try_from(self.names.len()).expect("fewer than 2^32 classes");
            let number = match self.names.get(class) {
                Some(number) => *number,
                None => *self.names.entry(class.to_owned()).or_insert(next),
            };
            self.classes.push(number);
        }
    }

    /// Counts a document that is left out.
    pub(crate) fn filtered(&mut self) {
        self.filtered += 1;
    }

    /// Adds tokens, which may be targets or not.
    pub(crate) fn push(&mut self, ids: &[u32], may_be_target: bool) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(ids.len() * self.width.bytes());
        for &id in ids {
            match self.width {
                Width::One | Width::Two => {
                    let id = u16::try_from(id).expect("ids of 16 bits");
                    bytes.extend(id.to_le_bytes());
                }
                Width::Four => bytes.extend(id.to_le_bytes()),
            }
            if let Some(bits) = &mut self.bits {
                if self.n_tokens.is_multiple_of(8) {
                    bits.push(0);
                }
                let last = bits.last_mut().expect("a byte for each eight tokens");
                *last |= u8::from(may_be_target) << (self.n_tokens % 8);
            }
            self.n_tokens += 1;
        }
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.sink {
            Sink::Memory(all) => {
                all.extend_from_slice(bytes);
                Ok(())
            }
            Sink::File(writer) => writer.write(bytes),
        }
    }

    /// Writes a table and returns where it starts, behind `end`.
    fn table(&mut self, end: &mut usize, bytes: &[u8]) -> Result<usize, Error> {
        let pad = end.next_multiple_of(8) - *end;
        self.write(&[0; 8][..pad])?;
        let start = *end + pad;
        self.write(bytes)?;
        *end = start + bytes.len();
        Ok(start)
    }

    /// The finished shard.
    pub(crate) fn finish(mut self, has_documents: bool) -> Result<Shard, Error> {
        let mut end = super::at(self.n_tokens) * self.width.bytes();
        let documents = if has_documents {
            let n = self.starts.len() as u64;
            self.starts.push(self.n_tokens);
            let starts = bytes_of(std::mem::take(&mut self.starts), u64::to_le_bytes);
            let hashes = bytes_of(std::mem::take(&mut self.hashes), u128::to_le_bytes);
            let has_classes = !self.classes.is_empty();
            let classes = bytes_of(std::mem::take(&mut self.classes), u32::to_le_bytes);
            let starts_at = self.table(&mut end, &starts)?;
            let hashes_at = self.table(&mut end, &hashes)?;
            let classes_at = if has_classes { Some(self.table(&mut end, &classes)?) } else { None };
            Some(Documents { n, starts_at, hashes_at, classes_at })
        } else {
            None
        };
        let targets_at = match self.bits.take() {
            Some(bits) => Some(self.table(&mut end, &bits)?),
            None => None,
        };
        let mut classes = vec![String::new(); self.names.len()];
        for (name, number) in std::mem::take(&mut self.names) {
            classes[number as usize] = name;
        }
        let layout = Layout {
            width: self.width,
            ids_at: 0,
            n_tokens: self.n_tokens,
            documents,
            targets_at,
            classes,
            filtered: self.filtered,
        };
        match self.sink {
            Sink::Memory(bytes) => Ok(Shard::in_memory(layout, bytes)),
            Sink::File(writer) => writer.finish(layout),
        }
    }
}

fn bytes_of<T: Copy, const N: usize>(numbers: Vec<T>, bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.into_iter().flat_map(bytes).collect()
}
