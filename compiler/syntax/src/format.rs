//! The one layout of a text: spaces, line breaks that lines need, columns.
//!
//! In: text, with or without errors. Out: the same tokens and comments, laid out. The tree is never
//! asked, so nothing can get lost with it; what came out is read again and compared, token by
//! token. Line ends that mean something stay where they are.

mod align;
mod layout;
mod pieces;
mod spacing;

use std::mem::{Discriminant, discriminant};

use diag::{Code, FileId};

use crate::lexer::lex;
use crate::token::{Lexed, Token};
use pieces::Piece;

/// Columns that a line may take where it can be broken.
pub(super) const WIDTH: usize = 100;
/// What ends the reading of a text.
const LIMITS: [Code; 2] = [Code::E0005, Code::E0106];
/// Columns of a level.
const INDENT: usize = 2;

/// Lays a text out; formatting the result again changes nothing.
///
/// # Errors
/// Why the text must stay as it is: a limit keeps it from being read, or other tokens came out,
/// which is a fault of the formatter.
pub fn format(text: &str) -> Result<String, String> {
    let lexed = lex(FileId(0), text, 0);
    if let Some(limit) = lexed.diags.iter().find(|d| LIMITS.contains(&d.code)) {
        return Err(limit.message.clone());
    }
    let pieces = pieces::read(text, &lexed);
    let lines = align::align(&pieces, layout::lay_out(&pieces));
    let out = print(&pieces, &lines);
    if is_same(text, &lexed, &pieces, &out) {
        Ok(out)
    } else {
        Err("laid out it would read differently, which is a fault of llmc".to_owned())
    }
}

/// A line of the result.
#[derive(Debug, Clone)]
struct Line {
    /// Its pieces and the spaces before each; none before the first.
    pieces: Vec<(usize, usize)>,
    /// Levels of indentation.
    level: usize,
    is_after_blank: bool,
    /// Whether it goes on with the statement of the line before.
    goes_on: bool,
    /// Which block it stands in.
    block: usize,
    /// Whether that block is the body of a declaration.
    is_body: bool,
}

impl Line {
    /// Columns, without a comment behind the code.
    fn width(&self, pieces: &[Piece<'_>]) -> usize {
        let code = self
            .pieces
            .iter()
            .enumerate()
            .filter(|(i, (_, at))| *i == 0 || !pieces[*at].is_comment);
        let columns = |(_, &(gap, at)): (usize, &(usize, usize))| gap + pieces[at].width();
        self.level * INDENT + code.map(columns).sum::<usize>()
    }
}

fn print(pieces: &[Piece<'_>], lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        if line.is_after_blank {
            out.push('\n');
        }
        out.extend(std::iter::repeat_n(' ', line.level * INDENT));
        for &(gap, at) in &line.pieces {
            out.extend(std::iter::repeat_n(' ', gap));
            out.push_str(pieces[at].text);
        }
        out.push('\n');
    }
    out
}

/// Whether a result has the tokens and the comments of the text.
fn is_same(text: &str, lexed: &Lexed, pieces: &[Piece<'_>], out: &str) -> bool {
    let again = lex(FileId(0), out, 0);
    let comments = |pieces: &[Piece<'_>]| {
        let comments = pieces.iter().filter(|piece| piece.is_comment);
        comments.map(|piece| piece.text.to_owned()).collect::<Vec<_>>()
    };
    tokens(text, lexed).eq(tokens(out, &again))
        && lexed.docs.iter().map(|doc| &doc.1).eq(again.docs.iter().map(|doc| &doc.1))
        && lexed.diags.len() == again.diags.len()
        && comments(pieces) == comments(&pieces::read(out, &again))
}

/// What a parser sees: kinds and texts. A line end in front of a `}` says nothing.
fn tokens<'a>(
    text: &'a str,
    lexed: &'a Lexed,
) -> impl Iterator<Item = (Discriminant<Token>, &'a str)> {
    let all = &lexed.tokens;
    let says = |at: &usize| {
        let next = all.get(at + 1).map(|t| t.1);
        all[*at].1 != Token::Newline || next != Some(Token::RBrace)
    };
    (0..all.len()).filter(says).map(|at| {
        let (l, token, r) = all[at];
        // A statement may end with `;` or with its line.
        let text = if token == Token::Newline { "" } else { &text[l as usize..r as usize] };
        (discriminant(&token), text)
    })
}
