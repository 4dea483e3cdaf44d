//! `update`: one optimizer step from the summed gradients.
//!
//! One division by prescale × tokens (reciprocal in f64), finite check, norm, clip, rule at lr(t),
//! counters. A step whose norm or loss is not finite, or that has no target token, changes no
//! weight, moment, lr or t: it only counts as skipped.

use diag::Diagnostic;
use ir::builder::Builder;
use ir::graph::{Graph, Value};
use ir::types::{Dtype, Type};
use sema::Program;
use sema::trace::{Param, Trace};

use super::optimizer::Rules;
use super::{clip, grad_name, micro, moment_name, names, rate, read_params, read_scalar};
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
    let weights = read_params(&mut b, params);
    let sums = Sums::read(&mut b, program);
    let grads: Vec<Value> = params.iter().map(|p| unscale(&mut b, p, sums.inverse)).collect();
    let norm = clip::l2_norm(&mut b, &grads);
    let ok = sums.is_sound(&mut b, norm);
    let coefficient = clip::coefficient(&mut b, program.train.clip, norm, &grads);
    let applied = read_scalar(&mut b, names::APPLIED);
    let one = b.scalar_f64(1.0);
    let t = b.add(applied, one);
    let lr = rate::rate(&mut b, program, t, origins)?;
    for (i, param) in params.iter().enumerate() {
        let grad = clip::apply(&mut b, program.train.clip, coefficient, grads[i]);
        let step = Step { param, weight: weights[i], grad, lr, t, ok };
        step.apply(&mut b, &rules.each[i], origins);
        if program.train.accumulate > 1 {
            let zero = b.full(0.0, Dtype::F32, &param.shape);
            b.store(&grad_name(param), zero);
        }
    }
    commit(&mut b, ok);
    report(&mut b, &[("loss", sums.loss), ("tokens", sums.tokens), ("lr", lr)]);
    report(&mut b, &[("grad_norm", norm), ("clip_coef", coefficient), ("loss_scale", one)]);
    Ok(b.finish())
}

/// What the micro-batches summed up.
struct Sums {
    loss: Value,
    tokens: Value,
    /// 1 / (prescale × tokens), f32.
    inverse: Value,
}

impl Sums {
    fn read(b: &mut Builder, program: &Program) -> Self {
        let tokens = read_scalar(b, names::TOKEN_SUM);
        let sum = read_scalar(b, names::LOSS_SUM);
        let prescale = b.scalar_f64(micro::prescale(program));
        let one = b.scalar_f64(1.0);
        let below = b.mul(prescale, tokens);
        let inverse = b.div(one, below);
        let inverse = b.cast(inverse, Dtype::F32);
        let loss = b.div(sum, tokens);
        Self { loss, tokens, inverse }
    }

    /// Whether there was a target token, and loss and norm are finite.
    fn is_sound(&self, b: &mut Builder, norm: Value) -> Value {
        let zero = b.scalar_f64(0.0);
        let some = b.lt(zero, self.tokens);
        let norm_ok = is_finite(b, norm);
        let loss_ok = is_finite(b, self.loss);
        let both = b.and(norm_ok, loss_ok);
        b.and(some, both)
    }
}

/// `x - x == 0` holds for finite numbers alone.
fn is_finite(b: &mut Builder, x: Value) -> Value {
    let zero = b.zeros_like(x);
    let difference = b.sub(x, x);
    b.eq(difference, zero)
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
        let inputs = [self.weight, self.grad, self.lr, self.t];
        let operands = Operands { inputs: &inputs, params: &[], states: &moments, dropout: None };
        let results = lower(b, rule, &operands, origins);
        self.store(b, &self.param.path, self.weight, results.outputs[0]);
        for ((state, &before), &after) in rule.states.iter().zip(&moments).zip(&results.states) {
            self.store(b, &moment_name(self.param, &state.name), before, after);
        }
    }

    /// Stores `after`, or keeps `before` when the step is skipped.
    fn store(&self, b: &mut Builder, name: &str, before: Value, after: Value) {
        let shape = b.shape(before);
        let ok = b.broadcast(self.ok, &shape);
        let value = b.select(ok, after, before);
        b.store(name, value);
    }
}

/// Moves the counters and clears the sums.
fn commit(b: &mut Builder, ok: Value) {
    let one = b.scalar_f64(1.0);
    let applied = b.cast(ok, Dtype::F64);
    let skipped = b.sub(one, applied);
    for (name, by) in [(names::APPLIED, applied), (names::SKIPPED, skipped), (names::CONSUMED, one)]
    {
        let before = read_scalar(b, name);
        let after = b.add(before, by);
        b.store(name, after);
    }
    let zero = b.scalar_f64(0.0);
    for name in [names::LOSS_SUM, names::TOKEN_SUM] {
        b.store(name, zero);
    }
    b.store("finite", applied);
}

fn report(b: &mut Builder, metrics: &[(&str, Value)]) {
    for &(name, value) in metrics {
        b.store(name, value);
    }
}
