//! Stages: a few steps of one side of a product, from global to shared memory.
//!
//! Neighbouring lanes read neighbouring elements, along the steps or across them. What lies behind
//! the last row or column is 0.

use ir::types::Dtype;
use ptx_builder::{B16, B32, B64, Builder, Cmp, F32, Logic, Pred, Reg, Val};

use super::chains::{Axis, SIDE, STEPS, Thread};
use super::memory::{Pointer, advance, wide};

/// Elements that keep the rows of a stage on other banks.
const PAD: u32 = 4;

/// One side of a product in global memory.
#[derive(Clone, Copy)]
pub(super) struct Global {
    /// The first element of the tile.
    pub(super) pointer: Reg<B64>,
    /// From one row (or column) of the result to the next, and from step to step.
    pub(super) strides: [i64; 2],
    pub(super) dtype: Dtype,
    /// Rows (or columns) that there are, where the tile may have more.
    pub(super) count: Option<Reg<B32>>,
}

/// Singles in shared memory.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub(super) base: Reg<B32>,
    /// Elements from one row (or column) of the result to the next, and from step to step.
    pub(super) strides: [u32; 2],
}

/// A stage, and what one thread brings to it.
pub(super) struct Stage {
    from: Global,
    axis: Axis,
    base: Reg<B32>,
    /// The thread's first element at step 0, its step, and whether its rows exist.
    pointer: Reg<B64>,
    step: Reg<B32>,
    is_there: Vec<Option<Reg<Pred>>>,
    /// Where its first element goes.
    slot: Reg<B32>,
    held: Vec<Held>,
}

/// An element on its way.
#[derive(Clone, Copy)]
enum Held {
    Single(Reg<F32>),
    Half(Reg<B16>),
}

impl Stage {
    /// Its size.
    pub(super) fn bytes(axis: Axis) -> u32 {
        (axis.size() + PAD) * STEPS * 4
    }

    /// A stage that is so many bytes behind the start of shared memory.
    pub(super) fn new(
        b: &mut Builder,
        thread: Thread,
        axis: Axis,
        from: Global,
        offset: u32,
    ) -> Self {
        let is_along = from.strides[1].abs() <= from.strides[0].abs();
        let [first, step] = match is_along {
            true => [thread.line, thread.lane],
            false => [thread.lane, thread.line],
        };
        let start = Pointer::Global(from.pointer);
        let Pointer::Global(pointer) = advance(b, start, first, from.strides[0], from.dtype) else {
            unreachable!("global memory stays global")
        };
        let is_there = (0..axis.each).map(|i| {
            let index = b.iadd(first, SIDE * i);
            from.count.map(|count| b.icmp(Cmp::Lt, index, count))
        });
        let is_there = is_there.collect();
        let start = b.shared();
        let base = b.iadd(start, offset);
        let row = b.mad(first, 4, base);
        let slot = b.mad(step, (axis.size() + PAD) * 4, row);
        let held = (0..axis.each).map(|_| {
            if from.dtype.is_narrow() { Held::Half(b.reg()) } else { Held::Single(b.reg()) }
        });
        let held = held.collect();
        Self { from, axis, base, pointer, step, is_there, slot, held }
    }

    /// As the steps read it.
    pub(super) fn matrix(&self) -> Matrix {
        Matrix { base: self.base, strides: [1, self.axis.size() + PAD] }
    }

    /// Asks for the thread's elements of the stage that starts at a step.
    pub(super) fn fetch(&self, b: &mut Builder, at: Reg<B32>, to: Val<B32>) {
        let Global { strides, dtype, .. } = self.from;
        let step = b.iadd(at, self.step);
        let is_step = b.icmp(Cmp::Lt, step, to);
        let start = Pointer::Global(self.pointer);
        let Pointer::Global(start) = advance(b, start, step, strides[1], dtype) else {
            unreachable!("global memory stays global")
        };
        let zero = b.mov_half(0);
        let apart = i64::from(SIDE) * strides[0] * dtype.bytes().cast_signed();
        for (i, (&held, is_there)) in (0i64..).zip(self.held.iter().zip(&self.is_there)) {
            let wanted = match is_there {
                Some(is_there) => b.plogic(Logic::And, is_step, *is_there),
                None => is_step,
            };
            let (base, offset) = match i32::try_from(apart * i) {
                Ok(offset) => (start, offset),
                Err(_) => (b.iadd(start, apart * i), 0),
            };
            match held {
                Held::Single(x) => {
                    b.mov_to(x, 0.0);
                    b.guarded(wanted, true, |b| b.load_to(x, base, offset));
                }
                Held::Half(x) => {
                    b.mov_to(x, zero);
                    b.guarded(wanted, true, |b| b.load_to(x, base, offset));
                }
            }
        }
    }

    /// Writes the elements that were asked for.
    pub(super) fn put(&self, b: &mut Builder) {
        for (i, &held) in (0..).zip(&self.held) {
            let single = match held {
                Held::Single(x) => x,
                Held::Half(x) => wide(b, self.from.dtype, x),
            };
            b.store_shared(self.slot, i * (SIDE * 4).cast_signed(), single);
        }
    }
}
