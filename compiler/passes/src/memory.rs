//! Plans the arena: an offset for every buffer of a schedule.
//!
//! State lies first and stays; a piece lies in its parent. Temporaries of one function share the
//! space behind it by liveness; functions share it with each other, because none is interrupted by
//! another that has temporaries. Caches last from token to token of one text, between which nothing
//! else runs, so they lie there as well, in front of the temporaries of the functions that use
//! them. First fit in order of need; deterministic.

use ir::graph::Role;
use ir::schedule::{Schedule, Task};

/// Offsets in bytes and the size of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// One for each buffer.
    pub offsets: Vec<u64>,
    /// Size of the arena.
    pub bytes: u64,
}

/// Places all buffers.
pub(crate) fn memory(schedule: &Schedule) -> Memory {
    let mut offsets = vec![0; schedule.buffers.len()];
    let mut place = |mut at: u64, wants_caches: bool| {
        for (offset, buffer) in offsets.iter_mut().zip(&schedule.buffers) {
            let is_own = buffer.role.is_some() && buffer.within.is_none();
            if is_own && (buffer.role == Some(Role::Cache)) == wants_caches {
                *offset = at;
                at += aligned(buffer.bytes());
            }
        }
        at
    };
    let state_end = place(0, false);
    let caches_end = place(state_end, true);
    for (at, buffer) in schedule.buffers.iter().enumerate() {
        if let Some(within) = buffer.within {
            let parent = offsets[within.buffer.0 as usize];
            offsets[at] = parent + within.offset * buffer.dtype.bytes();
        }
    }
    let mut bytes = caches_end;
    for function in &schedule.functions {
        let base = if has_caches(schedule, &function.tasks) { caches_end } else { state_end };
        bytes = bytes.max(place_temporaries(schedule, &function.tasks, &mut offsets, base));
    }
    Memory { offsets, bytes }
}

/// Whether tasks read or write a cache.
pub(crate) fn has_caches(schedule: &Schedule, tasks: &[Task]) -> bool {
    let role = |arg: ir::schedule::Arg| schedule.buffers[arg.buffer.0 as usize].role;
    tasks.iter().flat_map(Task::args).any(|arg| role(arg) == Some(Role::Cache))
}

pub(crate) fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(plan::ALIGN)
}

/// A temporary and the tasks between which it holds something.
pub(crate) struct Live {
    pub(crate) buffer: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

fn place_temporaries(schedule: &Schedule, tasks: &[Task], offsets: &mut [u64], base: u64) -> u64 {
    let mut peak = base;
    // Placed temporaries that are still alive, as (offset, end, last task), by offset.
    let mut held: Vec<(u64, u64, usize)> = vec![];
    for live in lives(schedule, tasks) {
        held.retain(|&(_, _, last)| last >= live.first);
        let size = aligned(schedule.buffers[live.buffer].bytes());
        let mut at = base;
        for &(start, end, _) in &held {
            if at + size <= start {
                break;
            }
            at = at.max(end);
        }
        offsets[live.buffer] = at;
        held.push((at, at + size, live.last));
        held.sort_unstable();
        peak = peak.max(at + size);
    }
    peak
}

/// Lives of the temporaries of a function, in order of their first task.
pub(crate) fn lives(schedule: &Schedule, tasks: &[Task]) -> Vec<Live> {
    let mut lives: Vec<Live> = vec![];
    let mut found: Vec<Option<usize>> = vec![None; schedule.buffers.len()];
    for (index, task) in tasks.iter().enumerate() {
        for arg in task.args() {
            let buffer = arg.buffer.0 as usize;
            if schedule.buffers[buffer].role.is_some() {
                continue;
            }
            match found[buffer] {
                Some(at) => lives[at].last = index,
                None => {
                    found[buffer] = Some(lives.len());
                    lives.push(Live { buffer, first: index, last: index });
                }
            }
        }
    }
    lives
}
