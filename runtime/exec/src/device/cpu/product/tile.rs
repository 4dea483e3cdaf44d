//! The inner loop of products: a tile of the result in registers.
//!
//! Each element of a tile is its own chain of FMAs in the order of K, so the width of the vectors
//! and the height of the tile have no part in the bits.

/// A row of vectors' worth of f32; what the loops need of an instruction set.
pub(crate) trait Lanes: Copy {
    /// Elements.
    const N: usize;

    /// # Safety
    /// The machine has the instructions.
    unsafe fn zero() -> Self;

    /// # Safety
    /// The machine has the instructions and `from` has `N` elements.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// The machine has the instructions and `to` has `N` elements.
    unsafe fn store(self, to: *mut f32);

    /// `x * self + sum` in each lane.
    ///
    /// # Safety
    /// The machine has the instructions.
    unsafe fn fma(self, x: f32, sum: Self) -> Self;

    /// # Safety
    /// The machine has the instructions.
    unsafe fn add(self, other: Self) -> Self;
}

impl Lanes for [f32; 8] {
    const N: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; 8]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn fma(self, x: f32, sum: Self) -> Self {
        std::array::from_fn(|i| x.mul_add(self[i], sum[i]))
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::Lanes;

    macro_rules! lanes {
        ($ty:ty, $n:literal, $zero:ident, $load:ident, $store:ident, $fma:ident, $set:ident, $add:ident) => {
            impl Lanes for $ty {
                const N: usize = $n;

                #[inline(always)]
                unsafe fn zero() -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $zero() }
                }

                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $load(from) }
                }

                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: the caller's promise.
                    unsafe { $store(to, self) }
                }

                #[inline(always)]
                unsafe fn fma(self, x: f32, sum: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $fma($set(x), self, sum) }
                }

                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: the caller's promise.
                    unsafe { $add(self, other) }
                }
            }
        };
    }

    lanes!(
        __m256,
        8,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_set1_ps,
        _mm256_add_ps
    );
    lanes!(
        __m512,
        16,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_set1_ps,
        _mm512_add_ps
    );
}

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
    /// Whether the sums are added to what is there.
    pub(crate) adds: bool,
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
        let mut sums = [[V::zero(); WIDE]; ROWS];
        for _ in 0..s.k {
            let columns: [V; WIDE] = std::array::from_fn(|j| V::load(b.add(j * V::N)));
            for (sums, a) in sums.iter_mut().zip(&mut a) {
                let x = **a;
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = column.fma(x, *sum);
                }
                *a = a.wrapping_offset(s.a_k);
            }
            b = b.wrapping_offset(s.b_k);
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let c = to.c.offset(i as isize * to.row);
            for (j, sum) in sums.into_iter().enumerate() {
                let c = c.add(j * V::N);
                let sum = if to.adds { V::load(c).add(sum) } else { sum };
                sum.store(c);
            }
        }
    }
}

/// See [`tile`].
type Tile = unsafe fn(Sources, usize, Target);

/// The tiles of an instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    /// Rows of each.
    pub(crate) rows: usize,
    /// Columns of a vector.
    pub(crate) vector: usize,
    /// Those of one vector of columns, two and so on.
    pub(crate) tiles: &'static [Tile],
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
    /// Runs a tile of `height` rows and `width` of its `vectors` of columns.
    ///
    /// # Safety
    /// The kernel is this machine's. The sources have the rows and whole vectors of columns; `c`,
    /// with a row and a column stride, has the rows and columns of the result.
    pub(crate) unsafe fn run(
        &self,
        vectors: usize,
        [height, width]: [usize; 2],
        sources: Sources,
        c: *mut f32,
        [row, col]: [isize; 2],
        adds: bool,
    ) {
        let (run, cols) = (self.tiles[vectors - 1], vectors * self.vector);
        // SAFETY: the tile is inside the result, or goes to an array of its own first.
        unsafe {
            if height == self.rows && width == cols && col == 1 {
                return run(sources, height, Target { c, row, adds });
            }
            let mut whole = [0f32; MAX_TILE];
            let target = Target { c: whole.as_mut_ptr(), row: cols as isize, adds: false };
            run(sources, height, target);
            for (i, sums) in whole.chunks_exact(cols).take(height).enumerate() {
                for (j, sum) in sums[..width].iter().enumerate() {
                    let at = c.offset(i as isize * row + j as isize * col);
                    *at = if adds { *at + sum } else { *sum };
                }
            }
        }
    }
}

/// The most elements of a tile.
pub(crate) const MAX_TILE: usize = 8 * 48;

/// For every machine.
const PLAIN: Kernel =
    Kernel { rows: 4, vector: 8, tiles: &[tile::<[f32; 8], 4, 1>, tile::<[f32; 8], 4, 2>] };
#[cfg(target_arch = "x86_64")]
const AVX2: Kernel = Kernel { rows: 6, vector: 8, tiles: &[tile_avx2::<1>, tile_avx2::<2>] };
#[cfg(target_arch = "x86_64")]
const AVX512: Kernel =
    Kernel { rows: 8, vector: 16, tiles: &[tile_avx512::<1>, tile_avx512::<2>, tile_avx512::<3>] };

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

/// Chains of FMA that never leave the registers: as fast as a product can be.
#[derive(Clone, Copy)]
pub(in super::super) struct Chains {
    /// Makes so many links of every chain, and gives something that depends on all.
    ///
    /// # Safety
    /// The machine has the instructions.
    pub(in super::super) run: unsafe fn(u64, f32) -> f32,
    /// Elements of all chains: FMAs a link.
    pub(in super::super) lanes: usize,
}

/// The widest chains of this machine.
pub(in super::super) fn chains() -> Chains {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            return Chains { run: chains_avx512, lanes: 16 * 16 };
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            return Chains { run: chains_avx2, lanes: 12 * 8 };
        }
    }
    Chains { run: links::<[f32; 8], 4>, lanes: 4 * 8 }
}

/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
unsafe fn links<V: Lanes, const N: usize>(n: u64, x: f32) -> f32 {
    let ones = [1f32; 16];
    // SAFETY: the caller's promise; a vector has at most 16 elements.
    unsafe {
        let factor = V::load(ones.as_ptr());
        let mut sums = [V::zero(); N];
        for _ in 0..n {
            for sum in &mut sums {
                *sum = factor.fma(x, *sum);
            }
        }
        let all = sums.into_iter().fold(V::zero(), |all, sum| all.add(sum));
        let mut out = [0f32; 16];
        all.store(out.as_mut_ptr());
        out.iter().sum()
    }
}

/// # Safety
/// As for [`links`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn chains_avx512(n: u64, x: f32) -> f32 {
    // SAFETY: the caller's promise.
    unsafe { links::<std::arch::x86_64::__m512, 16>(n, x) }
}

/// # Safety
/// As for [`links`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn chains_avx2(n: u64, x: f32) -> f32 {
    // SAFETY: the caller's promise.
    unsafe { links::<std::arch::x86_64::__m256, 12>(n, x) }
}
