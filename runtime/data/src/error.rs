//! What is wrong with a file of data, and where.

use std::path::{Path, PathBuf};
use std::{error, fmt};

/// A file that cannot be read, or that holds what it must not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The file, or what else the text came from: `the prompt`.
    pub path: PathBuf,
    /// Where in it.
    pub position: Option<Position>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Bytes before it.
    Byte(u64),
    /// A line, from 1.
    Line(u64),
    /// A row of a table, from 1; a header is none.
    Row(u64),
}

impl Error {
    /// About a whole file.
    pub fn new(path: impl AsRef<Path>, message: impl fmt::Display) -> Self {
        let path = path.as_ref().to_owned();
        Self { path, position: None, message: message.to_string() }
    }

    /// About a place in a file.
    pub fn at(path: impl AsRef<Path>, position: Position, message: impl fmt::Display) -> Self {
        Self { position: Some(position), ..Self::new(path, message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match self.position {
            None => {}
            Some(Position::Byte(n)) => write!(f, "byte {n}: ")?,
            Some(Position::Line(n)) => write!(f, "line {n}: ")?,
            Some(Position::Row(n)) => write!(f, "row {n}: ")?,
        }
        f.write_str(&self.message)
    }
}

impl error::Error for Error {}
