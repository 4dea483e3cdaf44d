//! From a checked program to a plan: lower, differentiate, fuse, schedule.
//!
//! [`pipeline`] is the list of all passes. Everything here is pure.

mod access;
mod autodiff;
mod bits;
mod coords;
mod cost;
mod cse;
mod dce;
pub mod decode;
pub mod fit;
mod fuse;
mod lower;
pub mod memory;
mod origins;
pub mod pipeline;
pub mod plan_of;
mod recompute;
mod recompute_blocks;
mod regions;
mod rewrite;
mod round_once;
mod row_pitch;
mod schedule;
mod simplify;
mod split_reductions;
mod tiles;
mod train;
pub mod usage;
mod weight_copies;

pub use autodiff::gradients;
pub use dce::dce;
pub use memory::Memory;
pub use schedule::Notes;
pub use train::{Training, names};
