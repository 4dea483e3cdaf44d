//! Runs a plan: walks the steps of its functions in order on one device.

use std::collections::BTreeMap;
use std::time::Instant;

use plan::{Arg, Count, Function, FunctionId, Plan, Step};

use crate::device::cpu::{Cpu, Memory};
use crate::error::Error;
use crate::verify::verify;

/// How a plan is run; nothing here changes a result.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads of the pool.
    pub threads: usize,
}

/// What the host does when a function gives it a turn.
pub trait Host {
    /// Writes inputs or reads metrics.
    fn turn(&mut self, what: plan::Yield, memory: &mut Memory) -> Result<(), Error>;
}

/// What the calls of one kernel, or of products of one size, took.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// The code's name, or the sizes of a product.
    pub name: String,
    /// Seconds of all calls.
    pub seconds: f64,
    /// Seconds of the fastest call.
    pub fastest: f64,
    /// How many calls.
    pub calls: u64,
}

/// Costs by name.
type Costs = BTreeMap<String, Cost>;

/// A loaded plan and its state.
#[derive(Debug)]
pub struct Executor {
    plan: Plan,
    cpu: Cpu,
    /// Where costs go while they are asked for.
    costs: Option<Costs>,
}

impl Executor {
    /// Checks a plan, compiles its code and allocates its memory, zeroed.
    pub fn load(plan: Plan, options: &Options) -> Result<Self, Error> {
        verify(&plan)?;
        let cpu = Cpu::load(&plan, options.threads)?;
        Ok(Self { plan, cpu, costs: None })
    }

    /// The plan that was loaded.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// All buffers.
    pub fn memory(&self) -> &Memory {
        self.cpu.memory()
    }

    /// All buffers.
    pub fn memory_mut(&mut self) -> &mut Memory {
        self.cpu.memory_mut()
    }

    /// Runs a function to its end.
    pub fn call(&mut self, function: FunctionId, host: &mut dyn Host) -> Result<(), Error> {
        let costs = self.costs.as_mut();
        let mut walk = Walk { plan: &self.plan, cpu: &mut self.cpu, host, costs };
        walk.function(&self.plan[function])
    }

    /// Runs a function `n` times and gives what its kernels, products and sorts took, most first.
    pub fn profile(
        &mut self,
        function: FunctionId,
        n: u64,
        host: &mut dyn Host,
    ) -> Result<Vec<Cost>, Error> {
        self.costs = Some(Costs::new());
        let result = (0..n).try_for_each(|_| self.call(function, host));
        let costs = self.costs.take().unwrap_or_default();
        result?;
        let mut costs: Vec<Cost> = costs.into_values().collect();
        costs.sort_by(|x, y| y.seconds.total_cmp(&x.seconds));
        Ok(costs)
    }
}

/// One call under way.
struct Walk<'w> {
    plan: &'w Plan,
    cpu: &'w mut Cpu,
    host: &'w mut dyn Host,
    costs: Option<&'w mut Costs>,
}

impl Walk<'_> {
    fn function(&mut self, function: &Function) -> Result<(), Error> {
        self.steps(&function.steps)
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), Error> {
        for step in steps {
            let start = self.costs.is_some().then(Instant::now);
            self.step(step)?;
            if let Some(start) = start {
                self.add_cost(step, start);
            }
        }
        Ok(())
    }

    fn add_cost(&mut self, step: &Step, start: Instant) {
        let seconds = start.elapsed().as_secs_f64();
        let name = match step {
            Step::Kernel { code, .. } => self.plan.code[*code as usize].name.clone(),
            Step::Product { product, origin: _ } => product_name(product),
            Step::Sort { n, .. } => format!("sort of {n}"),
            // What these run was counted by itself.
            Step::Loop { .. } | Step::Call(_) | Step::Yield(_) => return,
        };
        if let Some(costs) = &mut self.costs {
            let none = Cost { name: name.clone(), seconds: 0.0, fastest: f64::INFINITY, calls: 0 };
            let cost = costs.entry(name).or_insert(none);
            cost.seconds += seconds;
            cost.fastest = cost.fastest.min(seconds);
            cost.calls += 1;
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Kernel { code, args, extent, grain, origin: _ } => {
                self.cpu.kernel(*code, args, *extent, *grain);
            }
            Step::Product { product, origin: _ } => self.cpu.product(product),
            Step::Sort { ids, n, rows, order, starts } => {
                let [ids, order, starts]: [Arg; 3] = [*ids, *order, *starts];
                self.cpu.sort(ids, *n, *rows, order, starts);
            }
            Step::Loop { count: Count::Accumulate, body } => {
                for _ in 0..self.plan.run.accumulate {
                    self.steps(body)?;
                }
            }
            Step::Call(callee) => self.function(&self.plan[*callee])?,
            Step::Yield(what) => self.host.turn(*what, self.cpu.memory_mut())?,
        }
        Ok(())
    }
}

fn product_name(p: &plan::Product) -> String {
    let batch: u64 = p.batch.iter().map(|axis| axis.size).product();
    let strides = [p.a_strides, p.b_strides, p.c_strides];
    format!("product {batch} x {}x{}x{} strides {strides:?}", p.m, p.n, p.k)
}
