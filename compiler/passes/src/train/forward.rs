//! The model and its loss in a function, and the functions that only run forward.

use std::collections::BTreeMap;

use diag::Diagnostic;
use ir::builder::Builder;
use ir::graph::{Graph, Value};
use ir::types::{Dtype, Type};
use sema::Program;
use sema::trace::Trace;

use super::{names, read_averages};
use crate::decode::{self, Derived};
use crate::lower::{Draw, Operands, Results, lower};
use crate::origins::Origins;

/// What a model and its loss compute for a number of sequences.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) model: Trace,
    loss: Trace,
    /// Whether the label has the largest number, where there are labels.
    accuracy: Option<Trace>,
    rows: u64,
    context: u64,
    /// The shape of targets.
    targets: Vec<u64>,
    /// What real numbers are stored as.
    real: Dtype,
}

/// Masked loss per token, f32, and the number of target tokens, an f64 scalar.
pub(super) struct Losses {
    pub(super) per_token: Value,
    pub(super) sum: Value,
    pub(super) tokens: Value,
    /// How many labels have the largest number, an f64 scalar.
    pub(super) correct: Option<Value>,
    /// Values that no gradient flows through.
    pub(super) stops: Vec<Value>,
    /// For values of arithmetic in f32, the 16 bits that stand for them.
    pub(super) narrow: BTreeMap<Value, Value>,
}

impl Forward {
    pub(super) fn trace(
        program: &Program,
        rows: u64,
        context: u64,
    ) -> Result<Self, Vec<Diagnostic>> {
        let model = program.trace_model(rows, context)?;
        let loss = program.trace_loss(rows, context)?;
        let real = super::dtype(program.train.precision.compute);
        let accuracy = program.trace_accuracy(rows, context)?;
        let targets = program.target_shape(rows, context);
        Ok(Self { model, loss, accuracy, rows, context, targets, real })
    }

    /// The logits of `ids`.
    fn logits(
        &self,
        b: &mut Builder,
        params: &[Value],
        ids: Value,
        dropout: Option<Draw>,
        origins: &mut Origins<'_>,
    ) -> Results {
        let operands = Operands { inputs: &[ids], params, states: &[], dropout, real: self.real };
        lower(b, &self.model, &operands, origins)
    }

    /// The losses of a batch; a target below 0 counts nothing.
    pub(super) fn losses(
        &self,
        b: &mut Builder,
        params: &[Value],
        [ids, targets]: [&str; 2],
        dropout: Option<Draw>,
        origins: &mut Origins<'_>,
    ) -> Losses {
        let ids = b.state(ids, Type::new(Dtype::I32, [self.rows, self.context]));
        let targets = b.state(targets, Type::new(Dtype::I32, self.targets.clone()));
        let model = self.logits(b, params, ids, dropout, origins);
        let inputs = [model.outputs[0], targets];
        let operands =
            Operands { inputs: &inputs, params: &[], states: &[], dropout: None, real: self.real };
        let loss = lower(b, &self.loss, &operands, origins);
        let all = b.cast(loss.outputs[0], Dtype::F32);
        let none = b.zeros_like(targets);
        let is_target = b.le(none, targets);
        let zero = b.zeros_like(all);
        let per_token = b.select(is_target, all, zero);
        let stops = [model.stops, loss.stops].concat();
        let narrow = model.narrow.into_iter().chain(loss.narrow).collect();
        let (sum, tokens) = (sum_f64(b, per_token), sum_f64(b, is_target));
        let correct = self.accuracy.as_ref().map(|accuracy| {
            let hits = lower(b, accuracy, &operands, origins).outputs[0];
            let hits = b.select(is_target, hits, zero);
            sum_f64(b, hits)
        });
        Losses { per_token, sum, tokens, correct, stops, narrow }
    }
}

/// The sum of all elements in f64, an axis at a time from the last.
fn sum_f64(b: &mut Builder, x: Value) -> Value {
    let wide = b.cast(x, Dtype::F64);
    total(b, wide)
}

/// The sum of all elements as a scalar.
pub(super) fn total(b: &mut Builder, x: Value) -> Value {
    let axes: Vec<usize> = (0..b.ty(x).shape.len()).collect();
    let sum = if axes.is_empty() { x } else { b.sum(x, &axes) };
    b.reshape(sum, &[])
}

/// `eval`: sums over one batch of the validation split.
pub(super) fn eval(program: &Program, forward: &Forward, origins: &mut Origins<'_>) -> Graph {
    let mut b = Builder::new("eval");
    let params = read_averages(&mut b, program, &forward.model.params);
    let names = ["eval.ids", "eval.targets"];
    let losses = forward.losses(&mut b, &params, names, None, origins);
    b.store("eval.loss_sum", losses.sum);
    b.store("eval.tokens", losses.tokens);
    if let Some(correct) = losses.correct {
        b.store(names::EVAL_CORRECT, correct);
    }
    b.finish()
}

/// `prefill` and `decode`: the logits of every id after one place of a text.
pub(super) fn text(program: &Program, forward: &Forward, origins: &mut Origins<'_>) -> Derived {
    let mut b = Builder::new("prefill");
    let params = read_averages(&mut b, program, &forward.model.params);
    let ids = b.state(decode::IDS, Type::new(Dtype::I32, [1, forward.context]));
    let logits = forward.logits(&mut b, &params, ids, None, origins).outputs[0];
    let logits = b.cast(logits, Dtype::F32);
    // Rows that pad the vocabulary stand for no id.
    let is_padded = b.ty(logits).shape[2] != program.vocab;
    let logits = if is_padded { b.slice(logits, 2, 0, program.vocab) } else { logits };
    b.store("prefill.logits", logits);
    decode::derive(&b.finish())
}
