//! Runs a plan: walks the steps of its functions in order on one device.

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

/// A loaded plan and its state.
#[derive(Debug)]
pub struct Executor {
    plan: Plan,
    cpu: Cpu,
}

impl Executor {
    /// Checks a plan, compiles its code and allocates its memory, zeroed.
    pub fn load(plan: Plan, options: &Options) -> Result<Self, Error> {
        verify(&plan)?;
        let cpu = Cpu::load(&plan, options.threads)?;
        Ok(Self { plan, cpu })
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
        let mut walk = Walk { plan: &self.plan, cpu: &mut self.cpu, host };
        walk.function(&self.plan[function])
    }
}

/// One call under way.
struct Walk<'w> {
    plan: &'w Plan,
    cpu: &'w mut Cpu,
    host: &'w mut dyn Host,
}

impl Walk<'_> {
    fn function(&mut self, function: &Function) -> Result<(), Error> {
        self.steps(&function.steps)
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), Error> {
        for step in steps {
            self.step(step)?;
        }
        Ok(())
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
