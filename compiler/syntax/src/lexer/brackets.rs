//! Keeps brackets balanced: what is missing is put in, what is too much is dropped.

use super::Lexer;
use crate::limits;
use crate::token::Token;
use diag::{Code, Diagnostic, Span};

/// A bracket that waits for its closer.
pub(super) struct Open {
    pub(super) kind: Bracket,
    pub(super) span: Span,
    /// Operators on the path to here.
    pub(super) n_operators: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bracket {
    Brace,
    Paren,
    Square,
}

impl Bracket {
    pub(super) fn opener(self) -> char {
        match self {
            Bracket::Brace => '{',
            Bracket::Paren => '(',
            Bracket::Square => '[',
        }
    }

    fn closer(self) -> (Token, char) {
        match self {
            Bracket::Brace => (Token::RBrace, '}'),
            Bracket::Paren => (Token::RParen, ')'),
            Bracket::Square => (Token::RBracket, ']'),
        }
    }
}

impl Lexer<'_> {
    pub(super) fn open(&mut self, kind: Bracket, token: Token, l: u32) -> bool {
        let span = self.span(l, l + 1);
        if self.open.len() >= limits::NESTING {
            // What the parser thinks of the heap of brackets is beside the point.
            self.out.patched.push((self.open[0].span.start, u32::MAX));
            return self.stop(limits::deep_nesting(span));
        }
        if matches!(token, Token::CallParen | Token::IndexBracket) {
            self.n_operators += 1;
            if self.n_operators > limits::OPERATORS {
                return self.stop(limits::long_chain(span));
            }
        }
        self.open.push(Open { kind, span, n_operators: self.n_operators });
        self.push(l, token, l + 1);
        true
    }

    /// Emits the closer of the innermost bracket at `at`.
    pub(super) fn pop(&mut self, at: u32) -> Option<Open> {
        let open = self.open.pop()?;
        self.n_operators = open.n_operators;
        self.push(at, open.kind.closer().0, at);
        Some(open)
    }

    pub(super) fn close(&mut self, kind: Bracket, l: u32) {
        let token = kind.closer().0;
        let is_open = match kind {
            Bracket::Brace => self.open.iter().any(|o| o.kind == kind),
            Bracket::Paren | Bracket::Square => self
                .open
                .iter()
                .rev()
                .take_while(|o| o.kind != Bracket::Brace)
                .any(|o| o.kind == kind),
        };
        if !is_open {
            return self.stray_closer(kind, l);
        }
        let mut reported = false;
        while let Some(open) = self.open.last()
            && open.kind != kind
        {
            if reported {
                self.pop(l);
            } else {
                self.unclosed(self.last_end());
            }
            reported = true;
        }
        if let Some(open) = self.open.pop() {
            self.n_operators = open.n_operators;
        }
        self.push(l, token, l + 1);
    }

    /// A closer without its opener: it stands for that of the innermost bracket, or for nothing.
    pub(super) fn stray_closer(&mut self, kind: Bracket, l: u32) {
        let span = self.span(l, l + 1);
        let message = format!("unexpected `{}`", kind.closer().1);
        let d = Diagnostic::new(Code::E0102, span, message);
        let last = self.open.last().map(|o| (o.kind, o.span));
        match last {
            Some((other, opener)) if other != Bracket::Brace => {
                let closer = other.closer().1;
                let d = d.primary(format!("expected `{closer}`")).label(opener, "opened here");
                self.report(d.fix(format!("write `{closer}`"), span, closer));
                self.pop(l);
            }
            Some(_) | None => {
                let d = d.primary(format!("no `{}` is open here", kind.opener()));
                self.report(d.fix("remove it", span, ""));
            }
        }
        self.out.patched.push((l, l + 1));
    }

    /// Closes `(` and `[` down to the block they are in, reporting the innermost.
    pub(super) fn close_above_brace(&mut self, at: u32) {
        let mut reported = false;
        while matches!(self.open.last(), Some(o) if o.kind != Bracket::Brace) {
            if reported {
                self.pop(at);
            } else {
                self.unclosed(at);
            }
            reported = true;
        }
    }

    /// Closes the innermost bracket at `at` and reports it.
    pub(super) fn unclosed(&mut self, at: u32) {
        let Some(open) = self.pop(at) else { return };
        let closer = open.kind.closer().1;
        let message = format!("unclosed `{}`", open.kind.opener());
        let d = Diagnostic::new(Code::E0101, open.span, message)
            .primary("opened here and never closed")
            .fix(format!("insert `{closer}`"), self.span(at, at), closer);
        self.report(d);
        self.out.patched.push((open.span.start, at));
    }
}
