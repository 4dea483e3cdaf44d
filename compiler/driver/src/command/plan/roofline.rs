//! What a step would take at least on GPUs: bytes and operations over their rates.
//!
//! A roofline is a bound from below: each piece of work takes as long as memory needs for its bytes
//! or the arithmetic units for its operations, whichever is longer, and nothing else takes any time.
//! Williams et al. 2009, doi:10.1145/1498765.1498785.

use std::collections::BTreeMap;

use exec::executor::cost_name;
use passes::fit::Room;
use passes::pipeline::{self, Scheduled};
use passes::plan_of::{self, Emitted};
use passes::usage::size;
use plan::{Dtype, Plan, Step};
use ptx_builder::Target;

use super::super::bench::traffic;
use super::super::out::say;
use super::super::source::Ready;
use crate::compile::{BackEnd, Compiled, compile_within};

/// Rows of the table; the rest is one row.
const LISTED: usize = 24;
/// Columns of a device.
const WIDTH: usize = 16;
/// Bytes that a driver and the code take of a device's memory.
const BESIDE_BYTES: u64 = 512 << 20;

/// A device as its maker describes it.
struct Device {
    name: &'static str,
    target: Target,
    memory_bytes: u64,
    /// Of memory.
    bytes_s: f64,
    /// Multiplications and additions of singles.
    fp32_s: f64,
    /// The same of 16 bits on tensor cores with sums in single, dense.
    tensor_s: f64,
}

/// One device of each generation, by the data sheets of NVIDIA.
const DEVICES: [Device; 5] = [
    device("A100 80GB", Target::Sm80, 80, 2039.0, 19.5, 312.0),
    device("A40", Target::Sm86, 48, 696.0, 37.4, 149.7),
    device("RTX 4090", Target::Sm89, 24, 1008.0, 82.6, 165.2),
    device("H200", Target::Sm90, 141, 4800.0, 67.0, 989.0),
    device("RTX 5090", Target::Sm120, 32, 1792.0, 104.8, 209.5),
];

/// Memory in GB, GB/s, and TFLOP/s.
const fn device(
    name: &'static str,
    target: Target,
    gb: u64,
    gb_s: f64,
    fp32: f64,
    tensor: f64,
) -> Device {
    let memory_bytes = gb * 1_000_000_000;
    Device {
        name,
        target,
        memory_bytes,
        bytes_s: gb_s * 1e9,
        fp32_s: fp32 * 1e12,
        tensor_s: tensor * 1e12,
    }
}

/// Work of one kind in a step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Work {
    calls: u64,
    bytes: u64,
    flops: u64,
    is_tensor: bool,
}

impl Work {
    fn seconds(&self, device: &Device) -> f64 {
        let flops_s = if self.is_tensor { device.tensor_s } else { device.fp32_s };
        (self.bytes as f64 / device.bytes_s).max(self.flops as f64 / flops_s)
    }
}

/// A device and the program on it, or why it does not fit.
struct Column<'d> {
    device: &'d Device,
    compiled: Result<Compiled, String>,
}

/// Prints a column for each target.
pub(super) fn print(ready: &Ready, targets: &[Target]) {
    let of_targets = DEVICES.iter().filter(|device| targets.contains(&device.target));
    let columns: Vec<Column<'_>> = of_targets.map(|device| column(ready, device)).collect();
    row("\nGPUs", &columns, |c| format!("{} {}", c.device.target.name(), c.device.name));
    row("memory", &columns, |c| size(c.device.memory_bytes));
    row("fits", &columns, |c| c.compiled.as_ref().map_or_else(Clone::clone, |_| "yes".to_owned()));
    row("arena", &columns, |c| of(c, |compiled| size(compiled.plan.arena_bytes)));
    row("micro_batch", &columns, |c| of(c, |compiled| compiled.plan.run.micro_batch.to_string()));
    let works: Vec<BTreeMap<String, Work>> =
        columns.iter().map(|c| c.compiled.as_ref().map(work).unwrap_or_default()).collect();
    let total = |c: &Column<'_>, works: &BTreeMap<String, Work>| -> f64 {
        works.values().map(|work| work.seconds(c.device)).sum()
    };
    let totals: Vec<f64> = columns.iter().zip(&works).map(|(c, works)| total(c, works)).collect();
    let cells = |cell: &dyn Fn(f64, &Plan) -> String| {
        let all = columns.iter().zip(&totals);
        let all = all.map(|(c, &s)| of(c, |compiled| cell(s, &compiled.plan)));
        all.collect::<Vec<_>>()
    };
    line("step", &cells(&|s, _| format!("{:.2} ms", s * 1e3)));
    line(
        "tokens/s",
        &cells(&|s, plan| format!("{:.0}", (plan.run.batch * plan.run.context) as f64 / s)),
    );
    table(&columns, &works);
}

fn column<'d>(ready: &Ready, device: &'d Device) -> Column<'d> {
    let room = Room { default_bytes: Some(device.memory_bytes), beside_bytes: BESIDE_BYTES };
    let Ready { front, program, facts, .. } = ready;
    let gpu = BackEnd::Gpu(device.target);
    let compiled = compile_within(program, &front.map, facts.as_ref(), room, gpu);
    let compiled = compiled.map(named).map_err(|found| {
        found.first().map_or("no".to_owned(), |first| format!("no: {}", first.code.name()))
    });
    Column { device, compiled }
}

/// With a plan of the same schedule that names its products and kernels, as a CPU's does.
fn named(compiled: Compiled) -> Compiled {
    let Scheduled { schedule, memory, .. } = &compiled.scheduled;
    let code = Emitted::Kernels(codegen::clif::code(&schedule.kernels));
    let Plan { name, run, .. } = compiled.plan;
    let plan = plan_of::bare(&name, run, &pipeline::cpu(), schedule, memory, code);
    Compiled { plan, ..compiled }
}

fn of(column: &Column<'_>, cell: impl FnOnce(&Compiled) -> String) -> String {
    column.compiled.as_ref().map_or(String::new(), cell)
}

fn row(name: &str, columns: &[Column<'_>], cell: impl Fn(&Column<'_>) -> String) {
    line(name, &columns.iter().map(cell).collect::<Vec<_>>());
}

fn line(name: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!(" {cell:>WIDTH$}")).collect();
    say(format_args!("{name:<13}{cells}"));
}

/// All work of a step by name.
fn work(compiled: &Compiled) -> BTreeMap<String, Work> {
    let plan = &compiled.plan;
    let bytes = traffic::of(plan, &compiled.scheduled.schedule.kernels);
    let mut works = BTreeMap::new();
    for (function, times) in [("micro", plan.run.accumulate), ("update", 1)] {
        let function = plan.function(function).expect("a program that trains has it");
        add(plan, &plan[function].steps, times, &bytes, &mut works);
    }
    works
}

fn add(
    plan: &Plan,
    steps: &[Step],
    times: u64,
    bytes: &BTreeMap<String, u64>,
    works: &mut BTreeMap<String, Work>,
) {
    for step in steps {
        if let Step::Tiles { count, body, .. } = step {
            add(plan, body, times * count, bytes, works);
        }
        let Some(name) = cost_name(plan, step) else { continue };
        let is_narrow = |arg: plan::Arg| matches!(plan[arg.buffer].dtype, Dtype::F16 | Dtype::Bf16);
        let (flops, is_tensor) = match step {
            Step::Product { product, .. } => (product.flops(), is_narrow(product.a)),
            Step::Attention { attention, .. } => (attention.flops(), is_narrow(attention.q.arg)),
            Step::Kernel { .. } | Step::Sort { .. } | Step::Loop { .. } => (0, false),
            Step::Launch { .. } | Step::Tiles { .. } | Step::Call(_) | Step::Yield(_) => (0, false),
        };
        let one = bytes.get(&name).copied().unwrap_or(0);
        let work = works.entry(name).or_insert(Work { is_tensor, ..Work::default() });
        work.calls += times;
        work.bytes += times * one;
        work.flops += times * flops;
    }
}

/// The longest work first, by the first device.
fn table(columns: &[Column<'_>], works: &[BTreeMap<String, Work>]) {
    let Some(at) = columns.iter().position(|c| c.compiled.is_ok()) else { return };
    let mut rows: Vec<(&String, &Work)> = works[at].iter().collect();
    let seconds = |work: &Work| work.seconds(columns[at].device);
    rows.sort_by(|x, y| seconds(y.1).total_cmp(&seconds(x.1)).then(x.0.cmp(y.0)));
    let heads: String = columns.iter().map(|c| format!(" {:>9}", c.device.target.name())).collect();
    say(format_args!("\nroofline of a step, ms\n {heads}  calls       GB    TFLOP  work"));
    let ms = |c: &Column<'_>, works: &BTreeMap<String, Work>, name: &String| {
        let work = works.get(name);
        work.map_or(" ".repeat(10), |w| format!(" {:>9.3}", w.seconds(c.device) * 1e3))
    };
    for (name, work) in rows.iter().take(LISTED) {
        let cells: String = columns.iter().zip(works).map(|(c, w)| ms(c, w, name)).collect();
        let (gb, tflop) = (work.bytes as f64 / 1e9, work.flops as f64 / 1e12);
        say(format_args!(" {cells}  {:>5} {gb:>8.3} {tflop:>8.4}  {name}", work.calls));
    }
    let rest: Vec<&String> = rows.iter().skip(LISTED).map(|(name, _)| *name).collect();
    if !rest.is_empty() {
        let sum = |(c, works): (&Column<'_>, &BTreeMap<String, Work>)| {
            let of_rest = rest.iter().filter_map(|name| works.get(*name));
            format!(" {:>9.3}", of_rest.map(|w| w.seconds(c.device) * 1e3).sum::<f64>())
        };
        let cells: String = columns.iter().zip(works).map(sum).collect();
        say(format_args!(" {cells}  {} others", rest.len()));
    }
}
