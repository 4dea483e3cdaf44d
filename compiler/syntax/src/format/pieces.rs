//! What a text is made of, comments included, as the lexer understood it.

use std::collections::BTreeMap;

use logos::Logos;

use crate::raw::Raw;
use crate::token::{Lexed, Token};

/// Something that is printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'t> {
    pub(super) text: &'t str,
    /// What the parser gets for it; `None` for comments and for what the lexer dropped.
    pub(super) token: Option<Token>,
    pub(super) is_comment: bool,
    pub(super) is_semicolon: bool,
    /// Line ends in front of it.
    pub(super) newlines: usize,
    /// Whether it begins in the first column.
    pub(super) is_first: bool,
    /// Whether it touches the piece before.
    pub(super) touches: bool,
    /// Brackets that the lexer closed in front of it, because the text forgot to.
    pub(super) closed: usize,
}

impl Piece<'_> {
    /// Columns.
    pub(super) fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// The pieces of a text, in order.
pub(super) fn read<'t>(text: &'t str, lexed: &Lexed) -> Vec<Piece<'t>> {
    let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let tokens: BTreeMap<usize, Token> =
        lexed.tokens.iter().filter(|t| t.2 > t.0).map(|&(l, t, _)| (l as usize, t)).collect();
    let is_closer = |t: Token| matches!(t, Token::RParen | Token::RBracket | Token::RBrace);
    let mut invented = lexed
        .tokens
        .iter()
        .filter(|t| t.2 == t.0 && is_closer(t.1))
        .map(|t| t.0 as usize)
        .peekable();
    let mut pieces: Vec<Piece<'t>> = vec![];
    let (mut newlines, mut end) = (0, start);
    for (kind, range) in Raw::lexer(&text[start..]).spanned() {
        let (l, r) = (start + range.start, start + range.end);
        if kind == Ok(Raw::Newline) {
            newlines += 1;
            continue;
        }
        let token = tokens.get(&l).copied();
        let mut closed = 0;
        while token.is_some() && invented.next_if(|at| *at <= l).is_some() {
            closed += 1;
        }
        let is_comment = matches!(kind, Ok(Raw::Comment | Raw::Doc));
        let is_semicolon = kind == Ok(Raw::Semicolon);
        pieces.push(Piece {
            text: text[l..r].trim_end(),
            token,
            is_comment,
            is_semicolon,
            newlines,
            is_first: l == 0 || text.as_bytes()[l - 1] == b'\n',
            touches: l == end && newlines == 0,
            closed,
        });
        (newlines, end) = (0, r);
    }
    drop_semicolons(&pieces)
}

/// Those at the end of a line say nothing, unless the statement would go on without them.
fn drop_semicolons<'t>(pieces: &[Piece<'t>]) -> Vec<Piece<'t>> {
    let mut kept: Vec<Piece<'t>> = vec![];
    let mut closed = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let ends_line = pieces.get(at + 1).is_none_or(|next| next.newlines > 0 || next.is_comment);
        let next = pieces[at + 1..].iter().find_map(|next| next.token);
        let follows = matches!(next, Some(Token::Pipe | Token::Arrow | Token::Else));
        // A sign that touched nothing would be a minus.
        let before = pieces[..at].iter().rev().find_map(|before| before.token);
        let goes_on = follows || matches!(before, Some(Token::Comma | Token::Neg));
        let ends_statement = piece.is_semicolon && piece.token == Some(Token::Newline) && !goes_on;
        if ends_statement && ends_line && piece.newlines == 0 {
            closed += piece.closed;
        } else {
            let more = if piece.token.is_some() { std::mem::take(&mut closed) } else { 0 };
            kept.push(Piece { closed: piece.closed + more, ..*piece });
        }
    }
    kept
}
