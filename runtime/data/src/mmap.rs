//! A file mapped into memory, read only.
//!
//! Invariant: bytes are handed out only while the file has the size and the time of change it
//! had when it was opened, so a file that was replaced or cut short is a located error.

use std::{fs::File, path::Path, path::PathBuf, time::SystemTime};

use memmap2::Mmap;

use crate::error::Error;

/// A mapped regular file.
#[derive(Debug)]
pub(crate) struct Map {
    path: PathBuf,
    file: File,
    changed: Option<SystemTime>,
    map: Mmap,
}

impl Map {
    /// Maps a regular file that is not empty.
    #[allow(unsafe_code)]
    pub(crate) fn open(path: &Path) -> Result<Map, Error> {
        let read = |source: std::io::Error| Error::new(path, source);
        let data = |message: &str| Error::new(path, message);
        // Looked at before it is opened: opening a pipe would wait for its other end.
        if !std::fs::metadata(path).map_err(read)?.is_file() {
            return Err(data("not a regular file"));
        }
        let file = File::open(path).map_err(read)?;
        let meta = file.metadata().map_err(read)?;
        if !meta.is_file() {
            return Err(data("not a regular file"));
        }
        if meta.len() == 0 {
            return Err(data("the file is empty"));
        }
        // SAFETY: the mapping is read only and lives as long as `map`. Another process may change
        // the file: contents are only ever copied out as bytes, where any value is valid, and
        // `bytes` refuses a file whose size changed before a page of it is touched.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        Ok(Map { path: path.to_owned(), changed: meta.modified().ok(), file, map })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its size, as it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// Its bytes, when the file is still the one that was opened.
    pub(crate) fn bytes(&self) -> Result<&[u8], Error> {
        let meta = self.file.metadata().map_err(|source| Error::new(&self.path, source))?;
        if meta.len() != self.len() || meta.modified().ok() != self.changed {
            let message = format!(
                "the file changed while it was in use: {} bytes when opened, {} now",
                self.len(),
                meta.len()
            );
            return Err(Error::new(&self.path, message));
        }
        Ok(&self.map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_cut_short_is_an_error_not_a_crash() {
        let scratch = Scratch::new("mmap_cut");
        let path = scratch.path().join("a.txt");
        std::fs::write(&path, vec![b'x'; 9000]).unwrap();
        let map = Map::open(&path).unwrap();
        assert_eq!(map.bytes().unwrap().len(), 9000);
        File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert!(map.bytes().unwrap_err().to_string().contains("9000 bytes when opened, 10 now"));
    }

    #[test]
    fn empty_files_folders_and_devices_are_refused() {
        let scratch = Scratch::new("mmap_refused");
        let path = scratch.path().join("a.txt");
        std::fs::write(&path, "").unwrap();
        assert!(Map::open(&path).unwrap_err().to_string().ends_with("the file is empty"));
        for path in [scratch.path(), Path::new("/dev/zero")] {
            assert!(Map::open(path).unwrap_err().to_string().ends_with("not a regular file"));
        }
    }
}
