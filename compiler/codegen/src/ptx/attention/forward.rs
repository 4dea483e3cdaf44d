//! Attention forward: the rows of a tile against all keys that they see.

use ir::schedule::attention::{Scratch, TileKernel};
use ptx_builder::{Builder, Cmp, Special};

use super::band::is_outside;
use super::tiles::{Results, Sizes, Tile, Tiles, Which};
use crate::ptx::count_loop;
use crate::ptx::memory::small;

impl Tiles<'_> {
    /// Gives the blocks of the grid.
    pub(super) fn forward(&self, b: &mut Builder, score: &TileKernel, finish: &TileKernel) -> u64 {
        let a = self.a;
        let n_tiles = a.rows.div_ceil(a.row_tile).max(1);
        let block = b.special(Special::CtaidX);
        let tile = b.urem(block, small(n_tiles));
        let unit = b.udiv(block, small(n_tiles));
        let (head, batch) = (b.urem(unit, small(a.heads)), b.udiv(unit, small(a.heads)));
        let row = b.imul(tile, small(a.row_tile));
        let height = Self::count(b, row, a.rows, a.row_tile);
        let group = self.group(b, head);
        for scratch in [Scratch::Sum, Scratch::Factor, Scratch::Acc] {
            self.fill(b, scratch, 0.0);
        }
        self.fill(b, Scratch::Top, f32::NEG_INFINITY);
        let zero = b.mov(0);
        let rows = Tile { batch, head, group, row, height, key: zero, width: zero };
        count_loop(b, 0, small(a.keys), small(a.key_tile), |b, key| {
            let width = Self::count(b, key, a.keys, a.key_tile);
            let tile = Tile { key, width, ..rows };
            let end = b.label();
            if let Some(is_outside) = is_outside(b, &a.band, self.offset, &tile) {
                b.bra_if(is_outside, true, end);
            }
            self.add_keys(b, score, &tile);
            b.place(end);
        });
        b.barrier();
        let origin = [batch, head, row, zero];
        self.write_origin(b, origin);
        b.barrier();
        self.run(b, (1, finish), &rows, origin);
        if a.rows == 0 { 0 } else { a.batch * a.heads * n_tiles }
    }

    /// Goes on with the keys of one tile.
    fn add_keys(&self, b: &mut Builder, score: &TileKernel, tile: &Tile) {
        let a = self.a;
        b.barrier();
        let origin = [tile.batch, tile.head, tile.row, tile.key];
        self.write_origin(b, origin);
        let q = self.lines(b, 0, &a.q, tile, Which::Rows);
        let k = self.lines(b, 1, &a.k, tile, Which::Keys);
        self.scores(b, [q, k], a.width, tile, Scratch::Scores);
        b.barrier();
        self.run(b, (0, score), tile, origin);
        let weights = self.square(b, Scratch::Scores, false);
        let v = self.elements(b, 2, &a.v, tile, (Which::Keys, a.value_width));
        let is_whole = a.keys.is_multiple_of(a.key_tile);
        let (rows, cols) = (a.row_tile, a.value_width);
        let sizes = Sizes { rows, cols, steps: tile.width.into(), is_whole };
        self.multiply(b, [weights, v], &sizes, |b, results| self.add_values(b, results));
    }

    /// acc = acc * factor + sums, the product rounded.
    fn add_values(&self, b: &mut Builder, results: &Results) {
        let acc = self.scratch(b, Scratch::Acc);
        let factor = self.scratch(b, Scratch::Factor);
        for (row, col, sum) in results.all() {
            let end = b.label();
            let is_outside = b.icmp(Cmp::Ge, col, small(self.a.value_width));
            b.bra_if(is_outside, true, end);
            let place = b.mad(row, small(self.a.value_width), col);
            let place = b.mad(place, 4, acc);
            let held = b.load_shared(place, 0);
            let factor = b.mad(row, 4, factor);
            let factor = b.load_shared(factor, 0);
            let scaled = b.fmul(held, factor);
            let next = b.fadd(scaled, sum);
            b.store_shared(place, 0, next);
            b.place(end);
        }
    }
}
