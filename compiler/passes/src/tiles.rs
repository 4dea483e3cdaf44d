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
use ir::schedule::{Buffer, BufferId, Product, Schedule, Target, Task};

use search::{Blocked, Search};

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

/// Drops kernels that run in parts only.
fn drop_unused(schedule: &mut Schedule) {
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
            Task::Product { .. } | Task::Sort { .. } => {}
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
            let reduces = |task: &Task| reduces_rows(schedule, task, product);
            tasks[at..].iter().any(reduces).then_some(candidate)
        })
    }

    fn of(schedule: &Schedule, target: &Target, at: usize, p: &Product) -> Option<Candidate> {
        let tiling = &target.tiling;
        let buffer = &schedule.buffers[p.c.buffer.0 as usize];
        let row_bytes = p.n * buffer.dtype.bytes();
        let is_plain = p.batch.is_empty()
            && p.c.offset == 0
            && p.c_strides == [p.n.cast_signed(), 1]
            && buffer.bytes() == p.m * row_bytes;
        if !is_plain || !is_temporary(buffer) || buffer.bytes() <= tiling.above || p.n <= p.k {
            return None;
        }
        let fitting = tiling.bytes / row_bytes.max(1);
        let block = target.column_block;
        let chunk =
            if fitting >= tiling.rows { tiling.rows } else { (fitting / block * block).max(block) };
        let result = p.c.buffer;
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

fn is_temporary(buffer: &Buffer) -> bool {
    buffer.role.is_none() && buffer.within.is_none()
}

/// Whether a task reduces whole rows of a product's result: no work for an epilogue.
fn reduces_rows(schedule: &Schedule, task: &Task, p: &Product) -> bool {
    let Task::Kernel { kernel, args, .. } = task else { return false };
    let kernel = &schedule.kernels[*kernel];
    let reads = args.iter().zip(&kernel.operands).any(|(arg, operand)| {
        *arg == p.c
            && !operand.is_output
            && operand.outer == [p.n.cast_signed()]
            && operand.col == 1
    });
    let reduces = kernel.body.iter().any(|inst| matches!(inst, Inst::Reduce { .. }));
    kernel.skeleton == Skeleton::Rows && kernel.cols == p.n && reduces && reads
}
