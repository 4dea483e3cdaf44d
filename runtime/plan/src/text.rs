//! Plans as text: header, settings, buffers, code, functions; a thing a line.
//!
//! In: a [`Plan`]. Out: text that parses back to an equal plan; and the way back.
//! The first line carries the format. Strings are quoted as in Rust with `\"`, `\\`, `\n` and
//! `\u{…}`; floats are the shortest that read back to the same bits; code is a block of lines
//! that start with `|`. Nothing here panics on any input.

mod attention;
mod data;
mod parse;
mod print;
mod scan;

use std::fmt;

use sha2::{Digest, Sha256};

use crate::Plan;

/// Why a text is not a plan, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Line of the text, from 1.
    pub line: usize,
    /// What was expected and what is there.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plan, line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

impl Plan {
    /// The whole plan as text, code included.
    pub fn print(&self) -> String {
        print::plan(self, print::Bodies::Whole)
    }

    /// The plan as text for reading: code is listed by name and length only.
    pub fn print_steps(&self) -> String {
        print::plan(self, print::Bodies::Length)
    }

    /// Reads what [`Plan::print`] wrote.
    pub fn parse(text: &str) -> Result<Plan, ParseError> {
        parse::plan(text)
    }

    /// The content hash: SHA-256 of the printed text, in hexadecimal.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.print().as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests;
