//! The regular part of the lexer: one token per match, comments included.
//!
//! Comments are tokens, not `skip`s: a long run of skipped matches is a deep recursion in a debug
//! build of the generated lexer.

use logos::Logos;

/// A match, before line ends and brackets are understood.
#[derive(Logos, Debug, Clone, Copy, PartialEq, Eq)]
#[logos(skip r"[ \t\r]+")]
pub(crate) enum Raw {
    #[regex(r"##[^\n]*", allow_greedy = true)]
    Doc,
    #[regex(r"#([^#\n][^\n]*)?", allow_greedy = true)]
    Comment,
    #[token("\n")]
    Newline,
    #[token(";")]
    Semicolon,
    #[regex(r"[A-Za-z_][A-Za-z0-9_]*", priority = 5)]
    Name,
    /// A word or a run of symbols with characters outside ASCII.
    #[regex(r"[A-Za-z0-9_\u{80}-\u{10FFFF}]+", priority = 2)]
    Foreign,
    #[regex(
        r"([0-9][0-9_]*(\.[0-9][0-9_]*)?|\.[0-9][0-9_]*)([eE][+-]?[0-9]+)?([A-Za-z%][A-Za-z0-9_%]*)?",
        priority = 6
    )]
    Number,
    #[regex(r#""([^"\\\n]|\\[^\n])*""#)]
    Str,
    #[regex(r#""([^"\\\n]|\\[^\n])*\\?"#, priority = 1)]
    OpenStr,
    /// A string in the wrong quotes.
    #[regex(r"'[^'\n]*'")]
    SingleQuoted,
    /// A string in the quotes of word processors.
    #[regex("[“„][^“”„\"\n]*[“”]")]
    RoundQuoted,
    /// A run of one symbol that means nothing.
    #[regex(r"\$+|&+|!+|\|+|\?+|`+|~+|%+|\\+|'", priority = 1)]
    Symbol,
    #[token("{")]
    LBrace,
    #[token("}")]
    RBrace,
    #[token("(")]
    LParen,
    #[token(")")]
    RParen,
    #[token("[")]
    LBracket,
    #[token("]")]
    RBracket,
    #[token(",")]
    Comma,
    #[token(":")]
    Colon,
    #[token("=")]
    Assign,
    #[token(".")]
    Dot,
    #[token("..")]
    DotDot,
    #[token("->")]
    Arrow,
    #[token("|>")]
    Pipe,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("@")]
    At,
    #[token("^")]
    Caret,
    #[token("==")]
    Eq,
    #[token("!=")]
    Ne,
    #[token("<")]
    Lt,
    #[token("<=")]
    Le,
    #[token(">")]
    Gt,
    #[token(">=")]
    Ge,
}
