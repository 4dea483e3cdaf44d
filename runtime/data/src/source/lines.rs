//! Lines of a file, numbered, of limited length.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
};

use super::{MAX_DOCUMENT, open::open};
use crate::error::{Error, Position};

/// The lines of a file.
pub(super) struct Lines<'p> {
    path: &'p Path,
    reader: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    number: u64,
}

impl<'p> Lines<'p> {
    /// From the first one on.
    pub(super) fn new(path: &'p Path) -> Result<Lines<'p>, Error> {
        let reader = BufReader::with_capacity(1 << 16, open(path)?);
        Ok(Lines { path, reader, line: Vec::new(), number: 0 })
    }

    /// The next line with its number, without its end, and without the mark at a file's start.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &str)>, Error> {
        self.line.clear();
        self.number += 1;
        let place = Position::Line(self.number);
        let mut limited = (&mut self.reader).take(MAX_DOCUMENT as u64 + 1);
        let read = limited.read_until(b'\n', &mut self.line);
        let n = read.map_err(|e| Error::at(self.path, place, format!("cannot be read: {e}")))?;
        if n == 0 {
            return Ok(None);
        }
        if n > MAX_DOCUMENT {
            let most = MAX_DOCUMENT >> 20;
            return Err(Error::at(self.path, place, format!("longer than {most} MiB; cut it")));
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mark: &[u8] = if self.number == 1 { b"\xef\xbb\xbf" } else { b"" };
        let line = line.strip_prefix(mark).unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(text) => Ok(Some((self.number, text))),
            Err(e) => Err(Error::at(self.path, place, not_utf8(e.valid_up_to()))),
        }
    }
}

/// What to say of bytes that are no text.
pub(super) fn not_utf8(at: usize) -> String {
    format!("byte {at} of it is not UTF-8; save the file as UTF-8")
}
