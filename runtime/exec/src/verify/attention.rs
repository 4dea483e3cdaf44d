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
    a.pass.kernels().try_for_each(|k| kernel(plan, a, k, origin))?;
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
    let mut globals = a.pass.kernels().flat_map(|k| &k.args).filter_map(|arg| match arg {
        TileArg::Global { arg, strides: _ } => Some(*arg),
        TileArg::Scratch(_) | TileArg::Origin => None,
    });
    let is_result = |arg: Arg| written.iter().any(|x| x.buffer == arg.buffer);
    let globals_are_apart = globals.all(|arg| !is_operand(arg) && !is_result(arg));
    let offset_is_apart = a.band.offset.is_none_or(|arg| !is_result(arg));
    are_pieces
        && globals_are_apart
        && offset_is_apart
        && written.iter().all(|&arg| !is_operand(arg))
}

#[cfg(test)]
mod tests {
    use plan::{ALIGN, Band, BufferId, Role, Step};

    use super::*;
    use crate::tiny;
    use crate::verify::verify;

    fn place(buffer: u32) -> Arg {
        Arg { buffer: BufferId(buffer), offset: 0 }
    }

    fn strided(buffer: u32) -> Strided {
        Strided { arg: place(buffer), strides: [12, 6, 2, 1] }
    }

    fn global(buffer: u32) -> TileArg {
        TileArg::Global { arg: place(buffer), strides: [6, 3, 1, 0] }
    }

    /// Operands in 0 to 6 of [2, 2, 3, 2], numbers of rows in 7, an i32 in 8.
    fn backward() -> Attention {
        let scratch = [Scratch::Scores, Scratch::Grads].map(TileArg::Scratch);
        let args = scratch.into_iter().chain([TileArg::Origin, global(7)]).collect();
        Attention {
            batch: 2,
            heads: 2,
            groups: 2,
            rows: 3,
            keys: 3,
            width: 2,
            value_width: 2,
            row_tile: 2,
            key_tile: 2,
            band: Band { causal: true, window: None, offset: Some(place(8)) },
            q: strided(0),
            k: strided(1),
            v: strided(2),
            pass: Pass::Backward {
                dout: strided(3),
                dq: strided(4),
                dk: strided(5),
                dv: strided(6),
                weights: TileKernel { code: 0, args },
            },
        }
    }

    fn verdict(attention: Attention) -> Result<(), Error> {
        let mut plan = tiny::plan();
        let sizes = [24, 24, 24, 24, 24, 24, 24, 12, 1];
        let ends = sizes.iter().scan(0u64, |end, n| {
            let offset = *end;
            *end = (offset + n * 4).next_multiple_of(ALIGN);
            Some((offset, *n))
        });
        plan.buffers = ends
            .enumerate()
            .map(|(at, (offset, n))| Buffer {
                name: format!("x{at}"),
                dtype: if at == 8 { Dtype::I32 } else { Dtype::F32 },
                shape: vec![n],
                role: Role::Temp,
                offset,
                bytes: n * 4,
                within: None,
            })
            .collect();
        plan.arena_bytes = 1 << 20;
        plan.functions.truncate(1);
        plan.functions[0].steps = vec![Step::Attention { attention, origin: "here".to_owned() }];
        verify(&plan)
    }

    #[test]
    fn takes_what_fits() {
        assert!(verdict(backward()).is_ok());
    }

    fn pass(a: &mut Attention) -> [&mut Strided; 4] {
        match &mut a.pass {
            Pass::Backward { dout, dq, dk, dv, weights: _ } => [dout, dq, dk, dv],
            Pass::Forward { .. } => panic!("it is backward"),
        }
    }

    fn args(a: &mut Attention) -> &mut TileKernel {
        match &mut a.pass {
            Pass::Backward { weights, .. } => weights,
            Pass::Forward { .. } => panic!("it is backward"),
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        type Edit = fn(&mut Attention);
        let cases: [(Edit, &str); 19] = [
            (|a| a.row_tile = 0, "sizes of an attention (here)"),
            (|a| a.key_tile = 513, "sizes"),
            (|a| a.width = 513, "sizes"),
            (|a| a.groups = 3, "sizes"),
            (|a| a.keys = 1 << 40, "sizes"),
            (|a| a.rows = 4, "`x0` does not hold 26"),
            (|a| a.keys = 4, "`x1` does not hold 26"),
            (|a| a.v.strides[3] = 2, "`x2` does not hold 25"),
            (|a| a.q.strides[0] = -12, "strides of an attention"),
            (|a| pass(a)[0].arg.offset = 4, "`x3` does not hold 24"),
            (|a| pass(a)[3].arg.buffer = BufferId(2), "overwrites its operand"),
            (|a| pass(a)[2].arg = pass(a)[1].arg, "overwrites its operand"),
            (|a| pass(a)[1].arg = place(8), "types of an attention"),
            (|a| a.k.arg = place(8), "types of an attention"),
            (|a| a.band.offset = Some(place(7)), "`x7` does not hold 1 I32"),
            (|a| args(a).code = 99, "no code 99 (here)"),
            (|a| args(a).args[0] = TileArg::Scratch(Scratch::Acc), "Acc in an attention"),
            (|a| args(a).args[3] = global(5), "overwrites its operand"),
            (
                |a| {
                    args(a).args[3] = TileArg::Global { arg: place(7), strides: [6, 3, 2, 0] };
                },
                "`x7` does not hold 14",
            ),
        ];
        for (at, (edit, why)) in cases.into_iter().enumerate() {
            let mut attention = backward();
            edit(&mut attention);
            match verdict(attention) {
                Err(Error::BadPlan(text)) => assert!(text.contains(why), "{at}: {text}"),
                other => panic!("{at}: expected a refusal for `{why}`, got {other:?}"),
            }
        }
    }
}
