//! Files of the user: regular ones, and the same from the first look to the last.
//!
//! Anyone may write to such a file, cut it short or put another in its place while a run reads it.
//! So it is read by position and never mapped, and what was read counts only while the file is
//! still the one that was looked at.

use std::{
    fs::{File, Metadata},
    io::Read,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::error::Error;

/// What tells a file from another one, and from itself before it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    fn of(about: &Metadata) -> Stamp {
        Stamp {
            device: about.dev(),
            inode: about.ino(),
            len: about.len(),
            changed: (about.mtime(), about.mtime_nsec()),
        }
    }
}

/// A name beside `path` that no other process and no other thread writes to.
pub(crate) fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("tmp-{}-{n}", std::process::id()))
}

/// Opens a regular file that is not empty.
pub(crate) fn regular(path: &Path) -> Result<File, Error> {
    let read = |source: std::io::Error| Error::new(path, source);
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(read)?.is_file() {
        return Err(Error::new(path, "not a regular file"));
    }
    let file = File::open(path).map_err(read)?;
    let about = file.metadata().map_err(read)?;
    if !about.is_file() {
        return Err(Error::new(path, "not a regular file"));
    }
    if about.len() == 0 {
        return Err(Error::new(path, "the file is empty"));
    }
    Ok(file)
}

/// A file as it was when it was first looked at. It is not kept open: data may be more files than
/// a process may have open.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    path: PathBuf,
    stamp: Stamp,
}

impl Original {
    /// Looks at a regular file that is not empty.
    pub(crate) fn look(path: &Path) -> Result<Original, Error> {
        let about = regular(path)?.metadata().map_err(|source| Error::new(path, source))?;
        Ok(Original { path: path.to_owned(), stamp: Stamp::of(&about) })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    pub(crate) fn len(&self) -> u64 {
        self.stamp.len
    }

    /// Fills `out` with the bytes from `at` on.
    pub(crate) fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Error> {
        let file = regular(&self.path)?;
        let read = file.read_exact_at(out, at);
        // First: a file that was cut short does not have the bytes.
        self.compare(file.metadata())?;
        read.map_err(|source| Error::new(&self.path, source))
    }

    /// Shows all of its bytes, stretch by stretch, each with the bytes before it.
    ///
    /// The stretches are a multiple of 8 long, but for the last one.
    pub(crate) fn read(
        &self,
        mut see: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const STRETCH: u64 = 1 << 20;
        let mut file = regular(&self.path)?;
        let mut bytes = Vec::new();
        let mut at = 0;
        while at < self.len() {
            bytes.clear();
            let n = (&mut file).take(STRETCH.min(self.len() - at)).read_to_end(&mut bytes);
            let n = n.map_err(|source| Error::new(&self.path, source))? as u64;
            self.compare(file.metadata())?;
            if n == 0 {
                return Err(Error::new(&self.path, "the file ends before its length"));
            }
            see(at, &bytes)?;
            at += n;
        }
        Ok(())
    }

    /// That it is still this file: asked after something else has read it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.compare(std::fs::metadata(&self.path))
    }

    fn compare(&self, now: std::io::Result<Metadata>) -> Result<(), Error> {
        let now = Stamp::of(&now.map_err(|source| Error::new(&self.path, source))?);
        if now == self.stamp {
            return Ok(());
        }
        let what = if (now.device, now.inode) != (self.stamp.device, self.stamp.inode) {
            "another file took its place".to_owned()
        } else {
            format!("{} bytes when it was first read, {} now", self.len(), now.len)
        };
        let message = format!("the file changed while it was in use: {what}; start again with it");
        Err(Error::new(&self.path, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_that_changed_is_an_error() {
        let scratch = Scratch::new("file_changed");
        let path = scratch.path().join("a.txt");
        std::fs::write(&path, vec![b'x'; 9000]).unwrap();
        let original = Original::look(&path).unwrap();
        let mut bytes = [0; 8];
        original.read_at(8992, &mut bytes).unwrap();
        assert_eq!(&bytes, b"xxxxxxxx");
        let mut n = 0;
        original
            .read(|at, bytes| {
                n = at + bytes.len() as u64;
                Ok(())
            })
            .unwrap();
        assert_eq!(n, 9000);
        File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        let cut = original.read_at(8992, &mut bytes).unwrap_err().to_string();
        assert!(cut.contains("9000 bytes when it was first read, 10 now"), "{cut}");
        assert!(original.read(|_, _| Ok(())).is_err());
        let other = scratch.path().join("b.txt");
        std::fs::write(&other, vec![b'x'; 9000]).unwrap();
        std::fs::rename(&other, &path).unwrap();
        let replaced = original.check().unwrap_err().to_string();
        assert!(replaced.contains("another file took its place"), "{replaced}");
    }

    #[test]
    fn empty_files_folders_and_devices_are_refused() {
        let scratch = Scratch::new("file_refused");
        let path = scratch.path().join("a.txt");
        std::fs::write(&path, "").unwrap();
        assert!(Original::look(&path).unwrap_err().to_string().ends_with("the file is empty"));
        for path in [scratch.path(), Path::new("/dev/zero")] {
            let error = Original::look(path).unwrap_err().to_string();
            assert!(error.ends_with("not a regular file"));
        }
    }
}
