//! Cuts a task along its rows.
//!
//! In: a task and the number of rows. Out: the ways to run a part of the rows only, each with what
//! every operand then touches for one row and how far it moves on from chunk to chunk.

use std::ops::Range;

use ir::kernel::{Inst, Kernel, Skeleton};
use ir::schedule::{Adds, Arg, Epilogue, Product, Schedule, Task};
use ir::types::Dtype;

use super::touch::{Walk, behind, product_walks, span, walks};

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
        Task::Product { product, .. } => product_axes(schedule, product, rows)
            .into_iter()
            .filter_map(|axis| cut_product(schedule, product, axis, chunk))
            .collect(),
        Task::Attention { .. } | Task::Sort { .. } | Task::Tiles { .. } => vec![],
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

fn product_axes(schedule: &Schedule, p: &Product, rows: u64) -> Vec<Axis> {
    let mut axes = vec![];
    if p.m == rows && p.epilogue.as_ref().is_none_or(|e| walks_rows(schedule, e, rows)) {
        axes.push(Axis::M);
    }
    if p.n == rows && p.epilogue.is_none() {
        axes.push(Axis::N);
    }
    // Sums that were rounded cannot be gone on from.
    let is_f32 = |c: Arg| schedule.buffers[c.buffer.0 as usize].dtype == Dtype::F32;
    let is_plain = p.epilogue.is_none() && p.adds == Adds::Never;
    if p.k == rows && is_plain && p.c.is_some_and(is_f32) {
        axes.push(Axis::K);
    }
    axes
}

/// Whether the last outer axis of an epilogue are the rows, of which its body reads no index.
fn walks_rows(schedule: &Schedule, epilogue: &Epilogue, rows: u64) -> bool {
    let kernel = &schedule.kernels[epilogue.kernel];
    let Some(axis) = kernel.outer.len().checked_sub(1) else { return false };
    kernel.outer[axis] == rows && !kernel.body.contains(&Inst::Outer { axis })
}

fn cut_product(schedule: &Schedule, p: &Product, axis: Axis, chunk: u64) -> Option<Cut> {
    let [a, b, c] = product_walks(p);
    let n_batch = p.batch.len();
    let (rows, cols) = (Some(n_batch), Some(n_batch + 1));
    let cuts = match axis {
        Axis::M => [rows, None, rows],
        Axis::N => [None, cols, cols],
        Axis::K => [cols, rows, None],
        Axis::Outer(_) | Axis::Reduced | Axis::Flat(_) => unreachable!("an axis of a product"),
    };
    let written = if axis == Axis::K { Effect::Adds } else { Effect::Writes };
    let mut accesses = vec![];
    let mut push = |arg: Arg, mut walks: Vec<Walk>, at: Option<usize>, effect: Effect| {
        let stride = at.map_or(0, |at| std::mem::replace(&mut walks[at], (1, 0)).1);
        let advance = chunk * u64::try_from(stride).ok()?;
        accesses.push(Access { arg, advance, row: span(&walks), effect });
        Some(())
    };
    push(p.a, a, cuts[0], Effect::Reads)?;
    push(p.b, b, cuts[1], Effect::Reads)?;
    if let Some(result) = p.c {
        push(result, c, cuts[2], written)?;
    }
    for (arg, walks, writes) in behind(schedule, p) {
        // Behind the outer axes is the column alone, and what indices reach.
        let kernel = p.epilogue.as_ref().map(|e| &schedule.kernels[e.kernel]);
        let rows = kernel.and_then(|k| k.outer.len().checked_sub(1));
        push(arg, walks, rows, if writes { Effect::Writes } else { Effect::Reads })?;
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
