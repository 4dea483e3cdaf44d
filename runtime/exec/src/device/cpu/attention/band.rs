//! Which tiles of keys the rows of a tile see by their places.

use std::ops::Range;

use plan::Attention;

/// The tiles of keys that rows from `row` on may see, those of one tile.
pub(super) fn key_tiles(a: &Attention, offset: i32, row: u64) -> Range<u64> {
    // Sizes fit 32 bits, as the verifier knows.
    let (keys, first) = (a.keys as i64, row as i64 + i64::from(offset));
    let last = a.rows.min(row + a.row_tile) as i64 - 1 + i64::from(offset);
    let window = a.band.window.map(|window| i64::try_from(window).unwrap_or(i64::MAX));
    let is_bounded = a.band.causal || window.is_some();
    let end = if is_bounded { (last + 1).clamp(0, keys) } else { keys };
    let start = window.map_or(0, |window| first.saturating_sub(window).saturating_add(1).max(0));
    if start >= end || window == Some(0) {
        return 0..0;
    }
    let tile = a.key_tile;
    start as u64 / tile..(end as u64).div_ceil(tile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::attention::tests::sizes;

    /// Whether a row sees a key, by definition.
    fn sees(a: &Attention, offset: i64, row: i64, key: i64) -> bool {
        let place = row + offset;
        let is_near = a.band.window.is_none_or(|w| key > place - w as i64);
        let is_bounded = a.band.causal || a.band.window.is_some();
        is_near && (!is_bounded || key <= place)
    }

    #[test]
    fn tiles_are_those_with_a_key_that_is_seen() {
        for (causal, window) in
            [(false, None), (true, None), (true, Some(1)), (true, Some(5)), (false, Some(0))]
        {
            for offset in [-9, -1, 0, 3, 40] {
                let mut a = sizes(1, [1, 1], [13, 22], [1, 1], [4, 3]);
                (a.band.causal, a.band.window) = (causal, window);
                for row in (0..13).step_by(4) {
                    let is_seen = |tile: &u64| {
                        let keys = tile * 3..22.min(tile * 3 + 3);
                        let mut pairs =
                            keys.flat_map(|k| (row..13.min(row + 4)).map(move |r| (r, k)));
                        pairs.any(|(r, k)| sees(&a, offset.into(), r as i64, k as i64))
                    };
                    let expected: Vec<u64> = (0..8).filter(is_seen).collect();
                    let tiles: Vec<u64> = key_tiles(&a, offset, row).collect();
                    assert_eq!(tiles, expected, "{:?} {offset} {row}", a.band);
                }
            }
        }
    }
}
