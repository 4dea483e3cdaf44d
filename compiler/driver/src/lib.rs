//! `llmc` as a library: text in; diagnostics, a program, a plan, a run out.
//!
//! The stages of the compiler are pure; this crate reads files and the clock for them.
//! The way of an embedder is [`Spec`] → [`Checked`] → [`Compiled`] → [`Training`] → [`Run`]; the
//! modules are the parts that the command line is made of too. Nothing prints but
//! [`command`], nothing ends the process, and no signal is watched unless asked for.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! let compiled = llmc::Spec::from_file("examples/hello.lt")?.check()?.compile()?;
//! println!("{} weights", compiled.parameters().len());
//! let mut run = compiled
//!     .training()
//!     .on_step(|row| if row.step < 100 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
//!     .start()?;
//! println!("{}", run.generate("ROMEO:", 100, 0)?);
//! # Ok::<(), llmc::Error>(())
//! ```

pub mod budget;
pub mod cache;
pub mod changes;
mod checked;
pub mod cli;
pub mod command;
pub mod compile;
mod compiled;
pub mod curve;
pub mod emit;
pub mod error;
pub mod front;
pub mod job;
mod logs;
pub mod machine;
pub mod report;
mod run;
mod spec;
mod training;
pub mod verify;

pub use build;
pub use checked::Checked;
pub use compile::compile;
pub use compiled::{Compiled, Footprint, Parameter};
pub use error::Error;
pub use exec::generate::{Request, Sampling};
pub use exec::log::Row;
pub use exec::signal::Stop;
pub use exec::train::{Event, Outcome};
pub use front::Front;
pub use macros::{include_spec, spec};
pub use report::{Finding, Report};
pub use run::{Run, Weight};
pub use spec::Spec;
pub use training::Training;
