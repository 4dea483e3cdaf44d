//! Lines to text, and the check that the text has just those lines.

use diag::{Code, Diagnostic, FileId, Span};
use syntax::ast;

use crate::block::Line;
use crate::locate::Places;
use crate::marked::Marked;

/// What a [`Spec`](crate::Spec) amounts to.
#[derive(Debug, Clone)]
pub struct Built {
    /// Text of the language.
    pub text: String,
    /// Where in the Rust source its parts come from.
    pub places: Places,
    /// The bytes of every line that is not a text of the caller's.
    lines: Vec<(u32, u32)>,
}

impl Built {
    pub(crate) fn of(lines: &[Line]) -> Self {
        let mut writer = Writer { out: Marked::default(), lines: vec![] };
        for (i, line) in lines.iter().enumerate() {
            // Blocks and declarations stand apart, as people lay them out.
            let is_apart = |line: &Line| line.block.is_some() || line.is_text;
            if i > 0 && (is_apart(line) || is_apart(&lines[i - 1])) {
                writer.out.push("\n");
            }
            writer.line(line, 0);
        }
        let Marked { text, marks } = writer.out;
        Self { text, places: Places { marks }, lines: writer.lines }
    }

    /// What is no line of the language although its text can be read, such as a word with a line
    /// end in it: `spec` is the tree of the text, read as `file` and without a fault.
    pub fn faults(&self, file: FileId, spec: &ast::Spec) -> Vec<Diagnostic> {
        let mut spans: Vec<(u32, u32)> =
            spec.stmts.iter().map(|s| (s.span.start, s.span.end)).collect();
        spans.sort_unstable();
        let is_torn = |line: &&(u32, u32)| spans.binary_search(line).is_err();
        let torn = self.lines.iter().filter(is_torn);
        torn.map(|&(start, end)| {
            let span = Span::new(file, start, end);
            Diagnostic::new(Code::E0102, span, "this call does not make one line of the language")
                .help("a word is a name, and a value ends on the line where it starts")
        })
        .collect()
    }
}

struct Writer {
    out: Marked,
    lines: Vec<(u32, u32)>,
}

impl Writer {
    fn line(&mut self, line: &Line, level: usize) {
        for doc in line.doc.iter().flat_map(|doc| doc.lines()) {
            self.indent(level);
            self.out.push(if doc.is_empty() { "##" } else { "## " });
            self.out.push(doc);
            self.out.push("\n");
        }
        if line.is_text {
            return self.text(line, level);
        }
        self.indent(level);
        let start = self.out.text.len();
        self.out.append(&line.head);
        // What a block holds has marks of its own; this one is for what stands before it.
        self.out.mark(start, line.place);
        if let Some(block) = &line.block {
            self.out.push(" {\n");
            for line in block {
                self.line(line, level + 1);
            }
            self.indent(level);
            self.out.push("}");
            self.out.mark(start, line.place);
        }
        let range = (start as u32, self.out.text.len() as u32);
        self.lines.push(range);
        self.out.push("\n");
    }

    /// A text of the caller's, with the indentation that all its lines share taken away.
    fn text(&mut self, line: &Line, level: usize) {
        let text = line.head.text.trim_matches('\n').trim_end();
        let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
        // The first line may follow the opening quote.
        let rest = text.lines().skip(1).filter(|line| !line.trim().is_empty());
        let shared = rest.map(indent).min().unwrap_or(indent(text));
        let start = self.out.text.len();
        for line in text.lines() {
            let cut = indent(line).min(shared);
            if !line.trim().is_empty() {
                self.indent(level);
                self.out.push(&line[cut..]);
            }
            self.out.push("\n");
        }
        self.out.mark_text(start, line.place);
    }

    fn indent(&mut self, level: usize) {
        self.out.push(&"  ".repeat(level));
    }
}
