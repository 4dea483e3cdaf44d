//! From the sums in registers to the result in global memory, or to shared memory.

use ir::types::Dtype;
use ptx_builder::{B16, B32, B64, Builder, Cmp, F32, Logic, Narrow, Pred, Reg};

use super::fragment::Sums;
use super::shifted;
use crate::ptx::memory::small;

/// Where the first sum of the lane lies in its block.
#[derive(Debug, Clone, Copy)]
pub(in crate::ptx) struct Corner {
    /// The row in the product.
    pub(in crate::ptx) row: Reg<B32>,
    /// The column that is compared with the end.
    pub(in crate::ptx) col: Reg<B32>,
}

/// The ends of rows and columns, where blocks reach beyond them.
#[derive(Debug, Clone, Copy)]
pub(in crate::ptx) struct Ends {
    pub(in crate::ptx) row: Option<u64>,
    pub(in crate::ptx) col: Option<u64>,
}

/// How the result lies in memory.
#[derive(Debug, Clone, Copy)]
pub(in crate::ptx) struct Layout {
    pub(in crate::ptx) dtype: Dtype,
    /// In bytes.
    pub(in crate::ptx) strides: [i64; 2],
    /// Two neighbours of a row are written at once; no end parts them.
    pub(in crate::ptx) in_pairs: bool,
}

/// Whether the result goes on from what is there.
#[derive(Debug, Clone, Copy)]
pub(in crate::ptx) enum Start {
    Anew,
    FromHeld,
    /// From what is there where it holds.
    Where(Reg<Pred>),
}

/// Whether what is further on than a row or column is before the end, where there is one.
fn before(b: &mut Builder, at: Reg<B32>, distance: u32, end: Option<u64>) -> Option<Reg<Pred>> {
    end.map(|end| b.icmp(Cmp::Lt, at, small(end) - distance.cast_signed()))
}

/// Calls `write` with each two neighbouring sums whose row is there, their distance from the corner
/// in bytes, and whether the columns are there.
///
/// Rows are branches: with all truth values at hand at once, registers do not suffice.
fn each_pair(
    b: &mut Builder,
    sums: &Sums,
    strides: [i64; 2],
    (corner, ends): (Corner, Ends),
    mut write: impl FnMut(&mut Builder, [Reg<F32>; 2], i64, [Option<Reg<Pred>>; 2]),
) {
    for (i, of_rows) in (0..).step_by(16).zip(&sums.0) {
        for (row, pair) in [(i, 0), (i + 8, 2)] {
            let end = b.label();
            if let Some(is_there) = before(b, corner.row, row, ends.row) {
                b.bra_if(is_there, false, end);
            }
            for (col, four) in (0..).step_by(8).zip(of_rows) {
                let distance = i64::from(row) * strides[0] + i64::from(col) * strides[1];
                let are_there = [col, col + 1].map(|col| before(b, corner.col, col, ends.col));
                write(b, [four[pair], four[pair + 1]], distance, are_there);
            }
            b.place(end);
        }
    }
}

fn both(b: &mut Builder, p: Option<Reg<Pred>>, q: Option<Reg<Pred>>) -> Option<Reg<Pred>> {
    match (p, q) {
        (Some(p), Some(q)) => Some(b.plogic(Logic::And, p, q)),
        (p, None) => p,
        (None, q) => q,
    }
}

fn only(b: &mut Builder, p: Option<Reg<Pred>>, make: impl FnOnce(&mut Builder)) {
    match p {
        Some(p) => b.guarded(p, true, make),
        None => make(b),
    }
}

/// Writes the sums to the result; `to` is the place of the corner.
pub(in crate::ptx) fn store(
    b: &mut Builder,
    sums: &Sums,
    layout: Layout,
    start: Start,
    to: Reg<B64>,
    inside: (Corner, Ends),
) {
    each_pair(b, sums, layout.strides, inside, |b, pair, distance, [p, q]| {
        if layout.in_pairs {
            add_held_pair(b, layout, start, (to, distance), pair, p);
            store_pair(b, layout.dtype, (to, distance), pair, p);
        } else {
            for ((value, p), at) in pair.into_iter().zip([p, q]).zip([0, layout.strides[1]]) {
                let place = shifted(b, to, distance + at);
                add_held(b, layout.dtype, start, place, value, p);
                store_one(b, layout.dtype, place, value, p);
            }
        }
    });
}

/// Writes the sums to shared memory, rows of `cols` singles side by side.
pub(super) fn store_shared(
    b: &mut Builder,
    sums: &Sums,
    cols: u64,
    to: Reg<B32>,
    (corner, ends): (Corner, Ends),
) {
    // Rows behind the end have a place there, too.
    let inside = (corner, Ends { row: None, ..ends });
    let strides = [i64::from(small(cols)) * 4, 4];
    each_pair(b, sums, strides, inside, |b, pair, distance, inside| {
        let distance = i32::try_from(distance).expect("shared memory is small");
        for ((value, p), at) in pair.into_iter().zip(inside).zip([0, 4]) {
            only(b, p, |b| b.store_shared(to, distance + at, value));
        }
    });
}

/// Where the result goes on from what is there, and the sum is inside.
fn adds(b: &mut Builder, start: Start, p: Option<Reg<Pred>>) -> Option<Option<Reg<Pred>>> {
    match start {
        Start::Anew => None,
        Start::FromHeld => Some(p),
        Start::Where(adds) => Some(both(b, Some(adds), p)),
    }
}

fn add_held(
    b: &mut Builder,
    dtype: Dtype,
    start: Start,
    (base, offset): (Reg<B64>, i32),
    sum: Reg<F32>,
    p: Option<Reg<Pred>>,
) {
    let Some(p) = adds(b, start, p) else { return };
    let held = match narrow(dtype) {
        Some(narrow) => {
            let half = b.mov_half(0);
            only(b, p, |b| b.load_to(half, base, offset));
            wide(b, narrow, half)
        }
        None => {
            let held = b.mov(0.0f32);
            only(b, p, |b| b.load_to(held, base, offset));
            held
        }
    };
    only(b, p, |b| b.fadd_to(sum, held, sum));
}

fn add_held_pair(
    b: &mut Builder,
    layout: Layout,
    start: Start,
    (base, distance): (Reg<B64>, i64),
    pair: [Reg<F32>; 2],
    p: Option<Reg<Pred>>,
) {
    for (sum, at) in pair.into_iter().zip([0, layout.strides[1]]) {
        if !matches!(start, Start::Anew) {
            let place = shifted(b, base, distance + at);
            add_held(b, layout.dtype, start, place, sum, p);
        }
    }
}

fn store_one(
    b: &mut Builder,
    dtype: Dtype,
    (base, offset): (Reg<B64>, i32),
    value: Reg<F32>,
    p: Option<Reg<Pred>>,
) {
    match narrow(dtype) {
        Some(narrow) => {
            let half = match narrow {
                Narrow::F16 => b.f16_from_f32(value),
                Narrow::Bf16 => b.bf16_from_f32(value),
            };
            only(b, p, |b| b.store(base, offset, half));
        }
        None => only(b, p, |b| b.store(base, offset, value)),
    }
}

fn store_pair(
    b: &mut Builder,
    dtype: Dtype,
    (base, distance): (Reg<B64>, i64),
    [low, high]: [Reg<F32>; 2],
    p: Option<Reg<Pred>>,
) {
    let (base, offset) = shifted(b, base, distance);
    match narrow(dtype) {
        Some(narrow) => {
            let pair = b.narrow_pair(narrow, low, high);
            only(b, p, |b| b.store(base, offset, pair));
        }
        None => only(b, p, |b| b.store2(base, offset, [low, high])),
    }
}

fn wide(b: &mut Builder, narrow: Narrow, half: Reg<B16>) -> Reg<F32> {
    match narrow {
        Narrow::F16 => b.f32_from_f16(half),
        Narrow::Bf16 => b.f32_from_bf16(half),
    }
}

/// The type of 16 bits that it is.
pub(in crate::ptx) fn narrow(dtype: Dtype) -> Option<Narrow> {
    match dtype {
        Dtype::F16 => Some(Narrow::F16),
        Dtype::Bf16 => Some(Narrow::Bf16),
        Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => None,
    }
}
