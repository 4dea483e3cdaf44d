//! Columns that 32 bits do not count become rows of fewer columns.
//!
//! In: a kernel whose columns may be the product of several axes of the tensor. Out: the same with
//! one outer axis more where they are 2^31 or above; the indices that its body reads are the same
//! 32 bits as before.

use ir::body::Body;
use ir::kernel::{Inst, Kernel, Operand, Reg, Scalar, Skeleton};
use ir::types::Dtype;

use crate::flow::Flow;

/// Columns that a thread's index may count, with room for a group behind them.
const MOST: u64 = (1 << 31) - 64;
/// What should divide the columns that stay, so that rows start where vectors do.
const EVEN: u64 = 8;

/// The kernel with fewer than 2^31 columns.
pub(super) fn folded(kernel: Kernel) -> Kernel {
    let is_row = kernel.skeleton == Skeleton::Rows && Flow::has_reductions(&kernel);
    if kernel.cols <= MOST || is_row {
        return kernel;
    }
    let fits = |n: &u64| kernel.cols.is_multiple_of(*n) && kernel.cols / n <= MOST;
    let is_even = |n: &u64| (kernel.cols / n).is_multiple_of(EVEN);
    let few = (2..1 << 16).filter(fits).find(is_even);
    let Some(n) = few.or_else(|| (2..=MOST).find(fits)) else {
        unreachable!("columns are the product of axes of fewer than 2^31 elements")
    };
    fold(&kernel, n)
}

/// The columns as `n` rows.
fn fold(kernel: &Kernel, n: u64) -> Kernel {
    let (cols, axis) = (kernel.cols / n, kernel.outer.len());
    let types: Vec<Dtype> = kernel.operands.iter().map(|o| o.dtype).collect();
    let mut body = Body::new();
    let mut map: Vec<Reg> = vec![];
    for inst in &kernel.body {
        let reg = if matches!(inst, Inst::Col) {
            let (row, col) = (body.outer(axis), body.col());
            let size = body.int((cols as u32).cast_signed());
            let front = body.apply(Scalar::Mul, &[row, size]);
            body.apply(Scalar::Add, &[front, col])
        } else {
            body.copy(inst, &map, &types)
        };
        map.push(reg);
    }
    let operand = |o: &Operand| {
        let outer = o.outer.iter().copied().chain([o.col * cols.cast_signed()]).collect();
        Operand { outer, ..o.clone() }
    };
    Kernel {
        outer: kernel.outer.iter().copied().chain([n]).collect(),
        cols,
        operands: kernel.operands.iter().map(operand).collect(),
        body: body.finish(),
        ..kernel.clone()
    }
}
