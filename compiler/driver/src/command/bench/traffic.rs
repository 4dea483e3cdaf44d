//! How many bytes a call of each kernel moves, from its operands' strides.
//!
//! Each element that a kernel names counts once, whatever a cache does. What it names by indices
//! that only memory knows counts as if all indices were different.

use std::collections::BTreeMap;

use ir::kernel::{Inst, Kernel, Operand, Skeleton};
use plan::{Arg, Plan, Step};

/// Bytes of a call, by the index of the code.
pub(super) fn of(plan: &Plan, kernels: &[Kernel]) -> BTreeMap<u32, u64> {
    let mut bytes = BTreeMap::new();
    plan.each_step(|step| {
        if let Step::Kernel { code, args, .. } = step {
            let moved = moved(plan, &kernels[*code as usize], args);
            // Equal kernels differ at most in the length of what they gather from.
            bytes.entry(*code).or_insert(moved);
        }
    });
    bytes
}

fn moved(plan: &Plan, kernel: &Kernel, args: &[Arg]) -> u64 {
    let each = kernel.operands.iter().zip(args).enumerate();
    each.map(|(at, (operand, arg))| {
        let left = plan[arg.buffer].bytes - arg.offset;
        let elements = elements(kernel, at, operand);
        elements.map_or(left, |n| n * operand.dtype.bytes())
    })
    .sum()
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
