//! The text forms of modules, kernels and schedules; each parses back equal.

mod graph;
mod kernel;
mod lexer;
mod schedule;

pub(crate) use lexer::quote;

pub use graph::{parse_module, print_module};
pub use kernel::{parse_kernel, print_kernel};
pub use lexer::TextError;
pub use schedule::{parse_schedule, print_noted, print_schedule};
