//! Attention tasks as steps of a plan.

use ir::schedule::{Schedule, attention as from};

use super::arg;

/// The step of a task.
pub(super) fn attention(schedule: &Schedule, a: &from::Attention) -> plan::Attention {
    let strided =
        |x: from::Strided| plan::Strided { arg: arg(schedule, x.arg), strides: x.strides };
    let kernel = |kernel: &from::TileKernel| plan::TileKernel {
        code: u32::try_from(kernel.kernel).expect("kernel counts fit"),
        args: kernel.args.iter().map(|&x| tile_arg(schedule, x)).collect(),
    };
    plan::Attention {
        batch: a.batch,
        heads: a.heads,
        groups: a.groups,
        rows: a.rows,
        keys: a.keys,
        width: a.width,
        value_width: a.value_width,
        row_tile: a.row_tile,
        key_tile: a.key_tile,
        band: plan::Band {
            causal: a.band.causal,
            window: a.band.window,
            offset: a.band.offset.map(|offset| arg(schedule, offset)),
        },
        q: strided(a.q),
        k: strided(a.k),
        v: strided(a.v),
        pass: match &a.pass {
            from::Pass::Forward { score, finish } => {
                plan::Pass::Forward { score: kernel(score), finish: kernel(finish) }
            }
            from::Pass::Backward { dout, dq, dk, dv, weights } => plan::Pass::Backward {
                dout: strided(*dout),
                dq: strided(*dq),
                dk: strided(*dk),
                dv: strided(*dv),
                weights: kernel(weights),
            },
        },
    }
}

fn tile_arg(schedule: &Schedule, x: from::TileArg) -> plan::TileArg {
    match x {
        from::TileArg::Scratch(scratch) => plan::TileArg::Scratch(self::scratch(scratch)),
        from::TileArg::Origin => plan::TileArg::Origin,
        from::TileArg::Global { arg: place, strides } => {
            plan::TileArg::Global { arg: arg(schedule, place), strides }
        }
    }
}

fn scratch(scratch: from::Scratch) -> plan::Scratch {
    match scratch {
        from::Scratch::Scores => plan::Scratch::Scores,
        from::Scratch::Grads => plan::Scratch::Grads,
        from::Scratch::Top => plan::Scratch::Top,
        from::Scratch::Sum => plan::Scratch::Sum,
        from::Scratch::Factor => plan::Scratch::Factor,
        from::Scratch::Acc => plan::Scratch::Acc,
    }
}
