//! When the loop saves, what the manifest holds, and what a failed save means.

use std::{collections::BTreeMap, time::Instant};

use plan::{Plan, Role};

use super::{Event, Report, Training};
use crate::{
    checkpoint::{
        keep, load,
        manifest::{FORMAT, Manifest},
        save,
    },
    error::Error,
};

/// Saves that may fail one after the other before the run stops.
const MAX_FAILED_SAVES: u32 = 3;

/// What every instruction of tensor cores begins with. PTX ISA 9.7.14.
const TENSOR_CORES: &str = "mma.sync";

/// The family of matrix products of a plan on this machine: their bits can differ between families.
pub(super) fn products_of(plan: &Plan) -> String {
    match plan.is_for_grids() {
        true => format!("ptx {} {}", numerics(plan), plan.target),
        false => products().to_owned(),
    }
}

/// The order of the sums of products: that of every device, or that of tensor cores.
fn numerics(plan: &Plan) -> &'static str {
    let is_fast = plan.code.iter().any(|code| code.text.contains(TENSOR_CORES));
    if is_fast { "fast" } else { "exact" }
}

/// The family of matrix products of this machine's CPU.
pub fn products() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if std::arch::is_x86_feature_detected!("fma") {
            return "fma";
        }
    }
    "portable"
}

impl Training<'_> {
    pub(super) fn save_due(&self, new_best: bool) -> bool {
        let Some(checkpoint) = &self.executor.plan().run.checkpoint else { return false };
        let elapsed_s = self.last_save.elapsed().as_secs_f64();
        (checkpoint.every > 0 && self.applied().is_multiple_of(checkpoint.every))
            || checkpoint.every_s.is_some_and(|limit| elapsed_s >= limit)
            || (new_best && checkpoint.best_val_loss)
    }

    /// Saves unless the newest checkpoint is of this step; whether there is one then.
    pub(super) fn save_if_new(&mut self, report: Report<'_>) -> Result<bool, Error> {
        if self.executor.plan().run.checkpoint.is_none() {
            return Ok(false);
        }
        let path = self.folder.join(format!("step-{}", self.applied()));
        if load::verify(&path).is_ok() {
            return Ok(true);
        }
        let before = self.failed_saves;
        self.save(report)?;
        Ok(self.failed_saves <= before)
    }

    /// Saves; a failure is a warning, the third in a row an error, as is a state beyond use.
    pub(super) fn save(&mut self, report: Report<'_>) -> Result<(), Error> {
        match self.write_checkpoint(report) {
            Ok(()) => {
                self.failed_saves = 0;
                Ok(())
            }
            Err(error @ Error::Diverged(_)) => Err(error),
            Err(error) => {
                self.failed_saves += 1;
                self.last_save = Instant::now();
                if self.failed_saves >= MAX_FAILED_SAVES {
                    return Err(error);
                }
                let step = self.applied();
                report(Event::Warning(format!(
                    "the checkpoint of step {step} was not saved: {error}"
                )));
                Ok(())
            }
        }
    }

    pub(super) fn write_checkpoint(&mut self, report: Report<'_>) -> Result<(), Error> {
        // First the log: a checkpoint must not know of steps that the log lost.
        self.log.sync()?;
        let facts = self.facts();
        let step = facts.step;
        self.executor.fetch(&save::SAVED)?;
        let (plan, memory) = (self.executor.plan(), self.executor.memory());
        let saved = save::save(self.folder, plan, memory, facts, &mut |_, _| Ok(()));
        let (path, _) = saved.map_err(|error| self.not_saved(error))?;
        self.last_save = Instant::now();
        self.has_saved = true;
        report(Event::Saved { step, path });
        if let Some(checkpoint) = &plan.run.checkpoint {
            let (keep, best) = (checkpoint.keep, checkpoint.best_val_loss);
            // The new one is safe; old ones that stay only take room.
            if let Err(error) = keep::prune(self.folder, keep, best, &mut |_, _| Ok(())) {
                report(Event::Warning(format!("an old checkpoint was not removed: {error}")));
            }
        }
        Ok(())
    }

    /// A state beyond use, with the way out: what is there to go on from.
    fn not_saved(&self, error: Error) -> Error {
        let Error::Diverged(what) = error else { return error };
        Error::Diverged(match self.has_saved {
            true => format!(
                "{what}; the newest checkpoint is sound: go on from it with a lower `lr` and --resume"
            ),
            false => format!("{what}, and nothing before it; run again with a lower `lr`"),
        })
    }

    fn facts(&self) -> Manifest {
        let (plan, memory) = (self.executor.plan(), self.executor.memory());
        let mut counters = BTreeMap::new();
        for (idx, buffer) in (0u32..).zip(&plan.buffers) {
            if buffer.role == Role::Counter
                && buffer.dtype == plan::Dtype::F64
                && buffer.shape.iter().product::<u64>() == 1
            {
                let value = memory.f64(plan::BufferId(idx))[0];
                // JSON has no infinities; their bits are in the file of tensors.
                if value.is_finite() {
                    counters.insert(buffer.name.clone(), value);
                }
            }
        }
        let step = self.applied();
        Manifest {
            format: FORMAT,
            compiler: plan.compiler.clone(),
            identity: plan.run.identity.clone(),
            trajectory: plan.run.trajectory.clone(),
            numerics: numerics(plan).to_owned(),
            products: products_of(plan),
            world: 1,
            step,
            counters,
            cursor: self.names.consumed(memory) * plan.run.batch,
            seed: plan.run.seed,
            vocabulary: self.corpus.vocabulary().hash(),
            data: self.corpus.hash().to_owned(),
            val_loss: self.val.filter(|val| val.step == step).map(|val| val.val_loss),
            best: self.best,
            tensors: Vec::new(),
            files: BTreeMap::new(),
            sha256: String::new(),
        }
    }
}
