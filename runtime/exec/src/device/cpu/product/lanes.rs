//! Vectors of f32, as the inner loops of products use them.

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
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, __m512d, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_pd, _mm256_storeu_ps, _mm512_add_ps,
        _mm512_castpd512_pd256, _mm512_castps_pd, _mm512_extractf64x4_pd, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_permutex2var_pd, _mm512_set1_ps, _mm512_setr_epi64,
        _mm512_setzero_ps, _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
        _mm512_unpacklo_pd, _mm512_unpacklo_ps,
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

    /// Four rows of 16 as four vectors, in which a quarter holds one k of the four.
    #[inline(always)]
    unsafe fn quarters(x: [__m512; 4]) -> [__m512d; 4] {
        // SAFETY: the machine has the instructions.
        unsafe {
            let a = _mm512_castps_pd(_mm512_unpacklo_ps(x[0], x[1]));
            let b = _mm512_castps_pd(_mm512_unpacklo_ps(x[2], x[3]));
            let c = _mm512_castps_pd(_mm512_unpackhi_ps(x[0], x[1]));
            let d = _mm512_castps_pd(_mm512_unpackhi_ps(x[2], x[3]));
            [
                _mm512_unpacklo_pd(a, b),
                _mm512_unpackhi_pd(a, b),
                _mm512_unpacklo_pd(c, d),
                _mm512_unpackhi_pd(c, d),
            ]
        }
    }

    /// Eight rows of 16 to 16 rows of eight.
    ///
    /// # Safety
    /// The machine has AVX-512; the rows can be read and written.
    #[inline(always)]
    pub(in super::super) unsafe fn transpose(
        from: *const f32,
        row: isize,
        to: *mut f32,
        to_row: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let load = |i: isize| _mm512_loadu_ps(from.offset(i * row));
            let upper = quarters([load(0), load(1), load(2), load(3)]);
            let lower = quarters([load(4), load(5), load(6), load(7)]);
            let first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
            let last = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
            for i in 0..4 {
                for (half, order) in [(0, first), (8, last)] {
                    let two = _mm512_permutex2var_pd(upper[i], order, lower[i]);
                    let to = to.add((half + i) * to_row).cast::<f64>();
                    _mm256_storeu_pd(to, _mm512_castpd512_pd256(two));
                    let to = to.cast::<f32>().add(4 * to_row).cast::<f64>();
                    _mm256_storeu_pd(to, _mm512_extractf64x4_pd::<1>(two));
                }
            }
        }
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

/// Asks for a line of memory before it is used; any address will do.
#[inline(always)]
pub(crate) fn prefetch(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every machine of this kind has it, and it faults nowhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
