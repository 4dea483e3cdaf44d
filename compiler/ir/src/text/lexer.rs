//! Tokens of the text forms, and a cursor over them that all parsers share.

use std::fmt;

use crate::kernel::Reg;
use crate::types::{Dtype, Type};

/// Why a text does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    /// Its line, from 1.
    pub line: u32,
    /// What was expected there.
    pub expected: String,
    /// What is there; empty at the end.
    pub found: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}, found `{}`", self.line, self.expected, self.found)
    }
}

impl std::error::Error for TextError {}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Letters, digits, `_` and `.`, starting with a letter.
    Word(String),
    /// As written: `12`, `-1.5e-3`, `0x7fc00000`.
    Number(String),
    Text(String),
    Sign(char),
}

/// A text as tokens, and how far they are read.
#[derive(Debug)]
pub(super) struct Cursor {
    tokens: Vec<(Token, u32)>,
    at: usize,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

impl Cursor {
    pub(super) fn new(text: &str) -> Result<Self, TextError> {
        let mut tokens = vec![];
        for (line, content) in (1..).zip(text.lines()) {
            let mut rest = content.trim_start();
            while let Some(first) = rest.chars().next() {
                if first == '#' {
                    break;
                }
                let (token, len) = token(rest, first).ok_or_else(|| TextError {
                    line,
                    expected: "a closing quote".to_owned(),
                    found: rest.to_owned(),
                })?;
                tokens.push((token, line));
                rest = rest[len..].trim_start();
            }
        }
        Ok(Self { tokens, at: 0 })
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    /// An error at the current token.
    pub(super) fn error(&self, expected: impl Into<String>) -> TextError {
        let here = self.tokens.get(self.at).or(self.tokens.last());
        let found = match self.peek() {
            Some(Token::Word(s) | Token::Number(s) | Token::Text(s)) => s.clone(),
            Some(Token::Sign(c)) => c.to_string(),
            None => String::new(),
        };
        TextError { line: here.map_or(1, |(_, line)| *line), expected: expected.into(), found }
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(w)) if w == word)
    }

    /// Takes the sign if it is next.
    pub(super) fn takes(&mut self, sign: char) -> bool {
        let is_next = self.is_sign(sign);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes the word if it is next.
    pub(super) fn takes_word(&mut self, word: &str) -> bool {
        let is_next = self.is_word(word);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn sign(&mut self, sign: char) -> Result<(), TextError> {
        if self.takes(sign) { Ok(()) } else { Err(self.error(format!("`{sign}`"))) }
    }

    pub(super) fn keyword(&mut self, word: &str) -> Result<(), TextError> {
        if self.takes_word(word) { Ok(()) } else { Err(self.error(format!("`{word}`"))) }
    }

    pub(super) fn word(&mut self) -> Result<String, TextError> {
        let Some(Token::Word(word)) = self.peek().cloned() else {
            return Err(self.error("a word"));
        };
        self.at += 1;
        Ok(word)
    }

    pub(super) fn text(&mut self) -> Result<String, TextError> {
        let Some(Token::Text(text)) = self.peek().cloned() else {
            return Err(self.error("a text in quotes"));
        };
        self.at += 1;
        Ok(text)
    }

    /// The next token as a number, also `inf` and `nan`, as it is written.
    pub(super) fn number(&mut self) -> Result<String, TextError> {
        let number = match self.peek() {
            Some(Token::Number(number)) => number.clone(),
            Some(Token::Word(word)) if word == "inf" || word == "nan" => word.clone(),
            Some(Token::Word(_) | Token::Text(_) | Token::Sign(_)) | None => {
                return Err(self.error("a number"));
            }
        };
        self.at += 1;
        Ok(number)
    }

    pub(super) fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, TextError> {
        let before = self.at;
        let number = self.number()?;
        number.parse().map_err(|_| {
            self.at = before;
            self.error("a number in range")
        })
    }

    /// `[1,2]`, of numbers.
    pub(super) fn list<T: std::str::FromStr>(&mut self) -> Result<Vec<T>, TextError> {
        self.sign('[')?;
        let mut items = vec![];
        while !self.takes(']') {
            if !items.is_empty() {
                self.sign(',')?;
            }
            items.push(self.parsed()?);
        }
        Ok(items)
    }

    pub(super) fn dtype(&mut self) -> Result<Dtype, TextError> {
        let error = self.error("an element type");
        Dtype::parse(&self.word()?).ok_or(error)
    }

    /// `f32[2,3]`.
    pub(super) fn ty(&mut self) -> Result<Type, TextError> {
        let dtype = self.dtype()?;
        Ok(Type::new(dtype, self.list()?))
    }

    /// `%3`.
    pub(super) fn reg(&mut self) -> Result<Reg, TextError> {
        self.sign('%')?;
        self.parsed().map(Reg)
    }

    /// Fails unless everything is read.
    pub(super) fn end(&self) -> Result<(), TextError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.error("the end")) }
    }
}

/// The first token and its length; none for a text without an end.
fn token(rest: &str, first: char) -> Option<(Token, usize)> {
    if first == '"' {
        return quoted(rest);
    }
    let is_number = first.is_ascii_digit()
        || first == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit() || c == 'i');
    if !is_number && !first.is_ascii_alphabetic() {
        return Some((Token::Sign(first), first.len_utf8()));
    }
    let mut last = ' ';
    let is_end = |c: char| {
        // The sign of an exponent belongs to the number.
        let is_exponent = is_number && c == '-' && last == 'e';
        let is_start = last == ' ' && c == '-';
        last = c;
        !(is_word(c) || is_exponent || is_start)
    };
    let len = rest.find(is_end).unwrap_or(rest.len());
    let text = rest[..len].to_owned();
    Some((if is_number { Token::Number(text) } else { Token::Word(text) }, len))
}

fn quoted(rest: &str) -> Option<(Token, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Token::Text(text), at + 1)),
            '\\' => text.push(unescaped(chars.next()?.1)),
            c => text.push(c),
        }
    }
    None
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        other => other,
    }
}

/// A text in quotes, on one line.
pub(crate) fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('\n', "\\n").replace('\r', "\\r"))
}

/// `[1,2]`.
pub(super) fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    format!("[{}]", items.join(","))
}
