//! Runs the tasks around a large temporary on chunks of its rows.
//!
//! In: a schedule. Out: the same values; where a product makes a temporary that is wider than what
//! it is made from, and whose rows another task reduces as a whole (the logits under a loss), all
//! tasks that touch it run in one loop over chunks of rows, and the temporary is one chunk. What
//! follows row by row (the gradient of the logits) runs in the same loop, and products over the rows
//! (the gradient of the weight) add up.
//!
//! # Note: why it is right
//! A task is cut along an axis of the size of the rows. For every buffer that the loop writes, each
//! task of the loop touches for one row only the elements of that row; so no iteration touches what
//! another one does, save for sums over the rows, which one product alone adds up, in order. Tasks
//! outside keep their order with those inside: what must run before one of them and does not depend
//! on another runs before the loop, the rest behind it, and where a task would have to run on both
//! sides it joins the loop or nothing is done. Chunks that are a multiple of the slices of a
//! product keep every bit: a sum then is cut where a slice ends. Shorter ones, for wide rows, cut
//! the slices of the sums over rows: this is another order of additions, and as fixed.

mod apply;
mod cut;
mod search;
mod split;
mod touch;

use std::collections::BTreeSet;

use ir::kernel::{Inst, Skeleton};
use ir::schedule::{Arg, Buffer, BufferId, Product, Schedule, Target, Task};

use search::{Blocked, Search};

pub(crate) use apply::intern;
pub(crate) use touch::{Walk, behind, product_walks, walks};

/// Cuts every function; says what was cut, and what was not and why.
pub(crate) fn tile_rows(schedule: &mut Schedule, target: &Target) -> Vec<String> {
    let mut notes = vec![];
    for function in 0..schedule.functions.len() {
        let mut whole = BTreeSet::new();
        while let Some(candidate) = Candidate::next(schedule, target, function, &whole) {
            let name = schedule.functions[function].name.clone();
            let about = candidate.about(schedule, function);
            match Search::run(schedule, function, &candidate) {
                Ok(found) => {
                    let tiles = apply::apply(schedule, function, &candidate, &found);
                    notes.push(format!("{name}: {about} runs in {tiles}"));
                    for (buffer, why) in &found.whole {
                        let buffer = &schedule.buffers[buffer.0 as usize].name;
                        notes.push(format!("{name}: {buffer} is not in that loop: {why}"));
                    }
                }
                Err(Blocked::Mixed(task, parts)) => {
                    apply::take_apart(schedule, function, task, *parts);
                }
                Err(Blocked::By(why)) => {
                    whole.insert(candidate.result);
                    notes.push(format!("{name}: {about} stays whole: {why}"));
                }
            }
        }
    }
    drop_unused(schedule);
    notes
}

/// Drops kernels that no task runs any more.
pub(crate) fn drop_unused(schedule: &mut Schedule) {
    let mut new = vec![None; schedule.kernels.len()];
    let mut kept = vec![];
    for function in &mut schedule.functions {
        each_kernel(&mut function.tasks, &mut |kernel| {
            *kernel = *new[*kernel].get_or_insert_with(|| {
                kept.push(schedule.kernels[*kernel].clone());
                kept.len() - 1
            });
        });
    }
    schedule.kernels = kept;
}

/// The kernel indices of tasks.
fn each_kernel(tasks: &mut [Task], change: &mut impl FnMut(&mut usize)) {
    for task in tasks {
        match task {
            Task::Kernel { kernel, .. } => change(kernel),
            Task::Product { product, .. } => {
                if let Some(epilogue) = &mut product.epilogue {
                    change(&mut epilogue.kernel);
                }
            }
            Task::Attention { attention, .. } => {
                for tile in attention.pass.kernels_mut() {
                    change(&mut tile.kernel);
                }
            }
            Task::Sort { .. } => {}
            Task::Tiles { body, .. } => each_kernel(body, change),
        }
    }
}

/// A product whose result is worth being cut.
struct Candidate {
    /// The index of the product among the tasks.
    producer: usize,
    /// What it makes.
    result: BufferId,
    /// Rows of its result.
    rows: u64,
    /// Rows of a chunk.
    chunk: u64,
}

impl Candidate {
    /// The first one of a function that is not known to stay whole.
    fn next(
        schedule: &Schedule,
        target: &Target,
        function: usize,
        whole: &BTreeSet<BufferId>,
    ) -> Option<Candidate> {
        let tasks = &schedule.functions[function].tasks;
        (0..tasks.len()).find_map(|at| {
            let Task::Product { product, .. } = &tasks[at] else { return None };
            let candidate = Self::of(schedule, target, at, product)?;
            if whole.contains(&candidate.result) {
                return None;
            }
            let reduces = |task: &Task| reduces_rows(schedule, task, product.n, candidate.result);
            tasks[at..].iter().any(reduces).then_some(candidate)
        })
    }

    fn of(schedule: &Schedule, target: &Target, at: usize, p: &Product) -> Option<Candidate> {
        let tiling = &target.tiling;
        let result = result(schedule, p)?;
        let buffer = &schedule.buffers[result.0 as usize];
        let row_bytes = p.n * buffer.dtype.bytes();
        if !is_temporary(buffer) || buffer.bytes() <= tiling.above || p.n <= p.k {
            return None;
        }
        let fitting = tiling.bytes / row_bytes.max(1);
        let block = target.column_block;
        let chunk =
            if fitting >= tiling.rows { tiling.rows } else { (fitting / block * block).max(block) };
        (p.m > chunk).then_some(Candidate { producer: at, result, rows: p.m, chunk })
    }

    fn about(&self, schedule: &Schedule, function: usize) -> String {
        let Task::Product { product, origin } = &schedule.functions[function].tasks[self.producer]
        else {
            unreachable!("a candidate is a product")
        };
        let place = if origin.is_empty() { String::new() } else { format!(" of {origin}") };
        format!("the product [{}, {}]{place}", product.m, product.n)
    }
}

/// Whether a buffer is of one function, and no part of another one.
pub(crate) fn is_temporary(buffer: &Buffer) -> bool {
    buffer.role.is_none() && buffer.within.is_none()
}

/// The buffer that a product, or what follows it block by block, fills with rows of its columns.
fn result(schedule: &Schedule, p: &Product) -> Option<BufferId> {
    let rows = p.n.cast_signed();
    let fills = |arg: Arg| {
        let buffer = &schedule.buffers[arg.buffer.0 as usize];
        arg.offset == 0 && buffer.bytes() == p.m * p.n * buffer.dtype.bytes()
    };
    if !p.batch.is_empty() {
        return None;
    }
    let own = p.c.filter(|_| p.c_strides == [rows, 1]);
    let behind = behind(schedule, p).into_iter().filter_map(|(arg, walks, writes)| {
        let outer = p.epilogue.as_ref().map(|e| &schedule.kernels[e.kernel].outer)?;
        (writes && walks[outer.len() - 1].1 == rows).then_some(arg)
    });
    own.into_iter().chain(behind).find(|&arg| fills(arg)).map(|arg| arg.buffer)
}

/// Whether a task reduces whole rows of a product's result: no work for an epilogue.
fn reduces_rows(schedule: &Schedule, task: &Task, width: u64, result: BufferId) -> bool {
    let Task::Kernel { kernel, args, .. } = task else { return false };
    let kernel = &schedule.kernels[*kernel];
    let reads = args.iter().zip(&kernel.operands).any(|(arg, operand)| {
        let is_row = operand.outer == [width.cast_signed()] && operand.col == 1;
        arg.buffer == result && !operand.is_output && is_row
    });
    let reduces = kernel.body.iter().any(|inst| matches!(inst, Inst::Reduce { .. }));
    kernel.skeleton == Skeleton::Rows && kernel.cols == width && reduces && reads
}
