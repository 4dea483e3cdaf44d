//! Reads one line of a plan's text word by word.
//!
//! A word is a name, a number (with sign, point and exponent), a quoted string or one of
//! `( ) [ ] { } , +`. Errors carry the line.

use std::str::FromStr;

use super::ParseError;

/// A word of a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A name or a number.
    Plain(String),
    /// A quoted string, its escapes resolved.
    Quoted(String),
    /// A mark.
    Mark(char),
}

/// One line, cut into words.
#[derive(Debug)]
pub(super) struct Line {
    number: usize,
    words: Vec<Word>,
    next: usize,
}

impl Line {
    /// Cuts line `number` into words.
    pub(super) fn new(number: usize, text: &str) -> Result<Line, ParseError> {
        let mut words = Vec::new();
        let mut rest = text.trim_matches(' ');
        while let Some(c) = rest.chars().next() {
            let (word, used) = match c {
                '"' => quoted(rest).map_err(|message| ParseError { line: number, message })?,
                '(' | ')' | '[' | ']' | '{' | '}' | ',' | '+' => (Word::Mark(c), 1),
                _ => {
                    let stop = |c: char| c == ' ' || "\"()[]{},".contains(c);
                    let end = rest.find(stop).unwrap_or(rest.len()).max(1);
                    (Word::Plain(rest[..end].to_owned()), end)
                }
            };
            words.push(word);
            rest = rest[used..].trim_start_matches(' ');
        }
        Ok(Line { number, words, next: 0 })
    }

    /// An error on this line.
    pub(super) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError { line: self.number, message: message.into() }
    }

    /// An error about the word that comes next.
    pub(super) fn expected(&self, what: &str) -> ParseError {
        let found = match self.words.get(self.next) {
            None => "the end of the line".to_owned(),
            Some(Word::Plain(text)) => format!("`{text}`"),
            Some(Word::Quoted(text)) => format!("{text:?}"),
            Some(Word::Mark(c)) => format!("`{c}`"),
        };
        self.error(format!("expected {what}, found {found}"))
    }

    /// Takes `mark` when it comes next.
    pub(super) fn accept(&mut self, mark: char) -> bool {
        let here = self.words.get(self.next) == Some(&Word::Mark(mark));
        self.next += usize::from(here);
        here
    }

    /// Takes `mark`.
    pub(super) fn mark(&mut self, mark: char) -> Result<(), ParseError> {
        if self.accept(mark) { Ok(()) } else { Err(self.expected(&format!("`{mark}`"))) }
    }

    /// Takes the name `name` when it comes next.
    pub(super) fn accept_name(&mut self, name: &str) -> bool {
        let here = matches!(self.words.get(self.next), Some(Word::Plain(text)) if text == name);
        self.next += usize::from(here);
        here
    }

    /// Takes the name `name`.
    pub(super) fn name(&mut self, name: &str) -> Result<(), ParseError> {
        if self.accept_name(name) { Ok(()) } else { Err(self.expected(&format!("`{name}`"))) }
    }

    /// Takes one of some names, each of which stands for a value.
    pub(super) fn one_of<T: Copy>(&mut self, names: &[(&str, T)]) -> Result<T, ParseError> {
        match names.iter().find(|(name, _)| self.accept_name(name)) {
            Some((_, value)) => Ok(*value),
            None => {
                let quoted: Vec<String> = names.iter().map(|(n, _)| format!("`{n}`")).collect();
                Err(self.expected(&quoted.join(" or ")))
            }
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.next == self.words.len()
    }

    /// Whether a quoted string comes next.
    pub(super) fn is_at_string(&self) -> bool {
        matches!(self.words.get(self.next), Some(Word::Quoted(_)))
    }

    /// Takes a name or a number as it stands.
    pub(super) fn plain(&mut self, what: &str) -> Result<&str, ParseError> {
        if !matches!(self.words.get(self.next), Some(Word::Plain(_))) {
            return Err(self.expected(what));
        }
        self.next += 1;
        match &self.words[self.next - 1] {
            Word::Plain(text) => Ok(text),
            Word::Quoted(_) | Word::Mark(_) => unreachable!("the word was looked at above"),
        }
    }

    /// Takes a quoted string.
    pub(super) fn string(&mut self) -> Result<String, ParseError> {
        let Some(Word::Quoted(text)) = self.words.get(self.next) else {
            return Err(self.expected("a string"));
        };
        self.next += 1;
        Ok(text.clone())
    }

    /// Takes a number.
    pub(super) fn number<T: FromStr>(&mut self) -> Result<T, ParseError> {
        let parsed = match self.words.get(self.next) {
            Some(Word::Plain(text)) => text.parse().ok(),
            Some(Word::Quoted(_) | Word::Mark(_)) | None => None,
        };
        let value = parsed.ok_or_else(|| self.expected("a number"))?;
        self.next += 1;
        Ok(value)
    }

    /// Takes a number behind a letter, as in `b12`.
    pub(super) fn id(&mut self, letter: char) -> Result<u32, ParseError> {
        let parsed = match self.words.get(self.next) {
            Some(Word::Plain(text)) => text.strip_prefix(letter).and_then(|n| n.parse().ok()),
            Some(Word::Quoted(_) | Word::Mark(_)) | None => None,
        };
        let value = parsed.ok_or_else(|| self.expected(&format!("`{letter}` and a number")))?;
        self.next += 1;
        Ok(value)
    }

    /// Takes `[n, n, …]`.
    pub(super) fn list<T: FromStr>(&mut self) -> Result<Vec<T>, ParseError> {
        let mut items = Vec::new();
        self.mark('[')?;
        while !self.accept(']') {
            if !items.is_empty() {
                self.mark(',')?;
            }
            items.push(self.number()?);
        }
        Ok(items)
    }

    /// Takes a list of exactly `N` numbers.
    pub(super) fn array<T: FromStr, const N: usize>(&mut self) -> Result<[T; N], ParseError> {
        let list: Vec<T> = self.list()?;
        let found = list.len();
        list.try_into().map_err(|_| self.error(format!("expected {N} numbers, found {found}")))
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), ParseError> {
        if self.next == self.words.len() {
            Ok(())
        } else {
            Err(self.expected("the end of the line"))
        }
    }
}

/// The quoted string at the start of `text` and the bytes it takes.
fn quoted(text: &str) -> Result<(Word, usize), String> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Word::Quoted(out), at + 1)),
            '\\' => match chars.next() {
                Some((_, '"')) => out.push('"'),
                Some((_, '\\')) => out.push('\\'),
                Some((_, 'n')) => out.push('\n'),
                Some((_, 'u')) => {
                    let digits = chars.by_ref().map(|(_, c)| c).skip_while(|&c| c == '{');
                    let digits: String = digits.take_while(|&c| c != '}').collect();
                    let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    out.push(code.ok_or_else(|| format!("`\\u{{{digits}}}` is no character"))?);
                }
                Some((_, c)) => return Err(format!("unknown escape `\\{c}`")),
                None => return Err("the string does not end".to_owned()),
            },
            c => out.push(c),
        }
    }
    Err("the string does not end".to_owned())
}
