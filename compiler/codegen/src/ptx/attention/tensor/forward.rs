//! Attention forward: the rows of a block against all keys that they see.

use ptx_builder::{B32, Builder, Cmp, F32, Logic, Reg, Special};

use super::hide::{Area, Masks};
use super::mask::Unit;
use super::meaning::Results;
use super::panel::Panel;
use super::stages::Stages;
use super::warp::{self, Lane, Left};
use super::{K, LOG2_E, Q, THREADS, Tensor, V, WARPS, few};
use crate::ptx::memory::{advance_bytes, small};
use crate::ptx::tensor::fragment::{Side, Sums};

/// Keys of a stage.
const KEYS: u32 = 64;

/// The rows of a block under emission.
struct Rows<'e> {
    tensor: &'e Tensor<'e>,
    masks: Masks,
    unit: Unit,
    /// Rows of a warp.
    warp_rows: u32,
    lane: Lane,
    /// The rows of the lane.
    rows: Vec<Reg<B32>>,
    /// The first row of the warp.
    first: Reg<B32>,
    /// The largest score of each row, not scaled.
    tops: Vec<Reg<F32>>,
    /// The lane's part of the sum of each row.
    sums: Vec<Reg<F32>>,
    acc: Sums,
    /// The first key of the tile.
    key: Reg<B32>,
}

impl Tensor<'_> {
    /// Gives the blocks of the grid and their bytes of shared memory.
    pub(super) fn forward(&self, b: &mut Builder, masks: Masks, to: Results) -> (u64, u32) {
        let a = self.a;
        // A key that was read serves twice as many rows where the sums leave registers for them.
        let is_long = a.rows > u64::from(16 * WARPS);
        let warp_rows = if is_long && self.is_roomy() { 32 } else { 16 };
        let block_rows = warp_rows * WARPS;
        let q = self.panel(Q, &a.q, block_rows, (a.rows, a.width));
        let k = self.panel(K, &a.k, KEYS, (a.keys, a.width));
        let v = self.panel(V, &a.v, KEYS, (a.keys, a.value_width));
        let stages = Stages { n: 2, bytes: k.bytes() + v.bytes() };
        let n_tiles = a.rows.div_ceil(block_rows.into());
        let block = b.special(Special::CtaidX);
        let (tile, unit) = Self::block(b, block, [a.heads, a.batch]);
        // The last rows may see the most keys: they are not to be left over at the end.
        let tile = b.isub(small(n_tiles) - 1, tile);
        let row = b.imul(tile, small(block_rows.into()));
        let shared = b.shared();
        let queries = q.base(b, unit);
        q.copy(b, THREADS, queries, row, shared);
        let [lo, hi] = self.keys_of(b, row, block_rows, KEYS);
        let mut rows = self.rows(b, masks, unit, row, warp_rows);
        let first_key = b.imul(lo, small(KEYS.into()));
        rows.key = b.mov(first_key);
        let next = b.mov(first_key);
        let turns = b.isub(hi, lo);
        let start = b.iadd(shared, small(q.bytes().into()));
        let group = self.group(b, unit);
        let bases = [k, v].map(|panel| panel.base(b, group));
        let copy = |b: &mut Builder, to: Reg<B32>| {
            k.copy(b, THREADS, bases[0], next, to);
            let to = b.iadd(to, small(k.bytes().into()));
            v.copy(b, THREADS, bases[1], next, to);
            b.iadd_to(next, next, small(KEYS.into()));
        };
        let fragments = q.along(b, Side::Left, rows.lane.first, shared);
        let hold = |b: &mut Builder| Left::new(b, &fragments, warp_rows, a.width);
        stages.run(b, (start, turns), copy, hold, |b, stage, queries| {
            rows.add_keys(b, queries, [k, v], stage, to.out.is_some());
        });
        rows.finish(b, to);
        (n_tiles * a.heads * a.batch, q.bytes() + stages.n * stages.bytes)
    }

    fn rows(
        &self,
        b: &mut Builder,
        masks: Masks,
        unit: Unit,
        row: Reg<B32>,
        warp_rows: u32,
    ) -> Rows<'_> {
        let lane = Lane::new(b, warp_rows);
        let rows = lane.rows(b, warp_rows, row);
        let acc = Sums::of(b, [warp_rows, few(self.a.value_width)]);
        acc.clear(b);
        Rows {
            tensor: self,
            masks,
            unit,
            warp_rows,
            lane,
            first: b.iadd(lane.first, row),
            tops: rows.iter().map(|_| b.mov(f32::NEG_INFINITY)).collect(),
            sums: rows.iter().map(|_| b.mov(0.0f32)).collect(),
            acc,
            key: row,
            rows,
        }
    }
}

impl Rows<'_> {
    /// Goes on with the keys of a stage.
    fn add_keys(
        &self,
        b: &mut Builder,
        queries: &Left<'_>,
        [k, v]: [Panel; 2],
        stage: Reg<B32>,
        has_values: bool,
    ) {
        let narrow = self.tensor.narrow;
        let scores = Sums::of(b, [self.warp_rows, KEYS]);
        scores.clear(b);
        let zero = b.mov(0);
        let keys = k.along(b, Side::Right, zero, stage);
        queries.add(b, narrow, &scores, &keys);
        let area = self.area(b);
        self.masks.seen(b, &area, |b, [row, col], seen| {
            let score = warp::sum_at(&scores, row, col);
            let hidden = b.select(seen, score, f32::NEG_INFINITY);
            b.mov_to(score, hidden);
        });
        self.weigh(b, &scores);
        if has_values {
            // The sums have the weights that dropout leaves out.
            self.masks.kept(b, &area, |b, [row, col], kept, scale| {
                let weight = warp::sum_at(&scores, row, col);
                let scaled = b.fmul(weight, scale);
                let left = b.select(kept, scaled, 0.0);
                b.mov_to(weight, left);
            });
            let weights = warp::rounded(b, narrow, &scores);
            let values = b.iadd(stage, small(k.bytes().into()));
            let values = v.across(b, values);
            warp::add(b, narrow, &self.acc, &weights, &values);
        }
        b.iadd_to(self.key, self.key, small(KEYS.into()));
    }

    fn area(&self, b: &mut Builder) -> Area {
        let last_row = b.iadd(self.first, small(self.warp_rows.into()) - 1);
        let last_key = b.iadd(self.key, small(KEYS.into()) - 1);
        Area {
            unit: self.unit,
            rows: self.rows.clone(),
            keys: self.lane.cols(b, KEYS, self.key),
            row_ends: [self.first, last_row],
            key_ends: [self.key, last_key],
            end: self.end(),
        }
    }

    /// The end of all rows, where a block may reach beyond it.
    fn end(&self) -> Option<u64> {
        let rows = self.tensor.a.rows;
        (!rows.is_multiple_of((self.warp_rows * WARPS).into())).then_some(rows)
    }

    /// Scores to weights, with sums and what is there so far scaled to the same shift.
    fn weigh(&self, b: &mut Builder, scores: &Sums) {
        let scale = self.masks.weights.scale * LOG2_E;
        for (row, (&top, &sum)) in self.tops.iter().zip(&self.sums).enumerate() {
            let all = warp::row_of(scores, row);
            let most = all[1..].iter().fold(all[0], |most, &x| b.fmax(most, x));
            let most = warp::over_row(b, most, |b, x, y| b.fmax(x, y));
            let new_top = b.fmax(top, most);
            // A row that has seen no key yet would give -inf - -inf.
            let is_empty = b.fcmp(Cmp::Eq, new_top, f32::NEG_INFINITY);
            let shift = b.fmul(new_top, -scale);
            let shift = b.select(is_empty, 0.0, shift);
            let factor = b.fma(top, scale, shift);
            let factor = b.ex2_approx(factor);
            b.mov_to(top, new_top);
            for &x in &all {
                let below = b.fma(x, scale, shift);
                let weight = b.ex2_approx(below);
                b.mov_to(x, weight);
            }
            let more = all[1..].iter().fold(all[0], |sum, &x| b.fadd(sum, x));
            b.fma_to(sum, sum, factor, more);
            for x in warp::row_of(&self.acc, row) {
                let scaled = b.fmul(x, factor);
                b.mov_to(x, scaled);
            }
        }
    }

    /// Writes the results.
    fn finish(&self, b: &mut Builder, to: Results) {
        for (row, (&top, &sum)) in self.tops.iter().zip(&self.sums).enumerate() {
            let sum = warp::over_row(b, sum, |b, x, y| b.fadd(x, y));
            if let Some(lse) = to.lse {
                self.store_lse(b, lse, self.rows[row], [top, sum]);
            }
            let is_empty = b.fcmp(Cmp::Eq, sum, 0.0);
            let part = b.rcp_approx(sum);
            for x in warp::row_of(&self.acc, row) {
                let mean = b.fmul(x, part);
                let mean = b.select(is_empty, 0.0, mean);
                b.mov_to(x, mean);
            }
        }
        if let Some(out) = to.out {
            let place = self.tensor.result(1, out);
            place.store(b, self.unit, &self.acc, [self.rows[0], self.lane.col], self.end());
        }
    }

    /// The logarithm of a row's sum, by the first of the row's lanes.
    fn store_lse(&self, b: &mut Builder, lse: usize, row: Reg<B32>, [top, sum]: [Reg<F32>; 2]) {
        let (param, [batch, head, stride]) = self.tensor.operand(1, lse);
        let is_first = b.icmp(Cmp::Eq, self.lane.col, 0);
        let is_inside = b.icmp(Cmp::Lt, row, small(self.tensor.a.rows));
        let writes = b.plogic(Logic::And, is_first, is_inside);
        let top = b.fmul(top, self.masks.weights.scale);
        let log = b.lg2_approx(sum);
        let log = b.fma(log, std::f32::consts::LN_2, top);
        let address = b.param(param);
        let mut at = b.to_global(address);
        for (index, stride) in [(self.unit.batch, batch), (self.unit.head, head), (row, stride)] {
            at = advance_bytes(b, at, index, stride * 4);
        }
        b.guarded(writes, true, |b| b.store(at, 0, log));
    }
}
