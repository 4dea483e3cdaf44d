//! Why something of an embedder could not be done, in three kinds.

use std::fmt;

use crate::report::Report;

/// A failure; none is ever printed by the library.
#[derive(Debug)]
pub enum Error {
    /// The spec is wrong; here is all there is to say of it.
    Spec(Report),
    /// The caller asked for something that is not there.
    Usage(String),
    /// The world failed: a file, memory, a device, numbers that are not finite.
    World(exec::error::Error),
}

impl Error {
    /// The exit code that the command line ends with: see the table of the README.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spec(report) => report.exit_code(),
            Self::Usage(_) => 2,
            Self::World(error) => error.exit_code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(report) => f.write_str(report.to_string().trim_end()),
            Self::Usage(message) => f.write_str(message),
            Self::World(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spec(_) | Self::Usage(_) => None,
            Self::World(error) => Some(error),
        }
    }
}

impl From<exec::error::Error> for Error {
    fn from(error: exec::error::Error) -> Self {
        Self::World(error)
    }
}
