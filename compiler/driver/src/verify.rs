//! Every kernel of a program on random inputs, through everything that can run it.
//!
//! In: a compiled program. Out: for each different piece of work how far each device is from the
//! interpreter: not at all in exact mode, within the spans of `ir::eval::spans` in fast mode. Each
//! piece is a function of its own over buffers of its own, so one fault does not hide another.

use std::collections::BTreeMap;

use codegen::ptx::Numerics;
use exec::device::cpu::Memory;
use exec::error::Error;
use exec::executor::{Executor, Grids, Host, Options};
use ir::eval::kernel::Memory as Reference;
use ir::eval::schedule::{eval_task, memory};
use ir::eval::span::Span;
use ir::eval::spans::{Spans, eval_spans};
use ir::eval::tensor::Data;
use ir::graph::Role;
use ir::kernel::Skeleton;
use ir::narrow;
use ir::schedule::{Arg, BufferId, Function, Schedule, Task};
use ir::types::Dtype;
use passes::plan_of;
use plan::Plan;

use crate::compile::BackEnd;

/// Multiplications of a product from which on the interpreter would take too long.
const MOST_FLOPS: u64 = 1 << 29;

/// One piece of work, run on every device.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// What it is and where it came from.
    pub name: String,
    /// How many tasks of the program are the same.
    pub n_tasks: usize,
    /// For each device what was found.
    pub found: Vec<Found>,
}

/// What runs the work.
#[derive(Debug, Clone, Copy)]
pub struct Device {
    /// For people.
    pub name: &'static str,
    /// Whose code it runs.
    pub back_end: BackEnd,
    /// What runs grids.
    pub grids: Grids,
    /// How its code computes.
    pub numerics: Numerics,
}

/// How a device did.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Every bit is the interpreter's; NaNs are all one.
    Same,
    /// The largest difference of an element, beside what is allowed, and which element it is.
    Differs {
        /// Of two numbers.
        by: f64,
        /// Of these two; 0 in exact mode.
        allowed: f64,
        /// `micro.v12[7]`.
        place: String,
    },
    /// It could not end.
    Fault(String),
    /// It was not run: the interpreter would take too long.
    TooLarge,
}

/// Checks the work of a schedule on devices; `run` is that of its plan.
pub fn verify(
    schedule: &Schedule,
    run: &plan::Run,
    devices: &[Device],
    seed: u64,
) -> Result<Vec<Checked>, Error> {
    let work = different(schedule);
    let single = single(schedule, &work);
    let mut machines = vec![];
    for &Device { name: _, back_end, grids, numerics } in devices {
        let plan = plan(&single, run, back_end, numerics);
        machines.push(match Executor::load(plan, &Options { grids, ..Options::threads(1) }) {
            Ok(machine) => Ok(machine),
            // The others may have the room that it lacks.
            Err(error @ Error::Resources(_)) => Err(error.to_string()),
            Err(error) => return Err(error),
        });
    }
    let mut reference = memory(&single);
    let mut checked = vec![];
    for (at, piece) in work.iter().enumerate() {
        let (name, n_tasks) = (piece.name.clone(), piece.n_tasks);
        if is_too_large(&piece.task) {
            checked.push(Checked { name, n_tasks, found: vec![Found::TooLarge; devices.len()] });
            continue;
        }
        let mut random = Random(seed ^ (at as u64) << 32);
        let task = &single.functions[at].tasks[0];
        fill(&single, task, &mut random, &mut reference);
        for machine in machines.iter_mut().flatten() {
            copy(&single, task, &reference, machine.memory_mut());
        }
        let before = touched(task, &reference);
        // All targets have one order of sums.
        let target = BackEnd::Cpu.target();
        eval_task(task, &single, &target, &mut reference);
        let mut spans = None;
        let mut found = vec![];
        for (machine, device) in machines.iter_mut().zip(devices) {
            let machine = match machine {
                Ok(machine) => machine,
                Err(fault) => {
                    found.push(Found::Fault(fault.clone()));
                    continue;
                }
            };
            let function = machine.plan().function(&single.functions[at].name);
            let function = function.expect("the plan has the functions of its schedule");
            if let Err(fault) = machine.call(function, &mut Nobody) {
                found.push(Found::Fault(fault.to_string()));
                continue;
            }
            let same = compare(&single, task, &reference, machine.memory(), None);
            found.push(match (&same, device.numerics) {
                (Found::Differs { .. }, Numerics::Fast) => {
                    let spans =
                        spans.get_or_insert_with(|| eval_spans(task, &single, &target, &before));
                    compare(&single, task, &reference, machine.memory(), Some(spans))
                }
                (_, Numerics::Fast | Numerics::Exact) => same,
            });
        }
        checked.push(Checked { name, n_tasks, found });
    }
    Ok(checked)
}

/// What the buffers of a task hold; the rest is empty.
fn touched(task: &Task, memory: &Reference) -> Reference {
    let mut touched = Reference(vec![Data::zeros(Dtype::Bool, 0); memory.0.len()]);
    for arg in task.args() {
        let at = arg.buffer.0 as usize;
        touched.0[at].clone_from(&memory.0[at]);
    }
    touched
}

fn is_too_large(task: &Task) -> bool {
    match task {
        Task::Product { product, .. } => product.flops() > MOST_FLOPS,
        Task::Attention { attention: a, .. } => {
            2 * a.batch * a.heads * a.rows * a.keys * (a.width + a.value_width) > MOST_FLOPS
        }
        Task::Kernel { .. } | Task::Sort { .. } | Task::Tiles { .. } => false,
    }
}

/// A host that is never asked.
pub(crate) struct Nobody;

impl Host for Nobody {
    fn turn(&mut self, _: plan::Yield, _: &mut Memory) -> Result<(), Error> {
        unreachable!("a piece of work does not yield")
    }
}

/// A task that stands for all that are the same but for their places.
struct Piece {
    name: String,
    task: Task,
    n_tasks: usize,
}

/// The different tasks of a schedule, those inside of loops among them.
fn different(schedule: &Schedule) -> Vec<Piece> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut pieces: Vec<Piece> = vec![];
    let mut rest: Vec<&Task> = schedule.functions.iter().flat_map(|f| &f.tasks).rev().collect();
    while let Some(task) = rest.pop() {
        if let Task::Tiles { body, .. } = task {
            rest.extend(body.iter().rev());
            continue;
        }
        let known = *found.entry(key(schedule, task)).or_insert(pieces.len());
        if known == pieces.len() {
            let first = alone(task);
            pieces.push(Piece { name: name(schedule, task), task: first, n_tasks: 0 });
        }
        pieces[known].n_tasks += 1;
    }
    pieces
}

/// A task as it is outside of a loop.
fn alone(task: &Task) -> Task {
    match task {
        Task::Kernel { .. } | Task::Product { .. } => task.in_iteration(&[], 0),
        Task::Attention { .. } | Task::Sort { .. } | Task::Tiles { .. } => task.clone(),
    }
}

/// What a task depends on, without its places.
fn key(schedule: &Schedule, task: &Task) -> String {
    let dtypes: Vec<Dtype> = task.args().iter().map(|arg| buffer(schedule, arg).dtype).collect();
    let mut task = alone(task);
    task.args_mut().into_iter().for_each(|arg| *arg = Arg { buffer: BufferId(0), offset: 0 });
    if let Task::Kernel { origin, .. }
    | Task::Product { origin, .. }
    | Task::Attention { origin, .. } = &mut task
    {
        origin.clear();
    }
    format!("{dtypes:?} {task:?}")
}

fn name(schedule: &Schedule, task: &Task) -> String {
    match task {
        Task::Kernel { kernel, origin, .. } => {
            let kernel = &schedule.kernels[*kernel];
            let kind = match kernel.skeleton {
                Skeleton::Rows => "rows",
                Skeleton::Columns { .. } => "columns",
                Skeleton::Segments { .. } => "segments",
            };
            format!("{kind} {} of {origin}", kernel.name)
        }
        Task::Product { product: p, origin } => {
            let behind = p.epilogue.as_ref().map(|e| &schedule.kernels[e.kernel].name);
            let behind = behind.map(|name| format!(", then {name}")).unwrap_or_default();
            format!("product {} x {} x {}{behind} of {origin}", p.m, p.n, p.k)
        }
        Task::Attention { attention: a, origin } => {
            let kind = match a.pass {
                ir::schedule::attention::Pass::Forward { .. } => "attention",
                ir::schedule::attention::Pass::Backward { .. } => "attention backward",
            };
            format!("{kind} {} x {} of {} of {origin}", a.rows, a.keys, a.width)
        }
        Task::Sort { n, rows, .. } => format!("sort of {n} below {rows}"),
        Task::Tiles { .. } => unreachable!("a loop is its body"),
    }
}

fn buffer<'s>(schedule: &'s Schedule, arg: &Arg) -> &'s ir::schedule::Buffer {
    &schedule.buffers[arg.buffer.0 as usize]
}

/// A function for each piece; what they touch stays, the rest has no elements.
fn single(schedule: &Schedule, work: &[Piece]) -> Schedule {
    let mut buffers = schedule.buffers.clone();
    let is_touched = |at: usize| {
        let id = BufferId(u32::try_from(at).expect("fewer than 2^32 buffers"));
        work.iter().any(|piece| piece.task.args().iter().any(|arg| arg.buffer == id))
    };
    for (at, buffer) in buffers.iter_mut().enumerate() {
        // Both sides read and write it.
        (buffer.role, buffer.within) = (Some(Role::Output), None);
        if !is_touched(at) {
            buffer.shape = vec![0];
        }
    }
    let function = |(at, piece): (usize, &Piece)| Function {
        name: format!("t{at}"),
        tasks: vec![piece.task.clone()],
    };
    let functions = work.iter().enumerate().map(function).collect();
    Schedule { buffers, kernels: schedule.kernels.clone(), functions }
}

fn plan(schedule: &Schedule, run: &plan::Run, back_end: BackEnd, numerics: Numerics) -> Plan {
    let (mut offsets, mut bytes) = (vec![], 0u64);
    for buffer in &schedule.buffers {
        offsets.push(bytes);
        bytes += buffer.bytes().next_multiple_of(plan::ALIGN);
    }
    let memory = passes::memory::Memory { offsets, bytes };
    let target = back_end.target();
    let emitted = back_end.emit(schedule, &target, numerics);
    plan_of::bare("verify", run.clone(), &target, schedule, &memory, emitted)
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.bits() % n.max(1)
    }

    /// Within -1..1.
    fn real(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// New elements for all that a task touches.
fn fill(schedule: &Schedule, task: &Task, random: &mut Random, memory: &mut Reference) {
    for arg in task.args() {
        let dtype = buffer(schedule, &arg).dtype;
        let data = &mut memory.0[arg.buffer.0 as usize];
        for at in 0..data.len() {
            data.set_bits(at, element(dtype, random));
        }
    }
    let Task::Kernel { kernel, args, .. } = task else { return };
    if let Skeleton::Segments { starts, order } = schedule.kernels[*kernel].skeleton {
        let [starts, order] = [args[starts], args[order]];
        let data = &mut memory.0[order.buffer.0 as usize];
        let n = data.len() as u64 - order.offset;
        for at in 0..n {
            data.set_bits((order.offset + at) as usize, n - 1 - at);
        }
        let data = &mut memory.0[starts.buffer.0 as usize];
        let rows = (data.len() as u64 - starts.offset).saturating_sub(1).max(1);
        for at in 0..=rows {
            data.set_bits((starts.offset + at) as usize, at * n / rows);
        }
    }
}

fn element(dtype: Dtype, random: &mut Random) -> u64 {
    match dtype {
        Dtype::F32 => u64::from((random.real() as f32).to_bits()),
        Dtype::F16 | Dtype::Bf16 => u64::from(narrow::round(dtype, random.real() as f32).to_bits()),
        Dtype::F64 => (random.real() + 1.5).to_bits(),
        // Small enough for an index of whatever is indexed.
        Dtype::I32 => random.below(4),
        Dtype::Bool => random.below(2),
    }
}

/// The same elements in the memory of a device.
fn copy(schedule: &Schedule, task: &Task, from: &Reference, to: &mut Memory) {
    for arg in task.args() {
        let (at, dtype) = (arg.buffer.0, buffer(schedule, &arg).dtype);
        let data = &from.0[at as usize];
        let width = dtype.bytes() as usize;
        let bytes = to.bytes_mut(plan::BufferId(at));
        for (i, element) in bytes.chunks_exact_mut(width).enumerate() {
            let bits = match dtype {
                Dtype::F16 | Dtype::Bf16 => {
                    narrow::pack(dtype, f32::from_bits(data.bits(i) as u32)).into()
                }
                Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => data.bits(i),
            };
            element.copy_from_slice(&bits.to_le_bytes()[..width]);
        }
    }
}

/// How far what a task touched is from the interpreter's, by what is allowed.
fn compare(
    schedule: &Schedule,
    task: &Task,
    wanted: &Reference,
    got: &Memory,
    spans: Option<&Spans>,
) -> Found {
    let mut worst: Option<(f64, Found)> = None;
    for arg in task.args() {
        let (about, buffer) = (buffer(schedule, &arg), arg.buffer.0 as usize);
        let data = &wanted.0[buffer];
        let bytes = got.bytes(plan::BufferId(arg.buffer.0));
        let width = about.dtype.bytes() as usize;
        for (at, element) in
            bytes.chunks_exact(width).enumerate().take(n_known(task, arg, wanted, data.len()))
        {
            let (x, y) = (data.number(at), number(about.dtype, element));
            if x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()) {
                continue;
            }
            let (by, allowed) = differences(x, y, spans.map(|spans| spans.at(buffer, at)));
            // What breaks its bound is worse than all that does not.
            let much = if by <= allowed { by / allowed } else { 2.0 + by };
            if worst.as_ref().is_none_or(|(most, _)| much > *most) {
                let place = format!("{}[{at}]", about.name);
                worst = Some((much, Found::Differs { by, allowed, place }));
            }
        }
    }
    worst.map_or(Found::Same, |(_, found)| found)
}

/// By how much `y` is not `x`, and by how much it may be not.
fn differences(x: f64, y: f64, span: Option<Span>) -> (f64, f64) {
    let by = if x.is_nan() || y.is_nan() { f64::INFINITY } else { (x - y).abs() };
    let allowed = span.map_or(0.0, |span| {
        if y.is_nan() && span.holds(y) {
            f64::INFINITY
        } else if y > x {
            span.hi - x
        } else {
            x - span.lo
        }
    });
    (by, allowed)
}

/// How many elements of a buffer mean something: of an order, those that were kept.
fn n_known(task: &Task, arg: Arg, wanted: &Reference, n: usize) -> usize {
    let Task::Sort { order, starts, rows, .. } = task else { return n };
    if arg != *order {
        return n;
    }
    let kept = wanted.0[starts.buffer.0 as usize].bits((starts.offset + rows) as usize);
    (order.offset + kept) as usize
}

fn number(dtype: Dtype, element: &[u8]) -> f64 {
    let mut all = [0; 8];
    all[..element.len()].copy_from_slice(element);
    let bits = u64::from_le_bytes(all);
    match dtype {
        Dtype::F32 => f32::from_bits(bits as u32).into(),
        Dtype::F64 => f64::from_bits(bits),
        Dtype::F16 | Dtype::Bf16 => narrow::unpack(dtype, bits as u16).into(),
        Dtype::I32 | Dtype::Bool => f64::from(bits as u32 as i32),
    }
}
