//! Files that only save time: what took long to make, by key, in a folder.
//!
//! A file holds a line with its format, its key and the hash of what follows. One that is damaged,
//! cut short or of another key is as good as none, and is written anew. Nothing that goes wrong
//! here is an error: what is not kept is made again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// What is kept: how its files start and how their names end. Another layout is another format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The first word of its files.
    pub format: &'static str,
    /// The end of their names.
    pub ending: &'static str,
}

/// Plans.
pub const PLAN: Kind = Kind { format: "llmc-plan-1", ending: "plan" };

/// What a driver made of the code of a plan, for one device.
pub const CUBIN: Kind = Kind { format: "llmc-cubin-1", ending: "cubin" };

/// A folder of such files.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Where.
    pub folder: PathBuf,
    /// Bytes of all files; the longest unused go first.
    pub most_bytes: u64,
    /// The build of the program, a part of every key: two of one version may differ.
    pub build: String,
}

/// A file of such a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// When it was used last.
    pub used: SystemTime,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// A hash of all parts, each with its length.
pub fn key<'p>(parts: impl IntoIterator<Item = &'p str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hex(hasher)
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Kept {
    /// Where something is, if it is here.
    pub fn path(&self, kind: Kind, key: &str) -> PathBuf {
        self.folder.join(key).with_extension(kind.ending)
    }

    /// What was kept under a key, if its file is whole.
    pub fn read(&self, kind: Kind, key: &str) -> Option<Vec<u8>> {
        let path = self.path(kind, key);
        let mut content = fs::read(&path).ok()?;
        let end = content.iter().position(|&byte| byte == b'\n')?;
        let kept = content.split_off(end + 1);
        if content[..end] != *head(kind, key, &kept).as_bytes() {
            return None;
        }
        // What is used stays.
        let _ =
            File::options().append(true).open(path).and_then(|f| f.set_modified(SystemTime::now()));
        Some(kept)
    }

    /// Keeps something, where that is possible, and makes room for it.
    pub fn write(&self, kind: Kind, key: &str, bytes: &[u8]) {
        // A full disk or a folder of somebody else's costs the next start some time.
        let _ = self.try_write(kind, key, bytes).and_then(|()| self.prune());
    }

    /// Keeps it no longer.
    pub fn forget(&self, kind: Kind, key: &str) {
        let _ = fs::remove_file(self.path(kind, key));
    }

    fn try_write(&self, kind: Kind, key: &str, bytes: &[u8]) -> io::Result<()> {
        let mut content = format!("{}\n", head(kind, key, bytes)).into_bytes();
        content.extend_from_slice(bytes);
        fs::create_dir_all(&self.folder)?;
        let draft = self.folder.join(format!("{key}.tmp-{}", std::process::id()));
        let written =
            fs::write(&draft, content).and_then(|()| fs::rename(&draft, self.path(kind, key)));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// Removes files until the rest is small enough, drafts that others left behind among them.
    fn prune(&self) -> io::Result<()> {
        let mut files = self.files()?;
        files.sort();
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        for Entry { path, bytes, .. } in files {
            if total <= self.most_bytes {
                break;
            }
            match fs::remove_file(path) {
                // Another process may have come first.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => total -= bytes,
            }
        }
        Ok(())
    }

    /// All files that were made here, drafts among them.
    pub fn files(&self) -> io::Result<Vec<Entry>> {
        let mut files = vec![];
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let (path, about) = (entry.path(), entry.metadata()?);
            if about.is_file() && is_ours(&path) {
                files.push(Entry { used: about.modified()?, path, bytes: about.len() });
            }
        }
        Ok(files)
    }
}

/// The first line of a file.
fn head(kind: Kind, key: &str, bytes: &[u8]) -> String {
    format!("{} {key} {}", kind.format, hex(Sha256::new_with_prefix(bytes)))
}

/// Whether a file of this name was made here: a key, and how names end.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split_once('.').is_some_and(|(key, ending)| {
        let is_key = key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit());
        let is_kind = [PLAN, CUBIN].iter().any(|kind| kind.ending == ending);
        is_key && (is_kind || ending.starts_with("tmp-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn kept(scratch: &Scratch) -> Kept {
        let folder = scratch.path().join("kept");
        Kept { folder, most_bytes: 1 << 20, build: "b".to_owned() }
    }

    #[test]
    fn what_is_damaged_or_of_another_kind_or_key_is_not_there() {
        let scratch = Scratch::new("kept-damaged");
        let kept = kept(&scratch);
        let (one, two) = (key(["1"]), key(["2"]));
        let bytes = [0xff, 0, b'\n', 7];
        kept.write(CUBIN, &one, &bytes);
        assert_eq!(kept.read(CUBIN, &one).as_deref(), Some(&bytes[..]));
        assert_eq!(kept.read(PLAN, &one), None);
        let path = kept.path(CUBIN, &one);
        fs::copy(&path, kept.path(CUBIN, &two)).unwrap();
        assert_eq!(kept.read(CUBIN, &two), None);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(kept.read(CUBIN, &one), None, "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(kept.read(CUBIN, &one), None, "{at} bytes");
        }
        kept.forget(CUBIN, &one);
        assert!(!path.exists());
    }

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
    }
}
