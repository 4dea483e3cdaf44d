//! Source files and places in them.

use std::iter;
use std::ops::Range;

/// A file of a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of bytes in one source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of `file`.
    pub fn new(file: FileId, start: u32, end: u32) -> Self {
        Self { file, start, end }
    }

    /// From the start of `self` to the end of `other`, which is in the same file.
    pub fn to(self, other: Span) -> Span {
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Whether `other` lies within.
    pub fn covers(self, other: Span) -> bool {
        self.file == other.file && self.start <= other.start && other.end <= self.end
    }

    /// The empty place just after this one.
    pub fn after(self) -> Span {
        Span { start: self.end, ..self }
    }

    /// As a range for indexing the text.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One source text and the name that messages call it by.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// A path as the user wrote it, or `<command line: --set>`, or `std/nn.lt`.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Where its lines start.
    lines: Vec<u32>,
}

/// All texts that one compilation reads; spans point into it.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("fewer than 2^32 files"));
        let (name, text) = (name.into(), text.into());
        let ends = (0u32..).zip(text.bytes()).filter(|&(_, byte)| byte == b'\n');
        let lines = iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        self.files.push(SourceFile { name, text, lines });
        id
    }

    /// The file behind an id.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All files with their ids, in the order added.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0u32..).map(FileId).zip(&self.files)
    }

    /// The text a span covers.
    pub fn text(&self, span: Span) -> &str {
        &self.file(span.file).text[span.range()]
    }

    /// Line of a byte, from 1.
    pub fn line(&self, file: FileId, byte: u32) -> usize {
        self.file(file).lines.partition_point(|&start| start <= byte)
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub fn line_col(&self, file: FileId, byte: u32) -> (usize, usize) {
        let SourceFile { text, lines, .. } = self.file(file);
        let line = self.line(file, byte);
        let start = lines[line - 1];
        (line, text[start as usize..byte as usize].chars().count() + 1)
    }
}
