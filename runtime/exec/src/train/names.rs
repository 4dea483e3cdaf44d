//! The buffers and functions by which the loop and the compiled program talk.

use plan::{BufferId, Dtype, FunctionId, Plan, Role, Task};

use crate::{
    device::cpu::Memory,
    error::Error,
    finite,
    log::{Cause, Row},
};

/// What training needs.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) init: FunctionId,
    pub(super) step: FunctionId,
    pub(super) micro: FunctionId,
    /// Takes notice of a validation loss; only programs whose rate follows it have one.
    pub(super) plateau: Option<(FunctionId, BufferId)>,
    pub(super) seed: BufferId,
    pub(super) ids: BufferId,
    pub(super) targets: BufferId,
    /// Only programs with dropout read it.
    pub(super) row: Option<BufferId>,
    /// What the micro-batches of a step sum up.
    pub(super) loss_sum: BufferId,
    pub(super) token_sum: BufferId,
    applied: BufferId,
    pub(super) consumed: BufferId,
    /// The scale of the next step.
    pub(super) loss_scale: BufferId,
    /// The scale of the step that was made.
    pub(super) used_scale: BufferId,
    loss: BufferId,
    tokens: BufferId,
    lr: BufferId,
    grad_norm: BufferId,
    clip_coef: Option<BufferId>,
    skip_cause: BufferId,
    skips_in_row: BufferId,
    recent_skipped: BufferId,
    /// `grad_norm.PATH` by path.
    grad_norms: Vec<(String, BufferId)>,
    noise_scale: Option<BufferId>,
}

/// What evaluation needs.
#[derive(Debug)]
pub(super) struct EvalNames {
    pub(super) function: FunctionId,
    pub(super) ids: BufferId,
    pub(super) targets: BufferId,
    pub(super) loss_sum: BufferId,
    pub(super) tokens: BufferId,
    /// Labels that were found; only programs with labels have it.
    pub(super) correct: Option<BufferId>,
}

/// Targets of a micro-batch: one for each token, or one for each row.
fn targets(plan: &Plan) -> u64 {
    match plan.run.data.task {
        Task::NextToken | Task::Masked { .. } => plan.run.micro_batch * plan.run.context,
        Task::Classes { .. } => plan.run.micro_batch,
    }
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

/// The metrics `grad_norm.PATH`.
fn grad_norms(plan: &Plan) -> Result<Vec<(String, BufferId)>, Error> {
    let metrics = finite::of_role(plan, Role::Metric);
    let found = metrics.filter_map(|(_, b)| Some((b, b.name.strip_prefix("grad_norm.")?)));
    found.map(|(b, path)| Ok((path.to_owned(), scalar(plan, &b.name)?))).collect()
}

/// The cause that the metric `skip_cause` means.
fn cause(number: f64) -> Result<Option<Cause>, Error> {
    if number == 0.0 {
        Ok(None)
    } else if number == 1.0 {
        Ok(Some(Cause::Overflow))
    } else if number == 2.0 {
        Ok(Some(Cause::Nonfinite))
    } else if number == 3.0 {
        Ok(Some(Cause::Empty))
    } else {
        Err(Error::BadPlan(format!("`skip_cause` is {number}")))
    }
}

impl Names {
    pub(super) fn of(plan: &Plan) -> Result<Names, Error> {
        let rows = plan.run.micro_batch * plan.run.context;
        let plateau = match plan.function("plateau") {
            Some(function) => Some((function, scalar(plan, "val_loss")?)),
            None => None,
        };
        Ok(Names {
            init: function(plan, "init")?,
            step: function(plan, "step")?,
            micro: function(plan, "micro")?,
            plateau,
            seed: buffer(plan, "seed", Dtype::I32, 1)?,
            ids: buffer(plan, "ids", Dtype::I32, rows)?,
            targets: buffer(plan, "targets", Dtype::I32, targets(plan))?,
            row: optional(plan, "row", |p, name| buffer(p, name, Dtype::I32, 1))?,
            loss_sum: scalar(plan, "loss_sum")?,
            token_sum: scalar(plan, "token_sum")?,
            applied: scalar(plan, "applied_updates")?,
            consumed: scalar(plan, "consumed_batches")?,
            loss_scale: scalar(plan, "loss_scale")?,
            used_scale: scalar(plan, "used_scale")?,
            loss: scalar(plan, "loss")?,
            tokens: scalar(plan, "tokens")?,
            lr: scalar(plan, "lr")?,
            grad_norm: scalar(plan, "grad_norm")?,
            clip_coef: optional(plan, "clip_coef", scalar)?,
            skip_cause: scalar(plan, "skip_cause")?,
            skips_in_row: scalar(plan, "skips_in_row")?,
            recent_skipped: scalar(plan, "recent_skipped")?,
            grad_norms: grad_norms(plan)?,
            noise_scale: optional(plan, "noise_scale", scalar)?,
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

    /// Steps skipped since the last that was applied.
    pub(super) fn skips_in_row(&self, memory: &Memory) -> u64 {
        memory.f64(self.skips_in_row)[0] as u64
    }

    /// Steps skipped of the last 200.
    pub(super) fn recent_skipped(&self, memory: &Memory) -> u64 {
        memory.f64(self.recent_skipped)[0] as u64
    }

    /// The metrics of the step that was just made, times aside.
    pub(super) fn row(&self, memory: &Memory) -> Result<Row, Error> {
        let read = |id: BufferId| memory.f64(id)[0];
        let finite = |id: BufferId| Some(read(id)).filter(|value| value.is_finite());
        let cause = cause(read(self.skip_cause))?;
        let norms = self.grad_norms.iter().map(|(path, id)| (path.clone(), finite(*id)));
        Ok(Row {
            step: self.applied(memory),
            batch: self.consumed(memory),
            loss: finite(self.loss),
            lr: finite(self.lr),
            grad_norm: finite(self.grad_norm),
            clip_coef: self.clip_coef.and_then(finite),
            loss_scale: finite(self.used_scale),
            skipped: cause.is_some(),
            cause,
            tensor: None,
            tokens: read(self.tokens) as u64,
            tokens_per_s: 0.0,
            seconds: 0.0,
            val_loss: None,
            val_accuracy: None,
            grad_norms: norms.collect(),
            noise_scale: self.noise_scale.and_then(finite),
        })
    }
}

impl EvalNames {
    pub(super) fn of(plan: &Plan) -> Result<EvalNames, Error> {
        let rows = plan.run.micro_batch * plan.run.context;
        Ok(EvalNames {
            function: function(plan, "eval")?,
            ids: buffer(plan, "eval.ids", Dtype::I32, rows)?,
            targets: buffer(plan, "eval.targets", Dtype::I32, targets(plan))?,
            loss_sum: scalar(plan, "eval.loss_sum")?,
            tokens: scalar(plan, "eval.tokens")?,
            correct: optional(plan, "eval.correct", scalar)?,
        })
    }
}
