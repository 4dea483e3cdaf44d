//! What is wrong with a file of data, and where.

use std::path::{Path, PathBuf};
use std::{error, fmt};

/// Characters of the longest message: readers quote what a damaged file holds.
const MOST_CHARS: usize = 800;

/// A file that cannot be read, or that holds what it must not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The file, or what else the text came from: `the prompt`.
    pub path: PathBuf,
    /// Where in it.
    pub position: Option<Position>,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether nothing is wrong with the data: what is made of it cannot be kept.
    pub is_of_cache: bool,
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
        Self { path, position: None, message: bearable(&message.to_string()), is_of_cache: false }
    }

    /// About a place in a file.
    pub fn at(path: impl AsRef<Path>, position: Position, message: impl fmt::Display) -> Self {
        Self { position: Some(position), ..Self::new(path, message) }
    }
}

/// A message without what a terminal would obey, cut where it is too long.
fn bearable(message: &str) -> String {
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut out: String = message.chars().take(MOST_CHARS).map(visible).collect();
    if message.chars().nth(MOST_CHARS).is_some() {
        out.push_str(" ..");
    }
    out
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_neither_fills_nor_steers_a_terminal() {
        let error =
            Error::new("a.csv", "no column `\u{1b}[2J`, but ".to_owned() + &"x".repeat(9999));
        assert!(error.message.starts_with("no column `\u{fffd}[2J`"), "{error}");
        assert!(error.message.ends_with("xx ..") && error.message.len() < 1000);
    }
}
