//! `llmc` inside another program: specs checked, compiled, trained and read.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod macros;
mod places;
mod runs;
