//! The terminals of the grammar, and the texts they point at.

use crate::ast::{Number, StrLit};
use diag::Diagnostic;

/// What the grammar's terminals are; names and literals are indices into [`Lexed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is its symbol")]
pub(crate) enum Token {
    Name(u32),
    Number(u32),
    Str(u32),
    Newline,
    LBrace,
    RBrace,
    LParen,
    CallParen,
    RParen,
    LBracket,
    IndexBracket,
    RBracket,
    Comma,
    Colon,
    Assign,
    Dot,
    DotDot,
    Arrow,
    Pipe,
    Plus,
    Minus,
    Neg,
    Star,
    Slash,
    At,
    Caret,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Use,
    As,
    Divides,
    Layer,
    Fn,
    Rule,
    If,
    Else,
    For,
    In,
    And,
    Or,
    Not,
    True,
    False,
    None,
}

/// Tokens, the texts they point at, and what was wrong.
#[derive(Debug, Default)]
pub(crate) struct Lexed {
    pub(crate) tokens: Vec<(u32, Token, u32)>,
    pub(crate) names: Vec<String>,
    pub(crate) numbers: Vec<Number>,
    pub(crate) strings: Vec<StrLit>,
    pub(crate) docs: Vec<(u32, String)>,
    pub(crate) diags: Vec<Diagnostic>,
    /// Places where the tokens are not what was written: the parser's errors there are ours.
    pub(crate) patched: Vec<(u32, u32)>,
}

/// Whether a bracket that touches this token applies to it.
pub(crate) fn ends_value(token: Token) -> bool {
    matches!(
        token,
        Token::Name(_)
            | Token::Number(_)
            | Token::Str(_)
            | Token::RParen
            | Token::RBracket
            | Token::RBrace
            | Token::True
            | Token::False
            | Token::None
    )
}

/// The token of a reserved word.
pub(crate) fn keyword(text: &str) -> Option<Token> {
    Some(match text {
        "use" => Token::Use,
        "as" => Token::As,
        "layer" => Token::Layer,
        "fn" => Token::Fn,
        "rule" => Token::Rule,
        "if" => Token::If,
        "else" => Token::Else,
        "for" => Token::For,
        "in" => Token::In,
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        "true" => Token::True,
        "false" => Token::False,
        "none" => Token::None,
        "divides" => Token::Divides,
        _ => return None,
    })
}
