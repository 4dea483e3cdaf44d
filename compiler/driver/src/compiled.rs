//! A compiled spec: what its run will take, and the way into training.

use std::path::{Path, PathBuf};

use passes::usage::Usage;
use plan::{Dtype, Plan, Role, Step};
use sema::Setting;

use crate::checked::Checked;
use crate::cli::Device;
use crate::compile;
use crate::machine::Site;
use crate::report::Report;
use crate::training::Training;

/// A spec with its plan; see [`Checked::compile`].
#[derive(Debug)]
pub struct Compiled {
    pub(crate) checked: Checked,
    pub(crate) compiled: compile::Compiled,
    pub(crate) site: Site,
    pub(crate) device: Device,
    pub(crate) folder: PathBuf,
}

/// A weight of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its path in the model: `blocks.0.attn.qkv.weight`.
    pub path: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// What it is stored in.
    pub dtype: Dtype,
    /// Its size.
    pub bytes: u64,
}

/// What a run takes of the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// Of the process, as it was predicted.
    pub process_bytes: u64,
    /// Of it, the arena that holds all tensors.
    pub arena_bytes: u64,
    /// What the arena holds where it is fullest, by kind; these add up to it.
    pub kinds: Vec<(&'static str, u64)>,
}

impl Compiled {
    /// What could be better: of the check and of the plan.
    pub fn report(&self) -> &Report {
        self.checked.report()
    }

    /// Every weight, in the order of the plan.
    pub fn parameters(&self) -> Vec<Parameter> {
        let weights = self.plan().buffers.iter().filter(|b| b.role == Role::Param);
        let parameter = |b: &plan::Buffer| Parameter {
            path: b.name.clone(),
            shape: b.shape.clone(),
            dtype: b.dtype,
            bytes: b.shape.iter().product::<u64>() * b.dtype.bytes(),
        };
        weights.map(parameter).collect()
    }

    /// What a run takes of the memory.
    pub fn footprint(&self) -> Footprint {
        let scheduled = &self.compiled.scheduled;
        let usage = Usage::of(&scheduled.schedule, &scheduled.memory);
        let arena_bytes = scheduled.memory.bytes;
        Footprint {
            process_bytes: arena_bytes + self.site.room.beside_bytes,
            arena_bytes,
            kinds: usage.kinds.iter().map(|(kind, bytes)| (kind.name(), *bytes)).collect(),
        }
    }

    /// What every directive came out as, and why.
    pub fn settings(&self) -> &[Setting] {
        &self.compiled.train.settings
    }

    /// Multiplications and additions in matrix products, for a token of a training step.
    pub fn flops_a_token(&self) -> u64 {
        flops_a_token(self.plan())
    }

    /// What the runtime runs.
    pub fn plan(&self) -> &Plan {
        &self.compiled.plan
    }

    /// The folder of its run; a run of another program there moves it to a sibling.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its run, to be watched and started.
    pub fn training(&self) -> Training<'_> {
        Training::new(self)
    }
}

/// Multiplications and additions of all products of `micro`, a token of its batch.
pub(crate) fn flops_a_token(plan: &Plan) -> u64 {
    let Some(micro) = plan.function("micro") else { return 0 };
    let flops: u64 = plan[micro].steps.iter().map(flops).sum();
    flops / (plan.run.micro_batch * plan.run.context).max(1)
}

fn flops(step: &Step) -> u64 {
    match step {
        Step::Product { product, .. } => product.flops(),
        Step::Tiles { count, body, .. } => count * body.iter().map(flops).sum::<u64>(),
        Step::Attention { attention, .. } => attention.flops(),
        Step::Launch { launch, .. } => launch.flops,
        Step::Kernel { .. } | Step::Sort { .. } | Step::Loop { .. } => 0,
        Step::Call(_) | Step::Yield(_) => 0,
    }
}
