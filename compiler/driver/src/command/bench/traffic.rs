//! How many bytes a step moves, from its operands' strides.
//!
//! Each element that an operand names counts once, whatever a cache does; so does what a product or
//! an attention names for the kernels that run on its parts. What is named by indices that only
//! memory knows counts as if all indices were different.

use std::collections::BTreeMap;

use exec::executor::cost_name;
use ir::kernel::{Inst, Kernel, Operand, Skeleton};
use plan::{
    Adds, Arg, Attention, Buffer, EpilogueArg, Pass, Plan, Product, Step, Strided, TileArg,
};

/// Bytes of a call, by the name of its cost.
pub(in crate::command) fn of(plan: &Plan, kernels: &[Kernel]) -> BTreeMap<String, u64> {
    let mut bytes = BTreeMap::new();
    plan.each_step(|step| {
        let Some(name) = cost_name(plan, step) else { return };
        let moved = match step {
            Step::Kernel { code, args, .. } => moved(&plan.buffers, &kernels[*code as usize], args),
            Step::Product { product, origin: _ } => of_product(&plan.buffers, kernels, product),
            Step::Attention { attention, origin: _ } => {
                of_attention(&plan.buffers, kernels, attention)
            }
            // Its operands do not say what it reads of them.
            Step::Launch { .. } => return,
            Step::Sort { .. }
            | Step::Loop { .. }
            | Step::Tiles { .. }
            | Step::Call(_)
            | Step::Yield(_) => return,
        };
        // Steps of one name differ at most in the length of what they gather from.
        bytes.entry(name).or_insert(moved);
    });
    bytes
}

fn moved(buffers: &[Buffer], kernel: &Kernel, args: &[Arg]) -> u64 {
    (0..).zip(args).map(|(at, &arg)| of_operand(buffers, kernel, at, arg)).sum()
}

fn of_operand(buffers: &[Buffer], kernel: &Kernel, at: usize, arg: Arg) -> u64 {
    let operand = &kernel.operands[at];
    let left = buffers[arg.buffer.0 as usize].bytes - arg.offset;
    elements(kernel, at, operand).map_or(left, |n| n * operand.dtype.bytes())
}

/// The operands, the result, read too where it is added to, and what the epilogue names in memory.
fn of_product(buffers: &[Buffer], kernels: &[Kernel], p: &Product) -> u64 {
    let of = |arg: Arg, at: usize, axes: [(i64, u64); 2]| {
        let batch = p.batch.iter().map(|axis| (axis.strides[at], axis.size));
        let n: u64 = batch.chain(axes).map(named).product();
        n * buffers[arg.buffer.0 as usize].dtype.bytes()
    };
    let [a, b, c] = [p.a_strides, p.b_strides, p.c_strides];
    let operands = of(p.a, 0, [(a[0], p.m), (a[1], p.k)]) + of(p.b, 1, [(b[0], p.k), (b[1], p.n)]);
    let result = p.c.map_or(0, |arg| of(arg, 2, [(c[0], p.m), (c[1], p.n)]));
    let times = if p.adds == Adds::Never { 1 } else { 2 };
    let behind = p.epilogue.iter().flat_map(|epilogue| {
        let kernel = &kernels[epilogue.code as usize];
        (0..).zip(&epilogue.args).map(move |(at, arg)| match arg {
            EpilogueArg::Memory(arg) => of_operand(buffers, kernel, at, *arg),
            EpilogueArg::Sums => 0,
        })
    });
    operands + times * result + behind.sum::<u64>()
}

/// The tensors, and what the kernels of its tiles name in memory.
fn of_attention(buffers: &[Buffer], kernels: &[Kernel], a: &Attention) -> u64 {
    let of = |x: Strided, heads: u64, rows: u64, cols: u64| {
        let sizes = [a.batch, heads, rows, cols];
        let n: u64 = x.strides.into_iter().zip(sizes).map(named).product();
        n * buffers[x.arg.buffer.0 as usize].dtype.bytes()
    };
    let q = |x| of(x, a.heads, a.rows, a.width);
    let k = |x| of(x, a.groups, a.keys, a.width);
    let v = |x| of(x, a.groups, a.keys, a.value_width);
    let own = match &a.pass {
        Pass::Forward { .. } => 0,
        Pass::Backward { dout, dq, dk, dv, weights: _ } => {
            of(*dout, a.heads, a.rows, a.value_width) + q(*dq) + k(*dk) + v(*dv)
        }
    };
    let of_tiles = a.pass.kernels().flat_map(|tile| {
        let kernel = &kernels[tile.code as usize];
        (0..).zip(&tile.args).map(move |(at, arg)| of_tile_operand(kernel, at, arg, a))
    });
    q(a.q) + k(a.k) + v(a.v) + own + of_tiles.sum::<u64>()
}

/// What all tiles together name of an operand of their kernel.
fn of_tile_operand(kernel: &Kernel, at: usize, arg: &TileArg, a: &Attention) -> u64 {
    let TileArg::Global { arg: _, strides } = arg else { return 0 };
    let operand = &kernel.operands[at];
    let [batch, head, row, _] = *strides;
    let axes = [(batch, a.batch), (head, a.heads), (row, a.rows), (operand.col, kernel.cols)];
    let indices = kernel.body.iter().find_map(|inst| {
        let Inst::LoadAt { operand, bound, .. } = inst else { return None };
        (*operand == at).then_some(*bound)
    });
    axes.map(named).iter().product::<u64>() * indices.unwrap_or(1) * operand.dtype.bytes()
}

/// A stride of 0 names the same element again.
fn named((stride, size): (i64, u64)) -> u64 {
    if stride == 0 { 1 } else { size }
}

/// How many elements of an operand a call names; `None` where only memory knows.
fn elements(kernel: &Kernel, at: usize, operand: &Operand) -> Option<u64> {
    let is_gathered = kernel
        .body
        .iter()
        .any(|inst| matches!(inst, Inst::LoadAt { operand, .. } if *operand == at));
    // A stride of 0 names the same element again, unless an index is added to it.
    let named = |(stride, size): (i64, u64)| if stride != 0 || is_gathered { size } else { 1 };
    let outer: u64 =
        operand.outer.iter().copied().zip(kernel.outer.iter().copied()).map(named).product();
    let col = if operand.col == 0 { 1 } else { kernel.cols };
    let rows = match kernel.skeleton {
        Skeleton::Rows => 1,
        Skeleton::Columns { .. } if operand.row == 0 => 1,
        Skeleton::Columns { rows, block } if operand.is_output => rows.div_ceil(block),
        Skeleton::Columns { rows, .. } => rows,
        Skeleton::Segments { starts, order } => {
            let is_indexed = at == starts || at == order || operand.row != 0;
            return (!is_indexed).then_some(outer * col);
        }
    };
    Some(outer * col * rows)
}

#[cfg(test)]
mod tests {
    use ir::body::Body;
    use ir::types::Dtype;
    use plan::{Band, BufferId, Epilogue, Role, Scratch, TileKernel};

    use super::*;

    fn buffer(dtype: plan::Dtype, n: u64) -> Buffer {
        let (name, bytes) = ("x".to_owned(), n * dtype.bytes());
        Buffer { name, dtype, shape: vec![n], role: Role::Temp, offset: 0, bytes, within: None }
    }

    fn at(buffer: u32) -> Arg {
        Arg { buffer: BufferId(buffer), offset: 0 }
    }

    fn operand(is_output: bool, [outer, col]: [i64; 2]) -> Operand {
        Operand { dtype: Dtype::F32, is_output, outer: vec![outer], row: 0, col }
    }

    fn kernel([rows, cols]: [u64; 2], operands: Vec<Operand>) -> Kernel {
        let (name, skeleton) = ("k".to_owned(), Skeleton::Rows);
        let body = Body::new().finish();
        Kernel { name, skeleton, outer: vec![rows], cols, operands, body }
    }

    /// 4 x 8 by 8 x 6, with a bias behind it and a result of its own.
    #[test]
    fn a_product_moves_what_its_epilogue_names() {
        let buffers = [32, 48, 6, 24].map(|n| buffer(plan::Dtype::F32, n));
        let operands = vec![operand(false, [0, 1]), operand(false, [6, 1]), operand(true, [6, 1])];
        let kernels = [kernel([4, 6], operands)];
        let args = vec![EpilogueArg::Memory(at(2)), EpilogueArg::Sums, EpilogueArg::Memory(at(3))];
        let mut product = Product {
            a: at(0),
            b: at(1),
            c: None,
            batch: vec![],
            m: 4,
            n: 6,
            k: 8,
            a_strides: [8, 1],
            b_strides: [6, 1],
            c_strides: [6, 1],
            k_slice: 512,
            adds: Adds::Never,
            epilogue: Some(Epilogue { code: 0, args, cols: 6 }),
        };
        assert_eq!(of_product(&buffers, &kernels, &product), 4 * (32 + 48 + 6 + 24));
        product.epilogue = None;
        (product.c, product.adds) = (Some(at(3)), Adds::Always);
        assert_eq!(of_product(&buffers, &kernels, &product), 4 * (32 + 48 + 2 * 24));
    }

    /// 2 sequences, 4 heads that share 2 groups, 5 rows, 7 keys of 3 in 16 bits.
    #[test]
    fn attention_moves_its_tensors_and_what_its_kernels_name() {
        let sizes = [2 * 4 * 5 * 3, 2 * 2 * 7 * 3];
        let mut buffers: Vec<Buffer> = sizes.map(|n| buffer(plan::Dtype::Bf16, n)).into();
        buffers.push(buffer(plan::Dtype::F32, sizes[0]));
        let finish = kernel([16, 3], vec![operand(false, [3, 1]), operand(true, [12, 1])]);
        let kernels = [kernel([16, 16], vec![]), finish];
        let to = TileArg::Global { arg: at(2), strides: [60, 3, 12, 0] };
        let tensor = |buffer, strides| Strided { arg: at(buffer), strides };
        let attention = Attention {
            batch: 2,
            heads: 4,
            groups: 2,
            rows: 5,
            keys: 7,
            width: 3,
            value_width: 3,
            row_tile: 16,
            key_tile: 16,
            band: Band { causal: true, window: None, offset: None },
            q: tensor(0, [60, 15, 3, 1]),
            k: tensor(1, [42, 21, 3, 1]),
            v: tensor(1, [42, 21, 3, 1]),
            pass: Pass::Forward {
                score: TileKernel { code: 0, args: vec![] },
                finish: TileKernel { code: 1, args: vec![TileArg::Scratch(Scratch::Acc), to] },
            },
        };
        let moved = of_attention(&buffers, &kernels, &attention);
        assert_eq!(moved, 2 * (sizes[0] + 2 * sizes[1]) + 4 * sizes[0]);
    }
}
