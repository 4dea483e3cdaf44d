//! The optimizer step: scaler, causes, counters, as `update` computes them.

mod program;
mod scaler;
