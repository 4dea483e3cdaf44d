//! `update`: one optimizer step from the summed gradients.
//!
//! One division by loss scale × prescale × tokens (reciprocal in f64), finite check, norm, clip,
//! rule at lr(t), scaler, counters. A step that is not sound (see [`super::scaler`]) changes no
//! weight, moment, lr or t: it only counts as skipped.

use diag::Diagnostic;
use ir::builder::Builder;
use ir::graph::{Graph, Value};
use ir::types::{Dtype, Type};
use sema::Program;
use sema::trace::{Param, Trace};

use super::optimizer::Rules;
use super::scaler::Evidence;
use super::{
    clip, counters, grad_name, micro, moment_name, names, rate, read_params, read_scalar, scaler,
};
use crate::lower::{Operands, lower};
use crate::origins::Origins;

/// The function.
pub(super) fn build(
    program: &Program,
    params: &[Param],
    rules: &Rules,
    origins: &mut Origins<'_>,
) -> Result<Graph, Vec<Diagnostic>> {
    let mut b = Builder::new("update");
    let weights = read_params(&mut b, program, params);
    let policy = program.train.loss_scale;
    let scale = scaler::scale(&mut b, policy);
    let sums = Sums::read(&mut b, program, scale);
    let grads: Vec<Value> = params.iter().map(|p| unscale(&mut b, p, sums.inverse)).collect();
    let norm = clip::l2_norm(&mut b, &grads);
    let coefficient = clip::coefficient(&mut b, program.train.clip, norm, &grads);
    let applied = read_scalar(&mut b, names::APPLIED);
    let one = b.scalar_f64(1.0);
    let t = b.add(applied, one);
    let lr = rate::rate(&mut b, program, t, origins)?;
    let evidence = Evidence { tokens: sums.tokens, loss: sums.loss, norm, lr, scale };
    let verdict = evidence.judge(&mut b, policy);
    let ok = verdict.is_applied;
    for (i, param) in params.iter().enumerate() {
        let grad = clip::apply(&mut b, program.train.clip, coefficient, grads[i]);
        let step = Step { param, weight: weights[i], grad, lr, t, ok };
        step.apply(&mut b, &rules.each[i], origins);
    }
    verdict.count(&mut b);
    verdict.rescale(&mut b, policy, scale);
    counters::commit(&mut b, ok);
    report(&mut b, &[("loss", sums.loss), ("tokens", sums.tokens), ("lr", lr)]);
    report(&mut b, &[("grad_norm", norm), ("clip_coef", coefficient)]);
    for &name in super::sums(program) {
        let zero = b.scalar_f64(0.0);
        b.store(name, zero);
    }
    Ok(b.finish())
}

/// What the micro-batches summed up.
struct Sums {
    loss: Value,
    tokens: Value,
    /// 1 / (loss scale × prescale × tokens), f32.
    inverse: Value,
}

impl Sums {
    fn read(b: &mut Builder, program: &Program, scale: Value) -> Self {
        let tokens = read_scalar(b, names::TOKEN_SUM);
        let sum = read_scalar(b, names::LOSS_SUM);
        let prescale = b.scalar_f64(micro::prescale(program));
        let one = b.scalar_f64(1.0);
        let factor = b.mul(scale, prescale);
        let below = b.mul(factor, tokens);
        let inverse = b.div(one, below);
        let inverse = b.cast(inverse, Dtype::F32);
        let loss = b.div(sum, tokens);
        Self { loss, tokens, inverse }
    }
}

fn unscale(b: &mut Builder, param: &Param, inverse: Value) -> Value {
    let sum = b.state(&grad_name(param), Type::new(Dtype::F32, param.shape.clone()));
    let inverse = b.broadcast(inverse, &param.shape);
    b.mul(sum, inverse)
}

/// The update of one parameter.
struct Step<'a> {
    param: &'a Param,
    weight: Value,
    grad: Value,
    lr: Value,
    t: Value,
    ok: Value,
}

impl Step<'_> {
    fn apply(&self, b: &mut Builder, rule: &Trace, origins: &mut Origins<'_>) {
        let moments: Vec<Value> = rule
            .states
            .iter()
            .map(|s| {
                let ty = Type::new(Dtype::F32, s.ty.shape.clone());
                b.state(&moment_name(self.param, &s.name), ty)
            })
            .collect();
        // A rule over `[m, n]` sees every weight as a matrix.
        let view = &rule.inputs[0].ty.shape;
        let (weight, grad) = (b.reshape(self.weight, view), b.reshape(self.grad, view));
        let inputs = [weight, grad, self.lr, self.t];
        let operands = Operands {
            inputs: &inputs,
            params: &[],
            states: &moments,
            dropout: None,
            // A rule computes in f32 whatever the weights are stored as.
            real: Dtype::F32,
        };
        let results = lower(b, rule, &operands, origins);
        let after = b.reshape(results.outputs[0], &self.param.shape);
        self.store(b, &self.param.path, self.weight, after);
        for ((state, &before), &after) in rule.states.iter().zip(&moments).zip(&results.states) {
            self.store(b, &moment_name(self.param, &state.name), before, after);
        }
    }

    /// Stores `after`, or keeps `before` when the step is skipped.
    fn store(&self, b: &mut Builder, name: &str, before: Value, after: Value) {
        let shape = b.shape(before);
        let ok = b.broadcast(self.ok, &shape);
        let after = b.cast(after, b.dtype(before));
        let value = b.select(ok, after, before);
        b.store(name, value);
    }
}

fn report(b: &mut Builder, metrics: &[(&str, Value)]) {
    for &(name, value) in metrics {
        b.store(name, value);
    }
}
