//! From a checked program to a plan, with the time of each step.

use std::time::{Duration, Instant};

use codegen::ptx::Numerics;
use diag::{Code, Diagnostic, SourceMap};
use ir::graph::{Role, State};
use ir::schedule::Schedule;
use passes::Training;
use passes::fit::{Fitted, Room, fit};
use passes::pipeline::{self, Scheduled, Stage};
use passes::plan_of::{self, Emitted};
use plan::Plan;
use sema::{Facts, Float, NumericsLine, Program, Train};
use sha2::{Digest, Sha256};

/// A plan and what it was made from.
#[derive(Debug)]
pub struct Compiled {
    /// What the runtime runs.
    pub plan: Plan,
    /// Graphs, kernels and memory.
    pub scheduled: Scheduled,
    /// Seconds of each step, in order.
    pub times: Vec<(String, Duration)>,
    /// The training job with all that followed from the memory settled.
    pub train: Train,
    /// What could be better.
    pub warnings: Vec<Diagnostic>,
}

/// What a plan runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackEnd {
    /// Any CPU.
    Cpu,
    /// A generation of GPUs, or the emulator in its place.
    Gpu(ptx_builder::Target),
}

impl BackEnd {
    pub(crate) fn target(self) -> ir::schedule::Target {
        match self {
            Self::Cpu => pipeline::cpu(),
            Self::Gpu(target) => pipeline::gpu(target.name()),
        }
    }

    /// How sums are computed: as the spec says, else the way that a device is made for.
    pub(crate) fn numerics(self, train: &Train) -> Result<Numerics, Vec<Diagnostic>> {
        let is_narrow = train.precision.compute != Float::Fp32;
        match (self, train.numerics) {
            (Self::Cpu, Some(NumericsLine { numerics: sema::Numerics::Fast, span })) => {
                let wrong = "`numerics fast` needs a GPU, and this is a CPU";
                let wrong = Diagnostic::new(Code::E0606, span, wrong);
                let wrong = wrong.primary("sums in the order of tensor cores");
                Err(vec![wrong.help("remove the line, or compute on a GPU: `device cuda`")])
            }
            (Self::Gpu(_), Some(NumericsLine { numerics: sema::Numerics::Fast, .. }) | None)
                if is_narrow =>
            {
                Ok(Numerics::Fast)
            }
            (Self::Cpu | Self::Gpu(_), _) => Ok(Numerics::Exact),
        }
    }

    pub(crate) fn emit(
        self,
        schedule: &Schedule,
        target: &ir::schedule::Target,
        numerics: Numerics,
    ) -> Emitted {
        match self {
            Self::Cpu => Emitted::Kernels(codegen::clif::code(&schedule.kernels)),
            Self::Gpu(sm) => {
                let (code, launches) = codegen::ptx::launches(schedule, target, sm, numerics);
                Emitted::Launches(code, launches)
            }
        }
    }
}

/// Compiles a program for the CPU, with no bound on memory but that of the spec.
pub fn compile(
    program: &Program,
    map: &SourceMap,
    facts: Option<&Facts>,
) -> Result<Compiled, Vec<Diagnostic>> {
    compile_within(program, map, facts, Room::UNBOUNDED, BackEnd::Cpu)
}

/// Compiles a program for a machine with so much memory.
pub fn compile_within(
    program: &Program,
    map: &SourceMap,
    facts: Option<&Facts>,
    room: Room,
    back_end: BackEnd,
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut times = vec![];
    let mut last = Instant::now();
    let mut lap = |name: &str, times: &mut Vec<(String, Duration)>| {
        times.push((name.to_owned(), last.elapsed()));
        last = Instant::now();
    };
    let target = back_end.target();
    let training = Training { program, map };
    let mut observe = |name: &str, _: Stage<'_>| lap(name, &mut times);
    let Fitted { train, scheduled, warnings } = fit(&training, &target, room, &mut observe)?;
    let settled;
    let program = if train.micro_batch == program.train.micro_batch {
        program
    } else {
        settled = Program { train: train.clone(), ..program.clone() };
        &settled
    };
    let numerics = back_end.numerics(&train)?;
    let emitted = back_end.emit(&scheduled.schedule, &target, numerics);
    lap("codegen", &mut times);
    let identity = identity(program, &scheduled);
    let trajectory = trajectory(program, &scheduled, facts, numerics);
    let mut run = plan_of::run(program, identity, trajectory);
    let weights = facts.and_then(|f| f.weights.as_ref());
    run.start =
        weights.map(|w| plan::Start { checkpoint: w.checkpoint.clone(), sha256: w.sha256.clone() });
    let Scheduled { schedule, memory, .. } = &scheduled;
    let plan = plan_of::plan(program, run, &target, schedule, memory, emitted);
    lap("plan", &mut times);
    Ok(Compiled { plan, scheduled, times, train, warnings })
}

/// What a checkpoint must share to fit: the weights' names and shapes, and the vocabulary.
fn identity(program: &Program, scheduled: &Scheduled) -> String {
    let module = &scheduled.module;
    let is_whole = |s: &&State| s.role == Role::Param && module.pieces(&s.name).next().is_none();
    let params = module.states.iter().filter(is_whole);
    let params: Vec<String> = params.map(|s| format!("{} {}", s.name, s.ty)).collect();
    hash(&[&params.join("\n"), &format!("{:?} {}", program.data.tokenizer, program.vocab)])
}

/// What decides the numbers of a run: the graphs, the data and the lengths.
fn trajectory(
    program: &Program,
    scheduled: &Scheduled,
    facts: Option<&Facts>,
    numerics: Numerics,
) -> String {
    let train = &program.train;
    let lengths = [train.steps, train.batch, train.micro_batch, train.context, train.seed];
    let module = ir::graph::Module { origins: vec![], ..scheduled.module.clone() };
    let data = facts.and_then(|f| f.hash.clone()).unwrap_or_default();
    let mut parts =
        vec![format!("{module:?}"), format!("{lengths:?}"), format!("{:?}", cut(program)), data];
    if let Some(weights) = facts.and_then(|f| f.weights.as_ref()) {
        parts.push(weights.sha256.clone());
    }
    if numerics == Numerics::Fast {
        parts.push("fast".to_owned());
    }
    hash(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// How the data becomes rows, wherever it lies; a hash stands for what it holds.
fn cut(program: &Program) -> plan::Data {
    let mut data = plan_of::data_of(&program.data);
    data.sources.iter_mut().for_each(|source| source.paths.clear());
    data
}

fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
