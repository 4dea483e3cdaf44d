//! The scores of a warp that count: keys that are seen, weights that are kept.

use ptx_builder::{B32, Builder, Cmp, Logic, Pred, Reg};

use super::Tensor;
use super::mask::{Mask, Unit};
use super::meaning::Weights;
use crate::ptx::memory::small;

/// The masks of a pass.
pub(super) struct Masks {
    pub(super) weights: Weights,
    seen: Mask,
    kept: Option<Mask>,
}

/// Where the scores of a lane are.
pub(super) struct Area {
    pub(super) unit: Unit,
    /// The rows and the keys of the lane.
    pub(super) rows: Vec<Reg<B32>>,
    pub(super) keys: Vec<Reg<B32>>,
    /// The first and the last ones of the warp.
    pub(super) row_ends: [Reg<B32>; 2],
    pub(super) key_ends: [Reg<B32>; 2],
    /// The end of all rows, where it may be inside.
    pub(super) end: Option<u64>,
}

impl Area {
    /// The rows, none of them behind the last one.
    fn rows(&self, b: &mut Builder) -> Vec<Reg<B32>> {
        let Some(end) = self.end else { return self.rows.clone() };
        self.rows.iter().map(|&row| b.imin(row, small(end) - 1)).collect()
    }

    /// Whether a row is inside, too.
    fn and_inside(&self, b: &mut Builder, p: Reg<Pred>, row: Reg<B32>) -> Reg<Pred> {
        let Some(end) = self.end else { return p };
        let is_inside = b.icmp(Cmp::Lt, row, small(end));
        b.plogic(Logic::And, p, is_inside)
    }
}

impl Masks {
    pub(super) fn new(tensor: &Tensor<'_>, weights: Weights) -> Self {
        let kept = weights.drop.map(|drop| tensor.mask(0, drop.kept));
        Self { weights, seen: tensor.mask(0, weights.seen), kept }
    }

    /// Where some key is not seen by some row: `then` with the numbers of each row and key of the
    /// lane, and whether it is seen. A row behind the last one sees none.
    pub(super) fn seen(
        &self,
        b: &mut Builder,
        area: &Area,
        mut then: impl FnMut(&mut Builder, [usize; 2], Reg<Pred>),
    ) {
        let end = b.label();
        let all = self.seen.holds_between(b, area.unit, area.row_ends, area.key_ends);
        if let Some(all) = all {
            let all = area.and_inside(b, all, area.row_ends[1]);
            b.bra_if(all, true, end);
        }
        let rows = area.rows(b);
        self.seen.each(b, area.unit, &rows, &area.keys, |b, at, seen| {
            let seen = area.and_inside(b, seen, area.rows[at[0]]);
            then(b, at, seen);
        });
        b.place(end);
    }

    /// With dropout: `then` with the numbers of each row and key of the lane, whether the weight is
    /// kept, and what it is scaled by.
    pub(super) fn kept(
        &self,
        b: &mut Builder,
        area: &Area,
        mut then: impl FnMut(&mut Builder, [usize; 2], Reg<Pred>, f32),
    ) -> bool {
        let (Some(kept), Some(drop)) = (&self.kept, self.weights.drop) else { return false };
        let rows = area.rows(b);
        kept.each(b, area.unit, &rows, &area.keys, |b, at, kept| then(b, at, kept, drop.scale));
        true
    }
}
