//! Training data: files, tokenizers, splits, the order and the content of rows.
//!
//! In: [`plan::Data`] and the spec's folder. Out: [`Facts`], which compilation needs, and a
//! [`Corpus`], whose rows [`Sequences`] reads. What a row holds depends on the settings, the files
//! and the number of the row alone.

mod corpus;
mod error;
pub mod hash;
mod mmap;
mod order;
mod paths;
pub mod rng;
#[cfg(test)]
mod scratch;
mod tokenizer;

pub use corpus::{Corpus, Facts, scan};
pub use error::{Error, Position};
pub use order::Sequences;
pub use tokenizer::{Unknown, Vocabulary};
