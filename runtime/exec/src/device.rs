//! Devices: where the steps of a plan run.

pub mod cpu;
pub mod emulated;

use plan::{BufferId, Function, Step};

use crate::error::Error;
use cpu::Memory;

/// What makes the steps of a verified plan.
pub(crate) trait Device: std::fmt::Debug {
    /// All buffers.
    fn memory(&self) -> &Memory;

    /// All buffers.
    fn memory_mut(&mut self) -> &mut Memory;

    /// Begins a function of the plan: what its temporaries hold means nothing.
    fn begin(&mut self, function: &Function);

    /// Begins an iteration of tiles: their buffers move on. Iteration 0 ends them.
    fn begin_iteration(&mut self, advance: &[(BufferId, u64)], iteration: u64);

    /// Makes a step that neither repeats nor calls others.
    fn step(&mut self, step: &Step) -> Result<(), Error>;
}
