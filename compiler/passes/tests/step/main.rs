//! The optimizer step: scaler, causes, averages, measures, schedule, as the interpreter runs them.

mod averages;
mod masters;
mod measures;
mod plateau;
mod program;
mod scaler;
mod skips;
