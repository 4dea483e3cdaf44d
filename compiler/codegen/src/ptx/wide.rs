//! How many columns a thread takes together, and what it moves as vectors.
//!
//! In: a kernel and what divides the address of each operand. Each column keeps its own arithmetic,
//! so the width has no part in the bits.
//!
//! # Note: groups
//! The columns of a row are cut into groups of `width`. A row of 50257 elements starts where no
//! vector does, but all operands of one layout are off by the same: groups are then counted from
//! the last place before the row where a vector starts, and those at both ends are not whole.

use ir::kernel::{Inst, Kernel, Operand, Skeleton};
use ptx_builder::{B32, Cmp, Logic, Pred, Reg};

use super::emitter::Emitter;
use super::memory::small;
use crate::flow::Flow;

/// Bytes that one access moves at most.
pub(super) const VECTOR: u64 = 16;
/// Bytes of all operands at one column up to which a thread takes eight of them; with more, eight
/// columns are more registers than are left for many threads.
const FEW: u64 = 12;

/// How the elements of an operand at the columns of a group lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// One serves all columns.
    Same,
    /// Side by side, from where a vector may start.
    Vector,
    /// Anyhow.
    Each,
}

/// Columns that a thread takes together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wide {
    /// Columns of a group.
    pub(super) width: u64,
    /// How operands are accessed.
    pub(super) accesses: Vec<Access>,
    /// How many columns before a row its first group starts: the sum of these times the outer
    /// indices, modulo the width.
    shift: Vec<u64>,
}

impl Wide {
    /// One column at a time.
    pub(super) fn none(kernel: &Kernel) -> Wide {
        let access = |o: &Operand| if o.col == 0 { Access::Same } else { Access::Each };
        let accesses = kernel.operands.iter().map(access).collect();
        Wide { width: 1, accesses, shift: vec![0; kernel.outer.len()] }
    }

    /// For a kernel whose operands' addresses are multiples of so many bytes.
    pub(super) fn new(kernel: &Kernel, flow: &Flow, aligned: &[u64]) -> Wide {
        let wide = [8, 4, 2].into_iter().find_map(|width| Wide::of(kernel, flow, aligned, width));
        wide.unwrap_or_else(|| Wide::none(kernel))
    }

    fn of(kernel: &Kernel, flow: &Flow, aligned: &[u64], width: u64) -> Option<Wide> {
        let is_side = |o: &&Operand| o.col == 1;
        let bytes: u64 = kernel.operands.iter().filter(is_side).map(|o| o.dtype.bytes()).sum();
        let has_narrow = kernel.operands.iter().filter(is_side).any(|o| o.dtype.is_narrow());
        // Down rows a thread has several of them under way, so fewer columns, in more threads.
        let is_rows = kernel.skeleton == Skeleton::Rows;
        let may_be_eight = is_rows && has_narrow && bytes <= FEW;
        if kernel.cols < width || (width == 8 && !may_be_eight) {
            return None;
        }
        let outputs = kernel.operands.iter().filter(|o| o.is_output);
        let first = outputs.chain(&kernel.operands).find(is_side)?;
        let shift = offsets(kernel, first, width);
        let is_shifted = shift.iter().any(|&by| by != 0);
        if is_shifted && !is_rows {
            return None;
        }
        let access = |(o, &aligned): (&Operand, &u64)| {
            let is_vector = o.col == 1
                && aligned.is_multiple_of(VECTOR.min(width * o.dtype.bytes()))
                && o.row.rem_euclid(width.cast_signed()) == 0
                && offsets(kernel, o, width) == shift;
            match (o.col, is_vector) {
                (0, _) => Access::Same,
                (_, true) => Access::Vector,
                (_, false) => Access::Each,
            }
        };
        let wide = Wide {
            width,
            accesses: kernel.operands.iter().zip(aligned).map(access).collect(),
            shift,
        };
        // What is the same in all columns is stored once a row.
        let is_stored = |(at, inst): (usize, &Inst)| match inst {
            Inst::Store { operand, .. } => {
                flow.rates[at].is_once() || wide.accesses[*operand] == Access::Vector
            }
            Inst::Const { .. }
            | Inst::Load { .. }
            | Inst::LoadAt { .. }
            | Inst::Outer { .. }
            | Inst::Row
            | Inst::Col
            | Inst::Apply { .. }
            | Inst::Reduce { .. } => true,
        };
        let is_of_use = wide.accesses.contains(&Access::Vector);
        (is_of_use && kernel.body.iter().enumerate().all(is_stored)).then_some(wide)
    }

    /// Whether groups start at columns that the width divides.
    pub(super) fn starts_whole(&self) -> bool {
        self.shift.iter().all(|&by| by == 0)
    }

    /// Whether all groups of a row have all their columns.
    pub(super) fn is_always_whole(&self, cols: u64) -> bool {
        self.starts_whole() && cols.is_multiple_of(self.width)
    }

    /// Groups of a row.
    pub(super) fn groups(&self, cols: u64) -> u64 {
        let before = if self.starts_whole() { 0 } else { self.width - 1 };
        (cols + before).div_ceil(self.width)
    }
}

/// Elements from one outer index to the next, modulo the width.
fn offsets(kernel: &Kernel, operand: &Operand, width: u64) -> Vec<u64> {
    let axes = kernel.outer.iter().zip(&operand.outer);
    axes.map(|(&size, &stride)| {
        let by = if size > 1 { stride } else { 0 };
        by.rem_euclid(width.cast_signed()).cast_unsigned()
    })
    .collect()
}

impl<'k> Emitter<'k> {
    /// The columns of a group of a row: together where all of them are there, else one by one.
    pub(super) fn group(
        &mut self,
        wide: &Wide,
        outer: &[Reg<B32>],
        group: Reg<B32>,
        each: impl Fn(&mut Emitter<'_>, Reg<B32>),
    ) {
        if wide.width == 1 {
            return each(self, group);
        }
        let (width, cols) = (small(wide.width), small(self.kernel.cols));
        let first = self.first(wide, outer, group);
        let Some(is_whole) = self.is_whole(wide, first) else {
            return each(&mut self.with(Some(wide)), first);
        };
        let [tail, end] = [self.b.label(), self.b.label()];
        self.b.bra_if(is_whole, false, tail);
        each(&mut self.with(Some(wide)), first);
        self.b.bra(end);
        self.b.place(tail);
        let from = self.b.imax(first, 0);
        let to = self.b.iadd(first, width);
        let to = self.b.imin(to, cols);
        self.with(None).count_loop(from, to, 1, |e, col| each(e, col));
        self.b.place(end);
    }

    /// The first column of a group; it may lie before the row.
    fn first(&mut self, wide: &Wide, outer: &[Reg<B32>], group: Reg<B32>) -> Reg<B32> {
        let mut first = self.b.imul(group, small(wide.width));
        let mut before = None;
        for (&index, &by) in outer.iter().zip(&wide.shift) {
            if by != 0 {
                let sum = before.unwrap_or_else(|| self.b.mov(0));
                before = Some(self.b.mad(index, small(by), sum));
            }
        }
        if let Some(before) = before {
            let before: Reg<B32> = self.b.logic(Logic::And, before, small(wide.width - 1));
            first = self.b.isub(first, before);
        }
        first
    }

    /// Whether all columns of a group are there; nothing where they always are.
    fn is_whole(&mut self, wide: &Wide, first: Reg<B32>) -> Option<Reg<Pred>> {
        let (width, cols) = (small(wide.width), small(self.kernel.cols));
        if wide.starts_whole() {
            let is_always = wide.is_always_whole(self.kernel.cols);
            return (!is_always).then(|| self.b.icmp(Cmp::Le, first, cols - width));
        }
        // A column before the row is a large one without sign.
        Some(self.b.ucmp(Cmp::Le, first, cols - width))
    }

    /// The same with another width.
    pub(super) fn with<'a>(&'a mut self, wide: Option<&'a Wide>) -> Emitter<'a>
    where
        'k: 'a,
    {
        let Self { kernel, flow, span, .. } = *self;
        Emitter { b: &mut *self.b, kernel, flow, span, wide }
    }
}
