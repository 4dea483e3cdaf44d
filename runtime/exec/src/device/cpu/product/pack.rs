//! Copies of pieces of the operands, in the order that tiles read them.

use std::cell::RefCell;

use super::super::Pointer;
use super::Matrix;
use super::element::Element;
use super::lanes::prefetch;
use super::tile::Kernel;

/// A cache line of f32.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(in super::super) struct Line(#[allow(dead_code, reason = "read through pointers")] [f32; 16]);

/// What a thread packs, and what else it needs for a block.
pub(super) struct Panels {
    /// Rows of the left operand.
    pub(super) a: Store,
    /// Columns of the right one.
    pub(super) b: Store,
    /// Both operands of a thin product.
    pub(super) thin: [Vec<Line>; 2],
    /// The chains of a thin product.
    pub(super) sums: Vec<Line>,
    /// The sums of a block whose result has 16 bits or goes to an epilogue only.
    pub(super) c: Vec<Line>,
    /// The operands of an epilogue.
    pub(super) args: Vec<Pointer>,
}

thread_local! {
    /// Those of a thread; `reserve` makes them as large as the largest block.
    pub(super) static PANELS: RefCell<Panels> = const {
        RefCell::new(Panels {
            a: Store::new(),
            b: Store::new(),
            thin: [vec![], vec![]],
            sums: vec![],
            c: vec![],
            args: vec![],
        })
    };
}

/// How many blocks of an operand are kept, and the elements of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    pub(super) places: usize,
    pub(super) size: usize,
}

/// Blocks of an operand as tiles read them.
pub(super) struct Store {
    lines: Vec<Line>,
    /// What each place holds: a product, and a block of its operand.
    held: Vec<(u64, u64)>,
}

/// A block of an operand in a store.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub(super) base: *mut f32,
    /// Whether it is there from before.
    pub(super) is_held: bool,
}

impl Store {
    const fn new() -> Self {
        Self { lines: vec![], held: vec![] }
    }

    /// So that nothing is allocated for what is kept, or for `passing` elements.
    pub(super) fn reserve(&mut self, keep: Option<Keep>, passing: usize) {
        let Keep { places, size } = keep.unwrap_or(Keep { places: 0, size: 0 });
        keep_room(&mut self.lines, (places * size).max(passing));
        self.held.reserve(places.saturating_sub(self.held.len()));
    }

    /// The place of a block, which from now on holds it.
    pub(super) fn keep(&mut self, keep: Keep, name: (u64, u64)) -> Kept {
        let place = name.1 as usize % keep.places;
        if self.held.len() <= place {
            self.held.resize(keep.places, (u64::MAX, 0));
        }
        let is_held = std::mem::replace(&mut self.held[place], name) == name;
        let base = room(&mut self.lines, keep.places * keep.size);
        // SAFETY: there are so many places.
        Kept { base: unsafe { base.add(place * keep.size) }, is_held }
    }

    /// Room for what is used once.
    pub(super) fn pass(&mut self, n: usize) -> Kept {
        self.held.clear();
        Kept { base: room(&mut self.lines, n), is_held: false }
    }
}

/// So that [`room`] finds `n` elements without allocating; they are not touched.
pub(in super::super) fn keep_room(lines: &mut Vec<Line>, n: usize) {
    lines.reserve(n.div_ceil(16).saturating_sub(lines.len()));
}

/// At least `n` elements.
pub(in super::super) fn room(lines: &mut Vec<Line>, n: usize) -> *mut f32 {
    if lines.len() * 16 < n {
        lines.resize(n.div_ceil(16), Line([0.0; 16]));
    }
    lines.as_mut_ptr().cast()
}

/// Rows of K that are packed together where the elements of one are neighbours in memory.
pub(super) const TOGETHER: usize = 16;

/// Eight elements at once.
type Eight = [f32; 8];

/// Rows in tiles of those of the kernel; a tile holds its elements of one k side by side, 0 where
/// a row is missing.
///
/// # Safety
/// The matrix has `m` rows of `k`; `to` has as many, in whole tiles.
#[inline(always)]
pub(super) unsafe fn pack_rows<T: Element>(
    kernel: Kernel,
    a: Matrix<*const T>,
    m: usize,
    k: usize,
    to: *mut f32,
) {
    let rows = kernel.rows;
    // Those of one k may be neighbours in memory, so they are taken together.
    let step = if a.col == 1 { k.max(1) } else { TOGETHER };
    for from in (0..k).step_by(step) {
        for i in (0..m).step_by(rows) {
            let at = i as isize * a.row + from as isize * a.col;
            // SAFETY: i and from are inside the sizes.
            unsafe {
                let to = to.add(i * k + from * rows);
                pack_tile(kernel, a.at(at as i64), rows.min(m - i), step.min(k - from), to);
            }
        }
    }
}

/// A tile of `height` rows.
///
/// # Safety
/// As for [`pack_rows`].
#[inline(always)]
unsafe fn pack_tile<T: Element>(
    kernel: Kernel,
    a: Matrix<*const T>,
    height: usize,
    k: usize,
    to: *mut f32,
) {
    let rows = kernel.rows;
    // SAFETY: x < height and at < k, and the tile has room for both.
    unsafe {
        if a.row == 1 && height == 8 && rows == 8 {
            let (mut from, mut to) = (a.base, to);
            for _ in 0..k {
                prefetch(from.wrapping_offset(TOGETHER as isize * a.col).cast());
                to.cast::<Eight>().write_unaligned(T::eight(from));
                (from, to) = (from.wrapping_offset(a.col), to.wrapping_add(8));
            }
            return;
        }
        let (mut k_done, whole) = (0, height / 4 * 4);
        if a.col == 1 {
            if let (true, 8, Some(run)) = (T::IS_F32, height, kernel.transpose) {
                k_done = k / 16 * 16;
                run(a.base.cast(), a.row, k_done, to, rows);
            }
            while k_done + 4 <= k {
                for x in (0..whole).step_by(4) {
                    let from = a.base.offset(x as isize * a.row).add(k_done);
                    transpose(from, a.row, to.add(k_done * rows + x), rows);
                }
                k_done += 4;
            }
        }
        if k_done == k && whole == rows {
            return;
        }
        for at in 0..k {
            let first = if at < k_done { whole } else { 0 };
            for x in first..rows {
                let from = a.base.offset(x.min(height - 1) as isize * a.row + at as isize * a.col);
                *to.add(at * rows + x) = if x < height { (*from).widen() } else { 0.0 };
            }
        }
    }
}

/// `width` columns of `k` rows, `cols` side by side; what is missing is 0.
///
/// # Safety
/// The matrix has `k` rows of `width`; `to` has `k` rows of `cols`, a multiple of 8.
#[inline(always)]
pub(in super::super) unsafe fn pack_columns<T: Element>(
    kernel: Kernel,
    b: Matrix<*const T>,
    k: usize,
    width: usize,
    cols: usize,
    to: *mut f32,
) {
    let fast = kernel.transpose;
    // SAFETY: at < k and x < width.
    unsafe {
        if b.col == 1 && width == cols {
            for at in 0..k {
                let from = b.base.offset(at as isize * b.row);
                for x in (0..cols).step_by(8) {
                    let eight = T::eight(from.add(x));
                    to.add(at * cols + x).cast::<Eight>().write_unaligned(eight);
                }
            }
            return;
        }
        let (mut k_done, width_done) = (0, width / 4 * 4);
        if b.row == 1 {
            if let (true, true, Some(run)) = (T::IS_F32, width.is_multiple_of(8), fast) {
                k_done = k / 16 * 16;
                for x in (0..width).step_by(8) {
                    let from = b.base.offset(x as isize * b.col).cast();
                    run(from, b.col, k_done, to.add(x), cols);
                }
            }
            while k_done + 4 <= k {
                for x in (0..width_done).step_by(4) {
                    let from = b.base.offset(k_done as isize + x as isize * b.col);
                    transpose(from, b.col, to.add(k_done * cols + x), cols);
                }
                k_done += 4;
            }
        }
        if k_done == k && width_done == cols {
            return;
        }
        for at in 0..k {
            let row = to.add(at * cols);
            let first = if at < k_done { width_done } else { 0 };
            for x in first..width {
                let at = b.base.offset(at as isize * b.row + x as isize * b.col);
                *row.add(x) = (*at).widen();
            }
            for x in width..cols {
                *row.add(x) = 0.0;
            }
        }
    }
}

/// Four columns of four neighbouring elements to four rows.
///
/// # Safety
/// All of them can be read and written.
#[inline(always)]
unsafe fn transpose<T: Element>(from: *const T, column: isize, to: *mut f32, row: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let x: [[f32; 4]; 4] = std::array::from_fn(|i| T::four(from.offset(i as isize * column)));
        let to = |i: usize| to.add(i * row).cast::<[f32; 4]>();
        to(0).write_unaligned(x.map(|x| x[0]));
        to(1).write_unaligned(x.map(|x| x[1]));
        to(2).write_unaligned(x.map(|x| x[2]));
        to(3).write_unaligned(x.map(|x| x[3]));
    }
}
