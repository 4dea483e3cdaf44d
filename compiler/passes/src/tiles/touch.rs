//! What a task reads and writes, as ranges of buffers.

use std::ops::Range;

use ir::kernel::{Inst, Kernel, Operand, Skeleton};
use ir::schedule::{Arg, BufferId, EpilogueArg, Product, Schedule, Task};

/// Elements of a buffer that a task may read or write.
#[derive(Debug, Clone)]
pub(super) struct Touch {
    pub(super) buffer: BufferId,
    pub(super) range: Range<i64>,
    pub(super) writes: bool,
}

/// An axis that an operand is walked along: its size and its stride.
pub(crate) type Walk = (u64, i64);

/// All that a task touches.
pub(super) fn touches(schedule: &Schedule, task: &Task) -> Vec<Touch> {
    match task {
        Task::Kernel { kernel, args, .. } => {
            let kernel = &schedule.kernels[*kernel];
            let touch = |(at, arg): (usize, &Arg)| {
                let operand = &kernel.operands[at];
                let range = match kernel.skeleton {
                    Skeleton::Segments { .. } => whole(schedule, arg.buffer),
                    Skeleton::Rows | Skeleton::Columns { .. } => {
                        moved(span(&walks(kernel, at)), *arg)
                    }
                };
                Touch { buffer: arg.buffer, range, writes: operand.is_output }
            };
            args.iter().enumerate().map(touch).collect()
        }
        Task::Product { product, .. } => {
            let touch = |(arg, walks, writes): (Arg, Vec<Walk>, bool)| Touch {
                buffer: arg.buffer,
                range: moved(span(&walks), arg),
                writes,
            };
            let [a, b, c] = product_walks(product);
            let operands = [(product.a, a, false), (product.b, b, false)];
            let result = product.c.map(|arg| (arg, c, true));
            let behind = behind(schedule, product);
            operands.into_iter().chain(result).chain(behind).map(touch).collect()
        }
        // Which of them these write is of no matter to tiles: they keep their place among others.
        Task::Attention { .. } | Task::Sort { .. } | Task::Tiles { .. } => {
            let touch = |arg: Arg| Touch {
                buffer: arg.buffer,
                range: whole(schedule, arg.buffer),
                writes: true,
            };
            task.args().into_iter().map(touch).collect()
        }
    }
}

/// Whether two tasks have to keep their order.
pub(super) fn conflict(a: &[Touch], b: &[Touch]) -> bool {
    let meets = |x: &Touch, y: &Touch| {
        x.buffer == y.buffer && (x.writes || y.writes) && overlap(&x.range, &y.range)
    };
    a.iter().any(|x| b.iter().any(|y| meets(x, y)))
}

/// Whether two ranges share an element.
pub(super) fn overlap(a: &Range<i64>, b: &Range<i64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// A range from an argument's place on.
pub(super) fn moved(range: Range<i64>, arg: Arg) -> Range<i64> {
    let by = arg.offset.cast_signed();
    range.start + by..range.end + by
}

/// The elements that walks reach.
pub(super) fn span(walks: &[Walk]) -> Range<i64> {
    if walks.iter().any(|&(size, _)| size == 0) {
        return 0..0;
    }
    let mut range = 0..1;
    for &(size, stride) in walks {
        let reach = (size.cast_signed() - 1) * stride;
        range = range.start + reach.min(0)..range.end + reach.max(0);
    }
    range
}

/// The axes of an operand of a kernel of rows or columns; outer axes, reduced rows, columns, then
/// what its indices reach.
pub(crate) fn walks(kernel: &Kernel, at: usize) -> Vec<Walk> {
    let operand: &Operand = &kernel.operands[at];
    let mut walks: Vec<Walk> =
        kernel.outer.iter().copied().zip(operand.outer.iter().copied()).collect();
    if let Skeleton::Columns { rows, block } = kernel.skeleton {
        let n = if operand.is_output { rows.div_ceil(block) } else { rows };
        walks.push((n, operand.row));
    }
    walks.push((kernel.cols, operand.col));
    for inst in &kernel.body {
        if let Inst::LoadAt { operand, stride, bound, .. } = inst
            && *operand == at
        {
            walks.push((*bound, *stride));
        }
    }
    walks
}

/// The axes of the operands of a product: batch axes, then the two of the operand.
pub(crate) fn product_walks(p: &Product) -> [Vec<Walk>; 3] {
    let of = |operand: usize, axes: [Walk; 2]| {
        let batch = p.batch.iter().map(|axis| (axis.size, axis.strides[operand]));
        batch.chain(axes).collect()
    };
    [
        of(0, [(p.m, p.a_strides[0]), (p.k, p.a_strides[1])]),
        of(1, [(p.k, p.b_strides[0]), (p.n, p.b_strides[1])]),
        of(2, [(p.m, p.c_strides[0]), (p.n, p.c_strides[1])]),
    ]
}

/// What the epilogue of a product reads and writes in memory: the place, the axes of its kernel,
/// and whether it is written.
pub(crate) fn behind(schedule: &Schedule, p: &Product) -> Vec<(Arg, Vec<Walk>, bool)> {
    let Some(epilogue) = &p.epilogue else { return vec![] };
    let kernel = &schedule.kernels[epilogue.kernel];
    let operand = |(at, arg): (usize, &EpilogueArg)| match arg {
        EpilogueArg::Memory(arg) => Some((*arg, walks(kernel, at), kernel.operands[at].is_output)),
        EpilogueArg::Sums => None,
    };
    epilogue.args.iter().enumerate().filter_map(operand).collect()
}

fn whole(schedule: &Schedule, buffer: BufferId) -> Range<i64> {
    let shape = &schedule.buffers[buffer.0 as usize].shape;
    0..shape.iter().product::<u64>().cast_signed()
}
