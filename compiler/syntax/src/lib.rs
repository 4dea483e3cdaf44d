//! From `.lt` text to a syntax tree.
//!
//! In: one text of a [`diag::SourceMap`]. Out: an [`ast::Spec`] and every diagnostic, always both.

pub mod ast;
mod confusable;
mod format;
mod lexer;
pub mod limits;
mod literal;
mod parse;
mod print;
mod raw;
mod token;
mod tree;
mod unexpected;

pub use format::format;
pub use literal::unit_meant;
pub use parse::{parse, parse_words};
pub use print::{print_expr, print_spec};

#[allow(
    unreachable_pub,
    missing_debug_implementations,
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    reason = "generated"
)]
mod grammar {
    include!(concat!(env!("OUT_DIR"), "/grammar.rs"));
}
