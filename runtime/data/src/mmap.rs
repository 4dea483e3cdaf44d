//! A file of the cache mapped into memory, read only.

use std::{fs::File, io, path::Path};

use memmap2::Mmap;

/// A mapped file that nobody changes.
#[derive(Debug)]
pub(crate) struct Map(Mmap);

impl Map {
    /// Maps a file that was written under another name and renamed when it was whole.
    #[allow(unsafe_code)]
    pub(crate) fn open(path: &Path) -> io::Result<Map> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read only and lives as long as `Map`. The file is one of the cache,
        // which is never written to again: one that takes its place is another file. Its contents
        // are only ever copied out as bytes, where any value is valid.
        unsafe { Mmap::map(&file) }.map(Map)
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
