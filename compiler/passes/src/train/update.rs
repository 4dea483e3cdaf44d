//! `update`: one optimizer step from the summed gradients, as a list of stages.
//!
//! In [`ORDER`]: sums over micro-batches and workers; one division by loss scale × prescale ×
//! tokens (reciprocal in f64); norm and finite check; clip; the rule at lr(t) with its averages.
//! Each stage marks what it hands on, and `ir::verify` refuses any other order. A step that is not
//! sound (see [`super::scaler`]) changes no weight, moment, average, lr or t: it only counts as
//! skipped.

#[cfg(test)]
mod tests;

use diag::Diagnostic;
use ir::builder::Builder;
use ir::graph::{Graph, Value};
use ir::ops::stage::Stage;
use ir::types::{Dtype, Type};
use sema::Program;
use sema::trace::Param;

use super::optimizer::{Rules, Unit};
use super::scaler::Evidence;
use super::step::Step;
use super::{clip, counters, measures, micro, names, rate, read_scalar, scaler, step};
use crate::origins::Origins;

/// What a stage does to the step so far.
type StageFn = fn(&mut Builder, &mut Flow<'_, '_>);

/// The stages of an optimizer step.
const ORDER: [StageFn; 6] = [accumulate, reduce, unscale, check, clip, apply];

/// The function.
pub(super) fn build(
    program: &Program,
    params: &[Param],
    rules: &Rules,
    origins: &mut Origins<'_>,
) -> Result<Graph, Vec<Diagnostic>> {
    build_in(&ORDER, program, params, rules, origins)
}

fn build_in(
    order: &[StageFn],
    program: &Program,
    params: &[Param],
    rules: &Rules,
    origins: &mut Origins<'_>,
) -> Result<Graph, Vec<Diagnostic>> {
    let mut b = Builder::new("update");
    let mut flow = Flow::new(&mut b, program, params, rules, origins)?;
    for stage in order {
        stage(&mut b, &mut flow);
    }
    for (name, value) in [("loss", flow.loss), ("tokens", flow.tokens), ("lr", flow.lr)] {
        b.store(name, value);
    }
    for name in super::sums(program) {
        let zero = b.scalar_f64(0.0);
        b.store(name, zero);
    }
    Ok(b.finish())
}

/// What the stages of a step hand on.
struct Flow<'a, 'o> {
    program: &'a Program,
    params: &'a [Param],
    rules: &'a Rules,
    origins: &'a mut Origins<'o>,
    /// One for each unit of the rules.
    grads: Vec<Value>,
    /// 1 / (loss scale × prescale × tokens), an f32 scalar; 1 until `unscale` has taken it.
    inverse: Value,
    /// Mean over target tokens, f64.
    loss: Value,
    /// Target tokens, f64.
    tokens: Value,
    /// The loss scale, f64.
    scale: Value,
    /// The number of this update from 1, f64.
    t: Value,
    /// lr(t), f64.
    lr: Value,
    /// The global l2 norm, f64; 0 until `check` has taken it.
    norm: Value,
    /// Whether the step is applied, a bool; true until `check` has looked.
    is_sound: Value,
}

impl<'a, 'o> Flow<'a, 'o> {
    fn new(
        b: &mut Builder,
        program: &'a Program,
        params: &'a [Param],
        rules: &'a Rules,
        origins: &'a mut Origins<'o>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let tokens = read_scalar(b, names::TOKEN_SUM);
        let sum = read_scalar(b, names::LOSS_SUM);
        let loss = b.div(sum, tokens);
        let applied = read_scalar(b, names::APPLIED);
        let one = b.scalar_f64(1.0);
        let t = b.add(applied, one);
        let lr = rate::rate(b, program, t, origins)?;
        let grads = rules.units.iter().map(|unit| read_sums(b, unit)).collect();
        let inverse = b.full(1.0, Dtype::F32, &[]);
        let scale = scaler::scale(b, program.train.loss_scale);
        let norm = b.scalar_f64(0.0);
        let is_sound = b.full(1.0, Dtype::Bool, &[]);
        let flow = Self {
            program,
            params,
            rules,
            origins,
            grads,
            inverse,
            loss,
            tokens,
            scale,
            t,
            lr,
            norm,
            is_sound,
        };
        Ok(flow)
    }

    /// Marks all gradients.
    fn mark(&mut self, b: &mut Builder, stage: Stage) {
        for grad in &mut self.grads {
            *grad = b.push(stage, &[*grad]);
        }
    }
}

/// The sums of gradients of a unit.
pub(super) fn read_sums(b: &mut Builder, unit: &Unit) -> Value {
    b.state(&unit.grad, Type::new(Dtype::F32, unit.shape.clone()))
}

/// The sums of `micro`, as they are.
fn accumulate(b: &mut Builder, flow: &mut Flow<'_, '_>) {
    flow.mark(b, Stage::Accumulate);
}

/// Sums over workers; there is one.
fn reduce(b: &mut Builder, flow: &mut Flow<'_, '_>) {
    flow.mark(b, Stage::Reduce);
}

/// Sums become means over target tokens, without the scale of the loss.
fn unscale(b: &mut Builder, flow: &mut Flow<'_, '_>) {
    let prescale = b.scalar_f64(micro::prescale(flow.program));
    let factor = b.mul(flow.scale, prescale);
    let below = b.mul(factor, flow.tokens);
    let one = b.scalar_f64(1.0);
    let inverse = b.div(one, below);
    let inverse = b.cast(inverse, Dtype::F32);
    flow.inverse = inverse;
    for grad in &mut flow.grads {
        let shape = b.shape(*grad);
        let inverse = b.broadcast(inverse, &shape);
        *grad = b.mul(*grad, inverse);
    }
    flow.mark(b, Stage::Unscale);
}

/// The norm, whether the step is sound, and what follows from that for scale and counters.
fn check(b: &mut Builder, flow: &mut Flow<'_, '_>) {
    let squares = clip::squares(b, &flow.grads);
    let sum = clip::sum(b, &squares);
    let norm = b.sqrt(sum);
    flow.norm = b.push(Stage::Check, &[norm]);
    flow.mark(b, Stage::Check);
    let policy = flow.program.train.loss_scale;
    let Flow { tokens, loss, norm, lr, scale, .. } = *flow;
    let verdict = Evidence { tokens, loss, norm, lr, scale }.judge(b, policy);
    verdict.count(b);
    verdict.rescale(b, policy, scale);
    counters::commit(b, verdict.is_applied);
    b.store("grad_norm", norm);
    measures::norms(b, flow.program, flow.params, flow.rules, flow.inverse);
    measures::noise_scale(b, flow.program, norm, tokens);
    flow.is_sound = verdict.is_applied;
}

/// Gradients within the limit.
fn clip(b: &mut Builder, flow: &mut Flow<'_, '_>) {
    let policy = flow.program.train.clip;
    let coefficient = clip::coefficient(b, policy, flow.norm, &flow.grads);
    for grad in &mut flow.grads {
        *grad = clip::apply(b, policy, coefficient, *grad);
    }
    flow.mark(b, Stage::Clip);
    b.store("clip_coef", coefficient);
}

/// New weights and moments by the rule, and their averages; or the old ones.
fn apply(b: &mut Builder, flow: &mut Flow<'_, '_>) {
    for (unit, &grad) in flow.rules.units.iter().zip(&flow.grads) {
        let stored = super::dtype(flow.program.train.precision.master);
        let weight = b.state(&unit.weight, Type::new(stored, unit.shape.clone()));
        let step = Step { unit, weight, grad, lr: flow.lr, t: flow.t };
        let after = step.rule(b, flow.origins);
        let averages = flow.program.train.ema.map(|keep| step.average(b, keep, after[0].after));
        for change in after.into_iter().chain(averages) {
            step::commit(b, flow.is_sound, change);
        }
    }
}
