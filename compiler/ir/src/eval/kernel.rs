//! Evaluates a kernel in the order that its skeleton promises, bit for bit.
//!
//! One group at a time: a row of columns (`Rows`), the rows of a block at one column (`Columns`),
//! the positions of one segment at one column (`Segments`). Inside a group each instruction is
//! evaluated for all items before the next one.

use super::scalar::eval_scalar;
use super::tensor::{Data, each_index};
use crate::body::constant_bits;
use crate::expand::expand_kernel;
use crate::kernel::{Inst, Kernel, LANES, Reduction, Reg, Scalar, Skeleton};
use crate::schedule::Arg;
use crate::types::Dtype;
use crate::verify::kernel_dtypes;

/// The buffers that arguments point into.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory(pub Vec<Data>);

/// Runs the expansion of a kernel over all its extent.
pub fn eval_kernel(kernel: &Kernel, memory: &mut Memory, args: &[Arg]) {
    eval_expanded(&expand_kernel(kernel), memory, args);
}

/// Runs a kernel that is expanded already.
pub(super) fn eval_expanded(kernel: &Kernel, memory: &mut Memory, args: &[Arg]) {
    eval_expanded_at(kernel, memory, args, |_| true);
}

/// Runs it at those outer indices, counted in row-major order, that are wanted.
pub(super) fn eval_expanded_at(
    kernel: &Kernel,
    memory: &mut Memory,
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
enum Bits {
    One(u64),
    Each(Vec<u64>),
}

impl Bits {
    fn at(&self, item: usize) -> u64 {
        match self {
            Self::One(bits) => *bits,
            Self::Each(all) => all[item],
        }
    }
}

struct Run<'a> {
    kernel: &'a Kernel,
    dtypes: &'a [Option<Dtype>],
    memory: &'a mut Memory,
    args: &'a [Arg],
}

impl Run<'_> {
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
        self.memory.0[self.args[operand].buffer.0 as usize].bits(at as usize)
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
    fn is_each(&self, inst: &Inst, regs: &[Bits]) -> bool {
        let varies = |reg: &Reg| matches!(regs[reg.0 as usize], Bits::Each(_));
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
        let mut regs: Vec<Bits> = Vec::with_capacity(kernel.body.len());
        for (at, inst) in kernel.body.iter().enumerate() {
            let bits = if let Inst::Reduce { kind, value } = inst {
                let dtype = self.dtypes[at].expect("a reduction has a type");
                Bits::One(self.reduce(*kind, dtype, &regs[value.0 as usize], items.len()))
            } else if self.is_each(inst, &regs) {
                let one = |(i, &place): (usize, &Place<'_>)| self.step(inst, &regs, place, i);
                Bits::Each(items.iter().enumerate().map(one).collect())
            } else {
                Bits::One(self.step(inst, &regs, whole, 0))
            };
            regs.push(bits);
        }
    }

    /// One instruction at one place.
    fn step(&mut self, inst: &Inst, regs: &[Bits], place: Place<'_>, item: usize) -> u64 {
        let get = |reg: &Reg| regs[reg.0 as usize].at(item);
        match inst {
            Inst::Const { bits, .. } => *bits,
            Inst::Load { operand } => self.load(*operand, self.address(*operand, place)),
            Inst::LoadAt { operand, index, stride, bound } => {
                let index = get(index) as u32 as i32;
                if index < 0 || index as u64 >= *bound {
                    return constant_bits(self.kernel.operands[*operand].dtype, 0.0);
                }
                let base = self.address(*operand, place) as i64;
                let at = base + i64::from(index) * stride;
                self.load(*operand, usize::try_from(at).expect("addresses are not negative"))
            }
            Inst::Outer { axis } => place.outer[*axis],
            Inst::Row => place.row,
            Inst::Col => place.col,
            Inst::Apply { op, args } => {
                let (mut bits, mut dtypes) = ([0; 5], [Dtype::I32; 5]);
                for (i, reg) in args.iter().enumerate() {
                    bits[i] = get(reg);
                    dtypes[i] = self.dtypes[reg.0 as usize].expect("operands have types");
                }
                eval_scalar(*op, &dtypes[..args.len()], &bits[..args.len()])
            }
            Inst::Store { operand, value } => {
                let at = self.address(*operand, place);
                let buffer = self.args[*operand].buffer.0 as usize;
                self.memory.0[buffer].set_bits(at, get(value));
                0
            }
            Inst::Reduce { .. } => unreachable!("a reduction is of a group"),
        }
    }

    fn load(&self, operand: usize, at: usize) -> u64 {
        self.memory.0[self.args[operand].buffer.0 as usize].bits(at)
    }

    fn reduce(&self, kind: Reduction, dtype: Dtype, values: &Bits, n: usize) -> u64 {
        let start = identity(kind, dtype);
        let fold = |sum: u64, bits: u64| combine(kind, dtype, sum, bits);
        match self.kernel.skeleton {
            Skeleton::Columns { .. } | Skeleton::Segments { .. } => {
                (0..n).fold(start, |sum, item| fold(sum, values.at(item)))
            }
            Skeleton::Rows => {
                let mut lanes = vec![start; LANES as usize];
                for item in 0..n {
                    let lane = item % LANES as usize;
                    lanes[lane] = fold(lanes[lane], values.at(item));
                }
                let mut half = LANES as usize / 2;
                while half > 0 {
                    for i in 0..half {
                        lanes[i] = fold(lanes[i], lanes[i + half]);
                    }
                    half /= 2;
                }
                lanes[0]
            }
        }
    }
}

fn identity(kind: Reduction, dtype: Dtype) -> u64 {
    let limit = match (kind, dtype) {
        (Reduction::Sum, _) => 0.0,
        (Reduction::Max, _) => f64::NEG_INFINITY,
        (Reduction::Min, _) => f64::INFINITY,
    };
    constant_bits(dtype, limit)
}

fn combine(kind: Reduction, dtype: Dtype, x: u64, y: u64) -> u64 {
    let op = match kind {
        Reduction::Sum => Scalar::Add,
        Reduction::Max => Scalar::Max,
        Reduction::Min => Scalar::Min,
    };
    eval_scalar(op, &[dtype, dtype], &[x, y])
}
