//! Backward: the gradients of the keys and values of a block, over all rows.
//!
//! Scores have keys as their rows here: the weights of a warp are a left operand as they are.

use ptx_builder::{B32, Builder, Cmp, CopyBytes, F32, Reg, Special};

use super::hide::{Area, Masks};
use super::mask::Unit;
use super::panel::Panel;
use super::stages::Stages;
use super::warp::{self, Lane, Left};
use super::{DK, DOUT, DV, K, LOG2_E, Q, THREADS, Tensor, V, WARPS, band, few};
use crate::ptx::memory::{advance_bytes, small};
use crate::ptx::tensor::fragment::{Side, Sums};

/// Keys of a warp and of a block.
const WARP_KEYS: u32 = 16;
pub(super) const KEYS: u32 = WARP_KEYS * WARPS;

/// The panels of a block, and what a stage has.
#[derive(Clone, Copy)]
struct Panels {
    k: Panel,
    v: Panel,
    q: Panel,
    dout: Panel,
    /// Rows of a stage.
    rows: u32,
}

impl Panels {
    /// Queries, gradients, logarithms of sums and delta of the rows of a stage.
    fn stages(self) -> Stages {
        Stages { n: 2, bytes: self.sums() + 2 * 4 * self.rows }
    }

    /// Where the logarithms of a stage start.
    fn sums(self) -> u32 {
        self.q.bytes() + self.dout.bytes()
    }
}

/// Where a head's rows are: the next ones to be copied, or those that are used.
#[derive(Clone, Copy)]
struct Walk {
    head: Reg<B32>,
    row: Reg<B32>,
    first: Reg<B32>,
    end: Reg<B32>,
    step: u32,
}

impl Walk {
    /// Rows from one to before another, head by head.
    fn new(b: &mut Builder, head: Reg<B32>, [first, end]: [Reg<B32>; 2], step: u32) -> Self {
        Self { head: b.mov(head), row: b.mov(first), first, end, step }
    }

    fn next(self, b: &mut Builder) {
        b.iadd_to(self.row, self.row, small(self.step.into()));
        let end = b.label();
        let is_inside = b.icmp(Cmp::Lt, self.row, self.end);
        b.bra_if(is_inside, true, end);
        b.mov_to(self.row, self.first);
        b.iadd_to(self.head, self.head, 1);
        b.place(end);
    }
}

/// The keys of a block under emission.
struct Keys<'e> {
    tensor: &'e Tensor<'e>,
    masks: Masks,
    panels: Panels,
    batch: Reg<B32>,
    lane: Lane,
    /// The first key of the warp.
    first: Reg<B32>,
    walk: Walk,
    dk: Sums,
    dv: Sums,
}

impl Tensor<'_> {
    fn key_panels(&self) -> Panels {
        let a = self.a;
        let rows = if self.is_roomy() { 64 } else { 32 };
        let dout = &self.gradients()[0];
        Panels {
            k: self.panel(K, &a.k, KEYS, (a.keys, a.width)),
            v: self.panel(V, &a.v, KEYS, (a.keys, a.value_width)),
            q: self.panel(Q, &a.q, rows, (a.rows, a.width)),
            dout: self.panel(DOUT, dout, rows, (a.rows, a.value_width)),
            rows,
        }
    }

    /// Bytes of shared memory of a block of keys.
    pub(super) fn key_bytes(&self) -> u32 {
        let panels = self.key_panels();
        let stages = panels.stages();
        panels.k.bytes() + panels.v.bytes() + stages.n * stages.bytes
    }

    /// The work of a block of keys.
    pub(super) fn block_of_keys(&self, b: &mut Builder, block: Reg<B32>, masks: Masks) {
        let a = self.a;
        let panels = self.key_panels();
        let (tile, unit) = Self::block(b, block, [a.groups, a.batch]);
        let key = b.imul(tile, small(KEYS.into()));
        let shared = b.shared();
        let values = b.iadd(shared, small(panels.k.bytes().into()));
        for (panel, to) in [(panels.k, shared), (panels.v, values)] {
            let base = panel.base(b, unit);
            panel.copy(b, THREADS, base, key, to);
        }
        let n_heads = small(a.heads / a.groups);
        let head = b.imul(unit.head, n_heads);
        let [first, end] = self.rows_that_see(b, key, panels.rows);
        let rows = [first, end].map(|tile| b.imul(tile, small(panels.rows.into())));
        let turns = b.isub(end, first);
        let turns = b.imax(turns, 0);
        let turns = b.imul(turns, n_heads);
        let ahead = Walk::new(b, head, rows, panels.rows);
        let walk = Walk::new(b, head, rows, panels.rows);
        let lane = Lane::new(b, WARP_KEYS);
        let keys = Keys {
            tensor: self,
            masks,
            panels,
            batch: unit.batch,
            lane,
            first: b.iadd(lane.first, key),
            walk,
            dk: Sums::of(b, [WARP_KEYS, few(a.width)]),
            dv: Sums::of(b, [WARP_KEYS, few(a.value_width)]),
        };
        [&keys.dk, &keys.dv].into_iter().for_each(|sums| sums.clear(b));
        let start = b.iadd(values, small(panels.v.bytes().into()));
        let left = [(panels.k, shared, a.width), (panels.v, values, a.value_width)]
            .map(|(panel, at, width)| (panel.along(b, Side::Left, lane.first, at), width));
        let copy = |b: &mut Builder, to: Reg<B32>| keys.copy(b, ahead, to);
        let hold = |b: &mut Builder| left.each_ref().map(|(at, k)| Left::new(b, at, WARP_KEYS, *k));
        panels.stages().run(b, (start, turns), copy, hold, |b, stage, [k, v]| {
            keys.add_rows(b, [k, v], stage);
        });
        keys.finish(b, unit);
    }

    /// The tiles of rows that see some key of a block.
    fn rows_that_see(&self, b: &mut Builder, key: Reg<B32>, tile: u32) -> [Reg<B32>; 2] {
        let end = b.iadd(key, small(KEYS.into()));
        let end = b.imin(end, small(self.a.keys));
        let offset = self.offset(b);
        band::row_tiles(b, &self.a.band, offset, [key, end], (self.a.rows, tile))
    }
}

impl Keys<'_> {
    /// Begins to fill a stage with the next rows.
    fn copy(&self, b: &mut Builder, ahead: Walk, to: Reg<B32>) {
        let unit = Unit { batch: self.batch, head: ahead.head };
        let Panels { q, dout, .. } = self.panels;
        let base = q.base(b, unit);
        q.copy(b, THREADS, base, ahead.row, to);
        let base = dout.base(b, unit);
        let grads = b.iadd(to, small(q.bytes().into()));
        dout.copy(b, THREADS, base, ahead.row, grads);
        self.copy_numbers(b, unit, ahead.row, to);
        ahead.next(b);
    }

    /// The logarithm of the sum and delta of each row: a thread copies those of one; 0 behind the
    /// last row.
    fn copy_numbers(&self, b: &mut Builder, unit: Unit, first: Reg<B32>, to: Reg<B32>) {
        let end = b.label();
        let thread = b.special(Special::TidX);
        let is_busy = b.icmp(Cmp::Lt, thread, small(self.panels.rows.into()));
        b.bra_if(is_busy, false, end);
        let row = b.iadd(first, thread);
        let is_inside = b.icmp(Cmp::Lt, row, small(self.tensor.a.rows));
        let present = b.select(is_inside, 4, 0);
        let to = b.mad(thread, 4, to);
        let mut at = self.panels.sums();
        for (param, [batch, head, stride]) in self.tensor.row_numbers() {
            let address = b.param(param);
            let mut from = b.to_global(address);
            for (index, stride) in [(unit.batch, batch), (unit.head, head), (row, stride)] {
                from = advance_bytes(b, from, index, stride * 4);
            }
            b.copy_async(CopyBytes::Four, (to, small(at.into())), (from, 0), present);
            at += 4 * self.panels.rows;
        }
        b.place(end);
    }

    /// Goes on with the rows of a stage.
    fn add_rows(&self, b: &mut Builder, [keys, values]: [&Left<'_>; 2], stage: Reg<B32>) {
        let (narrow, rows) = (self.tensor.narrow, self.panels.rows);
        let zero = b.mov(0);
        let Panels { q, dout, .. } = self.panels;
        let grads_at = b.iadd(stage, small(q.bytes().into()));
        let [weights, grads] = [(); 2].map(|()| Sums::of(b, [WARP_KEYS, rows]));
        for (sums, left, right) in [
            (&weights, keys, q.along(b, Side::Right, zero, stage)),
            (&grads, values, dout.along(b, Side::Right, zero, grads_at)),
        ] {
            sums.clear(b);
            left.add(b, narrow, sums, &right);
        }
        self.weigh(b, &weights, &grads, stage);
        let left = warp::rounded(b, narrow, &weights);
        let right = dout.across(b, grads_at);
        warp::add(b, narrow, &self.dv, &left, &right);
        let left = warp::rounded(b, narrow, &grads);
        let right = q.across(b, stage);
        warp::add(b, narrow, &self.dk, &left, &right);
        self.walk.next(b);
    }

    /// Scores to weights, gradients of the weights to those of the scores but for the scale.
    fn weigh(&self, b: &mut Builder, weights: &Sums, grads: &Sums, stage: Reg<B32>) {
        let rows = self.panels.rows;
        let zero = b.mov(0);
        let cols = self.lane.cols(b, rows, zero);
        let mut deltas = vec![];
        for (row, col) in cols.iter().enumerate() {
            let at = b.mad(*col, 4, stage);
            let sums = small(self.panels.sums().into());
            let lse: Reg<F32> = b.load_shared(at, sums);
            deltas.push(b.load_shared::<F32>(at, sums + 4 * small(rows.into())));
            let shift = b.fmul(lse, -LOG2_E);
            for key in 0..2 * weights.0.len() {
                let x = warp::sum_at(weights, key, row);
                let below = b.fma(x, self.masks.weights.scale * LOG2_E, shift);
                let weight = b.ex2_approx(below);
                b.mov_to(x, weight);
            }
        }
        let area = self.area(b);
        let gradient = |b: &mut Builder, [row, key]: [usize; 2], own: Reg<F32>| {
            let rest = b.fsub(own, deltas[row]);
            let grad = b.fmul(warp::sum_at(weights, key, row), rest);
            b.mov_to(warp::sum_at(grads, key, row), grad);
        };
        let is_dropped = self.masks.kept(b, &area, |b, [row, key], kept, scale| {
            let (x, own) = (warp::sum_at(weights, key, row), warp::sum_at(grads, key, row));
            let own = b.fmul(own, scale);
            let own = b.select(kept, own, 0.0);
            gradient(b, [row, key], own);
            let scaled = b.fmul(x, scale);
            let left = b.select(kept, scaled, 0.0);
            b.mov_to(x, left);
        });
        if !is_dropped {
            for (row, key) in (0..cols.len()).flat_map(|row| [(row, 0), (row, 1)]) {
                gradient(b, [row, key], warp::sum_at(grads, key, row));
            }
        }
        self.masks.seen(b, &area, |b, [row, key], seen| {
            for sums in [weights, grads] {
                let x = warp::sum_at(sums, key, row);
                let left = b.select(seen, x, 0.0);
                b.mov_to(x, left);
            }
        });
    }

    fn area(&self, b: &mut Builder) -> Area {
        let (rows, n) = (self.tensor.a.rows, self.panels.rows);
        let last_row = b.iadd(self.walk.row, small(n.into()) - 1);
        let last_key = b.iadd(self.first, small(WARP_KEYS.into()) - 1);
        let key = b.isub(self.first, self.lane.first);
        Area {
            unit: Unit { batch: self.batch, head: self.walk.head },
            rows: self.lane.cols(b, n, self.walk.row),
            keys: self.lane.rows(b, WARP_KEYS, key),
            row_ends: [self.walk.row, last_row],
            key_ends: [self.first, last_key],
            end: (!rows.is_multiple_of(n.into())).then_some(rows),
        }
    }

    /// Writes the gradients.
    fn finish(&self, b: &mut Builder, unit: Unit) {
        let a = self.tensor.a;
        for &x in self.dk.0.iter().flatten().flatten() {
            let scaled = b.fmul(x, self.masks.weights.scale);
            b.mov_to(x, scaled);
        }
        let key: Reg<B32> = b.isub(self.lane.row, self.lane.first);
        let key = b.iadd(key, self.first);
        let end = (!a.keys.is_multiple_of(KEYS.into())).then_some(a.keys);
        for (at, sums) in [(DK, &self.dk), (DV, &self.dv)] {
            let place = self.tensor.gradient(at);
            place.store(b, unit, sums, [key, self.lane.col], end);
        }
    }
}
