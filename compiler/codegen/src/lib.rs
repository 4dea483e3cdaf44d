//! Back ends: scheduled kernels to the text of a target's language.
//!
//! A back end knows kernel IR, never a tensor op.

pub mod clif;
mod flow;
mod name;
pub mod ptx;
