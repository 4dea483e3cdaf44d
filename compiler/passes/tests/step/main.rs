//! The optimizer step as the interpreter runs it: scaler, causes, averages.

mod averages;
mod masters;
mod measures;
mod plateau;
mod program;
mod scaler;
mod skips;
