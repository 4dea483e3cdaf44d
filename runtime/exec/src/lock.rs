//! The lock on a run's folder: one process at a time, named in the lock file.
//!
//! The system drops the lock with the process, so one that was killed leaves nothing behind.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

use crate::error::Error;

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a folder that exists, or names its holder.
    pub fn take(folder: &Path) -> Result<Lock, Error> {
        let path = folder.join("lock");
        let failed = |action| {
            let path = path.clone();
            move |source| Error::io(action, path, source)
        };
        let opened =
            File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // An unreadable holder is still a holder.
                let _ = file.take(20).read_to_string(&mut holder);
                let pid = holder.trim().parse().ok();
                return Err(Error::Busy { path: folder.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        file.set_len(0).map_err(failed("write"))?;
        file.rewind().map_err(failed("write"))?;
        writeln!(file, "{}", std::process::id()).map_err(failed("write"))?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_second_holder_is_told_the_first() {
        let scratch = Scratch::new("lock");
        let first = Lock::take(scratch.path()).unwrap();
        let error = Lock::take(scratch.path()).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains(&format!("process {}", std::process::id())));
        drop(first);
        Lock::take(scratch.path()).unwrap();
    }
}
