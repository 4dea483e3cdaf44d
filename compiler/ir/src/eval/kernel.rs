//! Evaluates a kernel in the order that its skeleton promises, bit for bit.
//!
//! One group at a time: a row of columns (`Rows`), the rows of a block at one column (`Columns`),
//! the positions of one segment at one column (`Segments`). Inside a group each instruction is
//! evaluated for all items before the next one.

use super::numbers::Numbers;
use super::tensor::{Data, each_index};
use crate::body::constant_bits;
use crate::kernel::{Inst, Kernel, Reg, Skeleton};
use crate::schedule::Arg;
use crate::types::Dtype;
use crate::verify::kernel_dtypes;

/// The buffers that arguments point into.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory(pub Vec<Data>);

/// Runs the expansion of a kernel over all its extent.
pub fn eval_kernel(kernel: &Kernel, memory: &mut Memory, args: &[Arg]) {
    eval_ready(&Memory::kernel(kernel), memory, args);
}

/// Runs a kernel as [`Numbers::kernel`] made it.
pub(super) fn eval_ready<M: Numbers>(kernel: &Kernel, memory: &mut M, args: &[Arg]) {
    eval_ready_at(kernel, memory, args, |_| true);
}

/// Runs it at those outer indices, counted in row-major order, that are wanted.
pub(super) fn eval_ready_at<M: Numbers>(
    kernel: &Kernel,
    memory: &mut M,
    args: &[Arg],
    is_wanted: impl Fn(u64) -> bool,
) {
    let dtypes = kernel_dtypes(kernel).expect("a scheduled kernel is well typed");
    let mut run = Run { kernel, dtypes: &dtypes, memory, args };
    let mut at = 0;
    each_index(&kernel.outer, |outer| {
        if is_wanted(at) {
            run.outer(outer);
        }
        at += 1;
    });
}

/// One place of the group: what its instructions read and write.
#[derive(Clone, Copy)]
struct Place<'a> {
    outer: &'a [u64],
    /// `Columns`: row; `Segments`: `order[i]`.
    row: u64,
    /// What stores use as row: the block.
    block: u64,
    col: u64,
}

/// A register in a group: one value, or one for each item.
#[derive(Clone)]
enum Values<V> {
    One(V),
    Each(Vec<V>),
}

impl<V: Copy> Values<V> {
    fn at(&self, item: usize) -> V {
        match self {
            Self::One(value) => *value,
            Self::Each(all) => all[item],
        }
    }
}

struct Run<'a, M: Numbers> {
    kernel: &'a Kernel,
    dtypes: &'a [Option<Dtype>],
    memory: &'a mut M,
    args: &'a [Arg],
}

impl<M: Numbers> Run<'_, M> {
    fn outer(&mut self, outer: &[u64]) {
        let cols = self.kernel.cols;
        let place = |row, block, col| Place { outer, row, block, col };
        match self.kernel.skeleton {
            Skeleton::Rows => {
                let items: Vec<Place<'_>> = (0..cols).map(|col| place(0, 0, col)).collect();
                self.group(place(0, 0, 0), &items);
            }
            Skeleton::Columns { rows, block } => {
                for b in 0..rows.div_ceil(block).max(1) {
                    for col in 0..cols {
                        let range = b * block..((b + 1) * block).min(rows);
                        let items: Vec<Place<'_>> = range.map(|r| place(r, b, col)).collect();
                        self.group(place(b * block, b, col), &items);
                    }
                }
            }
            Skeleton::Segments { starts, order } => {
                let here = place(0, 0, 0);
                let (base, order_base) = (self.address(starts, here), self.args[order].offset);
                let first = self.number(starts, base as u64);
                let last = self.number(starts, base as u64 + 1);
                for col in 0..cols {
                    let position = |i| self.number(order, order_base + i);
                    let items: Vec<Place<'_>> =
                        (first..last).map(|i| place(position(i), 0, col)).collect();
                    self.group(place(0, 0, col), &items);
                }
            }
        }
    }

    /// An element of an i32 operand by its index in the buffer.
    fn number(&self, operand: usize, at: u64) -> u64 {
        M::int(self.load(operand, at as usize))
    }

    fn address(&self, operand: usize, place: Place<'_>) -> usize {
        let op = &self.kernel.operands[operand];
        let row = if op.is_output { place.block } else { place.row };
        let outer: i64 = op.outer.iter().zip(place.outer).map(|(s, &i)| s * i as i64).sum();
        let at = self.args[operand].offset as i64
            + outer
            + op.row * row as i64
            + op.col * place.col as i64;
        usize::try_from(at).expect("addresses are not negative")
    }

    /// Whether an instruction has a value for each item rather than one for the group.
    fn is_each(&self, inst: &Inst, regs: &[Values<M::Value>]) -> bool {
        let varies = |reg: &Reg| matches!(regs[reg.0 as usize], Values::Each(_));
        let moves = |operand: usize| {
            let operand = &self.kernel.operands[operand];
            match self.kernel.skeleton {
                Skeleton::Rows => operand.col != 0,
                Skeleton::Columns { .. } | Skeleton::Segments { .. } => operand.row != 0,
            }
        };
        match inst {
            Inst::Const { .. } | Inst::Outer { .. } | Inst::Reduce { .. } => false,
            Inst::Load { operand } => moves(*operand),
            Inst::LoadAt { operand, index, .. } => moves(*operand) || varies(index),
            Inst::Row => true,
            Inst::Col => matches!(self.kernel.skeleton, Skeleton::Rows),
            Inst::Apply { args, .. } => args.iter().any(varies),
            Inst::Store { operand, value } => {
                let is_row = matches!(self.kernel.skeleton, Skeleton::Rows);
                is_row && (varies(value) || self.kernel.operands[*operand].col != 0)
            }
        }
    }

    fn group(&mut self, whole: Place<'_>, items: &[Place<'_>]) {
        let kernel = self.kernel;
        let mut regs: Vec<Values<M::Value>> = Vec::with_capacity(kernel.body.len());
        let is_row = matches!(kernel.skeleton, Skeleton::Rows);
        for (at, inst) in kernel.body.iter().enumerate() {
            let values = if let Inst::Reduce { kind, value } = inst {
                let dtype = self.dtypes[at].expect("a reduction has a type");
                let of = &regs[value.0 as usize];
                let all: Vec<M::Value> = (0..items.len()).map(|item| of.at(item)).collect();
                Values::One(M::reduce(*kind, dtype, is_row, &all))
            } else if self.is_each(inst, &regs) {
                let one = |(i, &place): (usize, &Place<'_>)| self.step(inst, &regs, place, i);
                Values::Each(items.iter().enumerate().map(one).collect())
            } else {
                Values::One(self.step(inst, &regs, whole, 0))
            };
            regs.push(values);
        }
    }

    /// One instruction at one place.
    fn step(
        &mut self,
        inst: &Inst,
        regs: &[Values<M::Value>],
        place: Place<'_>,
        item: usize,
    ) -> M::Value {
        let get = |reg: &Reg| regs[reg.0 as usize].at(item);
        let int = |bits| M::of(Dtype::I32, bits);
        match inst {
            Inst::Const { dtype, bits } => M::of(*dtype, *bits),
            Inst::Load { operand } => self.load(*operand, self.address(*operand, place)),
            Inst::LoadAt { operand, index, stride, bound } => {
                let index = M::int(get(index)) as u32 as i32;
                if index < 0 || index as u64 >= *bound {
                    let dtype = self.kernel.operands[*operand].dtype;
                    return M::of(dtype, constant_bits(dtype, 0.0));
                }
                let base = self.address(*operand, place) as i64;
                let at = base + i64::from(index) * stride;
                self.load(*operand, usize::try_from(at).expect("addresses are not negative"))
            }
            Inst::Outer { axis } => int(place.outer[*axis]),
            Inst::Row => int(place.row),
            Inst::Col => int(place.col),
            Inst::Apply { op, args } => {
                let (mut values, mut dtypes) = ([int(0); 5], [Dtype::I32; 5]);
                for (i, reg) in args.iter().enumerate() {
                    values[i] = get(reg);
                    dtypes[i] = self.dtypes[reg.0 as usize].expect("operands have types");
                }
                M::apply(*op, &dtypes[..args.len()], &values[..args.len()])
            }
            Inst::Store { operand, value } => {
                let at = self.address(*operand, place);
                self.memory.set(self.args[*operand].buffer.0 as usize, at, get(value));
                int(0)
            }
            Inst::Reduce { .. } => unreachable!("a reduction is of a group"),
        }
    }

    fn load(&self, operand: usize, at: usize) -> M::Value {
        self.memory.get(self.args[operand].buffer.0 as usize, at)
    }
}
