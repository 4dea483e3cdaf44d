//! Compiled tasks against the interpreter, one at a time: kernels and sorts bit for bit, products
//! within the bound that is promised for them.
//!
//! Each task becomes a function of its own, so that the memory after every task can be compared.
//! The interpreter has a buffer for each value while the plan shares one arena, so a value that is
//! overwritten while it is needed shows as well.

#[path = "../../compiler/passes/tests/scheduled/random.rs"]
mod random;

use std::collections::BTreeSet;

use exec::device::cpu::Memory;
use exec::error::Error;
use exec::executor::{Executor, Host, Options};
use ir::eval::kernel::Memory as Reference;
use ir::eval::schedule::{eval_task, memory};
use ir::schedule::{self, Schedule, Target, Task};
use passes::pipeline::{self, Scheduled};
use passes::plan_of;
use plan::{BufferId, Function, Plan, Step};
use random::{Rng, fill, random_module};

/// Unit of rounding of fp32, and the bound of a product as a multiple of it: 4u · sum |a b|.
const U: f64 = 1.0 / (1u64 << 24) as f64;
const PRODUCT: f64 = 4.0 * U;

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
    pub(crate) reference: Reference,
    /// How many products there were, and how many of them had the interpreter's bits.
    pub(crate) products: [u64; 2],
}

impl<'a> Pair<'a> {
    pub(crate) fn new(
        schedule: &'a Schedule,
        target: &'a Target,
        mut plan: Plan,
        threads: usize,
    ) -> Self {
        plan.functions = single_tasks(&plan);
        let executor = Executor::load(plan, &Options { threads }).unwrap();
        let reference = memory(schedule);
        Self { schedule, target, executor, reference, products: [0; 2] }
    }

    /// Sets a buffer on both sides.
    pub(crate) fn set(&mut self, buffer: usize, bits: impl Fn(usize) -> u64) {
        let data = &mut self.reference.0[buffer];
        (0..data.len()).for_each(|i| data.set_bits(i, bits(i)));
        let width = self.schedule.buffers[buffer].dtype.bytes() as usize;
        let bytes = self.executor.memory_mut().bytes_mut(id(buffer));
        for (i, element) in bytes.chunks_exact_mut(width).enumerate() {
            element.copy_from_slice(&bits(i).to_le_bytes()[..width]);
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

    /// Runs a function on both sides and compares after every task.
    pub(crate) fn run(&mut self, function: &str) {
        let function = self.schedule.functions.iter().find(|f| f.name == function).unwrap();
        for (at, task) in function.tasks.iter().enumerate() {
            let name = task_name(&function.name, at);
            let before = self.reference.clone();
            let held: Vec<(usize, Vec<u64>)> =
                written(self.schedule, task).into_iter().map(|b| (b, self.bits(b))).collect();
            eval_task(task, &self.schedule.kernels, self.target, &mut self.reference);
            let call = self.executor.plan().function(&name).unwrap();
            self.executor.call(call, &mut Silent).unwrap();
            match task {
                Task::Kernel { .. } | Task::Sort { .. } => {
                    for (buffer, bits) in held {
                        self.change_is_equal(buffer, &before, &bits, &self.about(task, &name));
                    }
                }
                Task::Product { product, .. } => self.is_near(product, &before, &name),
            }
        }
    }

    /// Compares all states.
    pub(crate) fn states_are_equal(&self, after: &str) {
        for (buffer, about) in self.schedule.buffers.iter().enumerate() {
            let reference = &self.reference.0[buffer];
            let wanted = (0..reference.len()).map(|i| reference.bits(i));
            let equal = about.role.is_none() || wanted.eq(self.bits(buffer));
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

    /// A task for people.
    fn about(&self, task: &Task, name: &str) -> String {
        match task {
            Task::Kernel { kernel, .. } => format!("{name}\n{:?}", self.schedule.kernels[*kernel]),
            Task::Product { .. } | Task::Sort { .. } => format!("{name}\n{task:?}"),
        }
    }

    /// The bits of a buffer as the compiled code left them.
    pub(crate) fn bits(&self, buffer: usize) -> Vec<u64> {
        let width = self.schedule.buffers[buffer].dtype.bytes() as usize;
        let bytes = self.executor.memory().bytes(id(buffer));
        let wide = |element: &[u8]| {
            let mut all = [0; 8];
            all[..width].copy_from_slice(element);
            u64::from_le_bytes(all)
        };
        bytes.chunks_exact(width).map(wide).collect()
    }

    /// Compares a product with one in f64; the interpreter goes on with what was computed.
    fn is_near(&mut self, p: &schedule::Product, before: &Reference, name: &str) {
        let c = p.c.buffer.0 as usize;
        let got = self.bits(c);
        let same = (0..got.len()).all(|i| got[i] == self.reference.0[c].bits(i));
        self.products[0] += 1;
        self.products[1] += u64::from(same);
        each_element(p, before, |at, exact, magnitude| {
            let x = f32::from_bits(got[at] as u32);
            let half_ulp = f64::from(x.abs().next_up() - x.abs()) / 2.0;
            let bound = p.k as f64 * U * magnitude + half_ulp;
            let error = (f64::from(x) - exact).abs();
            assert!(error <= bound, "{name}: element {at} is {x}, {exact} is meant; {p:?}");
        });
        self.set(c, |i| got[i]);
    }
}

/// Calls `check` with place, exact value and sum of magnitudes of each element of a product.
fn each_element(p: &schedule::Product, memory: &Reference, check: impl Fn(usize, f64, f64)) {
    let sizes: Vec<u64> = p.batch.iter().map(|axis| axis.size).chain([p.m, p.n]).collect();
    let total: u64 = sizes.iter().product();
    for flat in 0..total {
        let mut rest = flat;
        let mut index = vec![0i64; sizes.len()];
        for (i, size) in index.iter_mut().zip(&sizes).rev() {
            *i = (rest % size).cast_signed();
            rest /= size;
        }
        let (i, j) = (index[sizes.len() - 2], index[sizes.len() - 1]);
        let base = |which: usize, start: u64| {
            let steps = p.batch.iter().zip(&index).map(|(axis, &b)| axis.strides[which] * b);
            start.cast_signed() + steps.sum::<i64>()
        };
        let element = |arg: schedule::Arg, at: i64| memory.0[arg.buffer.0 as usize].number(at as usize);
        let (a, b) = (base(0, p.a.offset), base(1, p.b.offset));
        let (mut exact, mut magnitude) = (0.0, 0.0);
        for l in 0..p.k.cast_signed() {
            let x = element(p.a, a + i * p.a_strides[0] + l * p.a_strides[1]);
            let y = element(p.b, b + l * p.b_strides[0] + j * p.b_strides[1]);
            exact += x * y;
            magnitude += (x * y).abs();
        }
        let at = base(2, p.c.offset) + i * p.c_strides[0] + j * p.c_strides[1];
        check(at as usize, exact, magnitude);
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
            let is_task =
                matches!(step, Step::Kernel { .. } | Step::Product { .. } | Step::Sort { .. });
            assert!(is_task, "{} consists of tasks", function.name);
            all.push(Function { name: task_name(&function.name, at), steps: vec![step.clone()] });
        }
    }
    all
}

/// The buffers that a task writes.
pub(crate) fn written(schedule: &Schedule, task: &Task) -> BTreeSet<usize> {
    let args: Vec<schedule::Arg> = match task {
        Task::Kernel { kernel, args, .. } => {
            let operands = schedule.kernels[*kernel].operands.iter().zip(args);
            operands.filter(|(o, _)| o.is_output).map(|(_, &arg)| arg).collect()
        }
        Task::Product { product, .. } => vec![product.c],
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
        data: plan::Data {
            paths: vec![],
            tokenizer: plan::Tokenizer::Bytes,
            splits: vec![],
            shuffle: false,
        },
        eval: None,
        checkpoint: None,
        samples: vec![],
        identity: String::new(),
        trajectory: String::new(),
        stop_below_val_loss: None,
        stop_after_s: None,
    }
}

/// Runs one random module; how many products it has and how many had the interpreter's bits.
fn random_case(seed: u64) -> [u64; 2] {
    let module = random_module(seed);
    let mut target = pipeline::cpu();
    // Small pieces, so that small tensors are cut.
    (target.column_block, target.product_k_slice, target.product_rows) = (3, 5, 2);
    let Scheduled { schedule, memory: arena, .. } =
        pipeline::schedule(module.clone(), &target, &mut |_, _| {});
    let code = codegen::clif::code(&schedule.kernels);
    let plan = plan_of::bare("random", no_run(), &target, &schedule, &arena, code);
    let mut pair = Pair::new(&schedule, &target, plan, 1 + seed as usize % 3);
    pair.spoil_temporaries();
    let mut rng = Rng(seed);
    for (at, state) in module.states.iter().enumerate() {
        let tensor = fill(state, &mut rng);
        pair.set(at, |i| tensor.data.bits(i));
    }
    pair.run("f");
    pair.states_are_equal(&format!("seed {seed}"));
    pair.products
}

#[test]
fn random_modules_agree_with_the_interpreter() {
    let n = std::env::var("LLMC_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let mut products = [0; 2];
    for seed in 0..n {
        let [all, same] = random_case(seed);
        products = [products[0] + all, products[1] + same];
    }
    assert!(products[0] > n / 2, "{} products in {n} modules", products[0]);
    println!("{} of {} products had the interpreter's bits", products[1], products[0]);
}
