//! The runtime: loads a plan and runs it.

pub mod checkpoint;
pub mod device;
pub mod error;
pub mod executor;
mod finite;
pub mod generate;
pub mod kept;
pub mod lock;
pub mod log;
pub mod progress;
pub mod room;
pub mod run_dir;
#[cfg(test)]
mod scratch;
pub mod signal;
#[cfg(test)]
mod tiny;
pub mod train;
mod verify;
pub mod weights;
