//! Attention backward: blocks for tiles of keys, then blocks for tiles of rows.
//!
//! A gradient of the queries is added to key tile by key tile, one of the keys row tile by row tile:
//! each by one block, in the order of the schedule. The sums are in memory, where the same thread
//! adds to the same places.

use ir::schedule::attention::{Pass, Scratch, Strided, TileKernel};
use ir::types::Dtype;
use ptx_builder::{B32, Builder, Cmp, F32, Logic, Pred, Reg, Special};

use super::band::is_outside;
use super::tiles::{Results, Sizes, Tile, Tiles, Which};
use crate::ptx::chains::{SIDE, Side, THREADS};
use crate::ptx::count_loop;
use crate::ptx::memory::{Pointer, advance, small};

/// The numbers of the arguments.
const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const DOUT: usize = 3;
const DQ: usize = 4;
const DK: usize = 5;
const DV: usize = 6;

/// Gradients that are added to: the argument, and how many elements a row or key has.
struct Target<'a> {
    at: usize,
    x: &'a Strided,
    which: Which,
    width: u64,
}

impl Tiles<'_> {
    /// Gives the blocks of the grid.
    pub(super) fn backward(&self, b: &mut Builder, weights: &TileKernel) -> u64 {
        let a = self.a;
        let n_keys = a.batch * a.groups * a.keys.div_ceil(a.key_tile);
        let n_rows = a.batch * a.heads * a.rows.div_ceil(a.row_tile);
        let block = b.special(Special::CtaidX);
        let (rows, end) = (b.label(), b.label());
        let is_rows = b.icmp(Cmp::Ge, block, small(n_keys));
        b.bra_if(is_rows, true, rows);
        self.keys(b, block, weights);
        b.bra(end);
        b.place(rows);
        let block = b.iadd(block, -small(n_keys));
        self.rows(b, block, weights);
        b.place(end);
        n_keys + n_rows
    }

    /// Gradient of the keys and values of a tile, over all rows that see them.
    fn keys(&self, b: &mut Builder, block: Reg<B32>, weights: &TileKernel) {
        let a = self.a;
        let [_, _, dk, dv] = self.gradients();
        let n_tiles = small(a.keys.div_ceil(a.key_tile).max(1));
        let (tile, unit) = (b.urem(block, n_tiles), b.udiv(block, n_tiles));
        let (group, batch) = (b.urem(unit, small(a.groups)), b.udiv(unit, small(a.groups)));
        let key = b.imul(tile, small(a.key_tile));
        let width = Self::count(b, key, a.keys, a.key_tile);
        let zero = b.mov(0);
        let keys = Tile { batch, head: zero, group, row: zero, height: zero, key, width };
        let dk = Target { at: DK, x: dk, which: Which::Keys, width: a.width };
        let dv = Target { at: DV, x: dv, which: Which::Keys, width: a.value_width };
        self.clear(b, &dk, &keys);
        self.clear(b, &dv, &keys);
        let shared = small(a.heads / a.groups);
        let first = b.imul(group, shared);
        let end = b.iadd(first, shared);
        count_loop(b, first, end, 1, |b, head| {
            count_loop(b, 0, small(a.rows), small(a.row_tile), |b, row| {
                let height = Self::count(b, row, a.rows, a.row_tile);
                let tile = Tile { head, row, height, ..keys };
                self.where_touched(b, &tile, weights, |b| {
                    let grads = self.square(b, Scratch::Grads, true);
                    let q = self.elements(b, Q, &a.q, &tile, (Which::Rows, a.width));
                    self.add(b, [grads, q], &dk, &tile);
                    let weights = self.square(b, Scratch::Scores, true);
                    let from = (Which::Rows, a.value_width);
                    let dout = self.elements(b, DOUT, self.gradients()[0], &tile, from);
                    self.add(b, [weights, dout], &dv, &tile);
                });
            });
        });
    }

    /// Gradient of the queries of a tile, over all keys that they see.
    fn rows(&self, b: &mut Builder, block: Reg<B32>, weights: &TileKernel) {
        let a = self.a;
        let [_, dq, _, _] = self.gradients();
        let n_tiles = small(a.rows.div_ceil(a.row_tile).max(1));
        let (tile, unit) = (b.urem(block, n_tiles), b.udiv(block, n_tiles));
        let (head, batch) = (b.urem(unit, small(a.heads)), b.udiv(unit, small(a.heads)));
        let group = self.group(b, head);
        let row = b.imul(tile, small(a.row_tile));
        let height = Self::count(b, row, a.rows, a.row_tile);
        let zero = b.mov(0);
        let rows = Tile { batch, head, group, row, height, key: zero, width: zero };
        let dq = Target { at: DQ, x: dq, which: Which::Rows, width: a.width };
        self.clear(b, &dq, &rows);
        count_loop(b, 0, small(a.keys), small(a.key_tile), |b, key| {
            let width = Self::count(b, key, a.keys, a.key_tile);
            let tile = Tile { key, width, ..rows };
            self.where_touched(b, &tile, weights, |b| {
                let grads = self.square(b, Scratch::Grads, false);
                let k = self.elements(b, K, &a.k, &tile, (Which::Keys, a.width));
                self.add(b, [grads, k], &dq, &tile);
            });
        });
    }

    /// The tensors dout, dq, dk and dv.
    fn gradients(&self) -> [&Strided; 4] {
        let Pass::Backward { dout, dq, dk, dv, weights: _ } = &self.a.pass else {
            unreachable!("gradients belong to the backward pass")
        };
        [dout, dq, dk, dv]
    }

    /// If the band touches the tile: its weights, the gradients of its scores, and what follows.
    fn where_touched(
        &self,
        b: &mut Builder,
        tile: &Tile,
        weights: &TileKernel,
        then: impl FnOnce(&mut Builder),
    ) {
        let a = self.a;
        let end = b.label();
        if let Some(is_outside) = is_outside(b, &a.band, self.offset, tile) {
            b.bra_if(is_outside, true, end);
        }
        b.barrier();
        let origin = [tile.batch, tile.head, tile.row, tile.key];
        self.write_origin(b, origin);
        let q = self.lines(b, Q, &a.q, tile, Which::Rows);
        let k = self.lines(b, K, &a.k, tile, Which::Keys);
        self.scores(b, [q, k], a.width, tile, Scratch::Scores);
        let dout = self.lines(b, DOUT, self.gradients()[0], tile, Which::Rows);
        let v = self.lines(b, V, &a.v, tile, Which::Keys);
        self.scores(b, [dout, v], a.value_width, tile, Scratch::Grads);
        b.barrier();
        self.run(b, (0, weights), tile, origin);
        then(b);
        b.place(end);
    }

    /// Adds a product to gradients; its steps are the rows of the tile where it has the keys.
    fn add(&self, b: &mut Builder, sides: [Side; 2], to: &Target<'_>, tile: &Tile) {
        let a = self.a;
        let (rows, steps, is_whole) = match to.which {
            Which::Rows => (a.row_tile, tile.width, a.keys.is_multiple_of(a.key_tile)),
            Which::Keys => (a.key_tile, tile.height, a.rows.is_multiple_of(a.row_tile)),
        };
        let sizes = Sizes { rows, cols: to.width, steps: steps.into(), is_whole };
        let start = self.start(b, to.at, to.x.strides, Dtype::F32, tile, to.which);
        let n_rows = self.lines_of(to, tile);
        self.multiply(b, sides, &sizes, |b, results| {
            add_results(b, results, Pointer::Global(start), n_rows, to);
        });
    }

    fn lines_of(&self, to: &Target<'_>, tile: &Tile) -> Reg<B32> {
        match to.which {
            Which::Rows => tile.height,
            Which::Keys => tile.width,
        }
    }

    /// Zeros, which all threads of the block see.
    fn clear(&self, b: &mut Builder, to: &Target<'_>, tile: &Tile) {
        let start = self.start(b, to.at, to.x.strides, Dtype::F32, tile, to.which);
        let width = small(to.width);
        let n_rows = self.lines_of(to, tile);
        let n = b.imul(n_rows, width);
        let thread = b.special(Special::TidX);
        count_loop(b, thread, n, THREADS.cast_signed(), |b, at| {
            let (row, col) = (b.udiv(at, width), b.urem(at, width));
            let place = place(b, Pointer::Global(start), to.x, row, col);
            b.store(place, 0, 0.0f32);
        });
        b.barrier();
    }
}

/// All loads, then all sums and stores, so that the loads are under way together.
fn add_results(
    b: &mut Builder,
    results: &Results,
    start: Pointer,
    n_rows: Reg<B32>,
    to: &Target<'_>,
) {
    let is_even = to.width.is_multiple_of(SIDE.into());
    let is_col: Vec<Option<Reg<Pred>>> = results
        .cols
        .iter()
        .map(|&col| (!is_even).then(|| b.icmp(Cmp::Lt, col, small(to.width))))
        .collect();
    let mut held = vec![];
    for &row in &results.rows {
        let is_row = b.icmp(Cmp::Lt, row, n_rows);
        for (&col, is_col) in results.cols.iter().zip(&is_col) {
            let is_there = is_col.map_or(is_row, |is_col| b.plogic(Logic::And, is_row, is_col));
            let place = place(b, start, to.x, row, col);
            let x = b.mov(0.0f32);
            b.guarded(is_there, true, |b| b.load_to::<F32>(x, place, 0));
            held.push((is_there, place, x));
        }
    }
    for ((is_there, place, x), &sum) in held.into_iter().zip(&results.sums) {
        let next = b.fadd(x, sum);
        b.guarded(is_there, true, |b| b.store(place, 0, next));
    }
}

/// The address of an element.
fn place(
    b: &mut Builder,
    start: Pointer,
    x: &Strided,
    row: Reg<B32>,
    col: Reg<B32>,
) -> Reg<ptx_builder::B64> {
    let [_, _, of_row, of_col] = x.strides;
    let line = advance(b, start, row, of_row, Dtype::F32);
    let Pointer::Global(place) = advance(b, line, col, of_col, Dtype::F32) else {
        unreachable!("gradients are in memory")
    };
    place
}
