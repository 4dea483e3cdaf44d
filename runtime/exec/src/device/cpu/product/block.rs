//! One slice of one piece of a product: panels on the right, tiles on the left.
//!
//! The right operand is packed whole, a panel of columns after the other, and stays in the cache
//! of the second level; the left one a tile at a time, just before all panels use it.

use super::element::Element;
use super::pack::{Line, Panels, TOGETHER, pack_columns, pack_rows, room};
use super::tile::{Kernel, Onto, Sources, Target};
use super::{Matrix, Size};

/// Rows of a thin product at most.
const THIN: usize = 8;

/// Tiles of rows that are packed together: neighbours often share lines.
const STRIP: usize = 8;
/// Panels that are too few to pack rows for.
const NARROW: usize = 3;

/// Rows of the left operand: row `i`, a multiple of a tile's rows, starts at `i * step`.
#[derive(Clone, Copy)]
struct Left {
    base: *const f32,
    step: usize,
    /// From row to row.
    row: isize,
    /// From k to k.
    k: isize,
}

/// Elements that a slice needs for its left operand, its right one and the chains of a thin one.
pub(super) fn needed(kernel: Kernel, Size { m, n, k }: Size) -> [usize; 3] {
    let whole = n.next_multiple_of(kernel.vector);
    let thin = TOGETHER * kernel.take_thin(whole.max(1)).0 * kernel.vector;
    [(STRIP * kernel.rows).max(THIN) * k, (whole * k).max(thin), m.min(THIN) * whole]
}

/// One slice of one piece.
pub(super) struct Block<T> {
    pub(super) kernel: Kernel,
    pub(super) size: Size,
    pub(super) a: Matrix<*const T>,
    pub(super) b: Matrix<*const T>,
    pub(super) c: Matrix<*mut f32>,
    pub(super) onto: Onto,
}

impl<T: Element> Block<T> {
    /// Whether the right operand is read once where it lies, for so few rows that packing it would
    /// cost more than using it.
    pub(super) fn is_thin(&self) -> bool {
        self.b.col == 1 && self.size.m <= THIN
    }

    /// Packs the right operand to `to`, which has room for whole vectors of columns.
    ///
    /// # Safety
    /// As for the product.
    #[inline(always)]
    pub(super) unsafe fn pack(&self, to: *mut f32) {
        let Size { n, k, .. } = self.size;
        // Columns of one k may be neighbours in memory, so all panels take them together.
        let step = if self.b.col == 1 { TOGETHER } else { k.max(1) };
        for from in (0..k).step_by(step) {
            let (mut j, height) = (0, step.min(k - from));
            while j < n {
                let cols = self.kernel.take(n - j) * self.kernel.vector;
                // SAFETY: j is inside the size, whose elements the caller vouches for.
                unsafe {
                    let at = from as isize * self.b.row + j as isize * self.b.col;
                    let to = to.add(j * k + from * cols);
                    let b = self.b.at(at as i64);
                    pack_columns(self.kernel, b, height, cols.min(n - j), cols, to);
                }
                j += cols;
            }
        }
    }

    /// Computes the slice from the packed right operand.
    ///
    /// # Safety
    /// As for the product.
    #[inline(always)]
    pub(super) unsafe fn run(&self, b: *const f32, panels: &mut Vec<Line>) {
        let Size { m, n, k } = self.size;
        let Kernel { rows, vector, tiles, .. } = self.kernel;
        let a = self.a;
        // Few columns do not pay for packing rows that can be read in the order of k.
        let is_in_place = T::IS_F32 && a.col == 1 && n <= NARROW * tiles.len() * vector;
        let strip = room(panels, STRIP * rows * k);
        for first in (0..m).step_by(STRIP * rows) {
            let height = (STRIP * rows).min(m - first);
            // SAFETY: all indices are inside the sizes, whose elements the caller vouches for.
            unsafe {
                let a = a.at((first as isize * a.row) as i64);
                if !is_in_place {
                    pack_rows(self.kernel, a, height, k, strip);
                }
                let left = if is_in_place {
                    Left { base: a.base.cast(), step: a.row as usize, row: a.row, k: 1 }
                } else {
                    Left { base: strip, step: k, row: 1, k: rows as isize }
                };
                self.strip(first, height, left, b);
            }
        }
    }

    /// Computes a strip of rows: a panel is used by all of its tiles before the next one.
    ///
    /// # Safety
    /// As for the product; the operands have the sizes.
    #[inline(always)]
    unsafe fn strip(&self, first: usize, height: usize, a: Left, b: *const f32) {
        let (Size { n, k, .. }, c, rows) = (self.size, self.c, self.kernel.rows);
        let mut j = 0;
        while j < n {
            let vectors = self.kernel.take(n - j);
            let cols = vectors * self.kernel.vector;
            for i in (0..height).step_by(rows) {
                // SAFETY: i and j are inside the sizes, whose elements the caller vouches for.
                unsafe {
                    let (a_at, b, b_k) = (a.base.add(i * a.step), b.add(j * k), cols as isize);
                    let sources = Sources { a: a_at, a_row: a.row, a_k: a.k, b, b_k, k };
                    let row = (first + i) as isize;
                    let at = c.base.offset(row * c.row + j as isize * c.col);
                    let size = [rows.min(height - i), cols.min(n - j)];
                    self.kernel.run(vectors, size, sources, at, [c.row, c.col], self.onto);
                }
            }
            j += cols;
        }
    }

    /// Computes the slice of a thin product: some rows of the right operand at a time, so that
    /// memory is read in order. The chains go on from one to the next.
    ///
    /// # Safety
    /// As for the product, and it is thin.
    #[inline(always)]
    pub(super) unsafe fn run_thin(&self, panels: &mut Panels) {
        let Size { m, n, k } = self.size;
        let whole = n.next_multiple_of(self.kernel.vector);
        let sums = room(&mut panels.sums, m * whole);
        let left = room(&mut panels.a, m * k);
        // SAFETY: all indices are inside the sizes, whose elements the caller vouches for.
        unsafe {
            sums.write_bytes(0, m * whole);
            for (i, at) in (0..m).flat_map(|i| (0..k).map(move |at| (i, at))) {
                let from = i as isize * self.a.row + at as isize * self.a.col;
                *left.add(i * k + at) = (*self.a.base.offset(from)).widen();
            }
            for from in (0..k).step_by(TOGETHER) {
                let (left, height) = (left.add(from), TOGETHER.min(k - from));
                self.thin_part(from, height, left, sums, &mut panels.b);
            }
            for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let (sum, c) = (*sums.add(i * whole + j), self.c);
                let at = c.base.offset(i as isize * c.row + j as isize * c.col);
                *at = if self.onto == Onto::Sum { *at + sum } else { sum };
            }
        }
    }

    /// `height` links of every chain, from one on.
    ///
    /// # Safety
    /// As for `run_thin`.
    #[inline(always)]
    unsafe fn thin_part(
        &self,
        from: usize,
        height: usize,
        left: *const f32,
        sums: *mut f32,
        panel: &mut Vec<Line>,
    ) {
        let (Size { m, n, k }, vector) = (self.size, self.kernel.vector);
        let whole = n.next_multiple_of(vector);
        let mut j = 0;
        while j < n {
            let (vectors, run) = self.kernel.take_thin(n - j);
            let cols = vectors * vector;
            // SAFETY: as in `run_thin`; the sums have whole vectors.
            unsafe {
                let b = self.b.at((from as isize * self.b.row + j as isize) as i64);
                let (b, b_k) = if T::IS_F32 && cols <= n - j {
                    (b.base.cast::<f32>(), b.row)
                } else {
                    let to = room(panel, height * cols);
                    pack_columns(self.kernel, b, height, cols.min(n - j), cols, to);
                    (to.cast_const(), cols as isize)
                };
                for i in 0..m {
                    let (a, c) = (left.add(i * k), sums.add(i * whole + j));
                    let sources = Sources { a, a_row: 0, a_k: 1, b, b_k, k: height };
                    run(sources, 1, Target { c, row: 0, onto: Onto::Chain });
                }
            }
            j += cols;
        }
    }
}
