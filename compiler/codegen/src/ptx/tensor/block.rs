//! Which part of a product a block of threads computes.

use ptx_builder::{B32, B64, Builder, Reg, Special};

use super::Tensor;
use crate::ptx::memory::{advance_bytes, small};

/// Rows of tiles that neighbouring blocks share, so that they find operands in the cache.
const BAND: u64 = 8;

/// What a block of threads works on.
pub(super) struct Block {
    /// Index over all batch axes.
    pub(super) batch: Reg<B32>,
    /// The first row.
    pub(super) row: Reg<B32>,
    /// The number of the block along the columns.
    pub(super) strip: Reg<B32>,
    /// The first column.
    pub(super) col: Reg<B32>,
    /// The addresses of both operands and of the result in their batch.
    pub(super) bases: Vec<Reg<B64>>,
    /// The shared memory.
    pub(super) shared: Reg<B32>,
    /// The first row and column of the warp in the tile.
    pub(super) warp: [Reg<B32>; 2],
}

impl Tensor<'_> {
    pub(super) fn block(&self, b: &mut Builder) -> Block {
        let [rows, strips] = self.need.grid(self.tile);
        let at = b.special(Special::CtaidX);
        let [batch, at] = parted(b, at, rows * strips, self.need.batch);
        let (row, strip) = banded(b, at, rows, strips);
        let row = b.imul(row, small(self.tile.rows.into()));
        let col = b.imul(strip, small(self.need.width(self.tile)));
        let n_bases = 2 + u32::from(self.product.c.is_some());
        let bases = (0..n_bases).map(|at| self.base(b, at, batch)).collect();
        let thread = b.special(Special::TidX);
        let warp: Reg<B32> = b.shr(thread, 5);
        let [_, across] = self.tile.warps;
        let [rows, cols] = self.tile.warp();
        let [down, across] = parted(b, warp, across.into(), u64::MAX);
        let warp = [b.imul(down, small(rows.into())), b.imul(across, small(cols.into()))];
        Block { batch, row, strip, col, bases, shared: b.shared(), warp }
    }

    /// An operand or the result at a batch index.
    fn base(&self, b: &mut Builder, which: u32, batch: Reg<B32>) -> Reg<B64> {
        let address = b.param(which);
        let mut base = b.to_global(address);
        let bytes = if which < 2 { 2 } else { self.layout.dtype.bytes().cast_signed() };
        let axes = &self.product.batch;
        for (i, axis) in axes.iter().enumerate() {
            let inner: u64 = axes[i + 1..].iter().map(|axis| axis.size).product();
            let [before, _] = parted(b, batch, inner, u64::MAX);
            let index = if i > 0 { b.urem(before, small(axis.size.max(1))) } else { before };
            base = advance_bytes(b, base, index, axis.strides[which as usize] * bytes);
        }
        base
    }
}

/// An index as that of the whole parts of `size`, of which there are `n`, and the rest.
pub(super) fn parted(b: &mut Builder, at: Reg<B32>, size: u64, n: u64) -> [Reg<B32>; 2] {
    if n == 1 {
        return [b.mov(0), at];
    }
    if size <= 1 {
        return [at, b.mov(0)];
    }
    [b.udiv(at, small(size)), b.urem(at, small(size))]
}

/// The row and column of a tile, in bands of some rows, down each band's columns.
fn banded(b: &mut Builder, at: Reg<B32>, rows: u64, cols: u64) -> (Reg<B32>, Reg<B32>) {
    if rows <= BAND {
        let [col, row] = parted(b, at, rows, u64::MAX);
        return (row, col);
    }
    let [band, at] = parted(b, at, BAND * cols, rows.div_ceil(BAND));
    let first: Reg<B32> = b.shl(band, BAND.ilog2());
    let rest: Reg<B32> = b.isub(small(rows), first);
    let height: Reg<B32> = b.imin(rest, small(BAND));
    let row = b.urem(at, height);
    (b.iadd(row, first), b.udiv(at, height))
}
