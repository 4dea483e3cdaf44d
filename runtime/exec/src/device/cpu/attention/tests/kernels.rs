//! Kernels of a tile in plain Rust: by rows, and as compiled code is called.

use std::slice::{from_raw_parts, from_raw_parts_mut};

/// What kernels are told in a buffer of i32.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Params {
    pub(super) keys: i32,
    pub(super) key_tile: i32,
    pub(super) causal: i32,
    /// 0 is none.
    pub(super) window: i32,
    pub(super) offset: i32,
    pub(super) drops: i32,
    pub(super) value_width: i32,
    /// From row to row of the result.
    pub(super) out_row: i32,
}

/// What scores are multiplied by.
pub(super) const SCALE: f32 = 0.4;

impl Params {
    /// Whether a row may see a key; segments must be equal.
    pub(super) fn sees(&self, row: i32, key: i32, segments: [i32; 2]) -> bool {
        let place = row + self.offset;
        let is_near = self.window == 0 || key > place - self.window;
        let is_bounded = self.causal != 0 || self.window != 0;
        segments[0] == segments[1] && is_near && (!is_bounded || key <= place)
    }

    /// What the weight of a key is multiplied by.
    pub(super) fn drop(&self, [batch, head, row, key]: [i32; 4]) -> f32 {
        let is_dropped = (batch * 7 + head * 5 + row * 3 + key) % 4 == 0;
        if self.drops == 0 {
            1.0
        } else if is_dropped {
            0.0
        } else {
            1.25
        }
    }
}

/// A row of a tile: where it is, and what it may see.
pub(super) struct Row<'r> {
    pub(super) params: &'r Params,
    /// Sequence, head, row, first key.
    pub(super) at: [i32; 4],
    pub(super) segment: i32,
    /// Those of the tile's keys.
    pub(super) segments: &'r [i32],
}

impl Row<'_> {
    fn sees(&self, col: usize) -> bool {
        let key = self.at[3] + col as i32;
        key < self.params.keys
            && self.params.sees(self.at[2], key, [self.segment, self.segments[col]])
    }

    fn drop(&self, col: usize) -> f32 {
        let [batch, head, row, key] = self.at;
        self.params.drop([batch, head, row, key + col as i32])
    }

    pub(super) fn score(&self, scores: &mut [f32], [top, sum, factor]: [&mut f32; 3]) {
        let old = *top;
        for (col, score) in scores.iter_mut().enumerate() {
            *score = if self.sees(col) { *score * SCALE } else { f32::NEG_INFINITY };
            *top = top.max(*score);
        }
        *factor = if old == f32::NEG_INFINITY { 0.0 } else { (old - *top).exp() };
        let mut row_sum = 0.0;
        for (col, score) in scores.iter_mut().enumerate() {
            let p = if self.sees(col) { (*score - *top).exp() } else { 0.0 };
            row_sum += p;
            *score = p * self.drop(col);
        }
        *sum = *sum * *factor + row_sum;
    }

    pub(super) fn weights(&self, scores: &mut [f32], grads: &mut [f32], lse: f32, delta: f32) {
        for (col, (score, grad)) in scores.iter_mut().zip(grads).enumerate() {
            let p = if self.sees(col) { (*score * SCALE - lse).exp() } else { 0.0 };
            *score = p * self.drop(col);
            *grad = p * (*grad * self.drop(col) - delta) * SCALE;
        }
    }
}

/// A row's result and the logarithm of its sum.
pub(super) fn finish(acc: &[f32], top: f32, sum: f32, out: &mut [f32]) -> f32 {
    for (out, acc) in out.iter_mut().zip(acc) {
        *out = if sum == 0.0 { 0.0 } else { acc / sum };
    }
    top + sum.ln()
}

/// Calls `of` for each row with its scores, or whatever else lies in rows of `key_tile`.
unsafe fn by_rows(
    [params, origin, row_segments, key_segments]: [*mut u8; 4],
    end: u64,
    mut of: impl FnMut(usize, usize, Row<'_>),
) {
    // SAFETY: the tests' plans give these operands.
    unsafe {
        let params = &*params.cast::<Params>();
        let origin = *origin.cast::<[i32; 4]>();
        let n_keys = (params.keys - origin[3]).min(params.key_tile) as usize;
        let segments = from_raw_parts(key_segments.cast::<i32>(), n_keys);
        for row in 0..end as usize {
            let [batch, head, first, key] = origin;
            let at = [batch, head, first + row as i32, key];
            let segment = *row_segments.cast::<i32>().add(row);
            of(row, params.key_tile as usize, Row { params, at, segment, segments });
        }
    }
}

/// Scores, origin, top, sum, factor, params, segments of rows and of keys.
pub(super) unsafe extern "C" fn score_code(args: *const *mut u8, begin: u64, end: u64) {
    assert_eq!(begin, 0);
    // SAFETY: as in `by_rows`.
    unsafe {
        let args = from_raw_parts(args, 8);
        let [scores, top, sum, factor] = [0, 2, 3, 4].map(|i| args[i].cast::<f32>());
        by_rows([args[5], args[1], args[6], args[7]], end, |i, width, row| {
            // Columns beyond the last key hold 0, and are masked like the rest.
            let scores = from_raw_parts_mut(scores.add(i * width), width);
            let (seen, beyond) = scores.split_at_mut(row.segments.len());
            assert!(beyond.iter().all(|x| x.to_bits() == 0), "zeros beyond the last key");
            row.score(seen, [&mut *top.add(i), &mut *sum.add(i), &mut *factor.add(i)]);
        });
    }
}

/// Acc, top, sum, params, out, lse.
pub(super) unsafe extern "C" fn finish_code(args: *const *mut u8, _: u64, end: u64) {
    // SAFETY: as in `by_rows`.
    unsafe {
        let args = from_raw_parts(args, 6);
        let params = &*args[3].cast::<Params>();
        let [acc, top, sum, out, lse] = [0, 1, 2, 4, 5].map(|i| args[i].cast::<f32>());
        let width = params.value_width as usize;
        for row in 0..end as usize {
            let acc = from_raw_parts(acc.add(row * width), width);
            let out = from_raw_parts_mut(out.add(row * params.out_row as usize), width);
            *lse.add(row) = finish(acc, *top.add(row), *sum.add(row), out);
        }
    }
}

/// Scores, grads, origin, lse, delta, params, segments of rows and of keys.
pub(super) unsafe extern "C" fn weights_code(args: *const *mut u8, begin: u64, end: u64) {
    assert_eq!(begin, 0);
    // SAFETY: as in `by_rows`.
    unsafe {
        let args = from_raw_parts(args, 8);
        let [scores, grads, lse, delta] = [0, 1, 3, 4].map(|i| args[i].cast::<f32>());
        by_rows([args[5], args[2], args[6], args[7]], end, |i, width, row| {
            let tile = |of: *mut f32| from_raw_parts_mut(of.add(i * width), width);
            let (scores, beyond) = tile(scores).split_at_mut(row.segments.len());
            assert!(beyond.iter().all(|x| x.to_bits() == 0), "zeros beyond the last key");
            let (grads, beyond) = tile(grads).split_at_mut(row.segments.len());
            assert!(beyond.iter().all(|x| x.to_bits() == 0), "zeros beyond the last key");
            row.weights(scores, grads, *lse.add(i), *delta.add(i));
        });
    }
}
