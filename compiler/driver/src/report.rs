//! Diagnostics with the texts that they point into.

use std::fmt;

use diag::render::{self, Style};
use diag::{Code, Diagnostic, Level, SourceMap};

/// What there is to say of a spec, as data and as text.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The texts.
    pub map: SourceMap,
    /// Codes, places, help and edits.
    pub diagnostics: Vec<Diagnostic>,
}

/// A diagnostic in short: what and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `E0203`; `llmc explain` has a page of it.
    pub code: &'static str,
    /// Whether nothing can be compiled.
    pub is_error: bool,
    /// The sentence.
    pub message: String,
    /// The file that it points at, Rust sources too.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What to do about it.
    pub help: Vec<String>,
}

impl Report {
    /// All of them in short, in the order found.
    pub fn findings(&self) -> impl Iterator<Item = Finding> + '_ {
        self.diagnostics.iter().map(|d| {
            let span = d.span();
            let (line, column) = self.map.line_col(span.file, span.start);
            Finding {
                code: d.code.name(),
                is_error: d.level == Level::Error,
                message: d.message.clone(),
                file: self.map.file(span.file).name.clone(),
                line,
                column,
                help: d.help.clone(),
            }
        })
    }

    /// Whether an error is among them.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.level == Level::Error)
    }

    /// The exit code of a command that it ends: see the table of the README.
    pub fn exit_code(&self) -> u8 {
        exit_code(&self.diagnostics)
    }

    /// As text, with source lines, in a line each, or for other programs.
    pub fn render(&self, style: Style) -> String {
        render::render(&self.map, &self.diagnostics, style)
    }
}

/// 3 where all that is wrong is what the data holds, 4 where it is too little memory, else 2.
pub(crate) fn exit_code(diagnostics: &[Diagnostic]) -> u8 {
    let errors = diagnostics.iter().filter(|d| d.level == Level::Error);
    let of = |code: Code| {
        if code == Code::E0709 {
            3
        } else if code == Code::E0901 || code == Code::E0902 {
            4
        } else {
            2
        }
    };
    let mut codes = errors.map(|d| of(d.code));
    let first = codes.next().unwrap_or(2);
    if codes.all(|code| code == first) { first } else { 2 }
}

/// With source lines and without colours.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Human))
    }
}
