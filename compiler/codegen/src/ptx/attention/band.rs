//! Which tiles of scores the band of an attention touches.

use ir::schedule::attention::Band;
use ptx_builder::{B32, B64, Builder, Cmp, Logic, Pred, Reg};

use super::tiles::Tile;
use crate::ptx::memory::small;

/// Wider windows see as much.
const WIDEST: u64 = 1 << 40;

/// Whether a tile is outside; none where none can be. As [`Band::touches`] has it.
pub(super) fn is_outside(
    b: &mut Builder,
    band: &Band,
    offset: Option<Reg<B64>>,
    tile: &Tile,
) -> Option<Reg<Pred>> {
    if !band.causal && band.window.is_none() {
        return None;
    }
    let [row, height, key, width] =
        [tile.row, tile.height, tile.key, tile.width].map(|x| b.s64_from_s32(x));
    let first = offset.map_or(row, |offset| b.iadd(row, offset));
    let end = b.iadd(first, height);
    let is_behind = b.icmp(Cmp::Ge, key, end);
    let Some(window) = band.window else { return Some(is_behind) };
    let start = b.iadd(first, 1_i64.saturating_sub_unsigned(window));
    let end = b.iadd(key, width);
    let is_before = b.icmp(Cmp::Le, end, start);
    Some(b.plogic(Logic::Or, is_behind, is_before))
}

/// The first tile of keys that rows from one to before another see, and the end of those tiles.
pub(super) fn key_tiles(
    b: &mut Builder,
    band: &Band,
    offset: Option<Reg<B64>>,
    [row, end]: [Reg<B32>; 2],
    (keys, tile): (u64, u32),
) -> [Reg<B32>; 2] {
    let (mut first, mut last) = (b.mov(0), b.mov(small(keys.div_ceil(tile.into()))));
    if band.causal || band.window.is_some() {
        let end = placed(b, end, offset);
        last = tile_of(b, end, keys, tile, i64::from(tile) - 1);
    }
    if let Some(window) = band.window {
        let row = placed(b, row, offset);
        let start = b.iadd(row, 1 - window.min(WIDEST).cast_signed());
        first = tile_of(b, start, keys, tile, 0);
    }
    [first, last]
}

/// The first tile of rows that see keys from one to before another, and the end of those tiles.
pub(super) fn row_tiles(
    b: &mut Builder,
    band: &Band,
    offset: Option<Reg<B64>>,
    [key, end]: [Reg<B32>; 2],
    (rows, tile): (u64, u32),
) -> [Reg<B32>; 2] {
    let back = offset.map(|offset| b.isub(0, offset));
    let (mut first, mut last) = (b.mov(0), b.mov(small(rows.div_ceil(tile.into()))));
    if band.causal || band.window.is_some() {
        let start = placed(b, key, back);
        first = tile_of(b, start, rows, tile, 0);
    }
    if let Some(window) = band.window {
        let end = placed(b, end, back);
        let end = b.iadd(end, window.min(WIDEST).cast_signed() - 1);
        last = tile_of(b, end, rows, tile, i64::from(tile) - 1);
    }
    [first, last]
}

fn placed(b: &mut Builder, at: Reg<B32>, offset: Option<Reg<B64>>) -> Reg<B64> {
    let at = b.s64_from_s32(at);
    offset.map_or(at, |offset| b.iadd(at, offset))
}

/// The tile of a place within `0 ..= size`, rounded up by adding to it before the division.
fn tile_of(b: &mut Builder, at: Reg<B64>, size: u64, tile: u32, more: i64) -> Reg<B32> {
    let at = b.imax(at, 0);
    let at = b.imin(at, size.cast_signed());
    let at = b.iadd(at, more);
    let at = b.u32_from_u64(at);
    b.udiv(at, small(tile.into()))
}
