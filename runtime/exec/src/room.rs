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
fn refusal(plan: &Plan, available: u64) -> String {
    let (needs, has) = (gib(plan.arena_bytes), gib(available));
    let what = format!("the plan needs {needs} of memory, {has} are available");
    let way = fitting(plan, available).map_or_else(
        || "a smaller model or a shorter `context` is needed".to_owned(),
        |n| format!("`micro_batch {n}` should fit"),
    );
    format!("{what}; its largest tensors:{}\n{way}", largest(plan))
}

/// The same for the memory of a device, of which others may have a part.
pub(crate) fn device_refusal(plan: &Plan, free: u64) -> String {
    let needs = plan.arena_bytes;
    let micro_batch = match fitting(plan, free) {
        Some(n) => format!("`micro_batch {n}` should fit"),
        None => "a smaller `micro_batch`".to_owned(),
    };
    format!(
        "the plan needs {needs} bytes ({}), {free} bytes are free on the device ({}); its largest \
         tensors:{}\n{micro_batch}; `recompute all` keeps less for the backward pass; \
         `memory {}MiB` lets the compiler choose both; `nvidia-smi` lists what else uses the device",
        gib(needs),
        gib(free),
        largest(plan),
        free >> 20
    )
}

/// A line for each of the largest tensors.
fn largest(plan: &Plan) -> String {
    let mut largest: Vec<_> = plan.buffers.iter().filter(|b| b.role != Role::Flat).collect();
    largest.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.offset.cmp(&b.offset)));
    let line = |buffer: &&plan::Buffer| {
        let shape: Vec<String> = buffer.shape.iter().map(u64::to_string).collect();
        format!("\n  {:>12}  {} [{}]", gib(buffer.bytes), buffer.name, shape.join(", "))
    };
    largest.iter().take(LISTED).map(line).collect()
}

/// The micro-batch that so many bytes are enough for, if there is one.
fn fitting(plan: &Plan, available: u64) -> Option<u64> {
    let is_state = |b: &&plan::Buffer| b.role != Role::Temp && b.within.is_none();
    let held: u64 = plan.buffers.iter().filter(is_state).map(|b| b.bytes).sum();
    let a_row = plan.arena_bytes.saturating_sub(held) / plan.run.micro_batch.max(1);
    match available.saturating_sub(held) / a_row.max(1) {
        0 => None,
        n => Some(power_of_two_below(n)),
    }
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
    use crate::tiny;

    #[test]
    fn a_device_without_room_is_told_in_bytes_with_every_way_out() {
        let plan = tiny::plan();
        let free = plan.arena_bytes - 1;
        let text = device_refusal(&plan, free);
        for part in [
            format!("needs {} bytes", plan.arena_bytes),
            format!("{free} bytes are free"),
            "micro_batch".to_owned(),
            "recompute all".to_owned(),
            "`memory 0MiB`".to_owned(),
        ] {
            assert!(text.contains(&part), "{part}: {text}");
        }
    }

    #[test]
    fn meminfo_is_read_in_bytes() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   12 kB\n"), Some(12 * 1024));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        assert_eq!(available("MemAvailable: many\n"), None);
    }
}
