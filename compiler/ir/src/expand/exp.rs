//! `exp`: x = k ln 2 + r, a Taylor polynomial in r, and an exact scaling by 2^k.

use super::math::{Math, split_f32};
use crate::kernel::{Reg, Scalar};

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

/// The integer `k` nearest to x / ln 2, as a float, and exp(x - k ln 2).
fn reduced(m: &mut Math<'_>, x: Reg, ln_2: (f64, f64), degree: u32) -> (Reg, Reg) {
    let scaled = m.mul_c(x, std::f64::consts::LOG2_E);
    let k = m.one(Scalar::Nearest, scaled);
    // The first step is exact: k has few bits and the difference is small.
    let r = m.fma_c(k, -ln_2.0, x);
    let r = m.fma_c(k, -ln_2.1, r);
    let p = m.horner(r, &taylor(degree));
    let square = m.mul(r, r);
    let rest = m.fma(square, p, r);
    let one = m.c(1.0);
    (k, m.add(one, rest))
}

pub(super) fn f32(m: &mut Math<'_>, x: Reg) -> Reg {
    // Beyond these the result is inf or 0; the scaling stays in range.
    let is_zero = m.below(x, -104.0);
    let x = m.clamp(x, -104.0, 89.0);
    let (k, p) = reduced(m, x, split_f32(LN_2.0, LN_2.1), 7);
    // The product below would round to 0 as well, but processors are slow at results that small.
    let zero = m.c(0.0);
    let p = m.select(is_zero, zero, p);
    // Two halves: 2^128 and 2^-150 are no f32. Only the last product rounds, also to a denormal.
    let k = m.int(k);
    let shifted = m.add_int(k, 256);
    let half = m.shr(shifted, 1);
    let first = m.add_int(half, -128);
    let second = m.sub(k, first);
    let (first, second) = (m.power_of_two(first), m.power_of_two(second));
    let p = m.mul(p, first);
    m.mul(p, second)
}

pub(super) fn f64(m: &mut Math<'_>, x: Reg) -> Reg {
    let x = m.clamp(x, -746.0, 710.0);
    let (k, p) = reduced(m, x, LN_2, 14);
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
