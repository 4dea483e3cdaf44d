//! What a step costs, as far as a schedule tells.
//!
//! For comparing two ways to run one program: only ratios mean something.

use ir::schedule::attention::{Attention, Pass};
use ir::schedule::{Schedule, Task};

/// Operations of a product in the time that moving a byte to or from memory takes.
const OPS_A_BYTE: u64 = 16;

/// Bytes moved and operations computed by `accumulate` micro-batches and one update, in bytes.
pub(crate) fn of_step(schedule: &Schedule, accumulate: u64) -> u64 {
    let of = |name: &str| {
        let function = schedule.functions.iter().find(|f| f.name == name);
        function.map_or(0, |f| of_tasks(schedule, &f.tasks))
    };
    of("micro").saturating_mul(accumulate).saturating_add(of("update"))
}

fn of_tasks(schedule: &Schedule, tasks: &[Task]) -> u64 {
    tasks.iter().map(|task| of_task(schedule, task)).fold(0, u64::saturating_add)
}

fn of_task(schedule: &Schedule, task: &Task) -> u64 {
    let ops = match task {
        Task::Kernel { .. } | Task::Sort { .. } => 0,
        Task::Product { product, .. } => product.flops(),
        Task::Attention { attention, .. } => flops_of_attention(attention),
        Task::Tiles { count, body, .. } => return count.saturating_mul(of_tasks(schedule, body)),
    };
    ops / OPS_A_BYTE + moved(schedule, task)
}

/// Those of its products, were every key seen.
fn flops_of_attention(a: &Attention) -> u64 {
    let width = match a.pass {
        Pass::Forward { .. } => a.width + a.value_width,
        Pass::Backward { .. } => 3 * a.width + 2 * a.value_width,
    };
    2 * a.batch * a.heads * a.rows * a.keys * width
}

/// Every buffer that a task touches, once.
fn moved(schedule: &Schedule, task: &Task) -> u64 {
    let mut buffers: Vec<u32> = task.args().iter().map(|arg| arg.buffer.0).collect();
    buffers.sort_unstable();
    buffers.dedup();
    buffers.iter().map(|&b| schedule.buffers[b as usize].bytes()).sum()
}
