//! Training without a run: the same steps, timed, and nothing written.
//!
//! In: a plan and its corpus. Out: steps one by one, and what their parts cost. The weights are
//! those of a fresh run, so the numbers of a step are those of training.

use crate::{
    error::Error,
    executor::{Cost, Executor, Options},
    log::Cause,
    room,
};
use data::{Corpus, Sequences};

use super::feed::{Ahead, Feeder};
use super::{Names, init, train_sequences};

/// A plan in training that leaves no trace.
#[derive(Debug)]
pub struct Bench<'b> {
    executor: Executor,
    corpus: &'b Corpus,
    names: Names,
    sequences: Sequences,
    ahead: Ahead,
}

impl<'b> Bench<'b> {
    /// Loads a plan and makes its first weights.
    pub fn new(plan: plan::Plan, corpus: &'b Corpus, options: &Options) -> Result<Self, Error> {
        room::check(&plan, options)?;
        let mut executor = Executor::load(plan, options)?;
        let names = Names::of(executor.plan())?;
        let sequences = train_sequences(executor.plan(), corpus)?;
        init(&mut executor, &names)?;
        executor.refresh()?;
        let ahead = Ahead::new(&executor, &names);
        Ok(Self { executor, corpus, names, sequences, ahead })
    }

    /// One optimizer step.
    pub fn step(&mut self) -> Result<(), Error> {
        let Bench { executor, corpus, names, sequences, ahead } = self;
        let mut feeder = Feeder::new(executor, names, corpus, sequences, ahead);
        executor.call(names.step, &mut feeder)?;
        self.applied()
    }

    /// What the parts of `n` further steps cost, most first.
    pub fn profile(&mut self, n: u64) -> Result<Vec<Cost>, Error> {
        let mut all = Vec::new();
        for _ in 0..n {
            let Bench { executor, corpus, names, sequences, ahead } = self;
            let mut feeder = Feeder::new(executor, names, corpus, sequences, ahead);
            all.extend(executor.profile(names.step, &mut feeder)?);
            self.applied()?;
        }
        Ok(Cost::sum(all))
    }

    /// What the user should know of the device and was not told.
    pub fn warning(&mut self) -> Option<String> {
        self.executor.warning()
    }

    /// Refuses a step that was skipped, unless its scaler was looking for a scale: such a step is
    /// as much work as any other.
    fn applied(&self) -> Result<(), Error> {
        let row = self.names.row(self.executor.memory())?;
        let has_scaler = self.executor.plan().run.min_scale.is_some();
        match row.cause {
            None => Ok(()),
            Some(Cause::Overflow) if has_scaler => Ok(()),
            Some(cause) => {
                Err(Error::Diverged(format!("batch {} was skipped ({cause})", row.batch)))
            }
        }
    }
}
