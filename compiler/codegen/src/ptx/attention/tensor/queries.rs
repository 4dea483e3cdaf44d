//! Backward: the gradients of the queries of a block, over all keys they see.

use ptx_builder::{B32, Builder, F32, Reg};

use super::hide::{Area, Masks};
use super::mask::Unit;
use super::panel::Panel;
use super::stages::Stages;
use super::warp::{self, Lane, Left};
use super::{DOUT, DQ, K, LOG2_E, Q, THREADS, Tensor, V, WARPS, few};
use crate::ptx::memory::{advance_bytes, small};
use crate::ptx::tensor::fragment::{Side, Sums};

/// Rows of a warp and of a block.
const WARP_ROWS: u32 = 16;
pub(super) const ROWS: u32 = WARP_ROWS * WARPS;

/// The panels of a block.
#[derive(Clone, Copy)]
struct Panels {
    q: Panel,
    dout: Panel,
    k: Panel,
    v: Panel,
    /// Keys of a stage.
    keys: u32,
}

impl Panels {
    fn stages(self) -> Stages {
        Stages { n: 2, bytes: self.k.bytes() + self.v.bytes() }
    }
}

/// The rows of a block under emission.
struct Queries<'e> {
    tensor: &'e Tensor<'e>,
    masks: Masks,
    panels: Panels,
    unit: Unit,
    lane: Lane,
    /// The first row of the block.
    row: Reg<B32>,
    /// Of each row of the lane: what is added to its exponents, and delta.
    shifts: Vec<Reg<F32>>,
    deltas: Vec<Reg<F32>>,
    dq: Sums,
    /// The first key of the stage.
    key: Reg<B32>,
}

impl Tensor<'_> {
    fn query_panels(&self) -> Panels {
        let a = self.a;
        let keys = if self.is_roomy() { 64 } else { 32 };
        let dout = &self.gradients()[0];
        Panels {
            q: self.panel(Q, &a.q, ROWS, (a.rows, a.width)),
            dout: self.panel(DOUT, dout, ROWS, (a.rows, a.value_width)),
            k: self.panel(K, &a.k, keys, (a.keys, a.width)),
            v: self.panel(V, &a.v, keys, (a.keys, a.value_width)),
            keys,
        }
    }

    /// Bytes of shared memory of a block of rows.
    pub(super) fn query_bytes(&self) -> u32 {
        let panels = self.query_panels();
        let stages = panels.stages();
        panels.q.bytes() + panels.dout.bytes() + stages.n * stages.bytes
    }

    /// The work of a block of rows.
    pub(super) fn block_of_queries(&self, b: &mut Builder, block: Reg<B32>, masks: Masks) {
        let a = self.a;
        let panels = self.query_panels();
        let (tile, unit) = Self::block(b, block, [a.heads, a.batch]);
        let last = small(a.rows.div_ceil(ROWS.into())) - 1;
        let tile = b.isub(last, tile);
        let row = b.imul(tile, small(ROWS.into()));
        let shared = b.shared();
        let grads = b.iadd(shared, small(panels.q.bytes().into()));
        for (panel, to) in [(panels.q, shared), (panels.dout, grads)] {
            let base = panel.base(b, unit);
            panel.copy(b, THREADS, base, row, to);
        }
        let [first, end] = self.keys_of(b, row, ROWS, panels.keys);
        let turns = b.isub(end, first);
        let key = b.imul(first, small(panels.keys.into()));
        let next = b.mov(key);
        let queries = self.queries(b, masks, panels, unit, [row, key]);
        let start = b.iadd(grads, small(panels.dout.bytes().into()));
        let group = self.group(b, unit);
        let bases = [panels.k, panels.v].map(|panel| panel.base(b, group));
        let copy = |b: &mut Builder, to: Reg<B32>| {
            panels.k.copy(b, THREADS, bases[0], next, to);
            let to = b.iadd(to, small(panels.k.bytes().into()));
            panels.v.copy(b, THREADS, bases[1], next, to);
            b.iadd_to(next, next, small(panels.keys.into()));
        };
        let left = [(panels.q, shared, a.width), (panels.dout, grads, a.value_width)]
            .map(|(panel, at, k)| (panel.along(b, Side::Left, queries.lane.first, at), k));
        let hold = |b: &mut Builder| left.each_ref().map(|(at, k)| Left::new(b, at, WARP_ROWS, *k));
        panels.stages().run(b, (start, turns), copy, hold, |b, stage, [q, dout]| {
            queries.add_keys(b, [q, dout], stage);
        });
        queries.finish(b);
    }

    fn queries(
        &self,
        b: &mut Builder,
        masks: Masks,
        panels: Panels,
        unit: Unit,
        [row, key]: [Reg<B32>; 2],
    ) -> Queries<'_> {
        let lane = Lane::new(b, WARP_ROWS);
        let dq = Sums::of(b, [WARP_ROWS, few(self.a.width)]);
        dq.clear(b);
        let mut numbers = [vec![], vec![]];
        for row in lane.rows(b, WARP_ROWS, row) {
            // Behind the last row it is read again; nothing is written there.
            let row = b.imin(row, small(self.a.rows) - 1);
            for (all, (param, [batch, head, stride])) in numbers.iter_mut().zip(self.row_numbers())
            {
                let address = b.param(param);
                let mut from = b.to_global(address);
                for (index, stride) in [(unit.batch, batch), (unit.head, head), (row, stride)] {
                    from = advance_bytes(b, from, index, stride * 4);
                }
                all.push(b.load(from, 0));
            }
        }
        let [lses, deltas] = numbers;
        let shifts = lses.into_iter().map(|lse: Reg<F32>| b.fmul(lse, -LOG2_E)).collect();
        Queries {
            tensor: self,
            masks,
            panels,
            unit,
            lane,
            row,
            shifts,
            deltas,
            dq,
            key: b.mov(key),
        }
    }
}

impl Queries<'_> {
    /// Goes on with the keys of a stage.
    fn add_keys(&self, b: &mut Builder, [queries, douts]: [&Left<'_>; 2], stage: Reg<B32>) {
        let Panels { k, v, keys, .. } = self.panels;
        let narrow = self.tensor.narrow;
        let zero = b.mov(0);
        let values_at = b.iadd(stage, small(k.bytes().into()));
        let [weights, grads] = [(); 2].map(|()| Sums::of(b, [WARP_ROWS, keys]));
        for (sums, left, right) in [
            (&weights, queries, k.along(b, Side::Right, zero, stage)),
            (&grads, douts, v.along(b, Side::Right, zero, values_at)),
        ] {
            sums.clear(b);
            left.add(b, narrow, sums, &right);
        }
        self.weigh(b, &weights, &grads);
        let left = warp::rounded(b, narrow, &grads);
        let right = k.across(b, stage);
        warp::add(b, narrow, &self.dq, &left, &right);
        b.iadd_to(self.key, self.key, small(keys.into()));
    }

    /// Gradients of the weights to those of the scores but for the scale.
    fn weigh(&self, b: &mut Builder, weights: &Sums, grads: &Sums) {
        let area = self.area(b);
        self.masks.kept(b, &area, |b, [row, col], kept, scale| {
            let grad = warp::sum_at(grads, row, col);
            let scaled = b.fmul(grad, scale);
            let left = b.select(kept, scaled, 0.0);
            b.mov_to(grad, left);
        });
        for (row, (&shift, &delta)) in self.shifts.iter().zip(&self.deltas).enumerate() {
            for (x, grad) in warp::row_of(weights, row).into_iter().zip(warp::row_of(grads, row)) {
                let below = b.fma(x, self.masks.weights.scale * LOG2_E, shift);
                let weight = b.ex2_approx(below);
                let rest = b.fsub(grad, delta);
                let product = b.fmul(weight, rest);
                b.mov_to(grad, product);
            }
        }
        self.masks.seen(b, &area, |b, [row, col], seen| {
            let grad = warp::sum_at(grads, row, col);
            let left = b.select(seen, grad, 0.0);
            b.mov_to(grad, left);
        });
    }

    fn area(&self, b: &mut Builder) -> Area {
        let (rows, n) = (self.tensor.a.rows, self.panels.keys);
        let first = b.iadd(self.row, self.lane.first);
        let last_row = b.iadd(first, small(WARP_ROWS.into()) - 1);
        let last_key = b.iadd(self.key, small(n.into()) - 1);
        Area {
            unit: self.unit,
            rows: self.lane.rows(b, WARP_ROWS, self.row),
            keys: self.lane.cols(b, n, self.key),
            row_ends: [first, last_row],
            key_ends: [self.key, last_key],
            end: (!rows.is_multiple_of(ROWS.into())).then_some(rows),
        }
    }

    /// Writes the gradients.
    fn finish(&self, b: &mut Builder) {
        let a = self.tensor.a;
        for &x in self.dq.0.iter().flatten().flatten() {
            let scaled = b.fmul(x, self.masks.weights.scale);
            b.mov_to(x, scaled);
        }
        let row = b.iadd(self.lane.row, self.row);
        let end = (!a.rows.is_multiple_of(ROWS.into())).then_some(a.rows);
        let place = self.tensor.gradient(DQ);
        place.store(b, self.unit, &self.dq, [row, self.lane.col], end);
    }
}
