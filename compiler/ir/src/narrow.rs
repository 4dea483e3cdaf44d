//! The 16-bit floats: their one rounding, and the bits that memory holds.
//!
//! Both are storage types. A register, a tensor of the interpreter and a constant hold such a
//! number as the f32 that it equals; only memory has 16 bits.

use crate::types::Dtype;

/// Explicit bits of an f16's significand.
const F16_FRACTION: u32 = 10;
/// The exponent of the smallest normal f16.
const F16_MIN_EXPONENT: i32 = -14;
/// The largest finite f16.
const F16_MAX: f64 = 65504.0;
/// The canonical NaN.
const NAN: f32 = f32::from_bits(0x7fc0_0000);

/// 2 to the power `n`, of a normal f64.
fn power_of_two(n: i32) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

/// The f16 nearest to `x`, ties to even; infinity from 65520 on, and every NaN is the same.
pub fn round_f16(x: f32) -> f32 {
    if x.is_nan() {
        return NAN;
    }
    // In f64 the quantum of the result and the division by it are exact.
    let exponent = ((x.abs().to_bits() >> 23) as i32 - 127).max(F16_MIN_EXPONENT);
    let quantum = power_of_two(exponent - F16_FRACTION as i32);
    let rounded = (f64::from(x) / quantum).round_ties_even() * quantum;
    if rounded.abs() > F16_MAX {
        return f32::INFINITY.copysign(x);
    }
    rounded as f32
}

/// The bf16 nearest to `x`, ties to even; infinity where it is beyond the largest one, and every
/// NaN is the same.
pub fn round_bf16(x: f32) -> f32 {
    if x.is_nan() {
        return NAN;
    }
    // A bf16 is the upper half of an f32; a carry goes on into the exponent, as it should.
    let bits = x.to_bits();
    let is_odd = bits >> 16 & 1;
    f32::from_bits((bits + 0x7fff + is_odd) & 0xffff_0000)
}

/// `x` as an element of `dtype` is held in an f32: rounded where that type is narrow.
pub fn round(dtype: Dtype, x: f32) -> f32 {
    match dtype {
        Dtype::F16 => round_f16(x),
        Dtype::Bf16 => round_bf16(x),
        Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => x,
    }
}

/// The 16 bits in memory of a number that is exactly one of `dtype`.
pub fn pack(dtype: Dtype, x: f32) -> u16 {
    let bits = x.to_bits();
    let upper = (bits >> 16) as u16;
    match dtype {
        Dtype::F16 => {
            let sign = upper & 0x8000;
            let magnitude = x.abs();
            if magnitude.is_infinite() || magnitude.is_nan() {
                return sign | 0x7c00 | u16::from(magnitude.is_nan()) << 9;
            }
            if f64::from(magnitude) < power_of_two(F16_MIN_EXPONENT) {
                // A subnormal counts quanta of 2^-24.
                return sign | (f64::from(magnitude) * power_of_two(24)) as u16;
            }
            // Both keep their exponents biased, by 15 and by 127.
            let bits = magnitude.to_bits() >> (23 - F16_FRACTION);
            sign | (bits - ((127 - 15) << F16_FRACTION)) as u16
        }
        Dtype::Bf16 => upper,
        Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => {
            unreachable!("{dtype} has no 16 bits")
        }
    }
}

/// The number that 16 bits of `dtype` are.
pub fn unpack(dtype: Dtype, bits: u16) -> f32 {
    match dtype {
        Dtype::F16 => {
            let exponent = i32::from(bits >> F16_FRACTION & 0x1f);
            let fraction = f64::from(bits & 0x3ff);
            let magnitude = match exponent {
                0 => fraction * power_of_two(-24),
                31 if fraction > 0.0 => return NAN,
                31 => f64::INFINITY,
                _ => (1024.0 + fraction) * power_of_two(exponent - 25),
            };
            if bits >> 15 == 1 { -magnitude as f32 } else { magnitude as f32 }
        }
        Dtype::Bf16 => f32::from_bits(u32::from(bits) << 16),
        Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => {
            unreachable!("{dtype} has no 16 bits")
        }
    }
}
