//! The runtime: loads a plan and runs it.

pub mod device;
pub mod error;
pub mod executor;
mod verify;
pub mod data;
pub mod checkpoint;
pub mod rng;
#[cfg(test)]
mod scratch;
