//! How many spaces stand between two pieces of a line.

use logos::Logos;

use super::pieces::Piece;
use crate::raw::Raw;
use crate::token::{Token, ends_value};

/// The spaces between two neighbours.
pub(super) fn gap(before: &Piece<'_>, piece: &Piece<'_>) -> usize {
    if piece.is_comment {
        // A sign that touches nothing would be a minus.
        return if before.token == Some(Token::Neg) && piece.touches { 0 } else { 2 };
    }
    // And a minus that touches what follows would be a sign.
    if before.token == Some(Token::Minus) {
        return 1;
    }
    if piece.is_semicolon {
        return 0;
    }
    if before.is_semicolon {
        return 1;
    }
    let (Some(left), Some(right)) = (before.token, piece.token) else {
        // What it was meant to be is not known.
        return usize::from(!piece.touches);
    };
    let is_fraction = matches!(right, Token::Number(_)) && piece.text.starts_with('.');
    let is_whole = matches!(left, Token::Number(_));
    if (is_fraction && ends_value(left)) || (is_whole && right == Token::Dot) {
        return usize::from(!piece.touches);
    }
    usize::from(!is_close(left, right) || is_one_word(before.text, piece.text))
}

/// Whether two pieces would be read as others if they touched.
fn is_one_word(left: &str, right: &str) -> bool {
    let both = [left, right].concat();
    let first = Raw::lexer(&both).spanned().next();
    first.is_none_or(|(_, range)| range.end != left.len())
}

/// Whether two tokens stand side by side.
fn is_close(left: Token, right: Token) -> bool {
    let is_opened =
        matches!(left, Token::LParen | Token::CallParen | Token::LBracket | Token::IndexBracket);
    let binds_left = matches!(
        right,
        Token::Comma
            | Token::Colon
            | Token::RParen
            | Token::RBracket
            | Token::CallParen
            | Token::IndexBracket
            | Token::Dot
            | Token::Caret
    );
    let binds_right = matches!(left, Token::Dot | Token::Caret | Token::Neg | Token::DotDot);
    let is_range = right == Token::DotDot && ends_value(left);
    let is_empty = left == Token::LBrace && right == Token::RBrace;
    is_opened || binds_left || binds_right || is_range || is_empty
}
