//! `llmc doctor`: what this machine has, and what of it is used.
//!
//! Nothing that is missing is an error: the page says so, and what that means.

use exec::device::cuda::driver::{Absent, Driver, Gpu};
use exec::room;
use exec::train::products;
use passes::usage::size;

use super::Failure;
use super::out::{say, say_part};
use crate::cache;
use crate::machine::{SHARE_PERCENT, Site};
use crate::{cli::Device, compile::BackEnd};

/// Columns of a name.
const WIDTH: usize = 11;

pub(super) fn run() -> Result<(), Failure> {
    say(format_args!("llmc {}", env!("CARGO_PKG_VERSION")));
    say_part(format_args!("\n{}", section("cpu", "--device cpu, the default", &cpu())));
    say_part(format_args!("\n{}", section("cuda", "--device cuda", &cuda(&Driver::find()))));
    let emulator = [("runs", emulated())];
    say_part(format_args!("\n{}", section("emulator", "--device emulated", &emulator)));
    say_part(format_args!("\n{}", section("cache", "of compiled plans", &cached())));
    Ok(())
}

/// A title and a line for each fact.
fn section(title: &str, about: &str, facts: &[(&str, String)]) -> String {
    let lines = facts.iter().map(|(name, value)| format!("  {name:<WIDTH$}{value}\n"));
    format!("{title} ({about})\n{}", lines.collect::<String>())
}

fn cpu() -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = match room::total() {
        Some(bytes) => {
            let share = size(bytes / 100 * SHARE_PERCENT);
            format!("{}; {SHARE_PERCENT}% of it is the bound of a run: {share}", size(bytes))
        }
        None => "of unknown size; a run has no bound but that of its spec".to_owned(),
    };
    vec![
        ("model", model().unwrap_or_else(|| std::env::consts::ARCH.to_owned())),
        ("threads", cores.to_string()),
        ("products", format!("{} instructions", products())),
        ("memory", memory),
    ]
}

/// The name of the processor, where the system tells.
fn model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn emulated() -> String {
    match Site::of(Device::Emulated).map(|site| site.back_end) {
        Ok(BackEnd::Gpu(target)) => format!("the code of {}, on the CPU", target.name()),
        Ok(BackEnd::Cpu) | Err(_) => unreachable!("the emulator needs nothing and runs no CLIF"),
    }
}

fn cuda(found: &Result<Driver, Absent>) -> Vec<(&'static str, String)> {
    match found {
        Ok(driver) => {
            let mut facts = vec![("driver", driver.version.to_string())];
            facts.extend(driver.devices.iter().map(|gpu| ("device", device(gpu))));
            facts
        }
        Err(absent) => vec![("driver", format!("none: {absent}"))],
    }
}

fn device(gpu: &Gpu) -> String {
    let Gpu { ordinal, name, capability: [major, minor], .. } = gpu;
    let used = match gpu.target() {
        None => "not supported".to_owned(),
        Some(target) if *ordinal == 0 => format!("runs the code of {}", target.name()),
        Some(target) => format!("could run the code of {}; only device 0 is used", target.name()),
    };
    format!(
        "{ordinal}: {name}, compute capability {major}.{minor}, {}, {} multiprocessors, \
         {} of shared memory a block; {used}",
        size(gpu.memory_bytes),
        gpu.processors,
        size(gpu.shared_bytes),
    )
}

fn cached() -> Vec<(&'static str, String)> {
    let Some(held) = cache::held() else {
        return vec![("folder", "none: LLMC_CACHE is `off`, or there is no home".to_owned())];
    };
    let plans = if held.n_plans == 1 { "plan" } else { "plans" };
    let modules = match held.n_modules {
        0 => String::new(),
        1 => " and a module of a device".to_owned(),
        n => format!(" and {n} modules of devices"),
    };
    vec![
        ("folder", held.folder.display().to_string()),
        ("holds", format!("{} {plans}{modules}, {}", held.n_plans, size(held.bytes))),
    ]
}

#[cfg(test)]
mod tests {
    use exec::device::cuda::driver::Version;

    use super::*;

    fn gpu(ordinal: usize, capability: [u32; 2]) -> Gpu {
        Gpu {
            ordinal,
            name: "a card".to_owned(),
            capability,
            memory_bytes: 80 << 30,
            shared_bytes: 227 << 10,
            processors: 132,
        }
    }

    #[test]
    fn devices_are_listed_with_what_is_used() {
        let devices = vec![gpu(0, [9, 0]), gpu(1, [8, 0]), gpu(2, [7, 0])];
        let driver = Driver { version: Version { major: 12, minor: 4 }, devices };
        let facts = cuda(&Ok(driver));
        let lines: Vec<&str> = facts.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(lines[0], "CUDA 12.4");
        assert!(lines[1].starts_with("0: a card, compute capability 9.0, 80.0 GiB, 132"));
        assert!(lines[1].contains("227.0 KiB of shared memory a block"));
        assert!(lines[1].ends_with("runs the code of sm_90"));
        assert!(lines[2].ends_with("could run the code of sm_80; only device 0 is used"));
        assert!(lines[3].ends_with("not supported"));
    }
}
