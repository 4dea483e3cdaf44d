//! One slice of one block of a product: panels on the right, tiles on the left.
//!
//! The right operand is packed whole, a panel of columns after the other, and stays in the cache
//! of the second level; the left one a tile at a time, just before all panels use it.

use super::element::Element;
use super::pack::{Kept, Line, Panels, TOGETHER, pack_columns, pack_rows, room};
use super::tile::{Kernel, Onto, Sources, Target};
use super::{Matrix, Size};

/// Rows of a thin product at most: packing its right operand would cost more than using it.
pub(super) const THIN: u64 = 8;

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

/// Elements that a slice needs for rows that are used once and for columns that are.
pub(super) fn passing(kernel: Kernel, Size { m: _, n, k }: Size) -> [usize; 2] {
    [STRIP * kernel.rows * k, n.next_multiple_of(kernel.vector) * k]
}

/// Elements that a thin slice needs for both operands and for its chains.
pub(super) fn of_thin(kernel: Kernel, Size { m, n, k }: Size) -> [usize; 3] {
    let whole = n.next_multiple_of(kernel.vector);
    let panel = TOGETHER * kernel.take_thin(whole.max(1)).0 * kernel.vector;
    [m * k, panel, m * whole]
}

/// Whether rows of the left operand are read where they lie: few columns in all do not pay for
/// packing those whose elements are side by side.
pub(super) fn is_in_place<T: Element>(kernel: Kernel, a: Matrix<*const T>, n: u64) -> bool {
    T::IS_F32 && a.col == 1 && n <= (NARROW * kernel.tiles.len() * kernel.vector) as u64
}

/// One slice of one block.
pub(super) struct Block<T> {
    pub(super) kernel: Kernel,
    pub(super) size: Size,
    pub(super) a: Matrix<*const T>,
    pub(super) b: Matrix<*const T>,
    pub(super) c: Matrix<*mut f32>,
    pub(super) onto: Onto,
}

impl<T: Element> Block<T> {
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

    /// Computes the slice from the packed right operand and the left one where it lies.
    ///
    /// # Safety
    /// As for the product, and the left operand can be read in place.
    #[inline(always)]
    pub(super) unsafe fn run_in_place(&self, b: *const f32) {
        let a = self.a;
        let left = Left { base: a.base.cast(), step: a.row as usize, row: a.row, k: 1 };
        // SAFETY: the caller's promise.
        unsafe {
            for first in self.strips() {
                let left = Left { base: left.base.offset(first as isize * a.row), ..left };
                self.strip(first, left, b);
            }
        }
    }

    /// Computes the slice from the packed right operand; packs rows of the left one to `to`, one
    /// strip over the other or, if they are kept, each to its place, unless it is there already.
    ///
    /// # Safety
    /// As for the product; `to` has room for a strip, or for all rows in whole tiles.
    #[inline(always)]
    pub(super) unsafe fn run(&self, b: *const f32, to: Kept, is_kept: bool) {
        let (k, rows) = (self.size.k, self.kernel.rows);
        for first in self.strips() {
            let height = (STRIP * rows).min(self.size.m - first);
            // SAFETY: all indices are inside the sizes, whose elements the caller vouches for.
            unsafe {
                let base = if is_kept { to.base.add(first * k) } else { to.base };
                if !to.is_held {
                    let a = self.a.at((first as isize * self.a.row) as i64);
                    pack_rows(self.kernel, a, height, k, base);
                }
                self.strip(first, Left { base, step: k, row: 1, k: rows as isize }, b);
            }
        }
    }

    /// Elements of a packed strip.
    pub(super) fn strip_size(&self) -> usize {
        STRIP * self.kernel.rows * self.size.k
    }

    /// The first rows of the strips.
    #[inline(always)]
    fn strips(&self) -> impl Iterator<Item = usize> {
        (0..self.size.m).step_by(STRIP * self.kernel.rows)
    }

    /// Computes a strip of rows: a panel is used by all of its tiles before the next one.
    ///
    /// # Safety
    /// As for the product; the operands have the sizes.
    #[inline(always)]
    unsafe fn strip(&self, first: usize, a: Left, b: *const f32) {
        let (Size { m, n, k }, c, rows) = (self.size, self.c, self.kernel.rows);
        let height = (STRIP * rows).min(m - first);
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
        let left = room(&mut panels.thin[0], m * k);
        // SAFETY: all indices are inside the sizes, whose elements the caller vouches for.
        unsafe {
            sums.write_bytes(0, m * whole);
            for (i, at) in (0..m).flat_map(|i| (0..k).map(move |at| (i, at))) {
                let from = i as isize * self.a.row + at as isize * self.a.col;
                *left.add(i * k + at) = (*self.a.base.offset(from)).widen();
            }
            for from in (0..k).step_by(TOGETHER) {
                let (left, height) = (left.add(from), TOGETHER.min(k - from));
                self.thin_part(from, height, left, sums, &mut panels.thin[1]);
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
