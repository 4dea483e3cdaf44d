//! What is measured of gradients beside their global norm.
//!
//! `grad_norm.PATH` is the l2 norm of one parameter's gradient, before the clip. The noise scale
//! compares the gradients of micro-batches with that of the whole step: the number of tokens at
//! which noise and signal are of one size. McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.

use ir::builder::Builder;
use ir::graph::Value;
use ir::types::Dtype;
use sema::trace::Param;
use sema::{Measure, Program};

use super::optimizer::Rules;
use super::{clip, micro, names, read_scalar, scaler, update};

/// Whether a program measures this.
pub(super) fn has(program: &Program, measure: Measure) -> bool {
    program.train.measures.contains(&measure)
}

/// Whether it measures the noise scale: a step of one micro-batch has nothing to compare.
pub(super) fn has_noise(program: &Program) -> bool {
    has(program, Measure::NoiseScale) && program.train.accumulate > 1
}

/// The name of the norm of a parameter's gradient.
pub(super) fn norm_name(param: &Param) -> String {
    format!("grad_norm.{}", param.path)
}

/// The norm of each parameter's gradient: that of its sums, times what unscales them.
///
/// Sums are read where they lie; the unscaled gradients of a flat state are in no memory.
pub(super) fn norms(
    b: &mut Builder,
    program: &Program,
    params: &[Param],
    rules: &Rules,
    inverse: Value,
) {
    if !has(program, Measure::GradNorms) {
        return;
    }
    let inverse = b.cast(inverse, Dtype::F64);
    for unit in &rules.units {
        let sums = update::read_sums(b, unit);
        for &(member, offset) in &unit.members {
            let sum = piece(b, sums, &params[member].shape, offset);
            let squares = clip::squares(b, &[sum]);
            let norm = b.sqrt(squares[0]);
            let norm = b.mul(norm, inverse);
            b.store(&norm_name(&params[member]), norm);
        }
    }
}

/// The elements of a parameter in a state that may hold others.
fn piece(b: &mut Builder, whole: Value, shape: &[u64], offset: u64) -> Value {
    if b.ty(whole).shape == shape {
        return whole;
    }
    let all = b.ty(whole).len();
    let row = b.reshape(whole, &[all]);
    let part = b.slice(row, 0, offset, shape.iter().product());
    b.reshape(part, shape)
}

/// In `micro`: adds the squared norm of this micro-batch's own mean gradient to `noise.squares`.
///
/// `grads` are its scaled sums. A micro-batch without a target token counts nothing.
pub(super) fn sum_squares(b: &mut Builder, program: &Program, grads: &[Value], tokens: Value) {
    if !has_noise(program) {
        return;
    }
    let squares = clip::squares(b, grads);
    let square = clip::sum(b, &squares);
    let scale = scaler::scale(b, program.train.loss_scale);
    let prescale = b.scalar_f64(micro::prescale(program));
    let factor = b.mul(scale, prescale);
    let below = b.mul(factor, tokens);
    let below = b.mul(below, below);
    let mean = b.div(square, below);
    let zero = b.scalar_f64(0.0);
    let counts = b.lt(zero, tokens);
    let mean = b.select(counts, mean, zero);
    let one = b.cast(counts, Dtype::F64);
    for (name, by) in [(names::NOISE_SQUARES, mean), (names::NOISE_BATCHES, one)] {
        let before = read_scalar(b, name);
        let after = b.add(before, by);
        b.store(name, after);
    }
}

/// In `update`: the noise scale in tokens, from the norm of the step's gradient.
///
/// With B the tokens and G the gradient of a micro-batch (small) or of the step (big), unbiased
/// estimates of the signal and of the noise are `(B_big·|G_big|² − B_small·|G_small|²) / (B_big −
/// B_small)` and `(|G_small|² − |G_big|²) / (1/B_small − 1/B_big)`.
pub(super) fn noise_scale(b: &mut Builder, program: &Program, norm: Value, tokens: Value) {
    if !has_noise(program) {
        return;
    }
    let sum = read_scalar(b, names::NOISE_SQUARES);
    let batches = read_scalar(b, names::NOISE_BATCHES);
    let small = b.div(sum, batches);
    let tokens_small = b.div(tokens, batches);
    let big = b.mul(norm, norm);
    let whole = b.mul(tokens, big);
    let part = b.mul(tokens_small, small);
    let above = b.sub(whole, part);
    let more = b.sub(tokens, tokens_small);
    let signal = b.div(above, more);
    let difference = b.sub(small, big);
    let one = b.scalar_f64(1.0);
    let each = b.div(one, tokens_small);
    let all = b.div(one, tokens);
    let fewer = b.sub(each, all);
    let noise = b.div(difference, fewer);
    let ratio = b.div(noise, signal);
    b.store(names::NOISE_SCALE, ratio);
}
