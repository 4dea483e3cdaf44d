//! Compiled tasks against the interpreter, one at a time and bit for bit.
//!
//! Each task becomes a function of its own, so that the memory after every task can be compared.
//! The interpreter has a buffer for each value while the plan shares one arena, so a value that is
//! overwritten while it is needed shows as well.

#[path = "../../compiler/passes/tests/tiled/heads.rs"]
mod heads;
#[path = "../../compiler/passes/tests/scheduled/random.rs"]
pub(crate) mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use codegen::ptx::Numerics;
use exec::device::cpu::Memory;
use exec::error::Error;
use exec::executor::{Executor, Host, Options};
use heads::random_head;
use ir::eval::kernel::Memory as Reference;
use ir::eval::scalar::{f32_bits, f64_bits};
use ir::eval::schedule::{eval_task, memory};
use ir::eval::spans::eval_spans;
use ir::graph::{Module, Role};
use ir::kernel::Skeleton;
use ir::narrow;
use ir::schedule::attention::Pass;
use ir::schedule::{self, Adds, EpilogueArg, Pitch, Schedule, Target, Task, Tiling};
use ir::types::Dtype;
use passes::pipeline::{self, Scheduled};
use passes::plan_of::{self, Emitted};
use plan::{BufferId, Function, Plan, Step};
pub(crate) use random::Rng;
use random::{Rounds, fill, random_module};

/// A host for functions that never yield.
pub(crate) struct Silent;

impl Host for Silent {
    fn turn(&mut self, what: plan::Yield, _: &mut Memory) -> Result<(), Error> {
        panic!("a single task yields {what:?}")
    }
}

/// A plan with a function for each task, and the interpreter beside it.
pub(crate) struct Pair<'a> {
    schedule: &'a Schedule,
    target: &'a Target,
    pub(crate) executor: Executor,
    reference: Reference,
    numerics: Numerics,
    /// Whether anything differed from the interpreter's, as fast mode allows.
    has_differed: bool,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(
        schedule: &'a Schedule,
        target: &'a Target,
        mut plan: Plan,
        threads: usize,
    ) -> Self {
        plan.functions = single_tasks(&plan);
        // What one task leaves the next one reads, though they are functions of their own.
        let temporaries = plan.buffers.iter_mut().filter(|b| b.role == plan::Role::Temp);
        temporaries.for_each(|buffer| buffer.role = plan::Role::Output);
        let executor = Executor::load(plan, &Options::threads(threads)).unwrap();
        let reference = memory(schedule);
        let (numerics, has_differed) = (Numerics::Exact, false);
        Self { schedule, target, executor, reference, numerics, has_differed }
    }

    /// Sets a buffer on both sides.
    pub(crate) fn set(&mut self, buffer: usize, bits: impl Fn(usize) -> u64) {
        let dtype = self.schedule.buffers[buffer].dtype;
        let width = dtype.bytes() as usize;
        let data = &mut self.reference.0[buffer];
        let bytes = self.executor.memory_mut().bytes_mut(id(buffer));
        for (i, element) in bytes.chunks_exact_mut(width).enumerate() {
            let mut stored = bits(i);
            let mut held = stored;
            if dtype.is_narrow() {
                let number = narrow::round(dtype, f32::from_bits(stored as u32));
                stored = u64::from(narrow::pack(dtype, number));
                held = u64::from(number.to_bits());
            }
            data.set_bits(i, held);
            element.copy_from_slice(&stored.to_le_bytes()[..width]);
        }
    }

    /// Writes odd bits over all temporaries: what an earlier function left must not matter.
    pub(crate) fn spoil_temporaries(&mut self) {
        for buffer in 0..self.schedule.buffers.len() {
            if self.schedule.buffers[buffer].role.is_none() {
                self.set(buffer, |i| 0xfff8_1234_ffc1_2345 ^ (i as u64 % 7));
            }
        }
    }

    /// The same where caches are to be read, which lie where other functions have temporaries.
    pub(crate) fn spoil_temporaries_but_caches(&mut self) {
        let is_cache = |at: &usize| self.schedule.buffers[*at].role == Some(Role::Cache);
        let caches: Vec<usize> = (0..self.schedule.buffers.len()).filter(is_cache).collect();
        let bytes: Vec<Vec<u8>> =
            caches.iter().map(|&at| self.executor.memory().bytes(id(at)).to_vec()).collect();
        self.spoil_temporaries();
        for (at, bytes) in caches.into_iter().zip(bytes) {
            self.executor.memory_mut().bytes_mut(id(at)).copy_from_slice(&bytes);
        }
    }

    /// Runs a function on both sides and compares after every task.
    pub(crate) fn run(&mut self, function: &str) {
        let function = self.schedule.functions.iter().find(|f| f.name == function).unwrap();
        for (at, task) in function.tasks.iter().enumerate() {
            let name = task_name(&function.name, at);
            let before = self.reference.clone();
            let held: Vec<(usize, Vec<u64>)> =
                left(self.schedule, task).into_iter().map(|b| (b, self.bits(b))).collect();
            eval_task(task, self.schedule, self.target, &mut self.reference);
            let call = self.executor.plan().function(&name).unwrap();
            let about = self.about(task, &name);
            self.executor.call(call, &mut Silent).unwrap_or_else(|e| panic!("{e}, in {about}"));
            self.executor.fetch_all().unwrap();
            self.forget_unsorted(task);
            match self.numerics {
                Numerics::Exact => held
                    .iter()
                    .for_each(|(at, bits)| self.change_is_equal(*at, &before, bits, &about)),
                Numerics::Fast => {
                    let written = held.iter().map(|(at, _)| *at).collect();
                    self.change_is_allowed(task, written, &before, &about);
                }
            }
        }
    }

    /// What a sort leaves behind the ids that it keeps means nothing.
    fn forget_unsorted(&mut self, task: &Task) {
        let Task::Sort { n, rows, order, starts, .. } = task else { return };
        let at = |arg: &schedule::Arg, i: u64| (arg.offset + i) as usize;
        let n_kept = self.reference.0[starts.buffer.0 as usize].bits(at(starts, *rows));
        let got = self.bits(order.buffer.0 as usize);
        for i in n_kept..*n {
            let at = at(order, i);
            self.reference.0[order.buffer.0 as usize].set_bits(at, got[at]);
        }
    }

    /// Compares all states that stay.
    pub(crate) fn states_are_equal(&self, after: &str) {
        self.are_equal(after, |role| role != Role::Cache);
    }

    /// Compares the caches, after a function that has them.
    pub(crate) fn caches_are_equal(&self, after: &str) {
        self.are_equal(after, |role| role == Role::Cache);
    }

    fn are_equal(&self, after: &str, is_wanted: impl Fn(Role) -> bool) {
        for (buffer, about) in self.schedule.buffers.iter().enumerate() {
            let reference = &self.reference.0[buffer];
            let wanted = (0..reference.len()).map(|i| reference.bits(i));
            // What a piece holds is compared with its parent.
            let counts = about.role.is_some_and(&is_wanted) && about.within.is_none();
            let equal = !counts || wanted.eq(self.bits(buffer));
            assert!(equal, "{} differs from the interpreter's after {after}", about.name);
        }
    }

    /// Compares what a task changed; the rest of its buffer may wait for another task.
    fn change_is_equal(&self, buffer: usize, before: &Reference, held: &[u64], after: &str) {
        let (old, wanted) = (&before.0[buffer], &self.reference.0[buffer]);
        for (i, got) in self.bits(buffer).into_iter().enumerate() {
            let is_changed = old.bits(i) != wanted.bits(i) || held[i] != got;
            if is_changed && got != wanted.bits(i) {
                let name = &self.schedule.buffers[buffer].name;
                let wanted = wanted.bits(i);
                panic!("{name}[{i}] is {got:#x}, the interpreter has {wanted:#x}, after {after}");
            }
        }
    }

    /// Compares what a task of fast mode changed with what it may, then goes on with the
    /// interpreter's: what a task may leave is derived from what it reads.
    fn change_is_allowed(
        &mut self,
        task: &Task,
        written: Vec<usize>,
        before: &Reference,
        after: &str,
    ) {
        let mut spans = None;
        for buffer in written {
            let got = self.bits(buffer);
            let (old, wanted) = (&before.0[buffer], &self.reference.0[buffer]);
            let wanted: Vec<u64> = (0..wanted.len()).map(|at| wanted.bits(at)).collect();
            let differs = |&at: &usize| old.bits(at) != wanted[at] && got[at] != wanted[at];
            let differing: Vec<usize> = (0..wanted.len()).filter(differs).collect();
            if differing.is_empty() {
                continue;
            }
            self.has_differed = true;
            let about = &self.schedule.buffers[buffer];
            let spans =
                spans.get_or_insert_with(|| eval_spans(task, self.schedule, self.target, before));
            for at in differing {
                let (span, x) = (spans.at(buffer, at), value(about.dtype, got[at]));
                let wanted = value(about.dtype, wanted[at]);
                let name = &about.name;
                let what = format!("{name}[{at}] is {x} instead of {wanted}");
                assert!(span.holds(x) && !span.is_any(), "{what}, within {span:?}, after {after}");
            }
            self.set(buffer, |at| wanted[at]);
        }
    }

    /// A task for people.
    fn about(&self, task: &Task, name: &str) -> String {
        match task {
            Task::Kernel { kernel, .. } => format!("{name}\n{:?}", self.schedule.kernels[*kernel]),
            Task::Product { .. }
            | Task::Attention { .. }
            | Task::Sort { .. }
            | Task::Tiles { .. } => {
                format!("{name}\n{task:?}")
            }
        }
    }

    /// The bits of a buffer as the compiled code left them; narrow floats as the interpreter
    /// holds them.
    fn bits(&self, buffer: usize) -> Vec<u64> {
        let dtype = self.schedule.buffers[buffer].dtype;
        let width = dtype.bytes() as usize;
        let bytes = self.executor.memory().bytes(id(buffer));
        let is_for_grids = self.executor.plan().is_for_grids();
        let wide = |element: &[u8]| {
            let mut all = [0; 8];
            all[..width].copy_from_slice(element);
            let bits = u64::from_le_bytes(all);
            if dtype.is_narrow() {
                return u64::from(narrow::unpack(dtype, bits as u16).to_bits());
            }
            if is_for_grids { one_nan(dtype, bits) } else { bits }
        };
        bytes.chunks_exact(width).map(wide).collect()
    }
}

/// Every NaN as the interpreter has it: the hardware of grids has its own.
fn one_nan(dtype: Dtype, bits: u64) -> u64 {
    match dtype {
        Dtype::F32 => f32_bits(f32::from_bits(bits as u32)),
        Dtype::F64 => f64_bits(f64::from_bits(bits)),
        Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::Bool => bits,
    }
}

/// What bits are, as the interpreter holds them.
fn value(dtype: Dtype, bits: u64) -> f64 {
    match dtype {
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 => f32::from_bits(bits as u32).into(),
        Dtype::F64 => f64::from_bits(bits),
        Dtype::I32 | Dtype::Bool => (bits as u32 as i32).into(),
    }
}

fn id(buffer: usize) -> BufferId {
    BufferId(u32::try_from(buffer).unwrap())
}

fn task_name(function: &str, at: usize) -> String {
    format!("{function}.{at}")
}

/// Every task as a function. `step`, which calls others, is left out.
fn single_tasks(plan: &Plan) -> Vec<Function> {
    let mut all = vec![];
    for function in plan.functions.iter().filter(|f| f.name != "step") {
        for (at, step) in function.steps.iter().enumerate() {
            let is_task = match step {
                Step::Kernel { .. } | Step::Product { .. } | Step::Attention { .. } => true,
                Step::Sort { .. } | Step::Tiles { .. } | Step::Launch { .. } => true,
                Step::Loop { .. } | Step::Call(_) | Step::Yield(_) => false,
            };
            assert!(is_task, "{} consists of tasks", function.name);
            all.push(Function { name: task_name(&function.name, at), steps: vec![step.clone()] });
        }
    }
    all
}

/// The buffers that hold something when a task is over: of those that a loop writes, not the
/// temporaries that each iteration makes anew, which share their places.
fn left(schedule: &Schedule, task: &Task) -> BTreeSet<usize> {
    let mut left = written(schedule, task);
    let Task::Tiles { body, advance, .. } = task else { return left };
    let adds = |task: &Task| match task {
        Task::Product { product: p, .. } if p.adds != Adds::Never => p.c.map(|c| c.buffer),
        Task::Product { .. } | Task::Kernel { .. } => None,
        Task::Attention { .. } | Task::Sort { .. } | Task::Tiles { .. } => None,
    };
    let sums: Vec<schedule::BufferId> = body.iter().filter_map(adds).collect();
    left.retain(|&buffer| {
        let id = schedule::BufferId(u32::try_from(buffer).unwrap());
        let is_moving = advance.iter().any(|(moving, _)| *moving == id);
        schedule.buffers[buffer].role.is_some() || is_moving || sums.contains(&id)
    });
    left
}

/// The buffers that a task writes.
pub(crate) fn written(schedule: &Schedule, task: &Task) -> BTreeSet<usize> {
    let args: Vec<schedule::Arg> = match task {
        Task::Tiles { body, .. } => {
            return body.iter().flat_map(|task| written(schedule, task)).collect();
        }
        Task::Kernel { kernel, args, .. } => {
            let operands = schedule.kernels[*kernel].operands.iter().zip(args);
            operands.filter(|(o, _)| o.is_output).map(|(_, &arg)| arg).collect()
        }
        Task::Product { product, .. } => {
            let epilogue = product.epilogue.iter();
            let written = epilogue.flat_map(|e| {
                let operands = schedule.kernels[e.kernel].operands.iter().zip(&e.args);
                operands.filter_map(|(operand, arg)| match arg {
                    EpilogueArg::Memory(arg) if operand.is_output => Some(*arg),
                    EpilogueArg::Memory(_) | EpilogueArg::Sums => None,
                })
            });
            product.c.into_iter().chain(written).collect()
        }
        Task::Attention { attention, .. } => attention.results(&schedule.kernels),
        Task::Sort { order, starts, .. } => vec![*order, *starts],
    };
    args.iter().map(|arg| arg.buffer.0 as usize).collect()
}

/// What a training loop would do with a plan that has none.
fn no_run() -> plan::Run {
    plan::Run {
        steps: 1,
        batch: 1,
        micro_batch: 1,
        accumulate: 1,
        context: 1,
        seed: 0,
        vocab: 1,
        data: plan::Data::text(vec![], plan::Tokenizer::Bytes),
        eval: None,
        checkpoint: None,
        samples: vec![],
        identity: String::new(),
        trajectory: String::new(),
        stop_below_val_loss: None,
        stop_after_s: None,
        early_stop: None,
        on_nan: plan::OnNan::Stop,
        start: None,
        exact_resume: false,
        min_scale: None,
    }
}

/// Runs one random module; which kinds of task it has.
fn random_case(seed: u64, mut target: Target) -> BTreeSet<&'static str> {
    // Small pieces, so that small tensors are cut.
    (target.column_block, target.product_k_slice, target.epilogue_cols) = (3, 5, [2, 4]);
    target.score_tile = [16, 16];
    agrees(&random_module(seed, Rounds::Any), seed, &target, Numerics::Exact)
}

/// Compares a module's function `f` with the interpreter; which kinds of task it has.
fn agrees(
    module: &Module,
    seed: u64,
    target: &Target,
    numerics: Numerics,
) -> BTreeSet<&'static str> {
    let Scheduled { schedule, memory: arena, .. } =
        pipeline::schedule(module.clone(), target, &mut |_, _| {});
    let emitted = match ptx_builder::Target::parse(&target.name) {
        None => Emitted::Kernels(codegen::clif::code(&schedule.kernels)),
        Some(sm) => {
            let (code, launches) = codegen::ptx::launches(&schedule, target, sm, numerics);
            Emitted::Launches(code, launches)
        }
    };
    let plan = plan_of::bare("random", no_run(), target, &schedule, &arena, emitted);
    let mut pair = Pair::new(&schedule, target, plan, 1 + seed as usize % 3);
    pair.numerics = numerics;
    pair.spoil_temporaries();
    let mut rng = Rng(seed);
    for (at, state) in module.states.iter().enumerate() {
        let tensor = fill(state, &mut rng);
        pair.set(at, |i| tensor.data.bits(i));
    }
    pair.run("f");
    pair.states_are_equal(&format!("seed {seed}"));
    let tasks = &schedule.functions[0].tasks;
    let kinds = tasks.iter().map(|task| kind(&schedule, task));
    kinds.chain(pair.has_differed.then_some("other bits")).collect()
}

fn kind(schedule: &Schedule, task: &Task) -> &'static str {
    match task {
        Task::Kernel { kernel, .. } => match schedule.kernels[*kernel].skeleton {
            Skeleton::Rows => "rows",
            Skeleton::Columns { .. } => "columns",
            Skeleton::Segments { .. } => "segments",
        },
        Task::Product { product, .. } => {
            let dtype = |arg: schedule::Arg| schedule.buffers[arg.buffer.0 as usize].dtype;
            let rounds = product.c.is_some_and(|c| dtype(c).is_narrow());
            match (dtype(product.a).is_narrow(), rounds) {
                (true, _) => "product of 16 bits",
                (false, true) => "rounded product",
                (false, false) => "product",
            }
        }
        Task::Attention { attention, .. } => match attention.pass {
            Pass::Forward { .. } => "attention",
            Pass::Backward { .. } => "gradient of attention",
        },
        Task::Sort { .. } => "sort",
        Task::Tiles { .. } => "tiles",
    }
}

/// How many cases are run: as the environment says, or so many.
pub(crate) fn n_cases(usually: u64) -> u64 {
    number("LLMC_CASES").unwrap_or(usually)
}

/// Their numbers: many cases can be shared among processes.
fn cases(usually: u64) -> Range<u64> {
    let first = number("LLMC_FIRST_CASE").unwrap_or(0);
    first..first + n_cases(usually)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|n| n.parse().ok())
}

#[test]
fn random_modules_agree_with_the_interpreter() {
    let n = n_cases(300);
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..n {
        for kind in random_case(seed, pipeline::cpu()) {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    let products = ["product", "product of 16 bits", "rounded product"];
    let attention = ["attention", "gradient of attention"];
    let kernels = ["rows", "columns", "segments", "sort"];
    for kind in kernels.into_iter().chain(products).chain(attention) {
        let n_modules = kinds.get(kind).copied().unwrap_or(0);
        assert!(n_modules >= n / 20, "{n_modules} of {n} modules have {kind}");
    }
}

#[test]
fn random_modules_on_the_emulator_agree_with_the_interpreter() {
    // Rows of any length start where GPUs want them.
    let target = Target { pitch: Pitch { bytes: 16, above: 0 }, ..pipeline::gpu("sm_80") };
    for seed in cases(2000) {
        random_case(seed, target.clone());
    }
}

#[test]
fn random_modules_in_fast_mode_are_within_their_bounds() {
    let n = n_cases(300);
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in cases(300) {
        let dtype = [Dtype::Bf16, Dtype::F16][seed as usize % 2];
        let sm = ptx_builder::Target::ALL[seed as usize / 2 % 5];
        let target = Target { epilogue_cols: [2, 4], ..pipeline::gpu(sm.name()) };
        let module = random_module(seed, Rounds::Products(dtype));
        for kind in agrees(&module, seed, &target, Numerics::Fast) {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    // Tensor cores were there, and other bits came out of them.
    for kind in ["product of 16 bits", "other bits"] {
        let n_modules = kinds.get(kind).copied().unwrap_or(0);
        assert!(n_modules > n / 2, "{n_modules} of {n} modules have {kind}");
    }
}

#[test]
fn chunks_of_rows_agree_with_the_interpreter() {
    let tiling = Tiling { rows: 4, bytes: u64::MAX, above: 0 };
    let (column_block, product_k_slice, epilogue_cols) = (2, 3, [2, 4]);
    for machine in [pipeline::cpu(), pipeline::gpu("sm_80")] {
        let pitch = Pitch { above: 0, ..machine.pitch };
        let target =
            Target { column_block, product_k_slice, epilogue_cols, tiling, pitch, ..machine };
        let n = n_cases(150);
        let kinds = (0..n).map(|seed| agrees(&random_head(seed), seed, &target, Numerics::Exact));
        let n_tiled = kinds.filter(|kinds| kinds.contains("tiles")).count() as u64;
        assert!(n_tiled > n / 2, "{n_tiled} of {n} functions are cut");
    }
}
