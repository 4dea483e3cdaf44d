//! Whole runs: the command on specs, and compiled plans against the interpreter.
//!
//! One binary, because each links all of the code generator.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod assembles;
mod backend;
mod bench;
mod bench_command;
mod cached;
mod clip;
#[cfg(target_os = "linux")]
mod cuda;
mod decode;
mod doctor;
mod emulated;
mod exits;
mod faults;
mod folder;
mod format;
mod from;
mod functions;
mod fused;
mod generate;
mod golden;
mod hostile;
mod kill;
mod lints;
mod memory;
mod mend;
mod model_of_log;
mod plans;
mod poison;
mod precision;
mod promises;
mod quick;
mod recompute;
mod replay;
mod rules;
mod said;
mod same;
mod scaled;
mod second;
mod split;
mod tasks;
