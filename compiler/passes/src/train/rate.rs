//! The learning rate of an update: peak × warm-up × schedule, in f64.

use diag::Diagnostic;
use ir::builder::Builder;
use ir::graph::Value;
use ir::types::Dtype;
use sema::Program;

use super::{names, read_scalar};
use crate::lower::{Operands, lower};
use crate::origins::Origins;

/// How small an exponential warm-up starts, as a share of the peak.
const EXPONENTIAL_START: f64 = 0.01;

/// lr(t) for the update `t` (from 1), an f64 scalar.
///
/// Warm-up: `t / warmup` up to 1, or `0.01^(1 - t / warmup)`. The schedule sees the steps after
/// the warm-up.
pub(super) fn rate(
    b: &mut Builder,
    program: &Program,
    t: Value,
    origins: &mut Origins<'_>,
) -> Result<Value, Vec<Diagnostic>> {
    let train = &program.train;
    let trace = program.trace_schedule()?;
    let warmup = b.scalar_f64(train.warmup as f64);
    let after = b.sub(t, warmup);
    let zero = b.scalar_f64(0.0);
    let step = b.max(after, zero);
    let total = b.scalar_f64(train.steps.saturating_sub(train.warmup).max(1) as f64);
    let inputs = [step, total];
    let operands =
        Operands { inputs: &inputs, params: &[], states: &[], dropout: None, real: Dtype::F32 };
    let factor = match trace {
        Some(trace) => lower(b, &trace, &operands, origins).outputs[0],
        None => read_scalar(b, names::PLATEAU),
    };
    let peak = b.scalar_f64(train.lr);
    let scheduled = b.mul(peak, factor);
    if train.warmup == 0 {
        return Ok(scheduled);
    }
    let ramp = ramp(b, t, warmup, train.warmup_exponential);
    let rising = b.mul(peak, ramp);
    let is_warm = b.le(warmup, t);
    Ok(b.select(is_warm, scheduled, rising))
}

fn ramp(b: &mut Builder, t: Value, warmup: Value, is_exponential: bool) -> Value {
    let share = b.div(t, warmup);
    if !is_exponential {
        return share;
    }
    let one = b.scalar_f64(1.0);
    let rest = b.sub(one, share);
    let start = b.scalar_f64(EXPONENTIAL_START);
    b.pow(start, rest)
}
