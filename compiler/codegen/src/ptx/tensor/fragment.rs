//! From the stages in shared memory to the registers of `mma`, and the sums.

use ptx_builder::{B32, Builder, F32, Lay, Logic, Narrow, Reg};

use super::copy::{Along, CHUNK, CHUNK_BYTES, Source};
use super::tile::{DEPTH, STEP, Tile};
use crate::ptx::memory::small;

/// Which operand of the product it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ptx) enum Side {
    Left,
    Right,
}

/// Where the lane finds its rows of the matrices of an operand in stage 0.
///
/// A fragment is 16 outer indices by 16 of k, four matrices of 8 by 8.
pub(in crate::ptx) struct Fragments {
    source: Source,
    /// For each step of k where lines lie along k, else for each fragment of the warp: the index
    /// that counts chunks, whose place depends on the permutation.
    rows: Vec<Reg<B32>>,
}

impl Fragments {
    /// Those of a warp that starts at an outer index of the tile; `start` is that of the operand in
    /// stage 0.
    pub(in crate::ptx) fn new(
        b: &mut Builder,
        source: Source,
        side: Side,
        first: Reg<B32>,
        n: u32,
        start: Reg<B32>,
    ) -> Self {
        let lane = b.special(ptx_builder::Special::LaneId);
        // Registers of the left operand have their rows in the first bit of their number, those of
        // the right one, columns in the second; k in the other.
        let is_outer_first = side == Side::Left;
        let is_line_first = (source.along == Along::K) == is_outer_first;
        let [line, chunk] = if is_line_first {
            [b.logic(Logic::And, lane, 15), b.shr(lane, 4)]
        } else {
            let low: Reg<B32> = b.logic(Logic::And, lane, 7);
            let high: Reg<B32> = b.logic(Logic::And, lane, 16);
            let high: Reg<B32> = b.shr(high, 1);
            let second: Reg<B32> = b.shr(lane, 3);
            [b.iadd(low, high), b.logic(Logic::And, second, 1)]
        };
        let (line, chunk, n) = match source.along {
            Along::K => (b.iadd(line, first), chunk, source.depth / STEP),
            Along::Outer => {
                let before: Reg<B32> = b.shr(first, CHUNK.ilog2());
                (line, b.iadd(chunk, before), n)
            }
        };
        let place = source.place(b, line, chunk);
        let rows = (0..n)
            .map(|i| {
                // Two chunks on: those bits are 0 in the first place, and the permutation keeps it.
                let place: Reg<B32> = b.logic(Logic::Xor, place, i * 2 * CHUNK_BYTES);
                b.iadd(start, place)
            })
            .collect();
        Self { source, rows }
    }

    /// The addresses in a stage, given by its distance in bytes.
    pub(in crate::ptx) fn in_stage(&self, b: &mut Builder, stage: Reg<B32>) -> Self {
        let rows = self.rows.iter().map(|&row| b.iadd(row, stage)).collect();
        Self { source: self.source, rows }
    }

    /// Fragment `i` of the warp at a step of k.
    pub(in crate::ptx) fn load(&self, b: &mut Builder, i: u32, step: u32) -> [Reg<B32>; 4] {
        let (row, lines, lay) = match self.source.along {
            Along::K => (step, i, Lay::AsIs),
            Along::Outer => (i, step, Lay::Transposed),
        };
        let offset = lines * STEP * self.source.chunks() * CHUNK_BYTES;
        b.matrices(lay, self.rows[row as usize], small(offset.into()))
    }
}

/// The sums of a warp: for each 16 rows and 8 columns, four of each lane.
pub(in crate::ptx) struct Sums(pub(in crate::ptx) Vec<Vec<[Reg<F32>; 4]>>);

impl Sums {
    /// Registers for the sums of a tile.
    pub(super) fn new(b: &mut Builder, tile: Tile) -> Self {
        Self::of(b, tile.warp())
    }

    /// Registers for so many rows and columns of a warp.
    pub(in crate::ptx) fn of(b: &mut Builder, [rows, cols]: [u32; 2]) -> Self {
        let mut four = || std::array::from_fn(|_| b.reg());
        Self((0..rows / 16).map(|_| (0..cols / 8).map(|_| four()).collect()).collect())
    }

    /// Starts anew.
    pub(in crate::ptx) fn clear(&self, b: &mut Builder) {
        self.0.iter().flatten().flatten().for_each(|&sum| b.mov_to(sum, 0.0));
    }

    /// Adds the products of a stage, k ascending.
    pub(in crate::ptx) fn add(
        &self,
        b: &mut Builder,
        narrow: Narrow,
        left: &Fragments,
        right: &Fragments,
    ) {
        for step in 0..DEPTH / STEP {
            let n_rows = u32::try_from(self.0.len()).expect("a warp has few rows");
            let rows: Vec<_> = (0..n_rows).map(|i| left.load(b, i, step)).collect();
            self.add_step(b, narrow, &rows, right, step);
        }
    }

    /// Adds the products of a step of k: fragments of the left operand by one of the right one's.
    pub(in crate::ptx) fn add_step(
        &self,
        b: &mut Builder,
        narrow: Narrow,
        rows: &[[Reg<B32>; 4]],
        right: &Fragments,
        step: u32,
    ) {
        let n_cols = u32::try_from(self.0[0].len() / 2).expect("a warp has few columns");
        let cols: Vec<_> = (0..n_cols).map(|i| right.load(b, i, step)).collect();
        for (sums, &a) in self.0.iter().zip(rows) {
            for (two, [x, y, z, w]) in sums.chunks(2).zip(&cols) {
                b.mma_to(narrow, two[0], a, [*x, *y]);
                b.mma_to(narrow, two[1], a, [*z, *w]);
            }
        }
    }
}
