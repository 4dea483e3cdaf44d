//! Assembles the plan: buffers with offsets, code, functions as steps, the run.

mod attention;
mod data;

use std::collections::BTreeSet;

use ir::graph::Role;
use ir::kernel::{COLUMN_TILE, Kernel, Skeleton};
use ir::schedule::{self, Schedule, Target, Task};
use ir::types::Dtype;
use plan::{Buffer, BufferId, Code, Count, Function, FunctionId, Plan, Step, Yield};
use sema::{LossScale, OnNan, Program, Resume};

use crate::memory::Memory;
pub use data::data_of;

/// Elements of work below which a kernel is not split over threads.
const GRAIN_ELEMENTS: u64 = 8192;

/// What a back end made of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub enum Emitted {
    /// The code of each kernel; the runtime has the rest.
    Kernels(Vec<Code>),
    /// Code, and how each task is launched, in the order of functions and tasks; loops of tasks
    /// have none, those inside of them have.
    Launches(Vec<Code>, Vec<schedule::Launch>),
}

/// The plan of a scheduled program.
pub fn plan(
    program: &Program,
    run: plan::Run,
    target: &Target,
    schedule: &Schedule,
    memory: &Memory,
    emitted: Emitted,
) -> Plan {
    let mut plan = bare(&program.name, run, target, schedule, memory, emitted);
    let step = training_step(&plan.functions);
    plan.functions.push(step);
    plan
}

/// The plan of any schedule: its functions, and none that the training loop calls.
pub fn bare(
    name: &str,
    run: plan::Run,
    target: &Target,
    schedule: &Schedule,
    memory: &Memory,
    emitted: Emitted,
) -> Plan {
    let (code, launches) = match emitted {
        Emitted::Kernels(code) => (code, None),
        Emitted::Launches(code, launches) => (code, Some(launches.into_iter())),
    };
    let mut steps = Steps { schedule, target, launches };
    let function = |f: &schedule::Function| Function {
        name: f.name.clone(),
        steps: f.tasks.iter().map(|task| steps.step(task)).collect(),
    };
    let functions = schedule.functions.iter().map(function).collect();
    Plan {
        name: name.to_owned(),
        compiler: concat!("llmc ", env!("CARGO_PKG_VERSION")).to_owned(),
        target: target.name.clone(),
        buffers: buffers(schedule, memory),
        arena_bytes: memory.bytes,
        code,
        functions,
        run,
    }
}

/// `step`: all micro-batches, then the update.
fn training_step(functions: &[Function]) -> Function {
    let id = |name: &str| {
        let at = functions.iter().position(|f| f.name == name);
        let at = at.expect("a training program has micro and update");
        FunctionId(u32::try_from(at).expect("function counts fit"))
    };
    let body = vec![Step::Yield(Yield::Batch), Step::Call(id("micro"))];
    let steps = vec![
        Step::Loop { count: Count::Accumulate, body },
        Step::Call(id("update")),
        Step::Yield(Yield::Metrics),
    ];
    Function { name: "step".to_owned(), steps }
}

fn buffers(schedule: &Schedule, memory: &Memory) -> Vec<Buffer> {
    let parents: BTreeSet<BufferId> = schedule.buffers.iter().filter_map(parent).collect();
    let buffer = |(at, b): (u32, &schedule::Buffer)| Buffer {
        name: b.name.clone(),
        dtype: dtype(b.dtype),
        shape: b.shape.clone(),
        role: if parents.contains(&BufferId(at)) { plan::Role::Flat } else { role(b.role) },
        offset: memory.offsets[at as usize],
        bytes: b.bytes(),
        within: parent(b),
    };
    (0u32..).zip(&schedule.buffers).map(buffer).collect()
}

fn parent(buffer: &schedule::Buffer) -> Option<BufferId> {
    buffer.within.map(|arg| BufferId(arg.buffer.0))
}

fn dtype(dtype: Dtype) -> plan::Dtype {
    match dtype {
        Dtype::F32 => plan::Dtype::F32,
        Dtype::F64 => plan::Dtype::F64,
        Dtype::F16 => plan::Dtype::F16,
        Dtype::Bf16 => plan::Dtype::Bf16,
        Dtype::I32 | Dtype::Bool => plan::Dtype::I32,
    }
}

fn role(role: Option<Role>) -> plan::Role {
    match role {
        Some(Role::Param) => plan::Role::Param,
        Some(Role::Cast) => plan::Role::Cast,
        Some(Role::Grad) => plan::Role::Grad,
        Some(Role::OptState) => plan::Role::OptState,
        Some(Role::Counter) => plan::Role::Counter,
        Some(Role::Metric) => plan::Role::Metric,
        Some(Role::Input) => plan::Role::Input,
        Some(Role::Output) => plan::Role::Output,
        Some(Role::Cache) => plan::Role::Cache,
        None => plan::Role::Temp,
    }
}

fn arg(schedule: &Schedule, arg: schedule::Arg) -> plan::Arg {
    let buffer = &schedule.buffers[arg.buffer.0 as usize];
    // An empty slice may start behind the end; nothing is read or written there.
    let offset = (arg.offset * buffer.dtype.bytes()).min(buffer.bytes());
    plan::Arg { buffer: BufferId(arg.buffer.0), offset }
}

/// Tasks to steps.
struct Steps<'s> {
    schedule: &'s Schedule,
    target: &'s Target,
    /// Those of the tasks that are still to come, for a device that has them.
    launches: Option<std::vec::IntoIter<schedule::Launch>>,
}

impl Steps<'_> {
    fn step(&mut self, task: &Task) -> Step {
        if let Task::Tiles { count, body, advance } = task {
            let buffers = &self.schedule.buffers;
            let bytes = |id: schedule::BufferId| buffers[id.0 as usize].dtype.bytes();
            let moves = advance.iter().map(|&(id, by)| (BufferId(id.0), by * bytes(id)));
            return Step::Tiles {
                count: *count,
                advance: moves.collect(),
                body: body.iter().map(|task| self.step(task)).collect(),
            };
        }
        match &mut self.launches {
            Some(launches) => {
                let launch = launches.next().expect("each task has a launch");
                self::launch(self.schedule, task, &launch)
            }
            None => plain(self.schedule, self.target, task),
        }
    }
}

fn launch(schedule: &Schedule, task: &Task, launch: &schedule::Launch) -> Step {
    let (flops, origin) = match task {
        Task::Product { product, origin } => (product.flops(), origin.clone()),
        Task::Attention { attention: a, origin } => {
            (attention::attention(schedule, a).flops(), origin.clone())
        }
        Task::Kernel { origin, .. } => (0, origin.clone()),
        Task::Sort { .. } | Task::Tiles { .. } => (0, String::new()),
    };
    let one = |a: &schedule::LaunchArg| match a {
        schedule::LaunchArg::Memory(at) => plan::LaunchArg::Memory(arg(schedule, *at)),
        schedule::LaunchArg::Iteration => plan::LaunchArg::Iteration,
    };
    let launch = plan::Launch {
        code: u32::try_from(launch.code).expect("kernel counts fit"),
        args: launch.args.iter().map(one).collect(),
        blocks: launch.blocks,
        threads: launch.threads,
        shared_bytes: launch.shared_bytes,
        flops,
    };
    Step::Launch { launch, origin }
}

/// The step of a task that the runtime itself knows.
fn plain(schedule: &Schedule, target: &Target, task: &Task) -> Step {
    match task {
        Task::Kernel { kernel, args, origin } => Step::Kernel {
            code: u32::try_from(*kernel).expect("kernel counts fit"),
            args: args.iter().map(|&a| arg(schedule, a)).collect(),
            extent: schedule.kernels[*kernel].extent(),
            grain: grain(&schedule.kernels[*kernel]),
            origin: origin.clone(),
        },
        Task::Product { product, origin } => Step::Product {
            product: self::product(schedule, target, product),
            origin: origin.clone(),
        },
        Task::Attention { attention, origin } => Step::Attention {
            attention: attention::attention(schedule, attention),
            origin: origin.clone(),
        },
        Task::Sort { ids, n, rows, order, starts } => Step::Sort {
            ids: arg(schedule, *ids),
            n: *n,
            rows: *rows,
            order: arg(schedule, *order),
            starts: arg(schedule, *starts),
        },
        Task::Tiles { .. } => unreachable!("a loop is the step of its body"),
    }
}

fn product(schedule: &Schedule, target: &Target, p: &schedule::Product) -> plan::Product {
    let axis = |a: &schedule::BatchAxis| plan::BatchAxis { size: a.size, strides: a.strides };
    plan::Product {
        a: arg(schedule, p.a),
        b: arg(schedule, p.b),
        c: p.c.map(|c| arg(schedule, c)),
        batch: p.batch.iter().map(axis).collect(),
        m: p.m,
        n: p.n,
        k: p.k,
        a_strides: p.a_strides,
        b_strides: p.b_strides,
        c_strides: p.c_strides,
        k_slice: target.product_k_slice,
        adds: match p.adds {
            schedule::Adds::Never => plan::Adds::Never,
            schedule::Adds::AfterFirst => plan::Adds::AfterFirst,
            schedule::Adds::Always => plan::Adds::Always,
        },
        epilogue: p.epilogue.as_ref().map(|e| epilogue(schedule, e)),
    }
}

fn epilogue(schedule: &Schedule, epilogue: &schedule::Epilogue) -> plan::Epilogue {
    let one = |operand: &schedule::EpilogueArg| match operand {
        schedule::EpilogueArg::Memory(at) => plan::EpilogueArg::Memory(arg(schedule, *at)),
        schedule::EpilogueArg::Sums => plan::EpilogueArg::Sums,
    };
    plan::Epilogue {
        code: u32::try_from(epilogue.kernel).expect("kernel counts fit"),
        args: epilogue.args.iter().map(one).collect(),
        cols: epilogue.cols,
    }
}

/// Units of work that are worth a thread.
fn grain(kernel: &Kernel) -> u64 {
    let unit = match kernel.skeleton {
        Skeleton::Rows if kernel.outer.is_empty() => 1,
        Skeleton::Rows => kernel.cols,
        Skeleton::Columns { block, .. } => block * COLUMN_TILE.min(kernel.cols.max(1)),
        Skeleton::Segments { .. } => COLUMN_TILE.min(kernel.cols.max(1)) * 4,
    };
    (GRAIN_ELEMENTS / unit.max(1)).max(1)
}

/// The settings of the run, as the runtime needs them.
pub fn run(program: &Program, identity: String, trajectory: String) -> plan::Run {
    let train = &program.train;
    plan::Run {
        steps: train.steps,
        batch: train.batch,
        micro_batch: train.micro_batch,
        accumulate: train.accumulate,
        context: train.context,
        seed: train.seed,
        vocab: program.vocab,
        data: data_of(&program.data),
        start: None,
        eval: train.eval.as_ref().map(|e| plan::Eval { every: e.every, batches: e.batches }),
        checkpoint: train.checkpoint.as_ref().map(|c| plan::Checkpoint {
            path: c.path.clone(),
            every: c.every,
            every_s: c.every_s,
            keep: c.keep,
            best_val_loss: c.best_val_loss,
        }),
        samples: train
            .samples
            .iter()
            .map(|s| plan::Sample {
                prompt: s.prompt.clone(),
                every: s.every,
                length: s.length,
                temperature: s.temperature,
                top_k: s.top_k,
                top_p: s.top_p,
            })
            .collect(),
        identity,
        trajectory,
        stop_below_val_loss: train.stop_below_val_loss,
        stop_after_s: train.stop_after_s,
        early_stop: train
            .early_stop
            .map(|stop| plan::EarlyStop { patience: stop.patience, min_delta: stop.min_delta }),
        on_nan: match train.on_nan {
            OnNan::Stop => plan::OnNan::Stop,
            OnNan::Skip { limit } => plan::OnNan::Skip { limit },
        },
        exact_resume: train.resume == Resume::Exact,
        min_scale: match train.loss_scale {
            LossScale::Dynamic { min, .. } => Some(min),
            LossScale::None | LossScale::Static(_) => None,
        },
    }
}
