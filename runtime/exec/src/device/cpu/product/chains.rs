//! Chains of FMA alone: what the products of a machine can be measured by.

use super::lanes::Lanes;

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
