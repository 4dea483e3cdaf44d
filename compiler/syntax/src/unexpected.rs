//! What to say of a token that the grammar cannot take.
//!
//! The parser knows the terminals it could have taken; they are folded to at most four classes
//! that a person thinks in, after a table of special cases.

#![allow(clippy::wildcard_enum_match_arm, reason = "special cases among all terminals")]

use crate::parse::end_of;
use crate::token::{Token, keyword};
use diag::{Code, Diagnostic, Edit, FileId, Span};
use lalrpop_util::ParseError;

type Tokens = [(u32, Token, u32)];

/// A diagnostic for one error of the parser.
pub(crate) fn explain(
    file: FileId,
    text: &str,
    tokens: &Tokens,
    error: ParseError<u32, Token, ()>,
) -> Diagnostic {
    match error {
        ParseError::UnrecognizedToken { token: (l, token, r), expected } => {
            let at = tokens.partition_point(|t| t.0 < l || (t.0 == l && t.1 != token));
            let case = Case { file, text, tokens, at, token, span: Span::new(file, l, r) };
            case.explain(&expected)
        }
        ParseError::ExtraToken { token: (l, _, r) } => {
            let span = Span::new(file, l, r);
            let message = format!("unexpected `{}`", &text[span.range()]);
            Diagnostic::new(Code::E0102, span, message).primary("expected nothing more")
        }
        ParseError::UnrecognizedEof { expected, .. } => {
            Diagnostic::new(Code::E0102, end_of(file, text), "unexpected end of the text")
                .primary(format!("expected {}", classes(&expected)))
        }
        ParseError::InvalidToken { location } => {
            Diagnostic::new(Code::E0102, Span::new(file, location, location), "unexpected text")
        }
        ParseError::User { error: () } => unreachable!("the grammar's actions cannot fail"),
    }
}

/// Commas that one edit removes: of a long list the others are found when it is read again.
const MAX_COMMAS: usize = 100;

struct Case<'a> {
    file: FileId,
    text: &'a str,
    tokens: &'a Tokens,
    /// Index of the token.
    at: usize,
    token: Token,
    span: Span,
}

impl Case<'_> {
    fn explain(&self, expected: &[String]) -> Diagnostic {
        let wants = |what: &str| expected.iter().any(|e| e.trim_matches('"') == what);
        if expected.len() == 1 && wants("else") {
            return self.if_without_else();
        }
        if self.token == Token::LParen && self.follows_callee() {
            return self.spaced("(", "the `(` of a call must touch what it calls");
        }
        if self.token == Token::LBracket && self.follows_callee() {
            return self.spaced("[", "the `[` of an index must touch what it indexes");
        }
        let d = Diagnostic::new(Code::E0102, self.span, self.message());
        let d = d.primary(format!("expected {}", classes(expected)));
        self.advise(d, wants("name"), wants(")"))
    }

    fn message(&self) -> String {
        match self.token {
            Token::Newline if self.span.start == self.span.end => {
                "unexpected end of the line".to_owned()
            }
            Token::Str(_) => "unexpected string".to_owned(),
            Token::Number(_) | Token::Name(_) => format!("unexpected `{}`", self.shown()),
            _ => format!("unexpected `{}`", self.shown()),
        }
    }

    fn shown(&self) -> &str {
        &self.text[self.span.range()]
    }

    fn before(&self) -> Option<(Token, Span)> {
        let &(l, token, r) = self.tokens.get(self.at.checked_sub(1)?)?;
        Some((token, Span::new(self.file, l, r)))
    }

    /// Help for what people write out of habit.
    fn advise(&self, d: Diagnostic, wants_name: bool, in_call: bool) -> Diagnostic {
        let next = self.tokens.get(self.at + 1).map(|t| t.1);
        let before = self.before();
        match self.token {
            Token::Assign if in_call && matches!(before, Some((Token::Name(_), _))) => {
                let (_, name) = before.expect("just matched");
                let to = name.after().to(self.span);
                d.fix("name an argument with `:`", to, ":")
            }
            Token::Assign if matches!(before, Some((Token::Assign, _))) => {
                d.help("write `==` to compare")
            }
            Token::Newline if self.ends_block_word() => self.advise_braces(d),
            Token::Newline if self.ends_section() => {
                d.help("a directive and its options stand in one line: `eval every 50 batches 4`")
            }
            Token::LBrace if let Some(gap) = self.before_a_block() => {
                d.fix("the `{` of a block stands right behind its words", gap, " ")
            }
            Token::Comma | Token::Newline | Token::RBrace if !in_call => {
                let edits = self.commas_at_ends();
                if edits.is_empty() { d } else { d.fix_all("a line ends without a comma", edits) }
            }
            Token::Neg => {
                let span = self.span;
                d.fix("put a space on both sides to subtract", span, "- ")
            }
            Token::Slash if next == Some(Token::Slash) || self.is_second(Token::Slash) => {
                d.help("a comment starts with `#`")
            }
            Token::Star if self.is_second(Token::Star) => d.help("a power is written `a ^ b`"),
            Token::Lt | Token::Le | Token::Gt | Token::Ge | Token::Eq | Token::Ne
                if !wants_name =>
            {
                d.help("join two comparisons with `and`")
            }
            Token::LBrace if wants_name => d,
            token if wants_name && keyword(self.shown()) == Some(token) => {
                d.help(format!("`{}` is a reserved word; choose another name", self.shown()))
            }
            _ => d,
        }
    }

    /// Whether `train:` or another word of blocks stands before it, as other languages have it.
    fn ends_block_word(&self) -> bool {
        let Some(before) = self.at.checked_sub(2) else { return false };
        let [(l, _, r), (_, Token::Colon, _)] = self.tokens[before..self.at] else { return false };
        let word = &self.text[Span::new(self.file, l, r).range()];
        ["train", "data", "model", "layer", "rule", "fn", "if", "else", "for"].contains(&word)
    }

    /// The line end, `:` or `=` between the words of a block, which start their line, and its `{`;
    /// with the spaces around it.
    fn before_a_block(&self) -> Option<Span> {
        let mut before = &self.tokens[..self.at];
        let mut is_sign = |is: fn(Token) -> bool| match before {
            [rest @ .., (_, token, _)] if is(*token) => {
                before = rest;
                true
            }
            _ => false,
        };
        let ends_line = is_sign(|token| token == Token::Newline);
        let is_set = is_sign(|token| matches!(token, Token::Colon | Token::Assign));
        let &word = before.last()?;
        let gap = Span::new(self.file, word.2, self.span.start);
        let opens = |&(l, _, r): &(u32, Token, u32)| {
            let starts_line = l == 0 || self.text.as_bytes()[l as usize - 1] == b'\n';
            starts_line && ["train", "data"].contains(&&self.text[l as usize..r as usize])
        };
        let is_named = matches!(word.1, Token::Name(_));
        let words = &before[before.len().saturating_sub(2)..];
        let is_bare = || ["", ":", "="].contains(&self.text[gap.range()].trim());
        let is_it = (ends_line || is_set) && is_named && words.iter().any(opens) && is_bare();
        is_it.then_some(gap)
    }

    /// Whether it ends `eval:` in a block, with lines behind it that stand further in, as YAML has
    /// them.
    fn ends_section(&self) -> bool {
        let Some((Token::Colon, colon)) = self.before() else { return false };
        let Some(&(next, ..)) = self.tokens.get(self.at + 1) else { return false };
        let line = |at: u32| self.text[..at as usize].rfind('\n').map_or(0, |end| end + 1);
        let indent = |at: u32| {
            let line = &self.text[line(at)..];
            line.len() - line.trim_start_matches([' ', '\t']).len()
        };
        indent(colon.start) > 0 && indent(next) > indent(colon.start)
    }

    /// Braces in the place of the `:` and around the lines that are further in, as YAML has them.
    fn advise_braces(&self, d: Diagnostic) -> Diagnostic {
        let help = "a block stands in braces: `{`, its lines, and `}`";
        let (word, colon) = (self.tokens[self.at - 2], self.tokens[self.at - 1]);
        let is_of_lines = ["train", "data"].contains(&&self.text[word.0 as usize..word.2 as usize]);
        let from = self.text[..word.0 as usize].rfind('\n').map_or(0, |at| at + 1);
        let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
        let outer = indent(&self.text[from..]);
        let mut end = None;
        let mut at = self.span.start as usize;
        for (number, line) in self.text[at..].split_inclusive('\n').enumerate() {
            let is_empty = line.trim().is_empty() || line.trim_start().starts_with('#');
            if number > 0 && !is_empty {
                if indent(line) <= outer {
                    break;
                }
                end = Some(at + line.trim_end().len());
            }
            at += line.len();
        }
        let Some(end) = end.filter(|_| is_of_lines) else { return d.help(help) };
        let end = Span::new(self.file, end as u32, end as u32);
        let close = format!("\n{}}}", &self.text[from..from + outer]);
        let open = Edit { span: Span::new(self.file, colon.0, colon.2), text: " {".to_owned() };
        d.fix_all(help, vec![open, Edit { span: end, text: close }])
    }

    /// The commas that end lines as those of JSON do, here and further down the block, to be
    /// removed: the next line is `word:` or `word =`, or there is none.
    fn commas_at_ends(&self) -> Vec<Edit> {
        let mut found = vec![];
        let first = self.at - usize::from(self.token != Token::Comma).min(self.at);
        let mut depth = 0usize;
        for (l, token, r, next) in self.tokens[first..]
            .iter()
            .enumerate()
            .map(|(i, &(l, token, r))| (l, token, r, &self.tokens[first + i + 1..]))
        {
            match token {
                Token::LParen | Token::CallParen | Token::LBracket | Token::IndexBracket => {
                    depth += 1;
                }
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                Token::LBrace | Token::RBrace => break,
                _ => {}
            }
            let is_end = match next {
                [(_, Token::RBrace | Token::Newline, _), ..] => true,
                [
                    (l, Token::Name(_) | Token::Str(_), _),
                    (_, Token::Colon | Token::Assign, _),
                    ..,
                ] => self.text[r as usize..*l as usize].contains('\n'),
                _ => false,
            };
            if found.len() == MAX_COMMAS {
                break;
            }
            if token == Token::Comma && depth == 0 && is_end {
                let span = Span::new(self.file, l, r);
                found.push(Edit { span, text: String::new() });
            } else if found.is_empty() {
                break;
            }
        }
        found
    }

    /// Whether the same symbol touches it on the left.
    fn is_second(&self, token: Token) -> bool {
        self.before().is_some_and(|(t, span)| t == token && span.end == self.span.start)
    }

    /// Whether only spaces stand between it and something to call or index.
    fn follows_callee(&self) -> bool {
        matches!(self.before(), Some((Token::Name(_) | Token::RParen | Token::RBracket, _)))
    }

    fn spaced(&self, bracket: &str, help: &str) -> Diagnostic {
        let before = self.before().map_or(self.span, |b| b.1);
        let gap = Span { start: before.end, end: self.span.start, ..self.span };
        let callee = &self.text[before.range()];
        let message = format!("unexpected `{bracket}` after `{callee}`");
        Diagnostic::new(Code::E0104, self.span, message)
            .primary("here it starts a new value")
            .fix(help, gap, "")
    }

    fn if_without_else(&self) -> Diagnostic {
        let end = self.before().map_or(self.span, |b| b.1);
        let keyword = self.find_if().unwrap_or(end);
        Diagnostic::new(Code::E0105, keyword, "an `if` value needs an `else`")
            .label(end, "expected `else` after this")
            .help("add `else { .. }`")
    }

    /// The `if` whose block ends just before this token.
    fn find_if(&self) -> Option<Span> {
        let mut depth = 0usize;
        let mut seen_block = false;
        for &(l, token, r) in self.tokens[..self.at].iter().rev() {
            match token {
                Token::RBrace | Token::RParen | Token::RBracket => depth += 1,
                Token::LBrace | Token::LParen | Token::CallParen => {
                    depth = depth.checked_sub(1)?;
                    seen_block = true;
                }
                Token::LBracket | Token::IndexBracket => depth = depth.checked_sub(1)?,
                Token::If if depth == 0 && seen_block => return Some(Span::new(self.file, l, r)),
                _ => {}
            }
        }
        None
    }
}

/// The terminals as at most four things to write; operators go without saying.
fn classes(expected: &[String]) -> String {
    let has = |what: &str| expected.iter().any(|e| e.trim_matches('"') == what);
    let value = has("number");
    let line = has("newline");
    let table = [
        (value, "a value"),
        (!value && has("name"), "a name"),
        (!value && has("string"), "a string"),
        (line, "the end of the line"),
        (has("{") && !line, "`{`"),
        (has(")"), "`)`"),
        (has("]"), "`]`"),
        (has(",") && !line, "`,`"),
        (has("call(") && expected.len() == 1, "`(`"),
        (has("in") && expected.len() == 1, "`in`"),
        (has("}") && expected.len() == 1, "`}`"),
    ];
    let classes: Vec<&str> = table.iter().filter(|c| c.0).map(|c| c.1).take(4).collect();
    match classes.as_slice() {
        [] => "something else".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
