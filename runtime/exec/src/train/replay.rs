//! The same step once more: is it the numbers or the machine, and which numbers.
//!
//! In: a step that `update` refused; it has left the sums of the gradients as they were. Out: the
//! diagnosis, or the fault of a machine that gives other bits the second time. Invariant: the state
//! of the run is afterwards what it was before.

use plan::{BufferId, Role};
use sha2::{Digest, Sha256};

use super::{Feeder, Training};
use crate::{
    error::Error,
    finite::{self, Found, title},
    generate::Silent,
    log::{Cause, Row},
};

/// Gradients of sound steps stay below; the squares of those above may overflow a norm.
const HUGE: f64 = 1e30;

/// Tensors that a message names.
const SHOWN: usize = 3;

impl Training<'_> {
    /// Runs the micro-batches of the last step again and compares the gradients' bits.
    ///
    /// The error is a fault: the same work gave other bits.
    pub(super) fn replay(&mut self, row: &Row) -> Result<(), Error> {
        let first = self.gradients()?;
        let kept = self.scalars();
        let used = self.executor.memory().f64(self.names.used_scale)[0];
        self.set(self.names.consumed, (row.batch - 1) as f64);
        self.set(self.names.loss_scale, used);
        let done = self.micro_batches();
        let memory = self.executor.memory();
        let [loss_sum, token_sum] =
            [self.names.loss_sum, self.names.token_sum].map(|id| memory.f64(id)[0]);
        for (id, bytes) in kept {
            self.executor.memory_mut().bytes_mut(id).copy_from_slice(&bytes);
        }
        done?;
        let again = self.gradients()?;
        let differs = first.iter().zip(&again).find(|(first, again)| first != again);
        if let Some(((id, _), _)) = differs {
            return Err(self.fault(row, &title(&self.executor.plan()[*id])));
        }
        let loss = Some(loss_sum / token_sum).filter(|loss| loss.is_finite());
        if loss.map(f64::to_bits) != row.loss.map(f64::to_bits) {
            return Err(self.fault(row, "loss"));
        }
        self.norm_is_of_the_gradients(row)
    }

    /// A norm that is not finite comes from a gradient that is huge or not finite.
    fn norm_is_of_the_gradients(&self, row: &Row) -> Result<(), Error> {
        let found = self.found(&[Role::Grad]);
        let is_small = found.largest.is_none_or(|most| most.largest < HUGE);
        if row.grad_norm.is_none() && found.bad.is_empty() && is_small {
            return Err(self.fault(row, "norm of finite gradients"));
        }
        Ok(())
    }

    fn fault(&self, row: &Row, what: &str) -> Error {
        let (step, batch) = (row.step + 1, row.batch);
        Error::Fault(format!(
            "step {step}, batch {batch}: the same work gave another {what} the second time; \
             hardware fault suspected; the update was not applied"
        ))
    }

    /// Calls `micro` on every micro-batch of the step of which `consumed_batches` is the number.
    fn micro_batches(&mut self) -> Result<(), Error> {
        let Training { executor, names, corpus, sequences, ahead, .. } = self;
        let mut feeder = Feeder::new(executor, names, corpus, sequences, ahead);
        for _ in 0..executor.plan().run.accumulate {
            feeder.give(executor.memory_mut())?;
            executor.call(names.micro, &mut Silent)?;
        }
        Ok(())
    }

    /// A hash of every gradient: no second copy of what can be most of the memory.
    fn gradients(&mut self) -> Result<Vec<(BufferId, [u8; 32])>, Error> {
        self.executor.fetch(&[Role::Grad])?;
        let memory = self.executor.memory();
        let all = finite::of_role(self.executor.plan(), Role::Grad);
        Ok(all.map(|(id, _)| (id, Sha256::digest(memory.bytes(id)).into())).collect())
    }

    /// Counters and metrics; `micro` moves some, and the replay must not count.
    fn scalars(&self) -> Vec<(BufferId, Vec<u8>)> {
        let (plan, memory) = (self.executor.plan(), self.executor.memory());
        let both = [Role::Counter, Role::Metric].into_iter();
        let all = both.flat_map(|role| finite::of_role(plan, role));
        all.map(|(id, _)| (id, memory.bytes(id).to_vec())).collect()
    }

    fn set(&mut self, id: BufferId, value: f64) {
        self.executor.memory_mut().f64_mut(id)[0] = value;
    }

    fn found(&self, roles: &[Role]) -> Found {
        finite::look(self.executor.plan(), self.executor.memory(), roles)
    }

    /// What is not finite, what is largest, and what to try.
    pub(super) fn diagnosis(&self, row: &Row, cause: Cause) -> String {
        let numbers = [
            ("loss", row.loss),
            ("gradient norm", row.grad_norm),
            ("learning rate", row.lr),
            ("loss scale", row.loss_scale),
        ];
        let mut bad: Vec<String> = numbers
            .iter()
            .filter(|(_, x)| x.is_none())
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let mut lines =
            vec!["the same step gave the same bits again: it is the numbers".to_owned()];
        let found = self.found(&finite::WATCHED);
        let count = |t: &finite::Tensor| format!("{} ({} of {})", t.name, t.n_bad, t.n);
        bad.extend(found.bad.iter().take(SHOWN).map(count));
        let more = found.bad.len().saturating_sub(SHOWN);
        if more > 0 {
            bad.push(format!("{more} more tensors"));
        }
        lines.push(format!("not finite: {}", bad.join(", ")));
        if let Some(most) = &found.largest {
            lines.push(format!("largest finite magnitude: {:.3e}, in {}", most.largest, most.name));
        }
        lines.push(format!("try: {}", self.advice(cause, &found)));
        lines.iter().map(|line| format!("\n  {line}")).collect()
    }

    fn advice(&self, cause: Cause, found: &Found) -> String {
        let plan = self.executor.plan();
        let mut tries = vec!["a lower `lr`", "a longer `warmup`", "a smaller `clip`"];
        let is_half = plan.buffers.iter().any(|b| b.dtype == plan::Dtype::F16);
        if is_half {
            tries.insert(0, "`precision bf16` instead of fp16");
        }
        match cause {
            Cause::Overflow if plan.run.min_scale.is_none() => {
                tries.insert(0, "`loss_scale dynamic`, or a smaller scale");
            }
            Cause::Overflow => tries.push("a larger `growth` of `loss_scale`"),
            Cause::Nonfinite | Cause::Empty => {}
        }
        let lost = found.bad.iter().any(|t| !t.name.starts_with("gradient of "));
        if lost {
            tries.push(match self.has_saved {
                true => "the checkpoints are sound: run again with one of these and --resume",
                false => "nothing was saved yet: the next run starts from the first step",
            });
        }
        tries.join(", ")
    }
}
