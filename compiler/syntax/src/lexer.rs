//! The token stream that the grammar reads.
//!
//! In: text. Out: tokens with balanced brackets, where a line end is a token only if it ends a
//! statement, and a bracket says whether it touches what stands before it. Never stops at a bad
//! character; what it had to invent or drop is reported, and the parser stays silent there.

mod brackets;

use crate::raw::Raw;
use crate::token::{Lexed, Token, ends_value, keyword};
use crate::{confusable, limits, literal};
use brackets::{Bracket, Open};
use diag::{Code, Diagnostic, FileId, Span};
use logos::Logos;

/// Words that, at the start of a line, say that an open `(` was forgotten.
pub(crate) const BLOCK_WORDS: &[&str] = &[
    "allow", "arg", "data", "distill", "eval", "export", "fn", "generate", "layer", "model",
    "prune", "quantize", "rule", "sweep", "train", "use",
];

struct Lexer<'a> {
    file: FileId,
    src: &'a str,
    raw: Vec<(Raw, u32, u32)>,
    at: usize,
    out: Lexed,
    open: Vec<Open>,
    /// Operators on the path from the statement to here: what bounds the depth of the tree.
    n_operators: u32,
}

/// Lexes `text` from byte `start` to its end.
pub(crate) fn lex(file: FileId, text: &str, start: u32) -> Lexed {
    let mut out = Lexed::default();
    let Some(end) = limits::check_text(file, text, &mut out) else { return out };
    let bom = if start == 0 && text.starts_with('\u{feff}') { 3 } else { 0 };
    let base = start + bom;
    let mut raw = vec![];
    for (kind, range) in Raw::lexer(&text[base as usize..end]).spanned() {
        let (l, r) = (base + range.start as u32, base + range.end as u32);
        match kind {
            Ok(kind) => raw.push((kind, l, r)),
            // A control character: everything that can be seen is in `Raw`.
            Err(()) => confusable::report_symbol(file, text, l, r, &mut out),
        }
    }
    let mut lexer =
        Lexer { file, src: &text[..end], raw, at: 0, out, open: vec![], n_operators: 0 };
    lexer.trivia();
    while lexer.at < lexer.raw.len() {
        let (kind, l, r) = lexer.raw[lexer.at];
        if !lexer.step(kind, l, r) {
            break;
        }
    }
    lexer.finish()
}

impl Lexer<'_> {
    /// Reads one match; false when a limit says to stop.
    fn step(&mut self, kind: Raw, l: u32, r: u32) -> bool {
        self.at += 1;
        match kind {
            Raw::Doc | Raw::Comment | Raw::Newline => {
                self.at -= 1;
                self.trivia();
            }
            Raw::Semicolon => self.semicolon(l, r),
            Raw::Name => return self.name(l, r),
            Raw::Foreign => {
                if confusable::report_word(self.file, self.src, l, r, &mut self.out) {
                    return self.name(l, r);
                }
            }
            Raw::Symbol => confusable::report_symbol(self.file, self.src, l, r, &mut self.out),
            Raw::SingleQuoted | Raw::RoundQuoted => {
                let inner = confusable::report_quotes(self.file, self.src, l, r, &mut self.out);
                self.string(l, r, &format!("\"{}\"", &self.src[inner.range()]), inner.start - 1);
            }
            Raw::Number => self.number(l, r),
            Raw::Str => self.written_string(l, r),
            Raw::OpenStr => self.open_string(l, r),
            Raw::LBrace => return self.open(Bracket::Brace, Token::LBrace, l),
            Raw::LParen => {
                let token = if self.touches(l) { Token::CallParen } else { Token::LParen };
                return self.open(Bracket::Paren, token, l);
            }
            Raw::LBracket => {
                let token = if self.touches(l) { Token::IndexBracket } else { Token::LBracket };
                return self.open(Bracket::Square, token, l);
            }
            Raw::RBrace => self.close(Bracket::Brace, l),
            Raw::RParen => self.close(Bracket::Paren, l),
            Raw::RBracket => self.close(Bracket::Square, l),
            Raw::Comma => {
                self.n_operators = self.open.last().map_or(0, |o| o.n_operators);
                self.push(l, Token::Comma, r);
            }
            Raw::Colon => self.push(l, Token::Colon, r),
            Raw::Assign => self.push(l, Token::Assign, r),
            Raw::Dot => return self.operator(l, Token::Dot, r),
            Raw::DotDot => return self.operator(l, Token::DotDot, r),
            Raw::Arrow => return self.operator(l, Token::Arrow, r),
            Raw::Pipe => return self.operator(l, Token::Pipe, r),
            Raw::Plus => return self.operator(l, Token::Plus, r),
            Raw::Minus => return self.operator(l, self.minus(l, r), r),
            Raw::Star => return self.operator(l, Token::Star, r),
            Raw::Slash => return self.operator(l, Token::Slash, r),
            Raw::At => return self.operator(l, Token::At, r),
            Raw::Caret => return self.operator(l, Token::Caret, r),
            Raw::Eq => return self.operator(l, Token::Eq, r),
            Raw::Ne => return self.operator(l, Token::Ne, r),
            Raw::Lt => return self.operator(l, Token::Lt, r),
            Raw::Le => return self.operator(l, Token::Le, r),
            Raw::Gt => return self.operator(l, Token::Gt, r),
            Raw::Ge => return self.operator(l, Token::Ge, r),
        }
        true
    }

    fn push(&mut self, l: u32, token: Token, r: u32) {
        self.out.tokens.push((l, token, r));
    }

    fn report(&mut self, d: Diagnostic) {
        self.out.diags.push(d);
    }

    fn span(&self, l: u32, r: u32) -> Span {
        Span::new(self.file, l, r)
    }

    fn last_end(&self) -> u32 {
        self.out.tokens.last().map_or(0, |t| t.2)
    }

    /// Whether a bracket at `l` touches the end of a value.
    fn touches(&self, l: u32) -> bool {
        self.out.tokens.last().is_some_and(|&(_, token, r)| r == l && ends_value(token))
    }

    /// A minus is a sign where no value ends before it, or where only a value touches it.
    fn minus(&self, l: u32, r: u32) -> Token {
        let after_value = self.out.tokens.last().is_some_and(|&(_, t, _)| ends_value(t));
        let bytes = self.src.as_bytes();
        let space_before = l == 0 || bytes[l as usize - 1].is_ascii_whitespace();
        let space_after = bytes.get(r as usize).is_none_or(u8::is_ascii_whitespace);
        if !after_value || (space_before && !space_after) { Token::Neg } else { Token::Minus }
    }

    /// Line ends and comments up to the next word: at most one line-end token.
    fn trivia(&mut self) {
        let mut docs: Vec<String> = vec![];
        let mut n_newlines = 0;
        let mut seen_newline = self.at == 0;
        while let Some(&(kind @ (Raw::Newline | Raw::Comment | Raw::Doc), l, r)) =
            self.raw.get(self.at)
        {
            self.at += 1;
            if kind == Raw::Newline {
                n_newlines += 1;
                seen_newline = true;
                // An empty line separates a comment from what follows.
                if n_newlines > 1 {
                    docs.clear();
                }
                continue;
            }
            n_newlines = 0;
            if kind == Raw::Doc && seen_newline {
                let text = &self.src[l as usize + 2..r as usize];
                docs.push(text.strip_prefix(' ').unwrap_or(text).trim_end().to_owned());
            }
        }
        if let Some(&(_, l, _)) = self.raw.get(self.at)
            && !docs.is_empty()
        {
            self.out.docs.push((l, docs.join("\n")));
        }
        if seen_newline {
            self.line_end();
        }
    }

    /// Ends the statement, unless the line goes on.
    fn line_end(&mut self) {
        if matches!(self.open.last(), Some(o) if o.kind != Bracket::Brace) {
            if !self.at_block_word() {
                return;
            }
            self.close_above_brace(self.last_end());
        }
        let goes_on = match self.raw.get(self.at) {
            Some((Raw::Pipe | Raw::Arrow, ..)) => true,
            Some(&(Raw::Name, l, r)) => &self.src[l as usize..r as usize] == "else",
            Some(_) | None => false,
        };
        if goes_on {
            return;
        }
        match self.out.tokens.last().map(|t| t.1) {
            None | Some(Token::Newline | Token::LBrace | Token::Comma) => {}
            Some(_) => {
                let end = self.last_end();
                self.push(end, Token::Newline, end);
                self.n_operators = self.open.last().map_or(0, |o| o.n_operators);
            }
        }
    }

    fn semicolon(&mut self, l: u32, r: u32) {
        if let Some(open) = self.open.last()
            && open.kind != Bracket::Brace
        {
            let message = format!("a statement cannot end inside `{}`", open.kind.opener());
            let span = self.span(l, r);
            let d = Diagnostic::new(Code::E0102, span, "unexpected `;`");
            self.report(d.primary(message).fix("separate values with `,`", span, ","));
            return self.push(l, Token::Comma, r);
        }
        match self.out.tokens.last().map(|t| t.1) {
            None | Some(Token::Newline | Token::LBrace) => {}
            Some(_) => self.push(l, Token::Newline, r),
        }
        self.n_operators = self.open.last().map_or(0, |o| o.n_operators);
    }

    /// Whether the next word opens a block of the file, at the start of its line.
    fn at_block_word(&self) -> bool {
        let Some(&(Raw::Name, l, r)) = self.raw.get(self.at) else { return false };
        let starts_line = l == 0 || self.src.as_bytes()[l as usize - 1] == b'\n';
        let is_word = BLOCK_WORDS.contains(&&self.src[l as usize..r as usize]);
        let next = self.raw.get(self.at + 1).map(|t| t.0);
        starts_line && is_word && matches!(next, Some(Raw::Name | Raw::Str | Raw::LBrace))
    }

    fn name(&mut self, l: u32, r: u32) -> bool {
        let text = &self.src[l as usize..r as usize];
        if text.len() > limits::NAME_BYTES {
            let d = limits::long_name(self.span(l, r), text.len());
            self.report(d);
        }
        let token = keyword(text).unwrap_or_else(|| {
            self.out.names.push(text.to_owned());
            Token::Name(self.out.names.len() as u32 - 1)
        });
        if matches!(token, Token::And | Token::Or | Token::Not | Token::In | Token::Divides) {
            return self.operator(l, token, r);
        }
        self.push(l, token, r);
        true
    }

    fn number(&mut self, l: u32, r: u32) {
        let text = &self.src[l as usize..r as usize];
        if text.starts_with('.') && self.touches(l) {
            let message = format!("unexpected `{text}`");
            let mut d = Diagnostic::new(Code::E0102, self.span(l, r), message)
                .primary("a number cannot touch what stands before it")
                .fix("put a space before it", Span::new(self.file, l, l), " ");
            if text[1..].bytes().all(|b| b.is_ascii_digit()) {
                d = d.help(format!("one copy of a `repeat` is written `[{}]`", &text[1..]));
            }
            self.report(d);
            self.out.patched.push((l, r));
        }
        let (number, problem) = literal::number(self.file, l, text);
        self.out.diags.extend(problem);
        self.out.numbers.push(number);
        self.push(l, Token::Number(self.out.numbers.len() as u32 - 1), r);
    }

    fn written_string(&mut self, l: u32, r: u32) {
        let src = self.src;
        self.string(l, r, &src[l as usize..r as usize], l);
    }

    /// A string token; its text in quotes would begin at `at`.
    fn string(&mut self, l: u32, r: u32, text: &str, at: u32) {
        let (mut string, problems) = literal::string(self.file, at, text);
        string.span = self.span(l, r);
        self.out.diags.extend(problems);
        self.out.strings.push(string);
        self.push(l, Token::Str(self.out.strings.len() as u32 - 1), r);
    }

    /// A string to the end of its line; it swallowed the closers, so they are put back.
    fn open_string(&mut self, l: u32, r: u32) {
        let text = self.src[l as usize..r as usize].trim_end();
        let r = l + text.len() as u32;
        let d = Diagnostic::new(
            Code::E0002,
            self.span(l, r),
            "string is not closed before the end of the line",
        );
        let d = d.primary("it begins here");
        // Behind a space may follow what is no part of it.
        let is_word = text.chars().all(|c| !c.is_whitespace() && !"(){},".contains(c));
        let help = "add `\"`";
        self.report(if is_word { d.fix(help, self.span(r, r), "\"") } else { d.help(help) });
        self.written_string(l, r);
        let line = self.src[..l as usize].rfind('\n').map_or(0, |i| i + 1) as u32;
        while let Some(open) = self.open.last()
            && open.kind != Bracket::Brace
            && open.span.start >= line
        {
            self.pop(r);
        }
        self.out.patched.push((l, r));
    }

    /// An operator: one more level of the tree.
    fn operator(&mut self, l: u32, token: Token, r: u32) -> bool {
        self.n_operators += 1;
        if self.n_operators > limits::OPERATORS {
            return self.stop(limits::long_chain(self.span(l, r)));
        }
        self.push(l, token, r);
        true
    }

    /// Reports a limit and reads no further.
    fn stop(&mut self, d: Diagnostic) -> bool {
        let at = d.span().start;
        // A line that is also too long does not matter any more.
        self.out.diags.retain(|d| d.span().start < at);
        self.out.patched.push((at, u32::MAX));
        self.report(d);
        self.raw.clear();
        let end = self.last_end();
        while !self.open.is_empty() {
            self.pop(end);
        }
        false
    }

    fn finish(mut self) -> Lexed {
        let end = self.src.trim_end().len() as u32;
        self.close_above_brace(end);
        if let Some(open) = self.open.last() {
            let at = self.span(end, end);
            let d = Diagnostic::new(Code::E0103, at, "unexpected end of file")
                .label(open.span, "the open block began here")
                .fix("add `}`", at, "\n}");
            self.report(d);
        }
        while !self.open.is_empty() {
            self.pop(end);
            self.close_above_brace(end);
        }
        if !matches!(self.out.tokens.last(), None | Some((_, Token::Newline, _))) {
            let end = self.last_end();
            self.push(end, Token::Newline, end);
        }
        self.out
    }
}
