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

/// A new file beside `path`, which nobody else writes to: a process of another container may have
/// the same number, and what is there is not opened.
pub(crate) fn beside(path: &Path) -> std::io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("tmp-{}-{n}", std::process::id()));
        match File::create_new(&temporary) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (temporary, file)),
        }
    }
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

    /// Its first bytes.
    pub(crate) fn start(&self, n: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; n];
        let file = self.open()?;
        let read = file.read_exact_at(&mut bytes, 0);
        // First: a file that was cut short does not have the bytes.
        self.compare(file.metadata())?;
        read.map_err(|source| Error::new(&self.path, source))?;
        Ok(bytes)
    }

    /// Shows `n` bytes from `at` on, piece by piece, each with the bytes before it; allocates
    /// nothing. The pieces are a multiple of 8 long, but for the last one.
    pub(crate) fn read_at(
        &self,
        at: u64,
        n: usize,
        mut see: impl FnMut(usize, &[u8]),
    ) -> Result<(), Error> {
        let mut piece = [0; 1 << 13];
        let file = self.open()?;
        let mut done = 0;
        while done < n {
            let piece = &mut piece[..(n - done).min(1 << 13)];
            let read = file.read_exact_at(piece, at + done as u64);
            self.compare(file.metadata())?;
            read.map_err(|source| Error::new(&self.path, source))?;
            see(done, piece);
            done += piece.len();
        }
        Ok(())
    }

    /// Shows all of its bytes, stretch by stretch, each with the bytes before it.
    ///
    /// The stretches are a multiple of 8 long, but for the last one.
    pub(crate) fn read(
        &self,
        mut see: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const STRETCH: u64 = 1 << 20;
        let mut file = self.open()?;
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

    /// Opens it, where it is still this file: opening a pipe that took its place would wait.
    fn open(&self) -> Result<File, Error> {
        self.check()?;
        File::open(&self.path).map_err(|source| Error::new(&self.path, source))
    }

    fn compare(&self, now: std::io::Result<Metadata>) -> Result<(), Error> {
        let now = match now {
            Ok(about) => Stamp::of(&about),
            Err(source) => {
                let message = format!("the file was there when it was first read: {source}");
                return Err(Error::new(&self.path, message));
            }
        };
        if now == self.stamp {
            return Ok(());
        }
        let what = if (now.device, now.inode) != (self.stamp.device, self.stamp.inode) {
            "another file took its place".to_owned()
        } else if now.len != self.len() {
            format!("{} bytes when it was first read, {} now", self.len(), now.len)
        } else {
            "it was written to".to_owned()
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
        let read = |n: usize| {
            let mut bytes: Vec<u8> = vec![];
            original.read_at(9000 - n as u64, n, |_, piece| bytes.extend(piece)).map(|()| bytes)
        };
        assert_eq!(read(8).unwrap(), b"xxxxxxxx");
        assert_eq!(read(9000).unwrap(), vec![b'x'; 9000]);
        let mut n = 0;
        original
            .read(|at, bytes| {
                n = at + bytes.len() as u64;
                Ok(())
            })
            .unwrap();
        assert_eq!(n, 9000);
        for left in [10, 0] {
            File::options().write(true).open(&path).unwrap().set_len(left).unwrap();
            let cut = read(8).unwrap_err().to_string();
            let said = format!("9000 bytes when it was first read, {left} now");
            assert!(cut.contains(&said), "{cut}");
        }
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
