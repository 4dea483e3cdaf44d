//! The machines that run plans.

pub mod cpu;
pub mod emulated;
