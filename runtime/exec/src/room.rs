//! Whether the machine has the memory of a plan, asked before allocating.
//!
//! Linux hands out memory that it does not have and kills the process later; so the plan is
//! compared with what is available. Elsewhere the allocation itself is the test.

use plan::{Plan, Role};

use crate::error::Error;
use crate::executor::{Grids, Options};

/// How many of the largest tensors a refusal lists.
const LISTED: usize = 5;

/// Refuses a plan that does not fit, with its largest tensors and what would make it smaller.
///
/// A device with a memory of its own is asked when the plan is loaded.
pub fn check(plan: &Plan, options: &Options) -> Result<(), Error> {
    match options.grids {
        Grids::Emulated => {}
        Grids::Cuda => return Ok(()),
    }
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    match available(&text) {
        Some(bytes) if plan.arena_bytes > bytes => Err(Error::Resources(refusal(plan, bytes))),
        Some(_) | None => Ok(()),
    }
}

/// Bytes of memory that this machine has, or that its container may use.
pub fn total() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = entry(&read("/proc/meminfo"), "MemTotal:")?;
    let container = read("/sys/fs/cgroup/memory.max").trim().parse::<u64>().ok();
    Some(container.map_or(machine, |most| machine.min(most)))
}

/// `MemAvailable` in bytes.
fn available(meminfo: &str) -> Option<u64> {
    entry(meminfo, "MemAvailable:")
}

fn entry(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The words for a plan that needs more than there is.
pub(crate) fn refusal(plan: &Plan, available: u64) -> String {
    let mut largest: Vec<_> = plan.buffers.iter().filter(|b| b.role != Role::Flat).collect();
    largest.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.offset.cmp(&b.offset)));
    let mut text = format!(
        "the plan needs {} of memory, {} are available; its largest tensors:",
        gib(plan.arena_bytes),
        gib(available)
    );
    for buffer in largest.iter().take(LISTED) {
        let shape: Vec<String> = buffer.shape.iter().map(u64::to_string).collect();
        text += &format!("\n  {:>12}  {} [{}]", gib(buffer.bytes), buffer.name, shape.join(", "));
    }
    let is_state = |b: &&plan::Buffer| b.role != Role::Temp && b.within.is_none();
    let held: u64 = plan.buffers.iter().filter(is_state).map(|b| b.bytes).sum();
    let a_row = plan.arena_bytes.saturating_sub(held) / plan.run.micro_batch.max(1);
    let fitting = available.saturating_sub(held) / a_row.max(1);
    text += &match fitting {
        0 => "\na smaller model or a shorter `context` is needed".to_owned(),
        n => format!("\n`micro_batch {}` should fit", power_of_two_below(n)),
    };
    text
}

fn power_of_two_below(n: u64) -> u64 {
    1 << n.ilog2()
}

fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_bytes() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   12 kB\n"), Some(12 * 1024));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        assert_eq!(available("MemAvailable: many\n"), None);
    }
}
