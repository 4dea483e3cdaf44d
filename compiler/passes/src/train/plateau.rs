//! `plateau`: a lower rate when the validation loss has stopped to improve.
//!
//! The host calls it after each evaluation, with the loss in `val_loss`. A lower loss than ever is
//! an improvement; `patience` applied updates after the last one, or after the last change, the
//! factor is multiplied, down to its minimum. A loss that is NaN is no improvement.

use ir::builder::Builder;
use ir::graph::{Graph, Value};

use super::{names, read_scalar};

/// The counters of the schedule and where they start.
pub(super) const COUNTERS: [(&str, f64); 3] =
    [(names::PLATEAU, 1.0), (names::PLATEAU_BEST, f64::INFINITY), (names::PLATEAU_SINCE, 0.0)];

/// The function.
pub(super) fn build(factor: f64, patience: u64, min: f64) -> Graph {
    let mut b = Builder::new("plateau");
    let loss = read_scalar(&mut b, names::VAL_LOSS);
    let best = read_scalar(&mut b, names::PLATEAU_BEST);
    let since = read_scalar(&mut b, names::PLATEAU_SINCE);
    let applied = read_scalar(&mut b, names::APPLIED);
    let improves = b.lt(loss, best);
    let waited = b.sub(applied, since);
    let patience = b.scalar_f64(patience as f64);
    let is_late = b.le(patience, waited);
    let is_stuck = b.not(improves);
    let lowers = b.and(is_stuck, is_late);
    let moves = b.or(improves, lowers);
    let current = read_scalar(&mut b, names::PLATEAU);
    let lowered = lowered(&mut b, current, factor, min);
    let changes = [
        (names::PLATEAU_BEST, improves, loss, best),
        (names::PLATEAU_SINCE, moves, applied, since),
        (names::PLATEAU, lowers, lowered, current),
    ];
    for (name, condition, after, before) in changes {
        let value = b.select(condition, after, before);
        b.store(name, value);
    }
    b.finish()
}

fn lowered(b: &mut Builder, current: Value, factor: f64, min: f64) -> Value {
    let factor = b.scalar_f64(factor);
    let product = b.mul(current, factor);
    let min = b.scalar_f64(min);
    b.max(product, min)
}
