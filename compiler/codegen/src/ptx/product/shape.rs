//! How large the tiles of a product are, and how many.

use ir::schedule::Product;

use crate::ptx::chains::{Axis, stage_bytes};

/// Blocks that keep the largest devices busy.
const MANY: u64 = 264;
/// Rows and columns of tiles, larger ones first.
const TILES: [[u64; 2]; 6] = [[128, 128], [64, 128], [64, 64], [32, 64], [16, 64], [16, 32]];
/// Results of a thread: with many columns it has fewer, for it holds a stage of them too.
const RESULTS: u32 = 64;
const WIDE_RESULTS: u32 = 32;

/// The tiles of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Rows and columns of a tile; the last columns may be of no use.
    pub(super) axes: [Axis; 2],
    /// Columns of the result that a tile has: blocks of the epilogue.
    pub(super) cols: u64,
    /// Columns of a block of the epilogue.
    pub(super) block: u64,
    /// Tiles along the rows and columns of the result.
    pub(super) tiles: [u64; 2],
    /// Blocks of the grid.
    pub(super) blocks: u64,
}

impl Shape {
    /// The largest tiles of which there are many, or middling ones.
    pub(super) fn of(p: &Product) -> Self {
        let all: Vec<Shape> = TILES.iter().map(|&size| Self::near(p, size)).collect();
        let fits = |shape: &&Shape| {
            let [rows, cols] = shape.axes.map(|axis| axis.each);
            let most = if cols > 8 { WIDE_RESULTS } else { RESULTS };
            rows * cols <= most
        };
        let fitting: Vec<&Shape> = all.iter().filter(fits).collect();
        let many = fitting.iter().find(|shape| shape.blocks >= MANY);
        let middling = |shape: &&&Shape| shape.axes[0].each * shape.axes[1].each <= 16;
        let few = fitting.iter().find(middling).or(fitting.last());
        (*many.or(few).expect("the smallest tile fits")).clone()
    }

    fn near(p: &Product, [rows, cols]: [u64; 2]) -> Self {
        let unit = p.epilogue.as_ref().map_or(1, |epilogue| epilogue.cols).max(1);
        let cols = unit * (cols / unit).clamp(1, (p.n / unit).max(1));
        let axes = [Axis::of(rows.min(p.m)), Axis::of(cols)];
        let tiles = [p.m.div_ceil(axes[0].size().into()), p.n.div_ceil(cols)];
        let batch: u64 = p.batch.iter().map(|axis| axis.size).product();
        Self { axes, cols, block: unit, tiles, blocks: batch * tiles[0] * tiles[1] }
    }

    /// Rows or columns of the result that a tile has.
    pub(super) fn tile(&self, axis: usize) -> u64 {
        if axis == 0 { self.axes[0].size().into() } else { self.cols }
    }

    /// Shared memory of a block.
    pub(super) fn shared_bytes(&self, has_epilogue: bool) -> u64 {
        let sums = if has_epilogue { u64::from(self.axes[0].size()) * self.cols * 4 } else { 0 };
        sums.max(stage_bytes(self.axes).into())
    }
}
