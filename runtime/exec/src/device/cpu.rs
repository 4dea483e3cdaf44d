//! The CPU: kernels, products, attention and sorts over one arena.
//!
//! Everything unsafe of the CPU path is in this folder. The plan was verified before anything here
//! runs, so addresses are inside the arena.
#![allow(unsafe_code, reason = "calls compiled code on raw memory")]

mod attention;
mod ceilings;
mod functions;
mod jit;
mod memory;
mod pool;
mod product;
mod sort;

pub use ceilings::Ceilings;
pub(crate) use functions::{Functions, Turns};
pub use memory::Memory;
pub use pool::Pool;
pub(crate) use product::element::widen_f16;

use std::sync::Arc;

use plan::{EpilogueArg, Step};

use super::{Device, Wanted};
use crate::error::Error;
use jit::{Entry, Jit, Shape};

/// A loaded plan on this machine.
#[derive(Debug)]
pub struct Cpu {
    jit: Arc<Jit>,
    pool: Pool,
    memory: Memory,
    /// Addresses of the operands of the kernel that runs; kept so that a run does not allocate.
    pointers: Vec<Pointer>,
    /// Which iteration of tiles runs; 0 outside of them.
    iteration: u64,
    /// The same for the kernels of an attention.
    places: Vec<attention::Place>,
}

/// An address in the arena that threads may share: a kernel's units write different elements.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Pointer(*mut u8);

// SAFETY: what is behind it belongs to the arena; the plan's units of work do not overlap.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

impl Cpu {
    /// Compiles the code of a verified plan and allocates its arena, zeroed.
    pub fn load(plan: &plan::Plan, threads: usize) -> Result<Self, Error> {
        let memory = Memory::new(plan)?;
        let jit = Arc::new(Jit::compile(&plan.code, threads, Shape::Kernel)?);
        let cpu = Self {
            jit,
            pool: Pool::new(threads),
            memory,
            pointers: Vec::new(),
            places: Vec::new(),
            iteration: 0,
        };
        Ok(cpu.reserved(plan))
    }

    /// With room for all that the steps of a plan keep aside, so that none has to make it.
    fn reserved(mut self, plan: &plan::Plan) -> Self {
        let (mut products, mut attentions) = (vec![], vec![]);
        let (mut n_args, mut n_places) = (0, 0);
        plan.each_step(|step| match step {
            Step::Kernel { args, .. } => n_args = n_args.max(args.len()),
            Step::Product { product, .. } => {
                n_args = n_args.max(product.epilogue.as_ref().map_or(0, |e| e.args.len()));
                products.push((product, product.c.map(|c| self.memory.dtype(c.buffer))));
            }
            Step::Attention { attention, .. } => {
                let args = attention.pass.kernels().map(|k| k.args.len());
                n_places = n_places.max(args.sum());
                attentions.push(attention);
            }
            Step::Launch { .. } | Step::Sort { .. } | Step::Loop { .. } => {}
            Step::Tiles { .. } | Step::Call(_) | Step::Yield(_) => {}
        });
        self.pointers.reserve(n_args);
        self.places.reserve(n_places);
        product::reserve(&products, n_args, &mut self.pool);
        attention::reserve(&attentions, &mut self.pool);
        self
    }

    /// The functions of the plan that was loaded, as native code.
    pub(crate) fn functions(&mut self, plan: &plan::Plan) -> Result<Functions, Error> {
        Functions::compile(plan, &mut self.memory, &self.jit)
    }

    /// Runs a kernel over its extent.
    fn kernel(&mut self, code: u32, args: &[plan::Arg], extent: u64, grain: u64) {
        self.pointers.clear();
        self.pointers.extend(args.iter().map(|&arg| Pointer(self.memory.pointer(arg))));
        let entry: Entry = self.jit.entry(code);
        let pointers = self.pointers.as_slice();
        self.pool.run(extent, grain, &|units| {
            // SAFETY: `entry` was compiled from a verified plan for these operands, `Pointer` is a
            // transparent address, and units of one kernel write different elements.
            unsafe { entry(pointers.as_ptr().cast(), units.start, units.end) }
        });
    }

    /// Runs a matrix product.
    fn product(&mut self, p: &plan::Product) {
        let adds = match p.adds {
            plan::Adds::Never => false,
            plan::Adds::AfterFirst => self.iteration > 0,
            plan::Adds::Always => true,
        };
        let mut operand = |arg: plan::Arg| product::Operand {
            base: self.memory.pointer(arg),
            dtype: self.memory.dtype(arg.buffer),
        };
        let (a, b, c) = (operand(p.a), operand(p.b), p.c.map(&mut operand));
        self.pointers.clear();
        let args = p.epilogue.iter().flat_map(|e| &e.args);
        self.pointers.extend(args.map(|arg| match arg {
            EpilogueArg::Memory(arg) => Pointer(self.memory.pointer(*arg)),
            EpilogueArg::Sums => Pointer(std::ptr::null_mut()),
        }));
        let entry = p.epilogue.as_ref().map(|e| self.jit.entry(e.code));
        let behind = entry.map(|entry| product::Behind { entry, args: &self.pointers });
        // SAFETY: the plan was verified: every element of the operands is inside its buffer, and
        // the epilogue was compiled for its operands.
        unsafe { product::run(p, adds, product::Operands { a, b, c, behind }, &mut self.pool) }
    }

    /// Runs an attention.
    fn attention(&mut self, a: &plan::Attention) {
        let entry = |code| self.jit.entry(code);
        let machine = product::Machine::new();
        attention::run(a, machine, entry, &mut self.memory, &mut self.pool, &mut self.places);
    }

    /// Sorts ids by value, stably.
    fn sort(&mut self, ids: plan::Arg, n: u64, rows: u64, order: plan::Arg, starts: plan::Arg) {
        let [ids, order, starts] =
            [ids, order, starts].map(|arg| self.memory.pointer(arg).cast::<i32>());
        let (n, rows) = (n as usize, rows as usize);
        // SAFETY: the plan was verified: the three ranges are inside different buffers.
        unsafe {
            let ids = std::slice::from_raw_parts(ids, n);
            let order = std::slice::from_raw_parts_mut(order, n);
            let starts = std::slice::from_raw_parts_mut(starts, rows + 1);
            sort::counting(ids, order, starts);
        }
    }
}

impl Device for Cpu {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    fn fetch(&mut self, _: Wanted<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn begin(&mut self, _: &plan::Function) {}

    fn begin_iteration(&mut self, advance: &[(plan::BufferId, u64)], iteration: u64) {
        for &(buffer, bytes) in advance {
            self.memory.shift(buffer, bytes * iteration);
        }
        self.iteration = iteration;
    }

    fn step(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Kernel { code, args, extent, grain, origin: _ } => {
                self.kernel(*code, args, *extent, *grain);
            }
            Step::Product { product, origin: _ } => self.product(product),
            Step::Attention { attention, origin: _ } => self.attention(attention),
            Step::Sort { ids, n, rows, order, starts } => {
                self.sort(*ids, *n, *rows, *order, *starts);
            }
            Step::Launch { .. } => unreachable!("a plan for the CPU has no grids"),
            Step::Loop { .. } | Step::Tiles { .. } | Step::Call(_) | Step::Yield(_) => {
                unreachable!("the executor makes what repeats, calls or yields")
            }
        }
        Ok(())
    }
}
