//! Where the memory of a tile lies in the shared memory of its block.

use ir::schedule::attention::{Attention, Pass, Scratch};

use crate::ptx::chains::{Axis, SIDE, stage_bytes};

/// Rows and columns of a product of a tile that are computed at a time, for each line or lane.
const PART: u32 = 4;

/// Offsets in bytes.
#[derive(Debug)]
pub(super) struct Layout {
    /// The stages of products.
    pub(super) stages: u32,
    /// Sequence, head, first row and first key of the tile.
    pub(super) origin: u32,
    /// In the order of [`Scratch::ALL`]; none where the pass has no such memory.
    scratch: [Option<u32>; 6],
    /// All of it.
    pub(super) bytes: u32,
}

impl Layout {
    pub(super) fn new(a: &Attention) -> Self {
        let most = Axis { each: PART };
        let mut next = stage_bytes([most, most]);
        let mut take = |bytes: u64| {
            let at = next;
            let bytes = u32::try_from(bytes).expect("a tile is small");
            next = (next + bytes).next_multiple_of(16);
            at
        };
        let origin = take(16);
        let is_forward = matches!(a.pass, Pass::Forward { .. });
        let scratch = Scratch::ALL.map(|scratch| {
            let is_there = match scratch {
                Scratch::Scores => true,
                Scratch::Grads => !is_forward,
                Scratch::Top | Scratch::Sum | Scratch::Factor | Scratch::Acc => is_forward,
            };
            is_there.then(|| take(elements(a, scratch) * 4))
        });
        Self { stages: 0, origin, scratch, bytes: next }
    }

    pub(super) fn scratch(&self, scratch: Scratch) -> u32 {
        let at = Scratch::ALL.iter().position(|&s| s == scratch).expect("all are listed");
        self.scratch[at].expect("a pass uses its own memory only")
    }
}

/// Singles of a memory of the tile.
pub(super) fn elements(a: &Attention, scratch: Scratch) -> u64 {
    match scratch {
        Scratch::Scores | Scratch::Grads => a.row_tile * a.key_tile,
        Scratch::Top | Scratch::Sum | Scratch::Factor => a.row_tile,
        Scratch::Acc => a.row_tile * a.value_width,
    }
}

/// The part of a size that is computed at a time: it divides what the size is rounded up to.
pub(super) fn part(size: u64) -> Axis {
    let lines = u32::try_from(size.div_ceil(SIDE.into()).max(1)).expect("a tile is small");
    let each = (1..=PART).rev().find(|each| lines.is_multiple_of(*each));
    Axis { each: each.expect("one divides all") }
}
