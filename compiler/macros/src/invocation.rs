//! The text between the braces of an invocation, and the tokens at its places.

use proc_macro::{Span, TokenStream, TokenTree};

/// An invocation whose source is at hand.
pub(crate) struct Invocation {
    /// The Rust file.
    pub(crate) name: String,
    /// What the braces hold; comments of Rust are blanks.
    pub(crate) text: String,
    /// Line and column of its first character, both from 1.
    start: (usize, usize),
    /// Where tokens start and end, by line and column, in order.
    tokens: Vec<Token>,
    call: Span,
}

struct Token {
    start: (usize, usize),
    end: (usize, usize),
    span: Span,
}

impl Invocation {
    /// `call` is the whole invocation, name and braces included; `input` is what they hold.
    pub(crate) fn read(call: Span, input: TokenStream) -> Option<Self> {
        let source = call.source_text()?;
        // `llmc::spec! { .. }`: the first bracket behind the name opens the text.
        let opening = source.find('!')? + 1;
        let opening = opening + source[opening..].find(['{', '(', '['])?;
        let closing = source.rfind(['}', ')', ']'])?;
        let text = source.get(opening + 1..closing)?;
        let start = ahead((call.line(), call.column()), &source[..=opening]);
        let mut tokens = vec![];
        flatten(input, &mut tokens);
        let first = tokens.first().map(|token| token.start);
        // A text that is not what the compiler read would put messages anywhere.
        if first.is_some_and(|first| first < start) {
            return None;
        }
        Some(Self { name: call.file(), text: without_comments(text), start, tokens, call })
    }

    /// Line and column of a byte of the text, in the Rust file.
    pub(crate) fn place(&self, byte: usize) -> (usize, usize) {
        ahead(self.start, &self.text[..byte])
    }

    /// The first and the last token of a range of the text.
    pub(crate) fn tokens(&self, start: usize, end: usize) -> (Span, Span) {
        let (start, end) = (self.place(start), self.place(end.max(start + 1).min(self.text.len())));
        let touched = |token: &&Token| token.end > start && token.start < end;
        let mut inside = self.tokens.iter().filter(touched);
        let Some(first) = inside.next() else {
            // Behind the last token of a line: the one before is the nearest.
            let before = self.tokens.iter().rev().find(|token| token.end <= start);
            let span = before.map_or(self.call, |token| token.span);
            return (span, span);
        };
        (first.span, inside.next_back().unwrap_or(first).span)
    }
}

/// All tokens with a text of their own: brackets, too.
fn flatten(input: TokenStream, out: &mut Vec<Token>) {
    for tree in input {
        if let TokenTree::Group(group) = tree {
            out.push(token(group.span_open()));
            flatten(group.stream(), out);
            out.push(token(group.span_close()));
        } else {
            out.push(token(tree.span()));
        }
    }
}

fn token(span: Span) -> Token {
    let (start, end) = (span.start(), span.end());
    let (start, end) = ((start.line(), start.column()), (end.line(), end.column()));
    Token { start, end, span }
}

/// The place behind `text`, which starts at `from`.
fn ahead(from: (usize, usize), text: &str) -> (usize, usize) {
    match text.rsplit_once('\n') {
        None => (from.0, from.1 + text.chars().count()),
        Some((lines, last)) => (from.0 + lines.matches('\n').count() + 1, last.chars().count() + 1),
    }
}

/// The text with `// ..` comments blanked; everything else keeps its place.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match comment(line) {
            None => out.push_str(line),
            Some(at) => {
                out.push_str(&line[..at]);
                let blank = |c: char| if c == '\n' || c == '\r' { c } else { ' ' };
                out.extend(line[at..].chars().map(blank));
            }
        }
    }
    out
}

/// Where a `//` comment starts in a line: outside of strings and of `#` comments.
fn comment(line: &str) -> Option<usize> {
    let (mut in_string, mut is_escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            '#' if !in_string => return None,
            '/' if !in_string && line[at + 1..].starts_with('/') => return Some(at),
            _ => {}
        }
    }
    None
}
