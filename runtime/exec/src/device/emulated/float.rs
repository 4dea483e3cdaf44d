//! Floats as hardware has them: NaNs of single precision are one; halves.

/// What arithmetic in single precision gives for NaN. PTX ISA 9.7.3.
const NAN: u32 = 0x7fff_ffff;
/// The same of 16 bits, for both types.
const NAN_16: u32 = 0x7fff;

/// The bits of a result.
pub(super) fn single(x: f32) -> u32 {
    if x.is_nan() { NAN } else { x.to_bits() }
}

pub(super) fn f32_of(bits: u32) -> f32 {
    f32::from_bits(bits)
}

/// The bits of a single that was evaluated in double precision.
pub(super) fn rounded(x: f64) -> u32 {
    single(x as f32)
}

/// `a * b + c` with one rounding.
///
/// The product of singles is exact in double precision. The sum is rounded to odd there, so that
/// the second rounding sees on which side of a tie it lies (Boldo and Melquiond 2008).
pub(super) fn fma(a: u32, b: u32, c: u32) -> u32 {
    let product = f64::from(f32_of(a)) * f64::from(f32_of(b));
    let c = f64::from(f32_of(c));
    let sum = product + c;
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    let bits = sum.to_bits();
    // An error that is NaN belongs to an infinite sum, which is exact.
    let is_inexact = error.abs() > 0.0;
    let is_outwards = (error > 0.0) == (sum > 0.0);
    let step = if is_outwards { 1 } else { u64::MAX };
    let is_even = bits & 1 == 0;
    rounded(f64::from_bits(if is_inexact && is_even { bits.wrapping_add(step) } else { bits }))
}

/// NaN wins, and -0 is below +0.
pub(super) fn min(a: u32, b: u32) -> u32 {
    let (x, y) = (f32_of(a), f32_of(b));
    let least = if x < y { a } else { b };
    let both = if x == y { a | b } else { least };
    if x.is_nan() || y.is_nan() { NAN } else { both }
}

/// NaN wins, and -0 is below +0.
pub(super) fn max(a: u32, b: u32) -> u32 {
    let (x, y) = (f32_of(a), f32_of(b));
    let most = if x > y { a } else { b };
    let both = if x == y { a & b } else { most };
    if x.is_nan() || y.is_nan() { NAN } else { both }
}

/// A number wins over NaN, and -0 is below +0.
pub(super) fn min_f64(a: u64, b: u64) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    match (x.is_nan(), y.is_nan()) {
        (true, true) => f64::NAN.to_bits(),
        (true, false) => b,
        (false, true) => a,
        (false, false) if x == y => a | b,
        (false, false) => x.min(y).to_bits(),
    }
}

/// A number wins over NaN, and -0 is below +0.
pub(super) fn max_f64(a: u64, b: u64) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    match (x.is_nan(), y.is_nan()) {
        (true, true) => f64::NAN.to_bits(),
        (true, false) => b,
        (false, true) => a,
        (false, false) if x == y => a & b,
        (false, false) => x.max(y).to_bits(),
    }
}

/// Towards 0, saturating; NaN to the least number.
pub(super) fn s32_of_f64(x: f64) -> u32 {
    if x.is_nan() { i32::MIN.cast_unsigned() } else { (x as i32).cast_unsigned() }
}

/// To the nearest half, ties to even, beyond the range to infinity.
pub(super) fn to_f16(bits: u32) -> u32 {
    let x = f32_of(bits);
    let sign = bits >> 16 & 0x8000;
    let size = bits & 0x7fff_ffff;
    if x.is_nan() {
        return NAN_16;
    }
    // From the middle between the largest half and the next power of two on.
    if size >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    // Below the least normal half: units of 2^-24.
    if size < 0x3880_0000 {
        return sign | (f32_of(size) * 16_777_216.0).round_ties_even() as u32;
    }
    let rebiased = size - (112 << 23);
    sign | (rebiased + 0xfff + (rebiased >> 13 & 1)) >> 13
}

/// Exactly.
pub(super) fn from_f16(half: u32) -> u32 {
    let sign = (half & 0x8000) << 16;
    let size = half & 0x7fff;
    let wide = match size >> 10 {
        0 => (size as f32 / 16_777_216.0).to_bits(),
        0x1f if size > 0x7c00 => return NAN,
        0x1f => 0x7f80_0000,
        _ => (size << 13) + (112 << 23),
    };
    sign | wide
}

/// To the nearest bf16, ties to even.
pub(super) fn to_bf16(bits: u32) -> u32 {
    if f32_of(bits).is_nan() {
        return NAN_16;
    }
    // A carry out of the largest number gives infinity.
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}
