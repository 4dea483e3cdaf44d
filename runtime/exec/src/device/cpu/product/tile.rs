//! The inner loop of products: a tile of the result in registers.
//!
//! Each element of a tile is its own chain of FMAs in the order of K, so the width of the vectors
//! and the height of the tile have no part in the bits.

use super::lanes::{Lanes, prefetch};

/// What a tile reads: rows of the left operand, columns of the right one.
#[derive(Clone, Copy)]
pub(crate) struct Sources {
    /// The first row's element at the first k.
    pub(crate) a: *const f32,
    /// From row to row, in elements.
    pub(crate) a_row: isize,
    /// From k to k.
    pub(crate) a_k: isize,
    /// The first column's element at the first k.
    pub(crate) b: *const f32,
    /// From k to k.
    pub(crate) b_k: isize,
    /// How many k.
    pub(crate) k: usize,
}

/// Where a tile goes: rows of columns side by side.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) c: *mut f32,
    /// From row to row, in elements.
    pub(crate) row: isize,
    pub(crate) onto: Onto,
}

/// What becomes of what a result holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onto {
    /// It is replaced.
    Nothing,
    /// The new sums are added to it.
    Sum,
    /// The new sums go on from it.
    Chain,
}

/// Computes `ROWS` rows of `WIDE` vectors of columns. Only `rows` of the left operand are read;
/// the other rows of the tile repeat the last one.
///
/// # Safety
/// The machine has the instructions of `V`; all `k` of `rows` rows and of the columns can be read,
/// and `ROWS` rows of the columns can be written.
#[inline(always)]
unsafe fn tile<V: Lanes, const ROWS: usize, const WIDE: usize>(
    s: Sources,
    rows: usize,
    to: Target,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut a: [*const f32; ROWS] =
            std::array::from_fn(|i| s.a.offset(i.min(rows - 1) as isize * s.a_row));
        let mut b = s.b;
        let mut sums = start::<V, ROWS, WIDE>(to);
        for _ in 0..s.k {
            let mut columns = [V::zero(); WIDE];
            let mut from = b;
            for column in &mut columns {
                *column = V::load(from);
                from = from.add(V::N);
            }
            for (sums, a) in sums.iter_mut().zip(&mut a) {
                let x = **a;
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = column.fma(x, *sum);
                }
                *a = a.wrapping_offset(s.a_k);
            }
            b = b.wrapping_offset(s.b_k);
        }
        store(sums, to);
    }
}

/// The sums that chains begin with.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn start<V: Lanes, const ROWS: usize, const WIDE: usize>(to: Target) -> [[V; WIDE]; ROWS] {
    // SAFETY: the caller's promise.
    unsafe {
        if to.onto != Onto::Chain {
            return [[V::zero(); WIDE]; ROWS];
        }
        let row = |i: usize| to.c.offset(i as isize * to.row);
        std::array::from_fn(|i| std::array::from_fn(|j| V::load(row(i).add(j * V::N))))
    }
}

/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn store<V: Lanes, const ROWS: usize, const WIDE: usize>(
    sums: [[V; WIDE]; ROWS],
    to: Target,
) {
    for (i, sums) in sums.into_iter().enumerate() {
        for (j, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let c = to.c.offset(i as isize * to.row).add(j * V::N);
                let sum = if to.onto == Onto::Sum { V::load(c).add(sum) } else { sum };
                sum.store(c);
            }
        }
    }
}

/// How many k before they are used columns are asked for.
const AHEAD: usize = 8;

/// As [`tile`], of packed operands: `ROWS` of one k of the left operand side by side, and so the
/// columns of the right one.
///
/// # Safety
/// As for [`tile`], and the operands are packed.
#[inline(always)]
unsafe fn packed<V: Lanes, const ROWS: usize, const WIDE: usize>(s: Sources, to: Target) {
    // SAFETY: the caller's promise.
    unsafe {
        for (i, j) in (0..ROWS).flat_map(|i| (0..WIDE).map(move |j| (i, j))) {
            prefetch(to.c.offset(i as isize * to.row).add(j * V::N));
        }
        let mut sums = start::<V, ROWS, WIDE>(to);
        let (mut a, mut b) = (s.a, s.b);
        for _ in 0..s.k / 4 {
            link(a, b, &mut sums);
            link(a.add(ROWS), b.add(WIDE * V::N), &mut sums);
            link(a.add(2 * ROWS), b.add(2 * WIDE * V::N), &mut sums);
            link(a.add(3 * ROWS), b.add(3 * WIDE * V::N), &mut sums);
            a = a.add(4 * ROWS);
            b = b.add(4 * WIDE * V::N);
        }
        for _ in 0..s.k % 4 {
            link(a, b, &mut sums);
            a = a.add(ROWS);
            b = b.add(WIDE * V::N);
        }
        store(sums, to);
    }
}

/// One link of every chain: one k of packed operands.
///
/// A function that is always inlined, and no closure: intrinsics are calls wherever the instructions
/// are not known to be there. Pointers advance: a product with an index is checked for overflow in
/// some builds, and then the sums lie in memory.
///
/// # Safety
/// As for [`packed`].
#[inline(always)]
unsafe fn link<V: Lanes, const ROWS: usize, const WIDE: usize>(
    mut a: *const f32,
    mut b: *const f32,
    sums: &mut [[V; WIDE]; ROWS],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut columns = [V::zero(); WIDE];
        for column in &mut columns {
            *column = V::load(b);
            prefetch(b.wrapping_add(AHEAD * WIDE * V::N));
            b = b.add(V::N);
        }
        for sums in sums {
            let x = *a;
            a = a.add(1);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = column.fma(x, *sum);
            }
        }
    }
}

/// See [`tile`].
pub(crate) type Tile = unsafe fn(Sources, usize, Target);
/// See [`packed`].
type Packed = unsafe fn(Sources, Target);

/// Brings eight rows of f32 with `k` neighbours, a multiple of 16, to `k` rows of eight.
///
/// Rows begin `row` elements from each other, and results `to_row`.
type Transpose = unsafe fn(from: *const f32, row: isize, k: usize, to: *mut f32, to_row: usize);

/// The tiles of an instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    /// Rows of each.
    pub(crate) rows: usize,
    /// Columns of a vector.
    pub(crate) vector: usize,
    /// Those of one vector of columns, two and so on.
    pub(crate) tiles: &'static [Tile],
    /// The same of packed operands.
    packed: &'static [Packed],
    /// Those of one row: of one vector of columns, two, four and so on.
    thin: &'static [Tile],
    /// How rows are packed, where it pays to have instructions of its own.
    pub(crate) transpose: Option<Transpose>,
}

impl Kernel {
    /// How many vectors of columns to take next, of `n` columns that are left.
    pub(crate) fn take(&self, n: usize) -> usize {
        let vectors = n.div_ceil(self.vector);
        let most = self.tiles.len();
        // Two and two are quicker than three and one.
        if vectors == most + 1 && vectors.is_multiple_of(2) {
            vectors / 2
        } else {
            vectors.min(most)
        }
    }
}

impl Kernel {
    /// The widest tile of one row for `n` columns that are left, and how many vectors it has.
    pub(crate) fn take_thin(&self, n: usize) -> (usize, Tile) {
        let power = n.div_ceil(self.vector).ilog2() as usize;
        let at = power.min(self.thin.len() - 1);
        (1 << at, self.thin[at])
    }

    /// Runs a tile of `height` rows and `width` of its `vectors` of columns.
    ///
    /// # Safety
    /// The kernel is this machine's. The sources have the rows and whole vectors of columns; `c`,
    /// with a row and a column stride, has the rows and columns of the result.
    /// Chains do not go on.
    #[inline(always)]
    pub(crate) unsafe fn run(
        &self,
        vectors: usize,
        [height, width]: [usize; 2],
        sources: Sources,
        c: *mut f32,
        [row, col]: [isize; 2],
        onto: Onto,
    ) {
        let cols = vectors * self.vector;
        // SAFETY: the caller's promise.
        unsafe {
            if height != self.rows || width != cols || col != 1 {
                return self.part(vectors, [height, width], sources, c, [row, col], onto);
            }
            let Sources { a_row, a_k, b_k, .. } = sources;
            let strides = [1, self.rows, cols].map(|stride| stride as isize);
            let to = Target { c, row, onto };
            if [a_row, a_k, b_k] == strides {
                return (self.packed[vectors - 1])(sources, to);
            }
            (self.tiles[vectors - 1])(sources, height, to);
        }
    }

    /// A tile that is not whole, or whose columns do not lie side by side.
    ///
    /// # Safety
    /// As for [`Self::run`].
    #[cold]
    unsafe fn part(
        &self,
        vectors: usize,
        [height, width]: [usize; 2],
        sources: Sources,
        c: *mut f32,
        [row, col]: [isize; 2],
        onto: Onto,
    ) {
        let cols = vectors * self.vector;
        let mut whole = [0f32; MAX_TILE];
        let to = Target { c: whole.as_mut_ptr(), row: cols as isize, onto: Onto::Nothing };
        // SAFETY: the array has room for every tile, and the result for this part of it.
        unsafe {
            (self.tiles[vectors - 1])(sources, height, to);
            for (i, sums) in whole.chunks_exact(cols).take(height).enumerate() {
                for (j, sum) in sums[..width].iter().enumerate() {
                    let at = c.offset(i as isize * row + j as isize * col);
                    *at = if onto == Onto::Sum { *at + sum } else { *sum };
                }
            }
        }
    }
}

/// The most elements of a tile.
pub(crate) const MAX_TILE: usize = 8 * 48;

/// For every machine.
const PLAIN: Kernel = Kernel {
    rows: 4,
    vector: 8,
    tiles: &[tile::<[f32; 8], 4, 1>, tile::<[f32; 8], 4, 2>],
    packed: &[packed::<[f32; 8], 4, 1>, packed::<[f32; 8], 4, 2>],
    thin: &[tile::<[f32; 8], 1, 1>, tile::<[f32; 8], 1, 2>],
    transpose: None,
};
#[cfg(target_arch = "x86_64")]
const AVX2: Kernel = Kernel {
    rows: 6,
    vector: 8,
    tiles: &[tile_avx2::<1>, tile_avx2::<2>],
    packed: &[packed_avx2::<1>, packed_avx2::<2>],
    thin: &[thin_avx2::<1>, thin_avx2::<2>, thin_avx2::<4>, thin_avx2::<8>],
    transpose: None,
};
#[cfg(target_arch = "x86_64")]
const AVX512: Kernel = Kernel {
    rows: 8,
    vector: 16,
    tiles: &[tile_avx512::<1>, tile_avx512::<2>, tile_avx512::<3>],
    packed: &[packed_avx512::<1>, packed_avx512::<2>, packed_avx512::<3>],
    thin: &[thin_avx512::<1>, thin_avx512::<2>, thin_avx512::<4>, thin_avx512::<8>],
    transpose: Some(transpose_avx512),
};

/// The kernels that this machine can run, the fastest last.
pub(crate) fn kernels() -> impl Iterator<Item = Kernel> {
    #[cfg(target_arch = "x86_64")]
    let more = {
        let has_avx2 =
            std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
        let has_avx512 = std::is_x86_feature_detected!("avx512f");
        [has_avx2.then_some(AVX2), has_avx512.then_some(AVX512)]
    };
    #[cfg(not(target_arch = "x86_64"))]
    let more = [];
    std::iter::once(PLAIN).chain(more.into_iter().flatten())
}

/// # Safety
/// As for [`tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn tile_avx512<const WIDE: usize>(s: Sources, rows: usize, to: Target) {
    // SAFETY: the caller's promise.
    unsafe { tile::<std::arch::x86_64::__m512, 8, WIDE>(s, rows, to) }
}

/// # Safety
/// As for [`tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_avx2<const WIDE: usize>(s: Sources, rows: usize, to: Target) {
    // SAFETY: the caller's promise.
    unsafe { tile::<std::arch::x86_64::__m256, 6, WIDE>(s, rows, to) }
}

/// # Safety
/// As for [`packed`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn packed_avx512<const WIDE: usize>(s: Sources, to: Target) {
    // SAFETY: the caller's promise.
    unsafe { packed::<std::arch::x86_64::__m512, 8, WIDE>(s, to) }
}

/// # Safety
/// As for [`packed`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn packed_avx2<const WIDE: usize>(s: Sources, to: Target) {
    // SAFETY: the caller's promise.
    unsafe { packed::<std::arch::x86_64::__m256, 6, WIDE>(s, to) }
}

/// # Safety
/// As for [`tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn thin_avx512<const WIDE: usize>(s: Sources, rows: usize, to: Target) {
    // SAFETY: the caller's promise.
    unsafe { tile::<std::arch::x86_64::__m512, 1, WIDE>(s, rows, to) }
}

/// # Safety
/// As for [`tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn thin_avx2<const WIDE: usize>(s: Sources, rows: usize, to: Target) {
    // SAFETY: the caller's promise.
    unsafe { tile::<std::arch::x86_64::__m256, 1, WIDE>(s, rows, to) }
}

/// See [`Transpose`].
///
/// # Safety
/// The machine has the instructions; what is named can be read and written.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_avx512(from: *const f32, row: isize, k: usize, to: *mut f32, to_row: usize) {
    for at in (0..k).step_by(16) {
        // SAFETY: the caller's promise.
        unsafe { super::lanes::x86::transpose(from.add(at), row, to.add(at * to_row), to_row) }
    }
}
