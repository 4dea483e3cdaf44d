//! Shards as files, so that a text becomes ids once.
//!
//! A file is the bytes of a shard, its layout as JSON, the length of that, a sum over all before
//! it, and the format. It is written beside its name and renamed when it is whole, so a process
//! that is killed leaves no broken file; what is damaged anyway is as good as none.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Layout, Shard};
use crate::{error::Error, file::beside, mmap::Map};

/// The last bytes of a file.
const FORMAT: &[u8; 8] = b"llmcidx1";

#[derive(Debug, Serialize, Deserialize)]
struct Footer {
    key: String,
    layout: Layout,
}

/// Sums bytes up, eight at a time; not meant to withstand an opponent.
#[derive(Debug, Default)]
struct Sum {
    value: u64,
    rest: Vec<u8>,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let need = if self.rest.is_empty() { 0 } else { 8 - self.rest.len() };
        let (head, bytes) = bytes.split_at(need.min(bytes.len()));
        self.rest.extend_from_slice(head);
        if self.rest.len() == 8 {
            let word = u64::from_le_bytes(super::array(&self.rest));
            self.word(word);
            self.rest.clear();
        }
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        self.rest.extend_from_slice(rest);
    }

    fn word(&mut self, word: u64) {
        self.value = (self.value.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(mut self) -> u64 {
        let n = self.rest.len() as u64;
        self.rest.resize(8, 0);
        let word = u64::from_le_bytes(super::array(&self.rest));
        self.word(word);
        self.word(n);
        self.value ^ self.value >> 29
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    key: String,
    target: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    sum: Sum,
}

impl Writer {
    /// For the shard of `key` in `folder`, which is made when it is missing.
    pub(crate) fn new(folder: &Path, key: &str) -> Result<Writer, Error> {
        let target = path_of(folder, key);
        let made = fs::create_dir_all(folder).and_then(|()| beside(&target));
        let (temporary, file) = made.map_err(|source| unwritable(&target, &source))?;
        let file = BufWriter::with_capacity(1 << 18, file);
        Ok(Writer { key: key.to_owned(), target, temporary, file, sum: Sum::default() })
    }

    /// Adds bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sum.add(bytes);
        let written = self.file.write_all(bytes);
        written.map_err(|source| self.fail(&source))
    }

    fn fail(&self, source: &std::io::Error) -> Error {
        unwritable(&self.temporary, source)
    }

    /// Ends the file and opens it.
    pub(super) fn finish(mut self, layout: Layout) -> Result<Shard, Error> {
        let footer = Footer { key: self.key.clone(), layout };
        let text = serde_json::to_vec(&footer).expect("a layout has a JSON form");
        self.write(&text)?;
        self.write(&(text.len() as u64).to_le_bytes())?;
        let sum = std::mem::take(&mut self.sum).finish();
        let written = (|| {
            self.file.write_all(&sum.to_le_bytes())?;
            self.file.write_all(FORMAT)?;
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            fs::rename(&self.temporary, &self.target)
        })();
        written.map_err(|source| self.fail(&source))?;
        let map = Map::open(&self.target).map_err(|source| self.fail(&source))?;
        Ok(Shard::mapped(footer.layout, map))
    }
}

fn unwritable(path: &Path, source: &std::io::Error) -> Error {
    let message = format!(
        "cannot be written: {source}; LLMC_CACHE names another folder, `off` keeps in memory"
    );
    Error { is_of_cache: true, ..Error::new(path, message) }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Gone already when the file was finished.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Where the shard of a key is kept.
fn path_of(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.ids"))
}

/// The shard that was kept for a key, when it is whole.
pub(crate) fn open(folder: &Path, key: &str) -> Option<Shard> {
    let map = Map::open(&path_of(folder, key)).ok()?;
    let (rest, format) = map.bytes().split_last_chunk::<8>()?;
    let (body, sum) = rest.split_last_chunk::<8>()?;
    let mut found = Sum::default();
    found.add(body);
    if format != FORMAT || found.finish() != u64::from_le_bytes(*sum) {
        return None;
    }
    let (body, length) = body.split_last_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let text = &body[body.len().checked_sub(length)?..];
    let footer: Footer = serde_json::from_slice(text).ok()?;
    (footer.key == key).then(|| Shard::mapped(footer.layout, map))
}
