//! Gradient clipping, after unscaling and before the rule.
//!
//! The coefficient is 1 while the norm is within the limit, else limit / norm, in f64; a norm that
//! is not finite never gets here (the update is skipped). Pascanu et al. 2013, arXiv:1211.5063.

use ir::builder::Builder;
use ir::graph::Value;
use ir::types::Dtype;
use sema::Clip;

use super::forward::total;

/// The sum of squares of each gradient, f64 scalars.
pub(super) fn squares(b: &mut Builder, grads: &[Value]) -> Vec<Value> {
    let square = |&grad: &Value| {
        let wide = b.cast(grad, Dtype::F64);
        let square = b.mul(wide, wide);
        total(b, square)
    };
    grads.iter().map(square).collect()
}

/// The sum of f64 scalars in order.
pub(super) fn sum(b: &mut Builder, parts: &[Value]) -> Value {
    let zero = b.scalar_f64(0.0);
    parts.iter().fold(zero, |sum, &part| b.add(sum, part))
}

/// The largest magnitude of all gradients, an f64 scalar.
fn linf_norm(b: &mut Builder, grads: &[Value]) -> Value {
    let mut top = b.scalar_f64(0.0);
    for &grad in grads {
        let magnitude = b.abs(grad);
        let axes: Vec<usize> = (0..b.ty(grad).shape.len()).collect();
        let part = if axes.is_empty() { magnitude } else { b.max_reduce(magnitude, &axes) };
        let part = b.reshape(part, &[]);
        let part = b.cast(part, Dtype::F64);
        top = b.max(top, part);
    }
    top
}

/// The coefficient that all gradients are multiplied by, an f64 scalar. `l2` is their l2 norm.
pub(super) fn coefficient(b: &mut Builder, clip: Clip, l2: Value, grads: &[Value]) -> Value {
    match clip {
        Clip::None | Clip::Value(_) => b.scalar_f64(1.0),
        Clip::L2(limit) => within(b, l2, limit),
        Clip::Linf(limit) => {
            let norm = linf_norm(b, grads);
            within(b, norm, limit)
        }
    }
}

fn within(b: &mut Builder, norm: Value, limit: f64) -> Value {
    let limit = b.scalar_f64(limit);
    let one = b.scalar_f64(1.0);
    let is_within = b.le(norm, limit);
    let ratio = b.div(limit, norm);
    b.select(is_within, one, ratio)
}

/// One clipped gradient.
pub(super) fn apply(b: &mut Builder, clip: Clip, coefficient: Value, grad: Value) -> Value {
    match clip {
        Clip::None => grad,
        Clip::L2(_) | Clip::Linf(_) => {
            let shape = b.shape(grad);
            let coefficient = b.cast(coefficient, Dtype::F32);
            let wide = b.broadcast(coefficient, &shape);
            b.mul(grad, wide)
        }
        Clip::Value(limit) => {
            let top = b.full_like(limit, grad);
            let bottom = b.full_like(-limit, grad);
            let below = b.min(grad, top);
            b.max(below, bottom)
        }
    }
}
