//! `llmc` as a library: text in; diagnostics, a program, a plan, a run out.
//!
//! The stages of the compiler are pure; this crate reads files and the clock for them.

pub mod cache;
pub mod cli;
pub mod command;
pub mod compile;
pub mod curve;
pub mod emit;
pub mod front;
pub mod machine;
pub mod verify;

pub use compile::{Compiled, compile};
pub use front::Front;
