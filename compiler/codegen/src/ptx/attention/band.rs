//! Which tiles of scores the band of an attention touches.

use ir::schedule::attention::Band;
use ptx_builder::{B64, Builder, Cmp, Logic, Pred, Reg};

use super::tiles::Tile;

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
