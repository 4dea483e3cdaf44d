//! The sums of a warp: which rows and columns each lane has, and sums as operands.

use ptx_builder::{B32, Builder, F32, Logic, Narrow, Reg, Shuffle, Special};

use super::few;
use crate::ptx::memory::small;
use crate::ptx::tensor::fragment::{Fragments, Sums};

/// What a lane has of 16 rows and 16 columns of a left operand.
pub(super) type Fragment = [Reg<B32>; 4];

/// `shfl` within a whole warp.
const ALL: u32 = 0x1f;

/// Where the lane finds itself.
#[derive(Clone, Copy)]
pub(super) struct Lane {
    /// The row of its first sum, in the block.
    pub(super) row: Reg<B32>,
    /// The column of its first sum.
    pub(super) col: Reg<B32>,
    /// The first row of its warp, in the block.
    pub(super) first: Reg<B32>,
}

impl Lane {
    /// In a warp of so many rows.
    pub(super) fn new(b: &mut Builder, warp_rows: u32) -> Self {
        let lane = b.special(Special::LaneId);
        let thread = b.special(Special::TidX);
        let warp: Reg<B32> = b.shr(thread, 5);
        let first = b.imul(warp, small(warp_rows.into()));
        let row: Reg<B32> = b.shr(lane, 2);
        let row = b.iadd(row, first);
        let col: Reg<B32> = b.logic(Logic::And, lane, 3);
        Self { row, col: b.shl(col, 1), first }
    }

    /// Its rows, of a warp with `n`, from a place on.
    pub(super) fn rows(self, b: &mut Builder, n: u32, start: Reg<B32>) -> Vec<Reg<B32>> {
        let first = b.iadd(self.row, start);
        (0..n).step_by(8).map(|row| b.iadd(first, small(row.into()))).collect()
    }

    /// Its columns, of `n`, from a place on.
    pub(super) fn cols(self, b: &mut Builder, n: u32, start: Reg<B32>) -> Vec<Reg<B32>> {
        let first = b.iadd(self.col, start);
        let places = (0..n).step_by(8).flat_map(|col| [col, col + 1]);
        places.map(|col| b.iadd(first, small(col.into()))).collect()
    }
}

/// The sum at a row and a column of the lane's, by their numbers.
pub(super) fn sum_at(sums: &Sums, row: usize, col: usize) -> Reg<F32> {
    sums.0[row / 2][col / 2][row % 2 * 2 + col % 2]
}

/// The lane's sums of a row, by its number.
pub(super) fn row_of(sums: &Sums, row: usize) -> Vec<Reg<F32>> {
    (0..2 * sums.0[0].len()).map(|col| sum_at(sums, row, col)).collect()
}

/// A number of each row from what its four lanes have.
pub(super) fn over_row(
    b: &mut Builder,
    mut x: Reg<F32>,
    combine: impl Fn(&mut Builder, Reg<F32>, Reg<F32>) -> Reg<F32>,
) -> Reg<F32> {
    for bit in [1, 2] {
        let other = b.shuffle(Shuffle::Butterfly, x, bit, ALL);
        x = combine(b, x, other);
    }
    x
}

/// Sums as fragments of a left operand, 16 columns each, rounded to 16 bits: for each 16 rows, then
/// for each 16 columns.
pub(super) fn rounded(b: &mut Builder, narrow: Narrow, sums: &Sums) -> Vec<Vec<Fragment>> {
    let mut all = vec![];
    for rows in &sums.0 {
        let mut fragments = vec![];
        for two in rows.chunks(2) {
            let halves = [(0, 0), (0, 2), (1, 0), (1, 2)];
            fragments.push(
                halves.map(|(which, at)| b.narrow_pair(narrow, two[which][at], two[which][at + 1])),
            );
        }
        all.push(fragments);
    }
    all
}

/// Adds products: fragments in registers by those of a right operand.
pub(super) fn add(
    b: &mut Builder,
    narrow: Narrow,
    sums: &Sums,
    left: &[Vec<Fragment>],
    right: &Fragments,
) {
    for (step, at) in (0..left[0].len()).zip(0..) {
        let rows: Vec<_> = left.iter().map(|fragments| fragments[step]).collect();
        sums.add_step(b, narrow, &rows, right, at);
    }
}

/// Fragments of a left operand in registers, at most; the others are read for each product.
const HELD: u64 = 4;

/// A left operand that all turns of a loop use.
pub(super) enum Left<'f> {
    /// For each 16 rows, then for each 16 columns.
    Held(Vec<Vec<Fragment>>),
    /// In shared memory, with so many columns.
    Read(&'f Fragments, u32),
}

impl<'f> Left<'f> {
    /// Of `n` rows of a warp and `k` columns.
    pub(super) fn new(b: &mut Builder, at: &'f Fragments, n: u32, k: u64) -> Self {
        let steps = few(k / 16);
        if k / 16 * u64::from(n / 16) > HELD {
            return Self::Read(at, steps);
        }
        let load = |b: &mut Builder, i| (0..steps).map(|step| at.load(b, i, step)).collect();
        Self::Held((0..n / 16).map(|i| load(b, i)).collect())
    }

    /// Adds its products with a right operand.
    pub(super) fn add(&self, b: &mut Builder, narrow: Narrow, sums: &Sums, right: &Fragments) {
        match self {
            Self::Held(left) => add(b, narrow, sums, left, right),
            Self::Read(left, steps) => {
                let n = few(sums.0.len() as u64);
                for step in 0..*steps {
                    let rows: Vec<_> = (0..n).map(|i| left.load(b, i, step)).collect();
                    sums.add_step(b, narrow, &rows, right, step);
                }
            }
        }
    }
}
