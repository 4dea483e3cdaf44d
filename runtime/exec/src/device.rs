//! Devices: where the steps of a plan run.

pub mod cpu;
pub mod cuda;
pub mod emulated;
mod mirrored;
pub(crate) mod stretch;

use std::time::Instant;

use plan::{Buffer, BufferId, Function, Step};

use crate::error::Error;
use cpu::Memory;
pub(crate) use mirrored::Mirrored;

/// Which buffers are asked for.
pub(crate) type Wanted<'w> = &'w dyn Fn(BufferId, &Buffer) -> bool;

/// What makes the steps of a verified plan.
pub(crate) trait Device: std::fmt::Debug {
    /// All buffers, as far as the host knows of them.
    fn memory(&self) -> &Memory;

    /// All buffers. What is written is there for the next step.
    fn memory_mut(&mut self) -> &mut Memory;

    /// Lets the host know what these buffers hold.
    fn fetch(&mut self, wanted: Wanted<'_>) -> Result<(), Error>;

    /// Returns when all steps so far are done.
    fn wait(&mut self) -> Result<(), Error>;

    /// Begins a function of the plan: what its temporaries hold means nothing.
    fn begin(&mut self, function: &Function);

    /// Begins an iteration of tiles: their buffers move on. Iteration 0 ends them.
    fn begin_iteration(&mut self, advance: &[(BufferId, u64)], iteration: u64);

    /// Makes a step that neither repeats nor calls others.
    fn step(&mut self, step: &Step) -> Result<(), Error>;

    /// The same when all steps before are done, until it is done: the seconds that it took.
    fn time(&mut self, step: &Step) -> Result<f64, Error> {
        self.wait()?;
        let start = Instant::now();
        self.step(step)?;
        self.wait()?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Makes a stretch of launches; only a plan for a GPU has some.
    fn stretch(&mut self, id: usize) -> Result<(), Error> {
        unreachable!("stretch {id} of a plan for a CPU")
    }

    /// What the user should know of it and was not told.
    fn warning(&mut self) -> Option<String> {
        None
    }
}
