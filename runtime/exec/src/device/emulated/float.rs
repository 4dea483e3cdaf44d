//! Floats as hardware has them: NaNs of single precision are one; halves.

/// What arithmetic in single precision gives for NaN. PTX ISA 9.7.3.
const NAN: u32 = 0x7fff_ffff;
/// The same of 16 bits, for both types.
const NAN_16: u32 = 0x7fff;

/// The bits of a result.
#[inline]
pub(super) fn single(x: f32) -> u32 {
    if x.is_nan() { NAN } else { x.to_bits() }
}

#[inline]
pub(super) fn f32_of(bits: u32) -> f32 {
    f32::from_bits(bits)
}

/// The bits of a single that was evaluated in double precision.
#[inline]
pub(super) fn rounded(x: f64) -> u32 {
    single(x as f32)
}

/// `a * b + c` with one rounding, in all lanes.
///
/// The product of singles is exact in double precision. The sum is rounded there, and so a second
/// time here; that is wrong only where the first result is the middle between two singles, or is
/// below the normal ones.
pub(super) fn fma<const N: usize>(a: &[u32; N], b: &[u32; N], c: &[u32; N]) -> [u32; N] {
    let mut sums = [0.0; N];
    let mut is_near = false;
    for lane in 0..N {
        let product = f64::from(f32_of(a[lane])) * f64::from(f32_of(b[lane]));
        let sum = product + f64::from(f32_of(c[lane]));
        is_near |= sum.to_bits() & 0x1fff_ffff == 0x1000_0000;
        is_near |= sum.abs() < f64::from(f32::MIN_POSITIVE) && sum != 0.0;
        sums[lane] = sum;
    }
    if is_near {
        return std::array::from_fn(|lane| {
            let [a, b, c] = [a, b, c].map(|x| f32_of(x[lane]));
            single(a.mul_add(b, c))
        });
    }
    let mut all = [0; N];
    for lane in 0..N {
        all[lane] = rounded(sums[lane]);
    }
    all
}

/// NaN wins, and -0 is below +0.
#[inline]
pub(super) fn min(a: u32, b: u32) -> u32 {
    let (x, y) = (f32_of(a), f32_of(b));
    let least = if x < y { a } else { b };
    let both = if x == y { a | b } else { least };
    if x.is_nan() || y.is_nan() { NAN } else { both }
}

/// NaN wins, and -0 is below +0.
#[inline]
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
#[inline]
pub(super) fn s32_of_f64(x: f64) -> u32 {
    if x.is_nan() { i32::MIN.cast_unsigned() } else { (x as i32).cast_unsigned() }
}

/// To the nearest half, ties to even, beyond the range to infinity.
#[inline]
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
#[inline]
pub(super) fn from_f16(half: u32) -> u32 {
    let size = half & 0x7fff;
    let normal = (size << 13) + (112 << 23);
    let denormal = (size.cast_signed() as f32 * (1.0 / 16_777_216.0)).to_bits();
    let scaled = if size >> 10 == 0 { denormal } else { normal };
    let finite = if size >= 0x7c00 { 0x7f80_0000 } else { scaled };
    if size > 0x7c00 { NAN } else { finite | (half & 0x8000) << 16 }
}

/// To the nearest bf16, ties to even.
#[inline]
pub(super) fn to_bf16(bits: u32) -> u32 {
    if f32_of(bits).is_nan() {
        return NAN_16;
    }
    // A carry out of the largest number gives infinity.
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}
