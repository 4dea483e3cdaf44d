//! Training data: files, tokenizers, splits and the order of sequences.

pub mod mmap;
pub mod order;
pub mod paths;
pub mod text;
pub mod tokenizer;
