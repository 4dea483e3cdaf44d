//! Every task of a schedule as a launch, equal work with one code.

use std::collections::BTreeMap;

use ir::schedule::attention::{Attention, Pass};
use ir::schedule::{self, Adds, Arg, BufferId, LaunchArg, Product, Schedule, Target, Task};
use ir::types::Dtype;
use plan::Code;
use ptx_builder as ptx;

use super::wide::VECTOR;
use super::{Launch, attention, code, kernel, product, sort, tensor};

/// The code of a schedule, and how each task is launched, in the order of functions and tasks;
/// loops of tasks have no launch, those inside of them have.
pub fn launches(
    schedule: &Schedule,
    target: &Target,
    sm: ptx::Target,
    numerics: Numerics,
) -> (Vec<Code>, Vec<schedule::Launch>) {
    let mut emitted = Emitted {
        schedule,
        target,
        sm,
        numerics,
        code: vec![],
        known: BTreeMap::new(),
        launches: vec![],
        moves: vec![],
    };
    let tasks = schedule.functions.iter().flat_map(|f| &f.tasks);
    tasks.for_each(|task| emitted.task(task));
    (emitted.code, emitted.launches)
}

/// How numbers are computed. Both ways give the same bits from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numerics {
    /// In the interpreter's order, to the bit.
    Exact,
    /// Products and attention of 16 bits on tensor cores, rows in sums that suit the machine.
    Fast,
}

/// In the place of operands, where they do not count.
const NOWHERE: Arg = Arg { buffer: BufferId(0), offset: 0 };
/// What divides the offset of every buffer, in bytes.
const ALIGN: u64 = plan::ALIGN;

struct Emitted<'s> {
    schedule: &'s Schedule,
    target: &'s Target,
    sm: ptx::Target,
    numerics: Numerics,
    code: Vec<Code>,
    /// Work that has code, by what its code depends on.
    known: BTreeMap<String, Known>,
    launches: Vec<schedule::Launch>,
    /// Elements that buffers move on with each iteration of the loop around.
    moves: Vec<(BufferId, u64)>,
}

/// Code for some work.
#[derive(Clone, Copy)]
struct Known {
    code: usize,
    blocks: u64,
    threads: u32,
    shared_bytes: u64,
}

impl Emitted<'_> {
    fn task(&mut self, task: &Task) {
        match task {
            Task::Kernel { kernel, args, .. } => self.kernel(*kernel, args),
            Task::Product { product, .. } => self.product(product),
            Task::Attention { attention, .. } => self.attention(attention),
            Task::Sort { ids, n, rows, order, starts } => {
                let args = [*ids, *order, *starts].map(LaunchArg::Memory).to_vec();
                let (n, rows) = (*n, *rows);
                self.launch(format!("sort {n} {rows}"), "sort", args, |name| {
                    sort::sort(n, rows, name)
                });
            }
            Task::Tiles { body, advance, .. } => {
                self.moves.clone_from(advance);
                body.iter().for_each(|task| self.task(task));
                self.moves.clear();
            }
        }
    }

    fn kernel(&mut self, index: usize, args: &[Arg]) {
        let about = &self.schedule.kernels[index];
        let aligned: Vec<u64> = args.iter().map(|&arg| self.aligned(arg).min(VECTOR)).collect();
        let args = args.iter().copied().map(LaunchArg::Memory).collect();
        let numerics = self.numerics;
        self.launch(format!("kernel {index} {aligned:?}"), &about.name, args, |name| {
            kernel(about, &aligned, numerics, name)
        });
    }

    fn product(&mut self, p: &Product) {
        let (schedule, k_slice) = (self.schedule, self.target.product_k_slice);
        let dtype = |arg: Arg| schedule.buffers[arg.buffer.0 as usize].dtype;
        let result = p.c.map_or(Dtype::F32, dtype);
        let types = product::Types { operands: dtype(p.a), result };
        let mut args: Vec<LaunchArg> = p.args().into_iter().map(LaunchArg::Memory).collect();
        if p.adds == Adds::AfterFirst {
            args.push(LaunchArg::Iteration);
        }
        let about = format!("product_{}_{}_{}", p.m, p.n, p.k);
        if self.numerics == Numerics::Fast && types.operands.is_narrow() {
            let aligned =
                [Some(p.a), Some(p.b), p.c].map(|arg| arg.map_or(ALIGN, |a| self.aligned(a)));
            let key = format!("{types:?} {aligned:?} {:?}", anywhere(p));
            let sm = self.sm;
            let about = format!("{about}_{}", tensor::tile_name(p, &schedule.kernels, sm));
            return self.launch(key, &about, args, |name| {
                tensor::product(p, types, aligned, &schedule.kernels, sm, name)
            });
        }
        let key = format!("{types:?} {:?}", anywhere(p));
        self.launch(key, &about, args, |name| {
            product::product(p, types, &schedule.kernels, k_slice, name)
        });
    }

    /// The largest power of two that divides an address, up to that of buffers. Inside of tiles
    /// places move by whole rows.
    fn aligned(&self, arg: Arg) -> u64 {
        let bytes = self.schedule.buffers[arg.buffer.0 as usize].dtype.bytes();
        let offset = arg.offset * bytes;
        let moves = self.moves.iter().find(|(buffer, _)| *buffer == arg.buffer);
        let by = moves.map_or(0, |(_, elements)| elements * bytes);
        let power = |n: u64| if n == 0 { ALIGN } else { 1 << n.trailing_zeros() };
        power(offset).min(power(by)).min(ALIGN)
    }

    fn attention(&mut self, a: &Attention) {
        let schedule = self.schedule;
        let operands = schedule.buffers[a.q.arg.buffer.0 as usize].dtype;
        let args = a.args().into_iter().map(LaunchArg::Memory).collect();
        let mut anywhere = a.clone();
        anywhere.args_mut().into_iter().for_each(|arg| *arg = NOWHERE);
        let key = format!("{operands:?} {anywhere:?}");
        let pass = match a.pass {
            Pass::Forward { .. } => "attention",
            Pass::Backward { .. } => "attention_backward",
        };
        let about = format!("{pass}_{}_{}_{}", a.rows, a.keys, a.width);
        let kernels = &schedule.kernels;
        if self.numerics == Numerics::Fast && attention::tensor::takes(a, operands, kernels) {
            let aligned: Vec<u64> = a.args().into_iter().map(|arg| self.aligned(arg)).collect();
            let (key, about) = (format!("{aligned:?} {key}"), format!("{about}_tensor"));
            return self.launch(key, &about, args, |name| {
                let launch = attention::tensor::attention(a, operands, &aligned, kernels, name);
                launch.expect("tensor cores take it")
            });
        }
        self.launch(key, &about, args, |name| attention::attention(a, operands, kernels, name));
    }

    /// Adds the launch of some work; its code is made when nothing before depends on the same.
    fn launch(
        &mut self,
        key: String,
        about: &str,
        args: Vec<LaunchArg>,
        make: impl FnOnce(&str) -> Launch,
    ) {
        let known = match self.known.get(&key) {
            Some(known) => *known,
            None => {
                let known = self.code(about, &make("kernel"));
                self.known.insert(key, known);
                known
            }
        };
        let Known { code, blocks, threads, shared_bytes } = known;
        self.launches.push(schedule::Launch { code, args, blocks, threads, shared_bytes });
    }

    fn code(&mut self, about: &str, launch: &Launch) -> Known {
        let Launch { entry, blocks, shared_bytes } = launch;
        // Work that is different may come to the same code.
        let text = code(entry, about, self.sm, &[]);
        let known = self.code.iter().position(|code| *code == text);
        let code = known.unwrap_or_else(|| {
            self.code.push(code(entry, about, self.sm, &self.code));
            self.code.len() - 1
        });
        Known { code, blocks: *blocks, threads: entry.threads, shared_bytes: *shared_bytes }
    }
}

/// A product without the places of its operands.
fn anywhere(p: &Product) -> Product {
    let mut p = p.clone();
    p.args_mut().for_each(|arg| *arg = NOWHERE);
    p
}
