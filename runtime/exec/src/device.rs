//! The machines that run plans.

pub mod cpu;
