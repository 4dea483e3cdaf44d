//! `micro`: forward and backward of a micro-batch; gradients as sums over tokens.
//!
//! The backward pass starts from scale · 2^-k, k = floor(log2(planned target tokens of the step)):
//! an exact power of two that keeps the sums in range and is divided out once, in `update`.

use ir::builder::Builder;
use ir::graph::{Graph, Value};
use ir::ops::round::Round;
use ir::types::{Dtype, Type};
use sema::Program;
use sema::trace::Param;

use super::forward::Forward;
use super::{grad_name, measures, names, read_params, read_scalar, scaler};
use crate::autodiff::{Known, gradients};
use crate::lower::Draw;
use crate::origins::Origins;

/// The function.
pub(super) fn build(program: &Program, forward: &Forward, origins: &mut Origins<'_>) -> Graph {
    let mut b = Builder::new("micro");
    let params = read_params(&mut b, program, &forward.model.params);
    let draw = draw(&mut b);
    let losses = forward.losses(&mut b, &params, ["ids", "targets"], Some(draw), origins);
    let cotangent = cotangent(&mut b, program, losses.per_token);
    let known = Known { stops: &losses.stops, narrow: &losses.narrow };
    // What is frozen has no gradient, and nothing is computed for one.
    let all = forward.model.params.iter().zip(params);
    let (params, values): (Vec<&Param>, Vec<Value>) =
        all.filter(|(param, _)| !program.train.is_frozen(param)).unzip();
    let grads = gradients(&mut b, losses.per_token, cotangent, &values, known);
    let each = params.iter().zip(grads);
    let grads: Vec<Value> =
        each.map(|(param, grad)| handed_over(&mut b, program, param, grad)).collect();
    measures::sum_squares(&mut b, program, &grads, losses.tokens);
    let is_first = count_batches(&mut b, program);
    for (param, grad) in params.iter().zip(grads) {
        accumulate(&mut b, is_first, param, grad);
    }
    for (name, value) in [(names::LOSS_SUM, losses.sum), (names::TOKEN_SUM, losses.tokens)] {
        let before = read_scalar(&mut b, name);
        let sum = b.add(before, value);
        b.store(name, sum);
    }
    b.finish()
}

/// Where the backward pass starts: loss scale × prescale for every token.
fn cotangent(b: &mut Builder, program: &Program, per_token: Value) -> Value {
    let scale = scaler::scale(b, program.train.loss_scale);
    let prescale = b.scalar_f64(prescale(program));
    let product = b.mul(scale, prescale);
    let ty = b.ty(per_token).clone();
    let product = b.cast(product, ty.dtype);
    b.broadcast(product, &ty.shape)
}

/// The power of two that keeps sums over the planned tokens in range.
pub(super) fn prescale(program: &Program) -> f64 {
    let tokens = program.train.batch * program.train.context;
    0.5f64.powi(tokens.max(1).ilog2().cast_signed())
}

fn draw(b: &mut Builder) -> Draw {
    let seed = b.state(names::SEED, Type::scalar(Dtype::I32));
    let consumed = read_scalar(b, names::CONSUMED);
    let step = b.cast(consumed, Dtype::I32);
    let row = b.state("row", Type::scalar(Dtype::I32));
    Draw { seed, step, row }
}

/// Counts the micro-batches since the last update; whether this is the first, when there are more.
fn count_batches(b: &mut Builder, program: &Program) -> Option<Value> {
    if program.train.accumulate == 1 {
        return None;
    }
    let before = read_scalar(b, names::SUMMED);
    let [zero, one] = [0.0, 1.0].map(|x| b.scalar_f64(x));
    let after = b.add(before, one);
    b.store(names::SUMMED, after);
    Some(b.eq(before, zero))
}

/// A parameter's gradient as the sums get it: in f32, rounded to the type that `reduce` names; zeros
/// when the loss does not depend on it.
fn handed_over(b: &mut Builder, program: &Program, param: &Param, grad: Option<Value>) -> Value {
    let Some(grad) = grad else { return b.full(0.0, Dtype::F32, &param.shape) };
    let wide = b.cast(grad, Dtype::F32);
    let to = super::dtype(program.train.precision.reduce);
    if to.is_narrow() { b.push(Round { to }, &[wide]) } else { wide }
}

/// Adds a gradient to what earlier micro-batches left; the first replaces what is there.
///
/// So the sums outlive `update`: the host can look at those of a step that was skipped.
fn accumulate(b: &mut Builder, is_first: Option<Value>, param: &Param, grad: Value) {
    let ty = Type::new(Dtype::F32, param.shape.clone());
    let name = grad_name(param);
    let sum = match is_first {
        None => grad,
        Some(is_first) => {
            let is_first = b.broadcast(is_first, &ty.shape);
            let zero = b.full(0.0, ty.dtype, &ty.shape);
            let left = b.state(&name, ty);
            let before = b.select(is_first, zero, left);
            b.add(before, grad)
        }
    };
    b.store(&name, sum);
}
