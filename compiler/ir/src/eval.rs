//! The slow reference interpreter of graphs, kernels and schedules.
//!
//! Plain loops in the order that the schedule promises. What every back end is compared with.

mod attention;
pub mod graph;
pub mod kernel;
mod numbers;
pub mod reference;
pub mod scalar;
pub mod schedule;
mod score_tiles;
pub mod span;
pub mod spans;
pub mod tensor;
