//! The part of the source that one diagnostic shows.
//!
//! The renderer prints whole lines, so each long line is cut to a window around its first label,
//! and everything that is not shown is left out. Places are mapped into what remains, while line
//! and column numbers stay those of the source.

use crate::{Diagnostic, FileId, SourceMap, Span};
use codespan_reporting::files::{Error, Files};
use std::ops::Range;

/// Characters of a line that are shown.
const WIDTH: usize = 200;
/// Characters kept in front of the first label of a line that is cut.
const LEAD: usize = 80;

/// The lines that the labels of one diagnostic stand on, and those between.
pub(super) struct View<'a> {
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    id: FileId,
    name: &'a str,
    /// Number of the first line, from 0.
    first_line: usize,
    lines: Vec<Line<'a>>,
    /// The lines as shown, joined.
    text: String,
}

struct Line<'a> {
    /// First byte in the file.
    start: usize,
    /// Without its end.
    source: &'a str,
    /// Bytes of `source` that are shown.
    window: Range<usize>,
    /// First byte in the text of the part.
    shown_start: usize,
    shown_end: usize,
}

/// The character that stands for `c` on a screen.
pub(super) fn visible(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    }
}

impl<'a> View<'a> {
    pub(super) fn new(map: &'a SourceMap, d: &Diagnostic) -> Self {
        let mut parts: Vec<Part<'a>> = vec![];
        for label in &d.labels {
            let id = label.span.file;
            if parts.iter().all(|p| p.id != id) {
                let spans = d.labels.iter().map(|l| l.span).filter(|s| s.file == id);
                parts.push(Part::new(map, id, &spans.collect::<Vec<_>>()));
            }
        }
        Self { parts }
    }

    /// Where a span is shown: its first line only, without the line end.
    pub(super) fn place(&self, span: Span) -> (usize, Range<usize>) {
        let idx = self.parts.iter().position(|p| p.id == span.file).expect("made from its labels");
        let part = &self.parts[idx];
        let line = part.line_of(span.start as usize);
        let from = (span.start as usize - line.start).min(line.source.len());
        let to = (span.end as usize).saturating_sub(line.start).clamp(from, line.source.len());
        (idx, line.shown(from)..line.shown(to))
    }

    fn part(&self, idx: usize) -> Result<&Part<'a>, Error> {
        self.parts.get(idx).ok_or(Error::FileMissing)
    }
}

impl<'a> Part<'a> {
    fn new(map: &'a SourceMap, id: FileId, spans: &[Span]) -> Self {
        let file = map.file(id);
        let low = spans.iter().map(|s| s.start as usize).min().unwrap_or(0).min(file.text.len());
        let high = spans.iter().map(|s| s.start as usize).max().unwrap_or(0).min(file.text.len());
        let start = file.text[..low].rfind('\n').map_or(0, |i| i + 1);
        let end = file.text[high..].find('\n').map_or(file.text.len(), |i| high + i);
        let first_line = map.line(id, start as u32) - 1;
        let mut part =
            Part { id, name: &file.name, first_line, lines: vec![], text: String::new() };
        let mut at = start;
        for line in file.text[start..end].split('\n') {
            let source = line.strip_suffix('\r').unwrap_or(line);
            let label = spans
                .iter()
                .map(|s| s.start as usize)
                .filter(|s| (at..=at + line.len()).contains(s))
                .min();
            part.push(at, source, label.map_or(0, |l| (l - at).min(source.len())));
            at += line.len() + 1;
        }
        part
    }

    /// Adds a line, cut around byte `label` when it is long.
    fn push(&mut self, start: usize, source: &'a str, label: usize) {
        let mut window = 0..source.len();
        // A tab is wider than a character, but there are rarely many.
        if source.len() > WIDTH && source.chars().count() > WIDTH {
            let before = source[..label].char_indices().rev().map(|c| c.0);
            window.start = before.take(LEAD).last().unwrap_or(label);
            let mut after = source[window.start..].char_indices().map(|c| c.0);
            window.end = after.nth(WIDTH).map_or(source.len(), |i| window.start + i);
        }
        let shown_start = self.text.len();
        if window.start > 0 {
            self.text.push('…');
        }
        self.text.extend(source[window.clone()].chars().map(visible));
        if window.end < source.len() {
            self.text.push('…');
        }
        let shown_end = self.text.len();
        self.text.push('\n');
        self.lines.push(Line { start, source, window, shown_start, shown_end });
    }

    fn line_of(&self, byte: usize) -> &Line<'a> {
        let after = self.lines.partition_point(|l| l.start <= byte);
        &self.lines[after.saturating_sub(1)]
    }
}

impl Line<'_> {
    /// The byte of the part's text that shows byte `at` of the line.
    fn shown(&self, at: usize) -> usize {
        let at = at.clamp(self.window.start, self.window.end);
        let lead = if self.window.start > 0 { '…'.len_utf8() } else { 0 };
        let before = self.source[self.window.start..at].chars();
        self.shown_start + lead + before.map(|c| visible(c).len_utf8()).sum::<usize>()
    }

    /// The column, from 1, of a byte of the part's text.
    fn column(&self, shown: usize) -> usize {
        let mut at = self.shown_start + if self.window.start > 0 { '…'.len_utf8() } else { 0 };
        let mut column = self.source[..self.window.start].chars().count() + 1;
        for c in self.source[self.window.clone()].chars() {
            if at >= shown {
                break;
            }
            at += visible(c).len_utf8();
            column += 1;
        }
        column
    }
}

impl<'a> Files<'a> for View<'_> {
    type FileId = usize;
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, idx: usize) -> Result<&'a str, Error> {
        Ok(self.part(idx)?.name)
    }

    fn source(&'a self, idx: usize) -> Result<&'a str, Error> {
        Ok(&self.part(idx)?.text)
    }

    fn line_index(&'a self, idx: usize, byte: usize) -> Result<usize, Error> {
        let after = self.part(idx)?.lines.partition_point(|l| l.shown_start <= byte);
        Ok(after.saturating_sub(1))
    }

    fn line_number(&'a self, idx: usize, line: usize) -> Result<usize, Error> {
        Ok(self.part(idx)?.first_line + line + 1)
    }

    fn column_number(&'a self, idx: usize, line: usize, byte: usize) -> Result<usize, Error> {
        let part = self.part(idx)?;
        let max = part.lines.len();
        Ok(part.lines.get(line).ok_or(Error::LineTooLarge { given: line, max })?.column(byte))
    }

    fn line_range(&'a self, idx: usize, line: usize) -> Result<Range<usize>, Error> {
        let part = self.part(idx)?;
        let max = part.lines.len();
        let line = part.lines.get(line).ok_or(Error::LineTooLarge { given: line, max })?;
        Ok(line.shown_start..line.shown_end + 1)
    }
}
