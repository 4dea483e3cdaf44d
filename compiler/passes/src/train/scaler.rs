//! The loss scaler and the causes of skipped updates, as f64 scalars of `update`.
//!
//! An update is applied when there is a target token and loss, rate, scale and gradient norm are
//! finite. The scale changes between optimizer steps only: an overflow halves it, down to its
//! minimum; enough applied updates in a row double it, while it stays finite in f32.
//! Micikevicius et al. 2018, arXiv:1710.03740.

use ir::builder::Builder;
use ir::graph::Value;
use ir::types::Dtype;
use sema::LossScale;

use super::{names, read_scalar};

/// Why an update was or was not applied: the metric `skip_cause`.
mod cause {
    /// It was.
    pub(super) const APPLIED: f64 = 0.0;
    /// The loss is finite, the norm of the gradient is not, and a scaler is active.
    pub(super) const OVERFLOW: f64 = 1.0;
    /// Loss, rate or scale is not finite; or the norm, without a scaler.
    pub(super) const NONFINITE: f64 = 2.0;
    /// No target token.
    pub(super) const EMPTY: f64 = 3.0;
}

/// What decides whether an update is applied; f64 scalars.
pub(super) struct Evidence {
    pub(super) tokens: Value,
    pub(super) loss: Value,
    pub(super) norm: Value,
    pub(super) lr: Value,
    pub(super) scale: Value,
}

/// Whether an update is applied, and why not.
pub(super) struct Verdict {
    /// A bool scalar.
    pub(super) is_applied: Value,
    /// The metric, an f64 scalar.
    cause: Value,
}

/// The scale of the losses of this step, an f64 scalar.
pub(super) fn scale(b: &mut Builder, policy: LossScale) -> Value {
    match policy {
        LossScale::None => b.scalar_f64(1.0),
        LossScale::Static(scale) => b.scalar_f64(scale),
        LossScale::Dynamic { .. } => read_scalar(b, names::LOSS_SCALE),
    }
}

/// The scale of the first step.
pub(super) fn start(policy: LossScale) -> f64 {
    match policy {
        LossScale::None => 1.0,
        LossScale::Static(scale) | LossScale::Dynamic { start: scale, .. } => scale,
    }
}

impl Evidence {
    /// The cause that comes first holds: no token, then what no scale could mend, then overflow.
    pub(super) fn judge(&self, b: &mut Builder, policy: LossScale) -> Verdict {
        let zero = b.scalar_f64(0.0);
        let some = b.lt(zero, self.tokens);
        let mut rest_is_finite = is_finite(b, self.loss);
        for other in [self.lr, self.scale] {
            let other = is_finite(b, other);
            rest_is_finite = b.and(rest_is_finite, other);
        }
        let norm_is_finite = is_finite(b, self.norm);
        let applied = b.scalar_f64(cause::APPLIED);
        let of_norm = b.scalar_f64(match policy {
            LossScale::None => cause::NONFINITE,
            LossScale::Static(_) | LossScale::Dynamic { .. } => cause::OVERFLOW,
        });
        let nonfinite = b.scalar_f64(cause::NONFINITE);
        let empty = b.scalar_f64(cause::EMPTY);
        let cause = b.select(norm_is_finite, applied, of_norm);
        let cause = b.select(rest_is_finite, cause, nonfinite);
        let cause = b.select(some, cause, empty);
        Verdict { is_applied: b.eq(cause, applied), cause }
    }
}

impl Verdict {
    /// 1 when the cause is this one, else 0.
    fn is(&self, b: &mut Builder, cause: f64) -> Value {
        let cause = b.scalar_f64(cause);
        let is = b.eq(self.cause, cause);
        b.cast(is, Dtype::F64)
    }

    /// Counts the skip by its cause and reports it.
    pub(super) fn count(&self, b: &mut Builder) {
        let counters = [
            (names::SKIPPED_OVERFLOW, cause::OVERFLOW),
            (names::SKIPPED_NONFINITE, cause::NONFINITE),
            (names::SKIPPED_EMPTY, cause::EMPTY),
        ];
        for (name, cause) in counters {
            let before = read_scalar(b, name);
            let by = self.is(b, cause);
            let after = b.add(before, by);
            b.store(name, after);
        }
        b.store(names::SKIP_CAUSE, self.cause);
    }

    /// Stores the scale of the next step.
    pub(super) fn rescale(&self, b: &mut Builder, policy: LossScale, scale: Value) {
        b.store(names::USED_SCALE, scale);
        let (next, clean) = match policy {
            LossScale::None | LossScale::Static(_) => (scale, b.scalar_f64(0.0)),
            LossScale::Dynamic { growth, min, .. } => self.moved(b, scale, growth, min),
        };
        b.store(names::LOSS_SCALE, next);
        b.store(names::CLEAN, clean);
    }

    /// The next scale and the number of updates applied since it last changed.
    fn moved(&self, b: &mut Builder, scale: Value, growth: u64, min: f64) -> (Value, Value) {
        let one = b.scalar_f64(1.0);
        let zero = b.scalar_f64(0.0);
        let overflow = b.scalar_f64(cause::OVERFLOW);
        let overflows = b.eq(self.cause, overflow);
        let before = read_scalar(b, names::CLEAN);
        let counted = b.add(before, one);
        let clean = b.select(self.is_applied, counted, before);
        let growth = b.scalar_f64(growth as f64);
        let enough = b.le(growth, clean);
        let grows = b.and(self.is_applied, enough);
        let grown = doubled(b, scale);
        let shrunk = halved(b, scale, min);
        let rising = b.select(grows, grown, scale);
        let next = b.select(overflows, shrunk, rising);
        let restarts = b.or(grows, overflows);
        (next, b.select(restarts, zero, clean))
    }
}

/// Twice the scale, or the scale when that is no f32: `micro` starts from an f32.
fn doubled(b: &mut Builder, scale: Value) -> Value {
    let double = b.add(scale, scale);
    let narrow = b.cast(double, Dtype::F32);
    let fits = is_finite(b, narrow);
    b.select(fits, double, scale)
}

fn halved(b: &mut Builder, scale: Value, min: f64) -> Value {
    let half = b.scalar_f64(0.5);
    let half = b.mul(scale, half);
    let min = b.scalar_f64(min);
    b.max(half, min)
}

/// `x - x == 0` holds for finite numbers alone.
fn is_finite(b: &mut Builder, x: Value) -> Value {
    let zero = b.zeros_like(x);
    let difference = b.sub(x, x);
    b.eq(difference, zero)
}
