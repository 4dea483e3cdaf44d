//! Rewrites a function: the loop, and behind it the rows that are left.

use std::collections::BTreeMap;

use ir::kernel::Kernel;
use ir::schedule::{Arg, Buffer, BufferId, Schedule, Task};

use super::Candidate;
use super::cut::{Axis, part_of_kernel, part_of_product};
use super::search::Found;

/// Puts the tasks that were found into a loop; says what it looks like.
pub(super) fn apply(
    schedule: &mut Schedule,
    function: usize,
    candidate: &Candidate,
    found: &Found,
) -> String {
    let Candidate { rows, chunk, .. } = *candidate;
    let (count, rest) = (rows / chunk, rows % chunk);
    let tasks = std::mem::take(&mut schedule.functions[function].tasks);
    let advance: Vec<(BufferId, u64)> = found
        .advance
        .iter()
        .map(|(&buffer, &by)| (buffer, by))
        .filter(|(buffer, by)| *by > 0 && !found.local.contains_key(buffer))
        .collect();
    let mut cutter = Cutter { schedule, found };
    let body: Vec<Task> =
        found.order.iter().map(|&at| cutter.part(&tasks[at], found.axes[&at], chunk)).collect();
    let mut last: Vec<Task> = vec![];
    if rest > 0 {
        let own = cutter.rest_buffers(rest);
        for &at in &found.order {
            let part = cutter.part(&tasks[at], found.axes[&at], rest).in_iteration(&advance, count);
            last.push(with_buffers(part, &own));
        }
    }
    for (&buffer, &width) in &found.local {
        schedule.buffers[buffer.0 as usize].shape = vec![chunk, width];
    }
    let bytes = found.local.keys().map(|b| schedule.buffers[b.0 as usize].bytes()).sum();
    let summary = summary(count, chunk, rest, body.len(), bytes, rows);
    let tiles = Task::Tiles { count, body, advance };
    schedule.functions[function].tasks = arranged(tasks, found, tiles, last);
    summary
}

/// Puts two kernels in the place of a task.
pub(super) fn take_apart(
    schedule: &mut Schedule,
    function: usize,
    at: usize,
    parts: [(Kernel, Vec<Arg>); 2],
) {
    let Task::Kernel { origin, .. } = schedule.functions[function].tasks[at].clone() else {
        unreachable!("only kernels are taken apart")
    };
    let tasks = parts.map(|(kernel, args)| {
        let kernel = intern(&mut schedule.kernels, kernel);
        Task::Kernel { kernel, args, origin: origin.clone() }
    });
    schedule.functions[function].tasks.splice(at..=at, tasks);
}

fn summary(count: u64, chunk: u64, rest: u64, n_tasks: usize, bytes: u64, rows: u64) -> String {
    let rest = if rest > 0 { format!(" and {rest}") } else { String::new() };
    let whole = bytes / chunk * rows;
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    format!(
        "{count} times {chunk} rows{rest}, {n_tasks} tasks, {} instead of {}",
        mib(bytes),
        mib(whole)
    )
}

/// The tasks before, the loop with its rest, the tasks behind.
fn arranged(tasks: Vec<Task>, found: &Found, tiles: Task, rest: Vec<Task>) -> Vec<Task> {
    let last = *found.axes.last_key_value().expect("a loop has tasks").0;
    let (mut before, mut behind) = (vec![], vec![]);
    for (at, task) in tasks.into_iter().enumerate() {
        if found.axes.contains_key(&at) {
            continue;
        }
        let is_behind = at > last || found.behind.contains(&at);
        if is_behind { &mut behind } else { &mut before }.push(task);
    }
    before.push(tiles);
    before.extend(rest);
    before.extend(behind);
    before
}

/// The index of a kernel equal to this one; the name is no part of it.
pub(crate) fn intern(kernels: &mut Vec<Kernel>, kernel: Kernel) -> usize {
    let is_same = |other: &Kernel| Kernel { name: kernel.name.clone(), ..other.clone() } == kernel;
    kernels.iter().position(is_same).unwrap_or_else(|| {
        kernels.push(kernel);
        kernels.len() - 1
    })
}

struct Cutter<'s> {
    schedule: &'s mut Schedule,
    found: &'s Found,
}

impl Cutter<'_> {
    /// A task over so many rows.
    fn part(&mut self, task: &Task, axis: Axis, rows: u64) -> Task {
        match task {
            Task::Kernel { kernel, args, origin } => {
                let part = part_of_kernel(&self.schedule.kernels[*kernel], axis, rows);
                let kernel = intern(&mut self.schedule.kernels, part);
                Task::Kernel { kernel, args: args.clone(), origin: origin.clone() }
            }
            Task::Product { product, origin } => {
                let mut product = part_of_product(product, axis, rows);
                if let Some(epilogue) = &mut product.epilogue {
                    let kernel = &self.schedule.kernels[epilogue.kernel];
                    let part = part_of_kernel(kernel, Axis::Outer(kernel.outer.len() - 1), rows);
                    epilogue.kernel = intern(&mut self.schedule.kernels, part);
                }
                Task::Product { product, origin: origin.clone() }
            }
            Task::Attention { .. } | Task::Sort { .. } | Task::Tiles { .. } => {
                unreachable!("these are not cut")
            }
        }
    }

    /// Buffers of the rows that are left, for those of a chunk.
    fn rest_buffers(&mut self, rest: u64) -> BTreeMap<BufferId, BufferId> {
        let mut own = BTreeMap::new();
        for (&buffer, &width) in &self.found.local {
            let about = &self.schedule.buffers[buffer.0 as usize];
            let name = format!("{}.rest", about.name);
            let new = Buffer { name, shape: vec![rest, width], ..about.clone() };
            self.schedule.buffers.push(new);
            let id = u32::try_from(self.schedule.buffers.len() - 1).expect("buffer counts fit");
            own.insert(buffer, BufferId(id));
        }
        own
    }
}

/// A task on buffers of its own.
fn with_buffers(task: Task, own: &BTreeMap<BufferId, BufferId>) -> Task {
    let place = |arg: Arg| Arg { buffer: *own.get(&arg.buffer).unwrap_or(&arg.buffer), ..arg };
    match task {
        Task::Kernel { kernel, args, origin } => {
            Task::Kernel { kernel, args: args.into_iter().map(place).collect(), origin }
        }
        Task::Product { mut product, origin } => {
            product.args_mut().for_each(|arg| *arg = place(*arg));
            Task::Product { product, origin }
        }
        Task::Attention { .. } | Task::Sort { .. } | Task::Tiles { .. } => {
            unreachable!("these are not cut")
        }
    }
}
