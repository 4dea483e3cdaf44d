//! Cuts a task along its rows.
//!
//! In: a task and the number of rows. Out: the ways to run a part of the rows only, each with what
//! every operand then touches for one row and how far it moves on from chunk to chunk.

use std::ops::Range;

use ir::kernel::{Inst, Kernel, Skeleton};
use ir::schedule::{Adds, Arg, Product, Schedule, Task};
use ir::types::Dtype;

use super::touch::{product_walks, span, starts_anew, walks};

/// The axis of a task that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// An outer axis of a kernel.
    Outer(usize),
    /// The rows that a kernel of columns reduces.
    Reduced,
    /// The columns of a kernel that has no other axis; so many are a row.
    Flat(u64),
    /// The rows of a product.
    M,
    /// The columns of a product.
    N,
    /// What a product sums over.
    K,
}

/// What an operand does when its task is cut.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) arg: Arg,
    /// Elements that it moves on with every chunk.
    pub(super) advance: u64,
    /// Elements that belong to one row, from the argument's place on.
    pub(super) row: Range<i64>,
    pub(super) effect: Effect,
}

/// What happens to what an operand names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is read.
    Reads,
    /// Each row is written.
    Writes,
    /// Each block of rows is written.
    WritesBlocks,
    /// The rows are added up.
    Adds,
}

/// A way to cut a task.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    pub(super) axis: Axis,
    pub(super) accesses: Vec<Access>,
}

/// All ways to cut a task of so many rows into chunks.
pub(super) fn cuts(schedule: &Schedule, task: &Task, rows: u64, chunk: u64) -> Vec<Cut> {
    match task {
        Task::Kernel { kernel, args, .. } => {
            let kernel = &schedule.kernels[*kernel];
            let axes = kernel_axes(kernel, rows, chunk);
            axes.into_iter().filter_map(|axis| cut_kernel(kernel, args, axis, chunk)).collect()
        }
        Task::Product { product, .. } => {
            let result = schedule.buffers[product.c.buffer.0 as usize].dtype;
            product_axes(product, result, rows)
                .into_iter()
                .filter_map(|axis| cut_product(product, axis, chunk))
                .collect()
        }
        Task::Sort { .. } | Task::Tiles { .. } => vec![],
    }
}

/// Axes of a kernel that have the size of the rows and whose index the body does not read.
fn kernel_axes(kernel: &Kernel, rows: u64, chunk: u64) -> Vec<Axis> {
    let reads = |index: &Inst| kernel.body.contains(index);
    let mut axes = vec![];
    for (axis, &size) in kernel.outer.iter().enumerate() {
        if size == rows && !reads(&Inst::Outer { axis }) {
            axes.push(Axis::Outer(axis));
        }
    }
    match kernel.skeleton {
        Skeleton::Rows => {
            let is_flat = kernel.outer.is_empty() && kernel.cols.is_multiple_of(rows);
            if is_flat && !reads(&Inst::Col) {
                axes.push(Axis::Flat(kernel.cols / rows));
            }
        }
        Skeleton::Columns { rows: reduced, block } => {
            if reduced == rows && chunk.is_multiple_of(block) && !reads(&Inst::Row) {
                axes.push(Axis::Reduced);
            }
        }
        // Its rows are those of a table, in the order of ids.
        Skeleton::Segments { .. } => axes.clear(),
    }
    axes
}

fn cut_kernel(kernel: &Kernel, args: &[Arg], axis: Axis, chunk: u64) -> Option<Cut> {
    let access = |(at, &arg): (usize, &Arg)| {
        let operand = &kernel.operands[at];
        let mut walks = walks(kernel, at);
        let effect = match (operand.is_output, axis) {
            (false, _) => Effect::Reads,
            (true, Axis::Reduced) => Effect::WritesBlocks,
            (true, _) => Effect::Writes,
        };
        let mut advance = chunk;
        let stride = match axis {
            Axis::Outer(axis) => {
                walks[axis].0 = 1;
                walks[axis].1
            }
            Axis::Reduced => {
                if let (true, Skeleton::Columns { block, .. }) =
                    (operand.is_output, kernel.skeleton)
                {
                    advance = chunk / block;
                }
                walks[kernel.outer.len()].0 = 1;
                operand.row
            }
            Axis::Flat(width) => {
                walks[0].0 = width;
                operand.col * width.cast_signed()
            }
            Axis::M | Axis::N | Axis::K => unreachable!("an axis of a kernel"),
        };
        let advance = advance * u64::try_from(stride).ok()?;
        Some(Access { arg, advance, row: span(&walks), effect })
    };
    let accesses: Option<Vec<Access>> = args.iter().enumerate().map(access).collect();
    Some(Cut { axis, accesses: accesses? })
}

fn product_axes(p: &Product, result: Dtype, rows: u64) -> Vec<Axis> {
    let mut axes = vec![];
    if p.m == rows {
        axes.push(Axis::M);
    }
    if p.n == rows {
        axes.push(Axis::N);
    }
    // Sums that were rounded cannot be gone on from.
    if p.k == rows && result == Dtype::F32 && starts_anew(p) {
        axes.push(Axis::K);
    }
    axes
}

fn cut_product(p: &Product, axis: Axis, chunk: u64) -> Option<Cut> {
    let [mut a, mut b, mut c] = product_walks(p);
    let n_batch = p.batch.len();
    let (rows, cols) = (n_batch, n_batch + 1);
    let take = |walks: &mut Vec<(u64, i64)>, at: usize| {
        walks[at].0 = 1;
        walks[at].1
    };
    let strides = match axis {
        Axis::M => [take(&mut a, rows), 0, take(&mut c, rows)],
        Axis::N => [0, take(&mut b, cols), take(&mut c, cols)],
        Axis::K => [take(&mut a, cols), take(&mut b, rows), 0],
        Axis::Outer(_) | Axis::Reduced | Axis::Flat(_) => unreachable!("an axis of a product"),
    };
    let written = if axis == Axis::K { Effect::Adds } else { Effect::Writes };
    let operands = [(p.a, a, Effect::Reads), (p.b, b, Effect::Reads), (p.c, c, written)];
    let mut accesses = vec![];
    for ((arg, walks, effect), stride) in operands.into_iter().zip(strides) {
        let advance = chunk * u64::try_from(stride).ok()?;
        accesses.push(Access { arg, advance, row: span(&walks), effect });
    }
    Some(Cut { axis, accesses })
}

/// The kernel over so many of its rows.
pub(super) fn part_of_kernel(kernel: &Kernel, axis: Axis, rows: u64) -> Kernel {
    let mut part = kernel.clone();
    match axis {
        Axis::Outer(axis) => part.outer[axis] = rows,
        Axis::Flat(width) => part.cols = rows * width,
        Axis::Reduced => {
            if let Skeleton::Columns { rows: reduced, .. } = &mut part.skeleton {
                *reduced = rows;
            }
        }
        Axis::M | Axis::N | Axis::K => unreachable!("an axis of a kernel"),
    }
    part
}

/// The product over so many of its rows.
pub(super) fn part_of_product(p: &Product, axis: Axis, rows: u64) -> Product {
    match axis {
        Axis::M => Product { m: rows, ..p.clone() },
        Axis::N => Product { n: rows, ..p.clone() },
        Axis::K => Product { k: rows, adds: Adds::AfterFirst, ..p.clone() },
        Axis::Outer(_) | Axis::Reduced | Axis::Flat(_) => unreachable!("an axis of a product"),
    }
}
