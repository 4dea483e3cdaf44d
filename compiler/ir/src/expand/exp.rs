//! `exp`: x = k ln 2 + r, a Taylor polynomial in r, and an exact scaling by 2^k.

use super::math::{Math, split_f32};
use crate::kernel::{Reg, Scalar};
use crate::types::Dtype;

/// ln 2 as f64 and what is missing to more digits.
pub(super) const LN_2: (f64, f64) = (std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);

/// 1/2!, 1/3! .. up to the degree: exp(r) = 1 + r + r^2 P(r).
fn taylor(degree: u32) -> Vec<f64> {
    let mut coefficient = 1.0;
    let next = |n: u32| {
        coefficient /= f64::from(n);
        coefficient
    };
    (2..=degree).map(next).collect()
}

/// exp(x - k ln 2), for an integer `k` near x / ln 2.
fn polynomial(m: &mut Math<'_>, x: Reg, k: Reg, ln_2: (f64, f64), degree: u32) -> Reg {
    // The first step is exact: k has few bits and the difference is small.
    let r = m.fma_c(k, -ln_2.0, x);
    let r = m.fma_c(k, -ln_2.1, r);
    let p = m.horner(r, &taylor(degree));
    let square = m.mul(r, r);
    let rest = m.fma(square, p, r);
    let one = m.c(1.0);
    m.add(one, rest)
}

/// Below this the result is 0: what is left would be a denormal, at which processors are slow.
const LEAST: f64 = -86.9;
/// Adding it to a small f32 leaves the nearest integer in the last bits of the sum, and 126 more:
/// the exponent bits of 2^(k - 1).
const SHIFT: f64 = 12_582_912.0 + 126.0;

pub(super) fn f32(m: &mut Math<'_>, x: Reg) -> Reg {
    let is_zero = m.below(x, LEAST);
    // Beyond this it is inf; the exponent stays in range.
    let most = m.c(89.0);
    let x = m.two(Scalar::Min, x, most);
    let shift = m.c(SHIFT);
    let shifted = m.fma_c(x, std::f64::consts::LOG2_E, shift);
    let k = m.sub(shifted, shift);
    let p = polynomial(m, x, k, split_f32(LN_2.0, LN_2.1), 7);
    let bits = m.one(Scalar::Bitcast(Dtype::I32), shifted);
    let bits = m.shl(bits, 23);
    let half = m.one(Scalar::Bitcast(Dtype::F32), bits);
    // 2^128 is no f32, so the last factor of two comes by itself.
    let p = m.mul(p, half);
    let p = m.add(p, p);
    let zero = m.c(0.0);
    m.select(is_zero, zero, p)
}

pub(super) fn f64(m: &mut Math<'_>, x: Reg) -> Reg {
    let x = m.clamp(x, -746.0, 710.0);
    let scaled = m.mul_c(x, std::f64::consts::LOG2_E);
    let k = m.one(Scalar::Nearest, scaled);
    let p = polynomial(m, x, k, LN_2, 14);
    // k = 16 q + rest, so that f32 exponents are enough: 2^k = 2^rest (2^q)^8 (2^q)^8.
    let k = m.int(k);
    let shifted = m.add_int(k, 1088);
    let sixteenth = m.shr(shifted, 4);
    let q = m.add_int(sixteenth, -68);
    let whole = m.shl(q, 4);
    let rest = m.sub(k, whole);
    let rest = m.power_of_two(rest);
    let mut eighth = m.power_of_two(q);
    for _ in 0..3 {
        eighth = m.mul(eighth, eighth);
    }
    let p = m.mul(p, rest);
    let p = m.mul(p, eighth);
    m.mul(p, eighth)
}
