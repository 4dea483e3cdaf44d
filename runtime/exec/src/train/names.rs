//! The buffers and functions by which the loop and the compiled program talk.

use plan::{BufferId, Dtype, FunctionId, Plan};

use crate::{device::cpu::Memory, error::Error, log::Row};

/// What training needs.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) init: FunctionId,
    pub(super) step: FunctionId,
    pub(super) seed: BufferId,
    pub(super) ids: BufferId,
    pub(super) targets: BufferId,
    /// Only programs with dropout read it.
    pub(super) row: Option<BufferId>,
    applied: BufferId,
    consumed: BufferId,
    loss: BufferId,
    tokens: BufferId,
    lr: BufferId,
    grad_norm: BufferId,
    clip_coef: Option<BufferId>,
    loss_scale: Option<BufferId>,
    finite: BufferId,
}

/// What evaluation needs.
#[derive(Debug)]
pub(super) struct EvalNames {
    pub(super) function: FunctionId,
    pub(super) ids: BufferId,
    pub(super) targets: BufferId,
    pub(super) loss_sum: BufferId,
    pub(super) tokens: BufferId,
}

fn function(plan: &Plan, name: &str) -> Result<FunctionId, Error> {
    plan.function(name).ok_or_else(|| Error::BadPlan(format!("it has no function `{name}`")))
}

/// A buffer by name; its type is checked here, so that views of it never fail.
fn buffer(plan: &Plan, name: &str, dtype: Dtype, n: u64) -> Result<BufferId, Error> {
    let id = plan.buffer(name);
    let id = id.ok_or_else(|| Error::BadPlan(format!("it has no buffer `{name}`")))?;
    let found = &plan[id];
    if found.dtype != dtype || found.shape.iter().product::<u64>() != n {
        let (dtype_found, shape) = (found.dtype, &found.shape);
        return Err(Error::BadPlan(format!(
            "buffer `{name}` should hold {n} {dtype:?}, it is {dtype_found:?} {shape:?}"
        )));
    }
    Ok(id)
}

fn scalar(plan: &Plan, name: &str) -> Result<BufferId, Error> {
    buffer(plan, name, Dtype::F64, 1)
}

fn optional(
    plan: &Plan,
    name: &str,
    find: impl Fn(&Plan, &str) -> Result<BufferId, Error>,
) -> Result<Option<BufferId>, Error> {
    plan.buffer(name).map(|_| find(plan, name)).transpose()
}

impl Names {
    pub(super) fn of(plan: &Plan) -> Result<Names, Error> {
        let rows = plan.run.micro_batch * plan.run.context;
        Ok(Names {
            init: function(plan, "init")?,
            step: function(plan, "step")?,
            seed: buffer(plan, "seed", Dtype::I32, 1)?,
            ids: buffer(plan, "ids", Dtype::I32, rows)?,
            targets: buffer(plan, "targets", Dtype::I32, rows)?,
            row: optional(plan, "row", |p, name| buffer(p, name, Dtype::I32, 1))?,
            applied: scalar(plan, "applied_updates")?,
            consumed: scalar(plan, "consumed_batches")?,
            loss: scalar(plan, "loss")?,
            tokens: scalar(plan, "tokens")?,
            lr: scalar(plan, "lr")?,
            grad_norm: scalar(plan, "grad_norm")?,
            clip_coef: optional(plan, "clip_coef", scalar)?,
            loss_scale: optional(plan, "loss_scale", scalar)?,
            finite: scalar(plan, "finite")?,
        })
    }

    /// Applied updates.
    pub(super) fn applied(&self, memory: &Memory) -> u64 {
        memory.f64(self.applied)[0] as u64
    }

    /// Consumed batches.
    pub(super) fn consumed(&self, memory: &Memory) -> u64 {
        memory.f64(self.consumed)[0] as u64
    }

    /// The metrics of the step that was just made, times aside.
    pub(super) fn row(&self, memory: &Memory) -> Row {
        let read = |id: BufferId| memory.f64(id)[0];
        let finite = |value: f64| value.is_finite().then_some(value);
        Row {
            step: self.applied(memory),
            batch: self.consumed(memory),
            loss: finite(read(self.loss)),
            lr: read(self.lr),
            grad_norm: finite(read(self.grad_norm)),
            clip_coef: self.clip_coef.and_then(|id| finite(read(id))),
            loss_scale: self.loss_scale.map_or(1.0, read),
            skipped: read(self.finite) == 0.0,
            tokens: read(self.tokens) as u64,
            tokens_per_s: 0.0,
            seconds: 0.0,
            val_loss: None,
        }
    }
}

impl EvalNames {
    pub(super) fn of(plan: &Plan) -> Result<EvalNames, Error> {
        let rows = plan.run.micro_batch * plan.run.context;
        Ok(EvalNames {
            function: function(plan, "eval")?,
            ids: buffer(plan, "eval.ids", Dtype::I32, rows)?,
            targets: buffer(plan, "eval.targets", Dtype::I32, rows)?,
            loss_sum: scalar(plan, "eval.loss_sum")?,
            tokens: scalar(plan, "eval.tokens")?,
        })
    }
}
