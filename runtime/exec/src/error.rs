//! What can go wrong outside the program: files, data, plans, the machine.

use std::error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A failure of the world; each kind has an exit code.
#[derive(Debug)]
pub enum Error {
    /// A file could not be used.
    Io {
        /// What was being done: `read`, `rename`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The plan does not fit itself or this runtime.
    BadPlan(String),
    /// The data are not what the plan needs.
    BadData(String),
    /// A checkpoint is damaged or of another model.
    BadCheckpoint(String),
    /// The machine has not enough of something.
    Resources(String),
    /// A device is missing, or is not one that plans run on.
    Device(String),
    /// The loss is beyond repair.
    Diverged(String),
    /// The run's folder belongs to something else.
    Folder(String),
    /// Another process uses the run's folder.
    Busy {
        /// The folder.
        path: PathBuf,
        /// Who holds it, when known.
        pid: Option<u32>,
    },
    /// A device or a peer failed, or a replay gave other bits.
    Fault(String),
    /// A signal asked for the end; the state is saved.
    Preempted,
}

impl Error {
    /// An i/o error with what was done to which file.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    /// A checkpoint, or a file of one, that cannot be used.
    pub fn checkpoint(path: impl AsRef<Path>, what: impl fmt::Display) -> Self {
        Self::BadCheckpoint(format!("{}: {what}", path.as_ref().display()))
    }

    /// The exit code of the process that ends with it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadPlan(_) => 1,
            Self::Folder(_) => 2,
            Self::BadData(_) | Self::BadCheckpoint(_) => 3,
            Self::Io { .. } | Self::Resources(_) | Self::Device(_) | Self::Busy { .. } => 4,
            Self::Diverged(_) => 5,
            Self::Fault(_) => 6,
            Self::Preempted => 75,
        }
    }
}

impl From<data::Error> for Error {
    fn from(error: data::Error) -> Self {
        Self::BadData(error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Self::BadPlan(what) => write!(f, "bad plan: {what}"),
            Self::BadData(what) => write!(f, "bad data: {what}"),
            Self::BadCheckpoint(what) => write!(f, "bad checkpoint: {what}"),
            Self::Resources(what) => write!(f, "not enough resources: {what}"),
            Self::Diverged(what) => write!(f, "diverged: {what}"),
            Self::Device(what) | Self::Folder(what) => f.write_str(what),
            Self::Busy { path, pid: Some(pid) } => {
                write!(f, "{} is in use by process {pid}", path.display())
            }
            Self::Busy { path, pid: None } => write!(f, "{} is in use", path.display()),
            Self::Fault(what) => write!(f, "hardware or peer fault: {what}"),
            Self::Preempted => f.write_str("stopped by a signal; saved, run again to go on"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::BadPlan(_)
            | Self::BadData(_)
            | Self::BadCheckpoint(_)
            | Self::Resources(_)
            | Self::Device(_)
            | Self::Diverged(_)
            | Self::Folder(_)
            | Self::Busy { .. }
            | Self::Fault(_)
            | Self::Preempted => None,
        }
    }
}
