//! Runs a plan: the steps of its functions in order on one device.
//!
//! Native functions make the steps; the walk of the list is the reference, and it is what profiles.

use std::collections::BTreeMap;

use plan::{Buffer, BufferId, Count, FunctionId, Plan, Role, Step};

use crate::device::cpu::{Cpu, Functions, Memory, Turns};
use crate::device::cuda::Cuda;
use crate::device::emulated::Emulator;
use crate::device::stretch::{Part, Parts};
use crate::device::{Device, Mirrored};
use crate::error::Error;
use crate::generate::Silent;
use crate::kept::Kept;
use crate::verify::verify;

/// How a plan is run; nothing here changes a result.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads of the pool.
    pub threads: usize,
    /// What runs plans for GPUs.
    pub grids: Grids,
    /// Where code that a driver compiled is kept.
    pub kept: Option<Kept>,
}

/// What runs the grids of plans for GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grids {
    /// The emulator, on the CPU.
    Emulated,
    /// The first device of the CUDA driver.
    Cuda,
}

impl Options {
    /// With so many threads; GPUs are emulated.
    pub const fn threads(threads: usize) -> Self {
        Self { threads, grids: Grids::Emulated, kept: None }
    }
}

/// What the host may read whenever it has a turn or a call is over.
const RESULTS: [Role; 3] = [Role::Counter, Role::Metric, Role::Output];

fn is_result(_: BufferId, buffer: &Buffer) -> bool {
    RESULTS.contains(&buffer.role)
}

/// What the host does when a function gives it a turn.
pub trait Host {
    /// Writes inputs or reads metrics.
    fn turn(&mut self, what: plan::Yield, memory: &mut Memory) -> Result<(), Error>;

    /// Prepares the next call while a device makes the steps of this one.
    fn ahead(&mut self) {}
}

/// What a cost was paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The code at this index, as a kernel of a CPU.
    Kernel(u32),
    /// The code at this index, on a grid of blocks.
    Launch(u32),
    /// Matrix products of one size.
    Product,
    /// Attention of one size.
    Attention,
    /// Sorts of one size.
    Sort,
}

/// What the calls of one kernel, or of products of one size, took.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// The code's name, or the sizes of a product and the name of what runs behind it.
    pub name: String,
    /// What ran.
    pub work: Work,
    /// Multiplications and additions of one call, where they are the work.
    pub flops: u64,
    /// Seconds of all calls.
    pub seconds: f64,
    /// Seconds of the fastest call.
    pub fastest: f64,
    /// How many calls.
    pub calls: u64,
}

impl Cost {
    fn none(name: String, work: Work, flops: u64) -> Self {
        Self { name, work, flops, seconds: 0.0, fastest: f64::INFINITY, calls: 0 }
    }

    fn add(&mut self, other: &Cost) {
        self.seconds += other.seconds;
        self.fastest = self.fastest.min(other.fastest);
        self.calls += other.calls;
    }

    /// The costs of several calls together, most first.
    pub fn sum(costs: impl IntoIterator<Item = Cost>) -> Vec<Cost> {
        let mut sums = Costs::new();
        for cost in costs {
            let none = Cost::none(cost.name.clone(), cost.work, cost.flops);
            sums.entry(cost.name.clone()).or_insert(none).add(&cost);
        }
        let mut sums: Vec<Cost> = sums.into_values().collect();
        sums.sort_by(|x, y| y.seconds.total_cmp(&x.seconds));
        sums
    }
}

/// Costs by name.
type Costs = BTreeMap<String, Cost>;

/// A loaded plan and its state.
#[derive(Debug)]
pub struct Executor {
    plan: Plan,
    device: Box<dyn Device>,
    way: Way,
}

/// How functions are run when nothing is measured.
#[derive(Debug)]
enum Way {
    /// By native code that walks the steps, on a CPU.
    Native(Functions),
    /// In parts, on a GPU.
    Parts(Vec<Vec<Part>>),
}

impl Executor {
    /// Checks a plan, compiles its code and allocates its memory, zeroed.
    pub fn load(plan: Plan, options: &Options) -> Result<Self, Error> {
        verify(&plan)?;
        if plan.is_for_grids() {
            let Parts { functions: parts, stretches } = Parts::of(&plan);
            let device: Box<dyn Device> = match options.grids {
                Grids::Emulated => {
                    Box::new(Mirrored::new(&plan, Emulator::load(&plan)?, stretches)?)
                }
                Grids::Cuda => {
                    let cuda = Cuda::load(&plan, stretches.len(), options.kept.as_ref())?;
                    Box::new(Mirrored::new(&plan, cuda, stretches)?)
                }
            };
            return Ok(Self { plan, device, way: Way::Parts(parts) });
        }
        let mut cpu = Cpu::load(&plan, options.threads)?;
        let functions = cpu.functions(&plan)?;
        Ok(Self { plan, device: Box::new(cpu), way: Way::Native(functions) })
    }

    /// The plan that was loaded.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// All buffers. After a call the host knows counters, metrics and outputs; what else a device
    /// of its own memory wrote has to be fetched.
    pub fn memory(&self) -> &Memory {
        self.device.memory()
    }

    /// All buffers. What was written last elsewhere has to be fetched before it is changed.
    pub fn memory_mut(&mut self) -> &mut Memory {
        self.device.memory_mut()
    }

    /// Lets the host know what the buffers of these roles hold.
    pub fn fetch(&mut self, roles: &[Role]) -> Result<(), Error> {
        self.device.fetch(&|_, buffer| roles.contains(&buffer.role))
    }

    /// Lets the host know what a buffer holds.
    pub fn fetch_buffer(&mut self, id: BufferId) -> Result<(), Error> {
        self.device.fetch(&|found, _| found == id)
    }

    /// Lets the host know what all buffers hold.
    pub fn fetch_all(&mut self) -> Result<(), Error> {
        self.device.fetch(&|_, _| true)
    }

    /// Runs a function to its end.
    pub fn call(&mut self, function: FunctionId, host: &mut dyn Host) -> Result<(), Error> {
        let device = self.device.as_mut();
        let mut walk = Walk { plan: &self.plan, device, host, parts: None, costs: None };
        match &self.way {
            Way::Native(functions) => functions.call(&self.plan, function, &mut walk)?,
            Way::Parts(parts) => {
                walk.parts = Some(parts);
                walk.function(function)?;
            }
        }
        self.device.fetch(&is_result)
    }

    /// What the user should know of the device and was not told.
    pub fn warning(&mut self) -> Option<String> {
        self.device.warning()
    }

    /// Rebuilds what is derived from the weights; due whenever these were written from outside.
    pub fn refresh(&mut self) -> Result<(), Error> {
        match self.plan.function("refresh") {
            Some(function) => self.call(function, &mut Silent),
            None => Ok(()),
        }
    }

    /// Walks the steps of a function and gives what its kernels, products and sorts took, most first.
    pub fn profile(
        &mut self,
        function: FunctionId,
        host: &mut dyn Host,
    ) -> Result<Vec<Cost>, Error> {
        let mut costs = Costs::new();
        let (device, costs_of) = (self.device.as_mut(), Some(&mut costs));
        let mut walk = Walk { plan: &self.plan, device, host, parts: None, costs: costs_of };
        walk.function(function)?;
        self.device.fetch(&is_result)?;
        Ok(Cost::sum(costs.into_values()))
    }
}

/// One call under way.
struct Walk<'w> {
    plan: &'w Plan,
    device: &'w mut dyn Device,
    host: &'w mut dyn Host,
    /// Of each function, where they are run in parts.
    parts: Option<&'w [Vec<Part>]>,
    costs: Option<&'w mut Costs>,
}

impl Walk<'_> {
    fn function(&mut self, id: FunctionId) -> Result<(), Error> {
        let function = &self.plan[id];
        self.device.begin(function);
        let Some(parts) = self.parts else { return self.steps(&function.steps) };
        for part in &parts[id.0 as usize] {
            match *part {
                Part::Stretch(id) => self.device.stretch(id)?,
                Part::Step(at) => self.walk(&function.steps[at])?,
            }
        }
        Ok(())
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), Error> {
        for step in steps {
            let is_work = cost_name(self.plan, step).is_some();
            if self.costs.is_some() && is_work {
                let seconds = self.device.time(step)?;
                self.add_cost(step, seconds);
            } else {
                self.walk(step)?;
            }
        }
        Ok(())
    }

    fn add_cost(&mut self, step: &Step, seconds: f64) {
        let Some(name) = cost_name(self.plan, step) else { return };
        let none = match step {
            Step::Kernel { code, .. } => Cost::none(name, Work::Kernel(*code), 0),
            Step::Product { product, origin: _ } => {
                Cost::none(name, Work::Product, product.flops())
            }
            Step::Attention { attention, origin: _ } => {
                Cost::none(name, Work::Attention, attention.flops())
            }
            Step::Launch { launch, origin: _ } => {
                Cost::none(name, Work::Launch(launch.code), launch.flops)
            }
            Step::Sort { .. } => Cost::none(name, Work::Sort, 0),
            Step::Loop { .. } | Step::Tiles { .. } | Step::Call(_) | Step::Yield(_) => return,
        };
        if let Some(costs) = &mut self.costs {
            let call = Cost { seconds, fastest: seconds, calls: 1, ..none.clone() };
            costs.entry(none.name.clone()).or_insert(none).add(&call);
        }
    }

    fn walk(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Kernel { .. } | Step::Product { .. } | Step::Attention { .. } => {
                self.device.step(step)?;
            }
            Step::Launch { .. } | Step::Sort { .. } => self.device.step(step)?,
            Step::Loop { body, .. } => {
                for _ in 0..self.count(step) {
                    self.steps(body)?;
                }
            }
            Step::Tiles { count, body, .. } => {
                for iteration in 0..*count {
                    self.iterate(step, iteration);
                    self.steps(body)?;
                }
                self.iterate(step, 0);
            }
            Step::Call(callee) => self.function(*callee)?,
            Step::Yield(what) => {
                match what {
                    // The device may go on with the steps before while the host reads data.
                    plan::Yield::Batch => {}
                    plan::Yield::Metrics => {
                        if self.plan.is_for_grids() {
                            self.host.ahead();
                        }
                        self.device.fetch(&is_result)?;
                    }
                }
                self.host.turn(*what, self.device.memory_mut())?;
            }
        }
        Ok(())
    }
}

impl Turns for Walk<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Error> {
        self.walk(step)
    }

    fn count(&mut self, step: &Step) -> u64 {
        match step {
            Step::Loop { count: Count::Accumulate, .. } => self.plan.run.accumulate,
            Step::Tiles { count, .. } => *count,
            Step::Kernel { .. } | Step::Product { .. } | Step::Attention { .. } => 1,
            Step::Launch { .. } | Step::Sort { .. } | Step::Call(_) | Step::Yield(_) => 1,
        }
    }

    fn iterate(&mut self, step: &Step, iteration: u64) {
        if let Step::Tiles { advance, .. } = step {
            self.device.begin_iteration(advance, iteration);
        }
    }
}

/// The name that the cost of a step goes by; none for one whose parts are counted by themselves.
pub fn cost_name(plan: &Plan, step: &Step) -> Option<String> {
    let code_name = |code: u32| &plan.code[code as usize].name;
    match step {
        Step::Kernel { code, .. } => Some(code_name(*code).clone()),
        Step::Product { product, origin: _ } => {
            let name = product_name(product);
            Some(match &product.epilogue {
                Some(epilogue) => format!("{name}, then {}", code_name(epilogue.code)),
                None => name,
            })
        }
        Step::Attention { attention, origin: _ } => Some(attention_name(attention)),
        Step::Launch { launch, origin: _ } => Some(code_name(launch.code).clone()),
        Step::Sort { n, .. } => Some(format!("sort of {n}")),
        Step::Loop { .. } | Step::Tiles { .. } | Step::Call(_) | Step::Yield(_) => None,
    }
}

fn product_name(p: &plan::Product) -> String {
    let batch: u64 = p.batch.iter().map(|axis| axis.size).product();
    let each = if batch == 1 { String::new() } else { format!("{batch} of ") };
    format!("product {each}{} x {} x {}", p.m, p.n, p.k)
}

fn attention_name(a: &plan::Attention) -> String {
    let pass = match a.pass {
        plan::Pass::Forward { .. } => "attention",
        plan::Pass::Backward { .. } => "attention backward",
    };
    let plan::Attention { batch, heads, groups, rows, keys, width, value_width, .. } = a;
    format!("{pass} {batch} x {heads}/{groups} x {rows}x{keys} of {width}, {value_width}")
}

#[cfg(test)]
mod tests {
    use plan::{Adds, Arg, BatchAxis, Code, Epilogue, EpilogueArg, Function};
    use plan::{Product, Yield};

    use super::*;
    use crate::tiny;

    /// Gives each batch its number as ids, and fails at a turn if told to.
    struct Script {
        turns: Vec<Yield>,
        fails_at: usize,
    }

    impl Host for Script {
        fn turn(&mut self, what: Yield, memory: &mut Memory) -> Result<(), Error> {
            self.turns.push(what);
            if self.turns.len() == self.fails_at {
                return Err(Error::Resources("enough".to_owned()));
            }
            memory.i32_mut(BufferId(0)).fill(self.turns.len() as i32);
            Ok(())
        }
    }

    fn script(fails_at: usize) -> Script {
        Script { turns: vec![], fails_at }
    }

    fn load(plan: Plan) -> Executor {
        Executor::load(plan, &Options::threads(2)).expect("the plan is right")
    }

    #[test]
    fn a_step_loops_calls_and_yields_in_order() {
        let mut executor = load(tiny::plan());
        let step = executor.plan().function("step").expect("it has one");
        let mut host = script(0);
        executor.call(step, &mut host).expect("nothing fails");
        assert_eq!(host.turns, [Yield::Batch, Yield::Batch, Yield::Metrics]);
        let ids = [1.0; 8].into_iter().chain([2.0; 8]);
        let gradient = ids.fold(0.0, |g: f64, id| g * 0.75 + id);
        let w = executor.plan().buffer("w").expect("it has one");
        assert_eq!(executor.memory().f32(w)[0], gradient as f32);
    }

    #[test]
    fn an_error_of_the_host_ends_the_call() {
        let mut executor = load(tiny::plan());
        let step = executor.plan().function("step").expect("it has one");
        let mut host = script(2);
        let error = executor.call(step, &mut host).expect_err("the host fails");
        assert!(matches!(error, Error::Resources(what) if what == "enough"));
        assert_eq!(host.turns.len(), 2);
    }

    #[test]
    fn native_functions_and_the_walk_leave_the_same_memory() {
        let bytes = |run: fn(&mut Executor, FunctionId, &mut Script)| {
            let mut executor = load(tiny::plan());
            for _ in 0..3 {
                let step = executor.plan().function("step").expect("it has one");
                run(&mut executor, step, &mut script(0));
            }
            let all = (0..executor.plan().buffers.len() as u32).map(BufferId);
            all.map(|id| executor.memory().bytes(id).to_vec()).collect::<Vec<_>>()
        };
        let native = bytes(|e, f, host| e.call(f, host).expect("nothing fails"));
        let walked = bytes(|e, f, host| assert!(e.profile(f, host).is_ok()));
        assert_eq!(native, walked);
    }

    /// Panics at its first turn.
    struct Panics;

    impl Host for Panics {
        fn turn(&mut self, _: Yield, _: &mut Memory) -> Result<(), Error> {
            std::panic::resume_unwind(Box::new("a panic of the host"))
        }
    }

    #[test]
    fn a_panic_of_the_host_comes_through() {
        let mut executor = load(tiny::plan());
        let step = executor.plan().function("step").expect("it has one");
        let call = std::panic::AssertUnwindSafe(|| executor.call(step, &mut Panics));
        let panic = std::panic::catch_unwind(call).expect_err("the host panics");
        assert_eq!(panic.downcast_ref(), Some(&"a panic of the host"));
    }

    #[test]
    fn costs_count_every_call() {
        let mut executor = load(tiny::plan());
        let step = executor.plan().function("step").expect("it has one");
        let mut one = || executor.profile(step, &mut script(0)).expect("nothing fails");
        let costs = Cost::sum([one(), one(), one()].concat());
        let mut calls: Vec<_> = costs.iter().map(|c| (c.name.as_str(), c.calls)).collect();
        calls.sort_unstable();
        assert_eq!(calls, [("micro", 6), ("update", 3)]);
        assert!(costs.iter().all(|c| c.fastest * c.calls as f64 <= c.seconds * 1.001));
    }

    fn arg(buffer: u32, offset: u64) -> Arg {
        Arg { buffer: BufferId(buffer), offset }
    }

    fn kernel(code: u32, args: Vec<Arg>) -> Step {
        Step::Kernel { code, args, extent: 1, grain: 1, origin: "here".to_owned() }
    }

    /// 2 × 2 by 2 × 2 in the f32 buffers `w` and `w.m`.
    fn product(edit: impl FnOnce(&mut Product)) -> Step {
        let mut product = Product {
            a: arg(4, 0),
            b: arg(4, 0),
            c: Some(arg(5, 0)),
            batch: vec![],
            m: 2,
            n: 2,
            k: 2,
            a_strides: [2, 1],
            b_strides: [2, 1],
            c_strides: [2, 1],
            k_slice: 512,
            adds: Adds::Never,
            epilogue: None,
        };
        edit(&mut product);
        Step::Product { product, origin: "here".to_owned() }
    }

    fn tiles(count: u64, body: Vec<Step>, advance: &[(u32, u64)]) -> Step {
        let advance = advance.iter().map(|&(id, bytes)| (BufferId(id), bytes)).collect();
        Step::Tiles { count, body, advance }
    }

    #[test]
    fn tiles_walk_their_buffers_and_leave_them_as_they_were() {
        let mut plan = tiny::plan();
        // Rows of `w` times a column of it: two rows, then the sum of both.
        let row = product(|p| (p.m, p.n, p.adds) = (1, 1, Adds::Never));
        let sum = product(|p| {
            (p.c, p.m, p.n, p.adds) = (Some(arg(23, 0)), 1, 1, Adds::AfterFirst);
        });
        let after = product(|p| (p.c, p.m, p.n) = (Some(arg(23, 4)), 1, 1));
        let steps = vec![tiles(2, vec![row, sum], &[(4, 0), (5, 4)]), after];
        plan.functions.push(Function { name: "f".to_owned(), steps });
        let mut executor = load(plan);
        let id = |executor: &Executor, name| executor.plan().buffer(name).expect("it has one");
        let w = id(&executor, "w");
        executor.memory_mut().f32_mut(w).copy_from_slice(&[2.0, 3.0, 5.0, 7.0]);
        let f = executor.plan().function("f").expect("just added");
        executor.call(f, &mut script(0)).expect("nothing fails");
        let b = id(&executor, "b");
        let native = executor.memory().f32(b).to_vec();
        let costs = executor.profile(f, &mut script(0)).expect("nothing fails");
        assert_eq!(costs.iter().map(|c| c.calls).sum::<u64>(), 5);
        let one = 2.0 * 2.0 + 3.0 * 5.0;
        assert_eq!(executor.memory().f32(id(&executor, "w.m")), [one, one, 0.0, 0.0]);
        assert_eq!(executor.memory().f32(b), [2.0 * one, one, 0.0]);
        assert_eq!(native, [2.0 * one, one, 0.0]);
    }

    fn epilogue(code: u32, cols: u64) -> Option<Epilogue> {
        Some(Epilogue { code, args: vec![EpilogueArg::Sums], cols })
    }

    fn refused(plan: Plan, why: &str) {
        match Executor::load(plan, &Options::threads(1)) {
            Err(Error::BadPlan(text)) => assert!(text.contains(why), "{text}"),
            other => panic!("expected a refusal for `{why}`, got {other:?}"),
        }
    }

    #[test]
    fn refuses_steps_that_do_not_fit() {
        let sort =
            |order: Arg, n| Step::Sort { ids: arg(0, 0), n, rows: 2, order, starts: arg(2, 0) };
        let axis = BatchAxis { size: 2, strides: [0, 0, 4] };
        let cases = [
            (kernel(9, vec![]), "no code 9 (here)"),
            (kernel(0, vec![arg(99, 0)]), "no buffer 99"),
            (kernel(0, vec![arg(4, 20)]), "outside buffer `w`"),
            (kernel(0, vec![arg(4, 2)]), "outside buffer `w`"),
            (Step::Call(FunctionId(9)), "no function 9"),
            (Step::Call(FunctionId(0)), "`init` calls itself"),
            (product(|p| p.m = 3), "`w` does not hold 6"),
            (product(|p| p.a_strides = [3, 1]), "`w` does not hold 5"),
            (product(|p| p.a = arg(0, 0)), "types of a product (here)"),
            (product(|p| p.c = Some(p.a)), "overwrites its operand"),
            (product(|p| p.c = None), "nobody reads a product (here)"),
            (product(|p| p.epilogue = epilogue(9, 2)), "no code 9 (here)"),
            (
                product(|p| (p.epilogue, p.adds) = (epilogue(0, 2), Adds::Always)),
                "a part of the sums (here)",
            ),
            (product(|p| p.epilogue = epilogue(0, 3)), "blocks of a product (here)"),
            (product(|p| p.epilogue = epilogue(0, 2)), "sums that are in memory (here)"),
            (product(|p| (p.epilogue, p.c_strides) = (epilogue(0, 2), [1, 2])), "blocks of a"),
            (product(|p| p.c_strides = [-2, 1]), "strides of a product (here)"),
            (
                product(|p| (p.k, p.a_strides, p.b_strides) = (4, [0; 2], [i64::MAX, 1])),
                "strides of a product (here)",
            ),
            (product(|p| p.batch = vec![axis]), "`w.m` does not hold 8"),
            (sort(arg(1, 0), 9), "`ids` does not hold 9"),
            (sort(arg(1, 0), 8), "`row` does not hold 3"),
            (Step::Loop { count: Count::Accumulate, body: vec![kernel(9, vec![])] }, "no code 9"),
            (tiles(0, vec![], &[]), "tiles that never run"),
            (tiles(1, vec![], &[(9, 4), (9, 4)]), "tiles move a buffer twice"),
            (tiles(1, vec![], &[(99, 4)]), "no buffer 99"),
            (tiles(1, vec![], &[(4, 6)]), "tiles move buffer `w` by 6 bytes"),
            (tiles(1, vec![Step::Call(FunctionId(1))], &[]), "more than kernels and products"),
            (tiles(1, vec![tiles(1, vec![], &[])], &[]), "more than kernels and products"),
            (tiles(1, vec![kernel(9, vec![])], &[]), "no code 9"),
            (tiles(3, vec![kernel(0, vec![arg(4, 0)])], &[(4, 12)]), "outside buffer `w`"),
            (tiles(2, vec![product(|_| ())], &[(4, 4)]), "`w` does not hold 4"),
            (tiles(2, vec![product(|_| ())], &[(5, 4)]), "`w.m` does not hold 4"),
            (tiles(u64::MAX, vec![product(|_| ())], &[(5, 4)]), "move too far"),
        ];
        for (step, why) in cases {
            let mut plan = tiny::plan();
            plan.functions[0].steps.push(step);
            refused(plan, why);
        }
    }

    #[test]
    fn refuses_to_add_to_sums_that_were_rounded() {
        let mut plan = tiny::plan();
        (plan.buffers[5].dtype, plan.buffers[5].bytes) = (plan::Dtype::Bf16, 8);
        plan.functions[0].steps = vec![product(|p| p.adds = Adds::AfterFirst)];
        refused(plan, "a product adds to 16 bits (here)");
    }

    #[test]
    fn refuses_buffers_outside_the_arena() {
        type Edit = fn(&mut plan::Buffer);
        let edits: [Edit; 4] = [
            |b| b.offset = 1 << 40,
            |b| b.offset += 4,
            |b| b.bytes *= 2,
            |b| b.shape[0] = u64::MAX,
        ];
        for edit in edits {
            let mut plan = tiny::plan();
            edit(&mut plan.buffers[4]);
            refused(plan, "buffer `w` does not fit");
        }
    }

    #[test]
    fn refuses_code_that_is_not_a_kernel() {
        let cases = [
            ("nonsense", "line 1"),
            ("function %f(i64) { block0(v0: i64): return }", "three i64"),
            (
                "function %f(i64, i64, i64) { block0(v0: i64, v1: i64, v2: i64): trap user1 }\n\
              function %g() { block0: return }",
                "one function",
            ),
            (
                "function %f(i64, i64, i64) { fn0 = %exit() block0(v0: i64, v1: i64, v2: i64): call fn0() return }",
                "",
            ),
            (
                "function %f(i64, i64, i64) { block0(v0: i64, v1: i64, v2: i64): v3 = fadd v0, v1 return }",
                "f",
            ),
        ];
        for (text, why) in cases {
            let mut plan = tiny::plan();
            plan.code[0] = Code { name: "f".to_owned(), text: text.to_owned() };
            refused(plan, why);
        }
    }
}
