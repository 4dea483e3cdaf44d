//! The counters of `update`: applied, skipped, consumed; in a row and of late.
//!
//! Schedules follow applied updates, the data cursor follows consumed batches; both are saved, so
//! that a resumed run decides as one that was never stopped.

use ir::builder::Builder;
use ir::graph::Value;
use ir::types::{Dtype, Type};
use plan::RECENT;

use super::forward::total;
use super::{names, read_scalar};

/// Moves every counter; `is_applied` is a bool scalar.
pub(super) fn commit(b: &mut Builder, is_applied: Value) {
    let one = b.scalar_f64(1.0);
    let applied = b.cast(is_applied, Dtype::F64);
    let skipped = b.sub(one, applied);
    remember(b, skipped);
    for (name, by) in [(names::APPLIED, applied), (names::SKIPPED, skipped), (names::CONSUMED, one)]
    {
        let before = read_scalar(b, name);
        let after = b.add(before, by);
        b.store(name, after);
    }
    let before = read_scalar(b, names::SKIPS_IN_ROW);
    let longer = b.add(before, one);
    let zero = b.scalar_f64(0.0);
    let in_row = b.select(is_applied, zero, longer);
    b.store(names::SKIPS_IN_ROW, in_row);
    b.store("finite", applied);
}

/// Writes into the slot of this batch whether it was skipped, and adds all slots up.
fn remember(b: &mut Builder, skipped: Value) {
    let size = b.scalar_f64(RECENT as f64);
    let consumed = read_scalar(b, names::CONSUMED);
    let rounds = b.div(consumed, size);
    let rounds = b.floor(rounds);
    let full = b.mul(rounds, size);
    let slot = b.sub(consumed, full);
    let slot = b.cast(slot, Dtype::I32);
    let slot = b.broadcast(slot, &[RECENT]);
    let index = b.iota(0, &[RECENT]);
    let is_slot = b.eq(index, slot);
    let mark = b.cast(skipped, Dtype::F32);
    let mark = b.broadcast(mark, &[RECENT]);
    let before = b.state(names::RECENT_SKIPS, Type::new(Dtype::F32, [RECENT]));
    let after = b.select(is_slot, mark, before);
    b.store(names::RECENT_SKIPS, after);
    let sum = total(b, after);
    let sum = b.cast(sum, Dtype::F64);
    b.store(names::RECENT_SKIPPED, sum);
}
