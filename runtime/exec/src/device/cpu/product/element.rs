//! Elements of operands and results: f32, or 16 bits met as f32.
//!
//! Widening is exact. A result is rounded to nearest even, once; every NaN becomes the same.

use plan::Dtype;

/// An element of an operand, and how several of them become f32.
pub(crate) trait Element: Copy {
    /// Whether tiles can read it where it lies.
    const IS_F32: bool = false;

    fn widen(self) -> f32;

    /// Four neighbours.
    ///
    /// # Safety
    /// They can be read, and the machine has the instructions of the type.
    #[inline(always)]
    unsafe fn four(from: *const Self) -> [f32; 4] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[Self; 4]>().read_unaligned().map(Self::widen) }
    }

    /// Eight neighbours.
    ///
    /// # Safety
    /// As for [`Self::four`].
    #[inline(always)]
    unsafe fn eight(from: *const Self) -> [f32; 8] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[Self; 8]>().read_unaligned().map(Self::widen) }
    }
}

impl Element for f32 {
    const IS_F32: bool = true;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn four(from: *const Self) -> [f32; 4] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn eight(from: *const Self) -> [f32; 8] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }
}

/// The upper half of an f32.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

impl Element for Bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// IEEE half precision.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct F16(u16);

impl Element for F16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        widen_f16(self.0)
    }
}

/// The same where the machine converts.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct MachineF16(u16);

#[cfg(target_arch = "x86_64")]
impl Element for MachineF16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        widen_f16(self.0)
    }

    #[inline(always)]
    unsafe fn four(from: *const Self) -> [f32; 4] {
        use std::arch::x86_64::{_mm_cvtph_ps, _mm_loadl_epi64};
        // SAFETY: the caller's promise; a vector and an array have the same bits.
        unsafe { std::mem::transmute(_mm_cvtph_ps(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn eight(from: *const Self) -> [f32; 8] {
        use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps};
        // SAFETY: as above.
        unsafe { std::mem::transmute(_mm256_cvtph_ps(_mm_loadu_si128(from.cast()))) }
    }
}

/// Whether [`MachineF16`] is for this machine.
pub(crate) fn converts_f16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::is_x86_feature_detected!("avx") && std::is_x86_feature_detected!("f16c");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has
}

/// The number that the bits of an f16 are.
#[inline(always)]
pub(crate) fn widen_f16(half: u16) -> f32 {
    let (sign, magnitude) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7fff));
    // The exponent is biased by 15 instead of 127; the product also brings subnormals in place.
    let finite = f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23);
    let special = magnitude << 13 | 0x7f80_0000;
    let bits = if magnitude < 0x7c00 { finite.to_bits() } else { special };
    f32::from_bits(sign | bits)
}

/// The bits of the f16 nearest to `x`, ties to even.
#[inline(always)]
pub(crate) fn narrow_f16(x: f32) -> u16 {
    let (sign, magnitude) = ((x.to_bits() >> 16) as u16 & 0x8000, x.to_bits() & 0x7fff_ffff);
    // A carry out of the significand goes on into the exponent, as it should.
    let normal = (magnitude.wrapping_add(0xfff + (magnitude >> 13 & 1)) >> 13)
        .wrapping_sub((127 - 15) << 10) as u16;
    // Beside 0.5 an f32 counts in quanta of 2^-24, those of a subnormal f16.
    let tiny = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000) as u16;
    let finite = if magnitude < 0x3880_0000 { tiny } else { normal };
    // From 65520 on it is infinite.
    let number = sign | if magnitude < 0x477f_f000 { finite } else { 0x7c00 };
    if magnitude > 0x7f80_0000 { 0x7e00 } else { number }
}

/// The bits of the bf16 nearest to `x`, ties to even.
#[inline(always)]
pub(crate) fn narrow_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if x.is_nan() { 0x7fc0 } else { rounded }
}

/// How to round to a 16-bit type; none for f32.
pub(crate) fn narrowing(dtype: Dtype) -> Option<fn(f32) -> u16> {
    match dtype {
        Dtype::F16 => Some(narrow_f16),
        Dtype::Bf16 => Some(narrow_bf16),
        Dtype::F32 | Dtype::F64 | Dtype::I32 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that the bits of an f16 are, by definition.
    fn value(bits: u16) -> f64 {
        let fraction = f64::from(bits & 0x3ff);
        let magnitude = match i32::from(bits >> 10 & 0x1f) {
            0 => fraction * (-24f64).exp2(),
            exponent => (1024.0 + fraction) * f64::from(exponent - 25).exp2(),
        };
        if bits >> 15 == 1 { -magnitude } else { magnitude }
    }

    #[test]
    fn every_f16_widens_to_its_number_and_comes_back() {
        for bits in 0..=u16::MAX {
            let (wide, is_finite) = (widen_f16(bits), bits & 0x7fff < 0x7c00);
            if is_finite {
                assert_eq!(f64::from(wide).to_bits(), value(bits).to_bits(), "{bits:#x}");
                assert_eq!(narrow_f16(wide), bits);
            } else {
                assert_eq!(wide.is_nan(), bits & 0x7fff > 0x7c00);
                assert_eq!(narrow_f16(wide), if wide.is_nan() { 0x7e00 } else { bits });
            }
        }
    }

    #[test]
    fn between_two_f16_the_nearer_wins_and_a_tie_is_even() {
        for bits in 0..0x7c00u16 {
            // Beyond the largest one the next power of two stands for infinity.
            let upper = if bits == 0x7bff { 65536.0 } else { value(bits + 1) };
            let middle = ((value(bits) + upper) / 2.0) as f32;
            let even = bits + (bits & 1);
            assert_eq!(narrow_f16(middle), even, "{bits:#x}");
            assert_eq!(narrow_f16(middle.next_down()), bits);
            assert_eq!(narrow_f16(middle.next_up()), bits + 1);
            assert_eq!(narrow_f16(-middle), even | 0x8000);
        }
        assert_eq!(narrow_f16(f32::MAX), 0x7c00);
    }

    #[test]
    fn between_two_bf16_the_nearer_wins_and_a_tie_is_even() {
        for bits in 0..0x7f80u16 {
            let middle = f32::from_bits(u32::from(bits) << 16 | 0x8000);
            assert_eq!(narrow_bf16(middle), bits + (bits & 1));
            assert_eq!(narrow_bf16(middle.next_down()), bits);
            assert_eq!(narrow_bf16(middle.next_up()), bits + 1);
            assert_eq!(narrow_bf16(Bf16(bits | 0x8000).widen()), bits | 0x8000);
        }
        assert_eq!(narrow_bf16(f32::NAN), 0x7fc0);
        assert_eq!(narrow_bf16(f32::from_bits(0xffff_ffff)), 0x7fc0);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_machine_widens_f16_to_the_same_bits() {
        if !converts_f16() {
            return;
        }
        let numbers = (0..=u16::MAX).filter(|b| b & 0x7fff <= 0x7c00 || *b == 0x7e00);
        let all: Vec<u16> = numbers.chain([0; 8]).collect();
        for (at, eight) in all.windows(8).enumerate() {
            let expected: Vec<u32> = eight.iter().map(|&b| widen_f16(b).to_bits()).collect();
            // SAFETY: the window has eight elements and the machine the instructions.
            let (got, four) = unsafe {
                let from = eight.as_ptr().cast::<MachineF16>();
                (MachineF16::eight(from), MachineF16::four(from))
            };
            assert_eq!(got.map(f32::to_bits)[..], expected, "{at}");
            assert_eq!(four.map(f32::to_bits)[..], expected[..4]);
        }
    }
}
