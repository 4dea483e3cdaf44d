//! Moves diagnostics from the text of a built spec to the Rust source behind it.
//!
//! In: diagnostics over the text. Out: the same over the callers' files. What of a call is meant
//! is looked up in the source, where that can be read; where it cannot, its line and column stay
//! right and the line of the text is shown there.

use std::collections::BTreeMap;

use diag::{Diagnostic, Edit, FileId, SourceMap, Span};

use crate::marked::{Mark, Place};
use crate::rust_source::{byte_of, call_at, line_from, only};

/// Where in the Rust source the parts of a built text come from.
#[derive(Debug, Clone, Default)]
pub struct Places {
    pub(crate) marks: Vec<Mark>,
}

impl Places {
    /// File, line and column of the call that a span of the text comes from.
    pub fn of(&self, span: Span) -> Option<(&'static str, u32, u32)> {
        self.mark(span).map(|m| (m.place.file(), m.place.line(), m.place.column()))
    }

    /// The innermost mark that holds a span, or else its start.
    fn mark(&self, span: Span) -> Option<&Mark> {
        let (start, end) = (span.start as usize, span.end as usize);
        let holding = |end: usize| {
            let held = self.marks.iter().filter(move |m| m.start <= start && end <= m.end);
            held.min_by_key(|m| m.end - m.start)
        };
        holding(end).or_else(|| holding(start))
    }

    /// Moves what points into `file`, the text of the built spec. `read` gives the text of a Rust
    /// file, where it is at hand.
    ///
    /// An edit is kept where the very text that it replaces was found.
    pub fn relocate(
        &self,
        map: &SourceMap,
        file: FileId,
        found: &[Diagnostic],
        read: &mut dyn FnMut(&str) -> Option<String>,
    ) -> (SourceMap, Vec<Diagnostic>) {
        let mut sources = Sources::default();
        for label in found.iter().flat_map(|d| &d.labels).filter(|l| l.span.file == file) {
            if let Some(mark) = self.mark(label.span) {
                sources.note(mark.place, line_of(map, label.span).1, read);
            }
        }
        let mut map_out = map.clone();
        let ids: BTreeMap<&'static str, FileId> =
            sources.texts().map(|(path, text)| (path, map_out.add(path, text))).collect();
        let moved = |span: Span| -> Option<Moved> {
            let mark = self.mark(span).filter(|_| span.file == file)?;
            let id = *ids.get(mark.place.file())?;
            Some(place(map, span, mark, id, &map_out.file(id).text))
        };
        let found = found.iter().map(|d| relocated(d, file, &moved)).collect();
        (map_out, found)
    }
}

/// A place in the Rust source, and whether its text is the very text that the spec has there.
struct Moved {
    span: Span,
    is_same: bool,
}

fn relocated(d: &Diagnostic, file: FileId, moved: &dyn Fn(Span) -> Option<Moved>) -> Diagnostic {
    let mut out = d.clone();
    for label in &mut out.labels {
        if let Some(to) = moved(label.span) {
            label.span = to.span;
        }
    }
    let edit = |e: &Edit| match moved(e.span) {
        _ if e.span.file != file => Some(e.clone()),
        Some(to) if to.is_same => Some(Edit { span: to.span, text: e.text.clone() }),
        Some(_) | None => None,
    };
    out.fixes.retain_mut(|fix| {
        let edits: Vec<Edit> = fix.edits.iter().filter_map(edit).collect();
        let is_whole = edits.len() == fix.edits.len();
        fix.edits = edits;
        is_whole
    });
    out
}

/// Where a span of the text is in a Rust source.
fn place(map: &SourceMap, span: Span, mark: &Mark, id: FileId, source: &str) -> Moved {
    let text = map.text(span);
    let (line_start, line) = line_of(map, span);
    let make = |range: std::ops::Range<usize>| {
        let is_same = !text.is_empty() && source.get(range.clone()) == Some(text);
        Moved { span: Span::new(id, range.start as u32, range.end as u32), is_same }
    };
    let (row, column) = (mark.place.line(), mark.place.column());
    let Some(start) = byte_of(source, row, column) else { return make(0..0) };
    let lead = line.len() - line.trim_start().len();
    let within = (span.start as usize - line_start).saturating_sub(lead);
    let of_line = |at: usize| {
        let from = at + within;
        let end = (from + text.len()).min(at + line.trim().len());
        make(from..end.max(from))
    };
    if mark.is_text {
        let n_lines = map.file(span.file).text[mark.start..mark.end].lines().count();
        return line_from(source, start, line, n_lines).map_or_else(|| make(start..start), of_line);
    }
    if source[start..].starts_with(line.trim()) {
        // The line stands there itself, in place of a source that cannot be read.
        return of_line(start);
    }
    let call = call_at(source, start);
    make(only(source, call.clone(), text).unwrap_or(call))
}

/// Where the line of a span starts, and its text.
fn line_of(map: &SourceMap, span: Span) -> (usize, &str) {
    let text = &map.file(span.file).text;
    let start = text[..span.start as usize].rfind('\n').map_or(0, |at| at + 1);
    (start, text[start..].lines().next().unwrap_or_default())
}

/// The Rust files that calls stand in.
#[derive(Default)]
struct Sources {
    files: BTreeMap<&'static str, Source>,
}

/// One of them.
struct Source {
    /// Where it could be read.
    text: Option<String>,
    /// Lines of the spec by their line and column in the file.
    lines: BTreeMap<(u32, u32), String>,
}

impl Source {
    /// The file, unless it is not the one that was compiled; else what is known of it.
    fn text(&self) -> String {
        let has = |text: &&String| {
            self.lines.keys().all(|&(row, column)| byte_of(text, row, column).is_some())
        };
        self.text.as_ref().filter(has).cloned().unwrap_or_else(|| made(&self.lines))
    }
}

impl Sources {
    /// Takes care that the file of a call has a text in which its place exists.
    fn note(&mut self, place: Place, line: &str, read: &mut dyn FnMut(&str) -> Option<String>) {
        let new = || Source { text: read(place.file()), lines: BTreeMap::new() };
        let source = self.files.entry(place.file()).or_insert_with(new);
        let at = (place.line(), place.column());
        source.lines.entry(at).or_insert_with(|| line.trim().to_owned());
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.files.iter().map(|(path, source)| (*path, source.text()))
    }
}

/// A text that has nothing but these lines, each at its place.
fn made(lines: &BTreeMap<(u32, u32), String>) -> String {
    let mut out = String::new();
    let (mut row, mut column) = (1, 1);
    for (&(to_row, to_column), line) in lines {
        while row < to_row {
            out.push('\n');
            (row, column) = (row + 1, 1);
        }
        while column < to_column {
            out.push(' ');
            column += 1;
        }
        out.push_str(line);
        column += line.chars().count() as u32;
    }
    out
}
