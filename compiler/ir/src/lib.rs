//! The intermediate representations: graphs, kernels of scalar bodies, schedules.
//!
//! Pure data and pure functions: no file, clock or thread. The interpreter in [`eval`] is the
//! reference that every back end is compared with.

pub mod attr;
pub mod body;
pub mod builder;
pub mod eval;
pub mod expand;
pub mod graph;
pub mod kernel;
pub mod narrow;
pub mod ops;
pub mod sample;
pub mod scalar;
pub mod schedule;
pub mod text;
pub mod types;
pub mod verify;
