//! What the declarations of a program compute at the sizes of a run.

use diag::Diagnostic;

use super::{Call, Program, Schedule, Task};
use crate::library::Ambient;
use crate::spec::ids;
use crate::trace::{Elem, Trace, Type};
use crate::value::StaticArg;

/// What a trace is, or what is wrong with the sizes.
type Traced = Result<Trace, Vec<Diagnostic>>;

impl Program {
    /// Whether the rule of a group is declared for weights of any shape, so that it can read no
    /// size of theirs.
    pub fn rule_is_of_any_shape(&self, group: usize) -> bool {
        self.library.is_of_any_shape(&self.train.groups[group].rule)
    }

    /// The model for ids `[batch, time]`.
    ///
    /// # Errors
    /// Sizes that the model does not take.
    pub fn trace_model(&self, batch: u64, time: u64) -> Traced {
        let mut trace = self.trace(&self.model, &[ids(self.vocab, batch, time)])?;
        trace.mark_head();
        Ok(trace)
    }

    /// The loss for logits `[batch, time, vocab]` and targets `[batch, time]`; for labels, logits
    /// `[batch, classes]` and targets `[batch]`.
    ///
    /// # Errors
    /// Sizes that the loss does not take.
    pub fn trace_loss(&self, batch: u64, time: u64) -> Traced {
        let model = self.trace_model(batch, time)?;
        let logits = model.outputs.first().map(|id| model.instrs[id.0 as usize].ty.clone());
        let rows = logits.as_ref().and_then(|ty| ty.shape.last().copied()).unwrap_or(self.vocab);
        let mut targets = ids(rows, batch, time);
        targets.shape = self.target_shape(batch, time);
        let inputs: Vec<Type> = logits.into_iter().chain([targets]).collect();
        self.trace(&self.train.loss, &inputs)
    }

    /// Whether a row's label has the largest number, where rows have labels.
    ///
    /// # Errors
    /// Sizes that `accuracy` does not take.
    pub fn trace_accuracy(&self, batch: u64, time: u64) -> Result<Option<Trace>, Vec<Diagnostic>> {
        if self.classes.is_none() {
            return Ok(None);
        }
        let loss = self.trace_loss(batch, time)?;
        let inputs: Vec<Type> = loss.inputs.iter().map(|input| input.ty.clone()).collect();
        let call = self.library.bind_defaults("accuracy", self.train.span)?;
        self.trace(&call, &inputs).map(Some)
    }

    /// The shape of the targets of a batch: one for each token, or one for each row.
    pub fn target_shape(&self, batch: u64, time: u64) -> Vec<u64> {
        match self.data.task {
            Task::NextToken | Task::Masked { .. } => vec![batch, time],
            Task::Classes { .. } => vec![batch],
        }
    }

    /// Whether the model writes text, token by token.
    pub fn writes_text(&self) -> bool {
        self.data.task == Task::NextToken
    }

    /// The rule of a group for one weight; `decayed` says whether weight decay is on for it.
    ///
    /// A rule over `[m, n]` sees every weight as a matrix: the inputs of its trace have that shape.
    ///
    /// # Errors
    /// A rule of other inputs than `(w, g, lr, t)`.
    pub fn trace_rule(&self, group: usize, shape: &[u64], decayed: bool) -> Traced {
        let mut call = self.train.groups[group].rule.clone();
        let slot = call.args.iter_mut().find(|(name, _)| name == "weight_decay");
        if let Some(slot) = slot.filter(|_| !decayed) {
            slot.1 = StaticArg::Real(0.0);
        }
        let is_of_matrices = self.library.data_rank(&call) == Some(2);
        let shape = if is_of_matrices { as_matrix(shape) } else { shape.to_vec() };
        let tensor = Type { elem: Elem::Fp32, shape };
        self.trace(&call, &[tensor.clone(), tensor, scalar(), scalar()])
    }

    /// The factor of the learning rate at a step of a total; `None` for a plateau, whose factor
    /// is state of the run.
    ///
    /// # Errors
    /// A schedule of other inputs than `(step, total)`.
    pub fn trace_schedule(&self) -> Result<Option<Trace>, Vec<Diagnostic>> {
        match &self.train.schedule {
            Schedule::Fn(call) => self.trace(call, &[scalar(), scalar()]).map(Some),
            Schedule::Plateau { .. } => Ok(None),
        }
    }

    fn trace(&self, call: &Call, inputs: &[Type]) -> Traced {
        self.library.trace(call, inputs, &Ambient { context: self.train.context })
    }
}

/// A vector is one row; leading axes are joined.
fn as_matrix(shape: &[u64]) -> Vec<u64> {
    let Some((&cols, rows)) = shape.split_last() else { return vec![1, 1] };
    vec![rows.iter().product(), cols]
}

fn scalar() -> Type {
    Type { elem: Elem::Scalar, shape: vec![] }
}
