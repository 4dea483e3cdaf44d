//! Checks of attention steps.

use plan::{Arg, Attention, Buffer, Dtype, Pass, Plan, Scratch, Strided, TileArg, TileKernel};

use super::{base, elements, ensure, ints, span};
use crate::error::Error;

/// Refuses a step with sizes that a device does not have, a wrong type, a place outside of its
/// buffer, or a result that lies on an operand.
pub(super) fn attention(plan: &Plan, a: &Attention, origin: &str) -> Result<(), Error> {
    ensure(sizes_are_right(a), || format!("sizes of an attention ({origin})"))?;
    a.args().try_for_each(|arg| base(plan, arg))?;
    ensure(types_are_right(plan, a), || format!("types of an attention ({origin})"))?;
    let read = [(a.q, query(a)), (a.k, key(a)), (a.v, value(a))];
    read.into_iter().try_for_each(|(x, sizes)| tensor(plan, x, sizes, origin))?;
    if let Pass::Backward { dout, dq, dk, dv, weights: _ } = a.pass.clone() {
        let more = [(dout, result(a)), (dq, query(a)), (dk, key(a)), (dv, value(a))];
        more.into_iter().try_for_each(|(x, sizes)| tensor(plan, x, sizes, origin))?;
    }
    a.band.offset.map_or(Ok(()), |offset| ints(plan, offset, 1))?;
    a.pass.kernels().into_iter().try_for_each(|k| kernel(plan, a, k, origin))?;
    ensure(is_apart(a), || format!("an attention overwrites its operand ({origin})"))
}

fn sizes_are_right(a: &Attention) -> bool {
    let small = [a.row_tile, a.key_tile, a.width, a.value_width];
    let places = [a.batch, a.heads, a.rows, a.keys];
    let fits = |n: u64| i32::try_from(n).is_ok();
    small.iter().all(|size| (1..=Attention::MOST).contains(size))
        && places.into_iter().all(fits)
        && a.groups > 0
        && a.heads.is_multiple_of(a.groups)
}

fn query(a: &Attention) -> [u64; 4] {
    [a.batch, a.heads, a.rows, a.width]
}

fn key(a: &Attention) -> [u64; 4] {
    [a.batch, a.groups, a.keys, a.width]
}

fn value(a: &Attention) -> [u64; 4] {
    [a.batch, a.groups, a.keys, a.value_width]
}

fn result(a: &Attention) -> [u64; 4] {
    [a.batch, a.heads, a.rows, a.value_width]
}

fn types_are_right(plan: &Plan, a: &Attention) -> bool {
    let dtype = |x: Strided| plan[x.arg.buffer].dtype;
    let of_operands = dtype(a.q);
    let is_read = [a.k, a.v].into_iter().all(|x| dtype(x) == of_operands);
    let is_right = match &a.pass {
        Pass::Forward { .. } => true,
        Pass::Backward { dout, dq, dk, dv, weights: _ } => {
            dtype(*dout) == of_operands && [dq, dk, dv].iter().all(|x| dtype(**x) == Dtype::F32)
        }
    };
    is_read && is_right && matches!(of_operands, Dtype::F32 | Dtype::F16 | Dtype::Bf16)
}

/// One more than the last element that strides reach from a place on; 0 where an axis is empty.
fn reach(sizes: [u64; 4], strides: [i64; 4], origin: &str) -> Result<u64, Error> {
    if sizes.contains(&0) {
        return Ok(0);
    }
    let axes: Vec<(u64, i64)> = sizes.into_iter().zip(strides).collect();
    span(&axes).ok_or_else(|| Error::BadPlan(format!("strides of an attention ({origin})")))
}

fn tensor(plan: &Plan, x: Strided, sizes: [u64; 4], origin: &str) -> Result<(), Error> {
    let buffer: &Buffer = &plan[x.arg.buffer];
    elements(plan, x.arg, reach(sizes, x.strides, origin)?, buffer.dtype)
}

/// A kernel is there, its operands are of its pass, and begin inside their buffers for every tile.
fn kernel(plan: &Plan, a: &Attention, kernel: &TileKernel, origin: &str) -> Result<(), Error> {
    let code = kernel.code;
    ensure((code as usize) < plan.code.len(), || format!("no code {code} ({origin})"))?;
    let is_forward = matches!(a.pass, Pass::Forward { .. });
    // Rows and keys of the last tile's first.
    let last = |size: u64, tile: u64| size.saturating_sub(1) / tile * tile + u64::from(size > 0);
    let sizes = [a.batch, a.heads, last(a.rows, a.row_tile), last(a.keys, a.key_tile)];
    kernel.args.iter().try_for_each(|arg| match arg {
        TileArg::Scratch(scratch) => {
            let is_known = match scratch {
                Scratch::Scores => true,
                Scratch::Grads => !is_forward,
                Scratch::Top | Scratch::Sum | Scratch::Factor | Scratch::Acc => is_forward,
            };
            ensure(is_known, || format!("{scratch:?} in an attention ({origin})"))
        }
        TileArg::Origin => Ok(()),
        TileArg::Global { arg, strides } => {
            let n = reach(sizes, *strides, origin)?;
            elements(plan, *arg, n, plan[arg.buffer].dtype)
        }
    })
}

/// Units read all of the operands while others write: results have buffers of their own. Results
/// may share one, as pieces between each other.
fn is_apart(a: &Attention) -> bool {
    let mut read = vec![a.q, a.k, a.v];
    let mut written = vec![];
    if let Pass::Backward { dout, dq, dk, dv, weights: _ } = &a.pass {
        read.push(*dout);
        written = vec![dq.arg, dk.arg, dv.arg];
    }
    let is_operand = |arg: Arg| read.iter().any(|x| x.arg.buffer == arg.buffer);
    let differ = |x: usize, y: usize| written[x] != written[y];
    let are_pieces = written.is_empty() || differ(0, 1) && differ(0, 2) && differ(1, 2);
    // What a kernel does with its operands is not known here.
    let kernels = a.pass.kernels();
    let globals = kernels.iter().flat_map(|k| &k.args).filter_map(|arg| match arg {
        TileArg::Global { arg, strides: _ } => Some(*arg),
        TileArg::Scratch(_) | TileArg::Origin => None,
    });
    let is_result = |arg: Arg| written.iter().any(|x| x.buffer == arg.buffer);
    let globals_are_apart = globals.into_iter().all(|arg| !is_operand(arg) && !is_result(arg));
    let offset_is_apart = a.band.offset.is_none_or(|arg| !is_result(arg));
    are_pieces
        && globals_are_apart
        && offset_is_apart
        && written.iter().all(|&arg| !is_operand(arg))
}
