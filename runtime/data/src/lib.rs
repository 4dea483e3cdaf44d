//! Training data: files, tokenizers, splits, the order and the content of rows.
//!
//! In: [`plan::Data`] and the spec's folder. Out: [`Facts`], which compilation needs, and a
//! [`Corpus`], whose rows [`Sequences`] reads. What a row holds depends on the settings, the files
//! and the number of the row alone.

mod check;
mod clean;
mod corpus;
mod encode;
mod error;
mod facts;
mod file;
pub mod hash;
mod mmap;
mod order;
mod paths;
mod quiet;
pub mod rng;
#[cfg(test)]
mod scratch;
mod shard;
mod show;
mod source;
mod split;
mod tokenizer;

pub use corpus::{Corpus, scan};
pub use error::{Error, Position};
pub use facts::{Facts, Lengths};
pub use order::Sequences;
pub use show::{Shown, Token};
pub use source::Role;
pub use tokenizer::{Unknown, Vocabulary};
