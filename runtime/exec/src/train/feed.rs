//! Micro-batches for the compiled step, the first of the next step read ahead.
//!
//! While a device with a memory of its own still computes, the host reads what the next call will
//! ask for first: a page of the data that has to come from a disk then costs no time of the device.

use data::{Corpus, Sequences};
use plan::{BufferId, Yield};

use super::Names;
use crate::{
    device::cpu::Memory,
    error::Error,
    executor::{Executor, Host},
};

/// A micro-batch that was read before it is asked for.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Number of its first sequence.
    first: Option<u64>,
    ids: Vec<i32>,
    targets: Vec<i32>,
}

impl Ahead {
    /// With room for a micro-batch of a plan.
    pub(super) fn new(executor: &Executor, names: &Names) -> Ahead {
        let zeros = |id: BufferId| {
            let n = executor.plan()[id].shape.iter().product::<u64>();
            vec![0; usize::try_from(n).expect("a batch is in memory")]
        };
        Ahead { first: None, ids: zeros(names.ids), targets: zeros(names.targets) }
    }
}

/// Gives the compiled step its micro-batches.
pub(super) struct Feeder<'f> {
    corpus: &'f Corpus,
    sequences: &'f Sequences,
    ahead: &'f mut Ahead,
    ids: BufferId,
    targets: BufferId,
    row_input: Option<BufferId>,
    /// Number of the step's first sequence.
    first: u64,
    /// Rows of the step given so far.
    row: u64,
    batch: u64,
    micro_batch: u64,
}

impl<'f> Feeder<'f> {
    /// For the step that `consumed_batches` is the number of.
    pub(super) fn new(
        executor: &Executor,
        names: &Names,
        corpus: &'f Corpus,
        sequences: &'f Sequences,
        ahead: &'f mut Ahead,
    ) -> Feeder<'f> {
        let run = &executor.plan().run;
        Feeder {
            corpus,
            sequences,
            ahead,
            ids: names.ids,
            targets: names.targets,
            row_input: names.row,
            first: names.consumed(executor.memory()) * run.batch,
            row: 0,
            batch: run.batch,
            micro_batch: run.micro_batch,
        }
    }

    /// Writes the next micro-batch.
    pub(super) fn give(&mut self, memory: &mut Memory) -> Result<(), Error> {
        let [ids, targets] = memory.i32_pair_mut([self.ids, self.targets]);
        let first = self.first + self.row;
        if self.ahead.first == Some(first) {
            ids.copy_from_slice(&self.ahead.ids);
            targets.copy_from_slice(&self.ahead.targets);
        } else {
            self.sequences.fill_train(self.corpus, first, ids, targets)?;
        }
        if let Some(row) = self.row_input {
            memory.i32_mut(row)[0] = i32::try_from(self.row).expect("a batch fits an i32");
        }
        self.row += self.micro_batch;
        Ok(())
    }
}

impl Host for Feeder<'_> {
    fn turn(&mut self, what: Yield, memory: &mut Memory) -> Result<(), Error> {
        match what {
            Yield::Batch => self.give(memory),
            // They stay in memory; the loop reads them when the call is over.
            Yield::Metrics => Ok(()),
        }
    }

    fn ahead(&mut self) {
        let Ahead { first, ids, targets } = &mut *self.ahead;
        let next = self.first + self.batch;
        // Data that cannot be read end the step that needs them, not this one.
        let read = self.sequences.fill_train(self.corpus, next, ids, targets);
        *first = read.is_ok().then_some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::super::train_sequences;
    use super::*;
    use crate::executor::Options;
    use crate::{
        scratch::{Scratch, corpus_of},
        tiny,
    };

    #[test]
    fn what_was_read_ahead_is_the_first_batch_of_the_next_step_and_of_no_other() {
        let scratch = Scratch::new("feed_ahead");
        let text: Vec<u8> = (0..400u32).map(|i| (i * 7 % 90) as u8).collect();
        let corpus = corpus_of(scratch.path(), &text);
        let mut executor = Executor::load(tiny::plan(), &Options::threads(1)).unwrap();
        let names = Names::of(executor.plan()).unwrap();
        let sequences = train_sequences(executor.plan(), &corpus).unwrap();
        let mut none = Ahead::new(&executor, &names);
        let mut ahead = Ahead::new(&executor, &names);
        let ids = |executor: &mut Executor, step: f64, ahead: &mut Ahead| {
            executor.memory_mut().f64_mut(names.consumed)[0] = step;
            let mut feeder = Feeder::new(executor, &names, &corpus, &sequences, ahead);
            feeder.give(executor.memory_mut()).unwrap();
            let ids = executor.memory().i32(names.ids).to_vec();
            feeder.ahead();
            ids
        };
        let read: Vec<_> =
            (0..3).map(|step| ids(&mut executor, f64::from(step), &mut none)).collect();
        // One that is read ahead is told by a mark.
        ids(&mut executor, 0.0, &mut ahead);
        ahead.ids[0] = -5;
        assert_eq!(ids(&mut executor, 2.0, &mut ahead), read[2], "another step");
        ids(&mut executor, 0.0, &mut ahead);
        assert_eq!(ahead.ids, read[1]);
        ahead.ids[0] = -5;
        assert_eq!(ids(&mut executor, 1.0, &mut ahead)[0], -5, "the next step");
    }
}
