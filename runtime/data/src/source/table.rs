//! Rows of a table, each a document: csv, tsv or parquet.
//!
//! csv has quotes as RFC 4180 has them; tsv has none, a line is a row. Which one it is: the name
//! of the file, else its first line. Columns that are named need a header; numbered ones have none
//! unless it is stated.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::{self, Read},
    path::Path,
};

use plan::{Column, Columns};

use super::{
    Document, Give, Item, MAX_DOCUMENT, Next, did_you_mean,
    lines::{Lines, not_utf8},
    open::{fill, first_bytes, open},
    pair, parquet, plain, shorten,
};
use crate::error::{Error, Position};

/// Gives the rows of a file.
pub(super) fn read(
    path: &Path,
    columns: &Columns,
    header: Option<bool>,
    give: &mut Give<'_>,
) -> Result<(), Error> {
    if first_bytes(path)?.starts_with(b"PAR1") {
        return parquet::read(path, columns, give);
    }
    let mut rows = Rows {
        path,
        columns,
        header: header.unwrap_or(is_named(columns)),
        places: None,
        width: 0,
        n: 0,
        give,
    };
    match delimiter(path)? {
        b'\t' => {
            let mut lines = Lines::new(path)?;
            while let Some((number, line)) = lines.next()? {
                if line.is_empty() {
                    continue;
                }
                let cells: Vec<&str> = line.split('\t').collect();
                if rows.take(&cells, Position::Line(number))? == Next::Stop {
                    return Ok(());
                }
            }
            Ok(())
        }
        delimiter => quoted(path, delimiter, &mut rows),
    }
}

/// Whether a column is called by a name.
pub(super) fn is_named(columns: &Columns) -> bool {
    each(columns).into_iter().flatten().any(|column| matches!(column, Column::Name(_)))
}

fn each(columns: &Columns) -> [Option<&Column>; 2] {
    match columns {
        Columns::Text { text, label } => [Some(text), label.as_ref()],
        Columns::Pair { prompt, completion } => [Some(prompt), Some(completion)],
    }
}

/// What the cells of a row mean; the second is a class or an answer.
pub(super) fn document(
    columns: &Columns,
    cells: [Option<&str>; 2],
    position: Position,
) -> Result<Document, String> {
    let [first, second] = cells.map(|cell| cell.unwrap_or_default().to_owned());
    match columns {
        Columns::Text { label: None, .. } => Ok(plain(first, None, position)),
        Columns::Text { label: Some(_), .. } if second.trim().is_empty() => {
            Err("the class is empty; remove the row or give it one".to_owned())
        }
        // The name of a class is the same with white space around it.
        Columns::Text { label: Some(_), .. } => {
            Ok(plain(first, Some(second.trim().to_owned()), position))
        }
        Columns::Pair { .. } => Ok(pair(first, second, position)),
    }
}

/// The place of a column among names, from 0.
pub(super) fn place(column: &Column, names: &[&str], width: usize) -> Result<usize, String> {
    match column {
        Column::Number(0) => Err("columns are numbered from 1".to_owned()),
        Column::Number(n) if *n as usize > width => {
            Err(format!("there is no column {n}; the table has {width}"))
        }
        Column::Number(n) => Ok(*n as usize - 1),
        Column::Name(name) => {
            let mut found = names.iter().enumerate().filter(|(_, n)| **n == name.as_str());
            match (found.next(), found.next()) {
                (Some((at, _)), None) => Ok(at),
                (Some(_), Some(_)) => {
                    Err(format!("two columns are called `{name}`; say which by its number"))
                }
                // Tables of countries whose decimals have commas.
                (None, _) if matches!(names, [only] if only.split(';').any(|n| n == name)) => {
                    Err("cells are separated by `;`; separate them by commas or tabs".to_owned())
                }
                (None, _) => {
                    let near = did_you_mean(name, names.iter().copied());
                    let names: Vec<String> =
                        names.iter().take(12).map(|n| format!("`{}`", shorten(n))).collect();
                    Err(format!("no column `{name}`; the columns are {}{near}", names.join(", ")))
                }
            }
        }
    }
}

/// Both places at once.
pub(super) fn places(
    columns: &Columns,
    names: &[&str],
    width: usize,
) -> Result<[Option<usize>; 2], String> {
    let [first, second] = each(columns);
    let find = |column: Option<&Column>| column.map(|c| place(c, names, width)).transpose();
    Ok([find(first)?, find(second)?])
}

/// Rows on their way to documents.
struct Rows<'r, 'g> {
    path: &'r Path,
    columns: &'r Columns,
    header: bool,
    places: Option<[Option<usize>; 2]>,
    /// Cells of the first row.
    width: usize,
    n: u64,
    give: &'r mut Give<'g>,
}

impl Rows<'_, '_> {
    fn take(&mut self, cells: &[&str], position: Position) -> Result<Next, Error> {
        let fail = |message: String| Error::at(self.path, position, message);
        let Some(places) = self.places else {
            self.width = cells.len();
            let names = if self.header { cells } else { &[] };
            let places = places(self.columns, names, cells.len()).map_err(fail)?;
            self.places = Some(places);
            if self.header {
                return Ok(Next::More);
            }
            return self.give(cells, places, position);
        };
        if cells.len() != self.width {
            let (n, width) = (cells.len(), self.width);
            return Err(fail(format!("{n} cells, where the first row has {width}")));
        }
        self.give(cells, places, position)
    }

    fn give(
        &mut self,
        cells: &[&str],
        places: [Option<usize>; 2],
        position: Position,
    ) -> Result<Next, Error> {
        self.n += 1;
        let cells = places.map(|place| place.map(|at| cells[at]));
        let document = document(self.columns, cells, position)
            .map_err(|message| Error::at(self.path, position, message))?;
        (self.give)(Item::Document(document))
    }
}

/// Rows whose cells may be quoted.
fn quoted(path: &Path, delimiter: u8, rows: &mut Rows<'_, '_>) -> Result<(), Error> {
    let source = Bounded { inner: open(path)?, left: MAX_DOCUMENT, quotes: Quotes::new(delimiter) };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(source);
    let mut record = csv::ByteRecord::new();
    let mut line = 1;
    loop {
        let place = Position::Line(line);
        let more = reader
            .read_byte_record(&mut record)
            .map_err(|e| Error::at(path, place, format!("cannot be read: {e}")))?;
        let end = reader.position().byte();
        let quotes = &mut reader.get_mut().quotes;
        // The source is read ahead of the rows.
        if let Some(wrong) = quotes.wrong.as_ref().filter(|wrong| !more || wrong.byte < end) {
            return Err(Error::at(path, Position::Line(wrong.line), wrong.message));
        }
        if !more {
            return Ok(());
        }
        let start = record.position().map_or(0, csv::Position::byte);
        let at = quotes.line_of_row(start).map_or(place, Position::Line);
        line = reader.position().line();
        let mut cells = Vec::with_capacity(record.len());
        for (i, cell) in record.iter().enumerate() {
            let mark: &[u8] = if rows.places.is_none() && i == 0 { b"\xef\xbb\xbf" } else { b"" };
            let cell = cell.strip_prefix(mark).unwrap_or(cell);
            let cell = std::str::from_utf8(cell).map_err(|e| {
                Error::at(path, at, format!("cell {}: {}", i + 1, not_utf8(e.valid_up_to())))
            })?;
            cells.push(cell);
        }
        if rows.take(&cells, at)? == Next::Stop {
            return Ok(());
        }
        reader.get_mut().left = MAX_DOCUMENT;
    }
}

/// Bytes of a row, no more: a quote that is never closed would take the rest of the file.
struct Bounded {
    inner: Box<dyn Read>,
    left: usize,
    quotes: Quotes,
}

impl Read for Bounded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let most = MAX_DOCUMENT >> 20;
            let message = format!("a row longer than {most} MiB; is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let most = out.len().min(self.left);
        let n = self.inner.read(&mut out[..most])?;
        self.left -= n;
        match n {
            0 if most > 0 => self.quotes.end(),
            n => out[..n].iter().for_each(|&byte| self.quotes.see(byte)),
        }
        Ok(n)
    }
}

/// Looks for quotes that a reader would take in silence, and rows with them: RFC 4180 has no text
/// behind a closing quote and none that is not closed.
struct Quotes {
    delimiter: u8,
    at: At,
    n_bytes: u64,
    line: u64,
    /// The byte and the line of each row that was not taken yet: those of the reader are one off
    /// where lines end with two characters.
    rows: VecDeque<(u64, u64)>,
    is_row_start: bool,
    /// The last opening quote.
    opened: (u64, u64),
    /// The first that is wrong.
    wrong: Option<WrongQuote>,
}

struct WrongQuote {
    byte: u64,
    line: u64,
    message: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    CellStart,
    Plain,
    Quoted,
    /// Behind a quote that closes the cell, or is the first of two.
    Quote,
}

impl Quotes {
    fn new(delimiter: u8) -> Quotes {
        let rows = VecDeque::new();
        let (at, opened) = (At::CellStart, (0, 1));
        Quotes { delimiter, at, n_bytes: 0, line: 1, rows, is_row_start: true, opened, wrong: None }
    }

    /// The line of the row that starts at a byte or at the next that is no line end.
    fn line_of_row(&mut self, start: u64) -> Option<u64> {
        while self.rows.front().is_some_and(|(byte, _)| *byte < start) {
            self.rows.pop_front();
        }
        self.rows.front().map(|(_, line)| *line)
    }

    fn is_wrong(&mut self, message: &'static str) {
        let (byte, line) = self.opened;
        self.wrong.get_or_insert(WrongQuote { byte, line, message });
    }

    fn see(&mut self, byte: u8) {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let place = self.n_bytes;
        self.n_bytes += 1;
        let mark = usize::try_from(place).ok().and_then(|place| MARK.get(place));
        if mark == Some(&byte) && self.at == At::CellStart {
            return;
        }
        let ends_line = matches!(byte, b'\r' | b'\n');
        if self.is_row_start && !ends_line {
            self.rows.push_back((place, self.line));
            self.is_row_start = false;
        }
        self.is_row_start |= ends_line && self.at != At::Quoted;
        self.at = match (self.at, byte) {
            (At::CellStart, b'"') => {
                self.opened = (place, self.line);
                At::Quoted
            }
            (At::Quoted, b'"') => At::Quote,
            (At::Quote, b'"') | (At::Quoted, _) => At::Quoted,
            (At::CellStart | At::Plain | At::Quote, b'\r' | b'\n') => At::CellStart,
            (At::CellStart | At::Plain | At::Quote, _) if byte == self.delimiter => At::CellStart,
            (At::Quote, _) => {
                let message = "text behind a closing quote: a quote inside of a cell is written \
                               twice, and each that opens is closed";
                self.is_wrong(message);
                At::Plain
            }
            (At::CellStart | At::Plain, _) => At::Plain,
        };
        self.line += u64::from(byte == b'\n');
    }

    fn end(&mut self) {
        if self.at == At::Quoted {
            self.is_wrong("the quote that opens here is never closed");
        }
    }
}

/// What is between the cells of a file.
fn delimiter(path: &Path) -> Result<u8, Error> {
    let mut name = path.to_owned();
    if name.extension().is_some_and(|e| e == "gz" || e == "zst") {
        name.set_extension("");
    }
    match name.extension().and_then(OsStr::to_str) {
        Some("csv") => return Ok(b','),
        Some("tsv" | "tab") => return Ok(b'\t'),
        Some(_) | None => {}
    }
    let mut start = vec![0; 1 << 16];
    let n = fill(&mut open(path)?, &mut start).map_err(|e| Error::new(path, e))?;
    let line = start[..n].split(|&b| b == b'\n').next().unwrap_or_default();
    Ok([b'\t', b',', b';'].into_iter().find(|b| line.contains(b)).unwrap_or(b','))
}
