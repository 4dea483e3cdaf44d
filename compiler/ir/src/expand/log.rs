//! `log`: x = 2^e m with m near 1, and the series of atanh in (m - 1) / (m + 1).

use super::exp::LN_2;
use super::math::Math;
use crate::kernel::{Reg, Scalar};
use crate::types::Dtype;

/// What moves the bits of sqrt(1/2) to those of 1, so that m is in sqrt(1/2) .. sqrt(2).
const CENTRE: i32 = 0x3f80_0000 - 0x3f35_04f3;

/// The exponent of a positive normal f32, as i32.
fn exponent(m: &mut Math<'_>, bits: Reg) -> Reg {
    let moved = m.add_int(bits, CENTRE);
    let biased = m.shr(moved, 23);
    m.add_int(biased, -127)
}

/// e ln 2 + log(1 + f), with `terms` terms of the series.
fn combine(m: &mut Math<'_>, e: Reg, f: Reg, terms: u32, ln_2_high: f64) -> Reg {
    let ln_2_low = (LN_2.0 - ln_2_high) + LN_2.1;
    let two = m.c(2.0);
    let below = m.add(two, f);
    let s = m.div(f, below);
    let z = m.mul(s, s);
    // log(1 + f) = 2s + s R, R = 2z/3 + 2z^2/5 + ..; 2s is written as f - f^2/2 + s f^2/2.
    let series: Vec<f64> = (1..=terms).map(|n| 2.0 / f64::from(2 * n + 1)).collect();
    let p = m.horner(z, &series);
    let r = m.mul(z, p);
    let square = m.mul(f, f);
    let half = m.mul_c(square, 0.5);
    let sum = m.add(half, r);
    let low = m.mul_c(e, ln_2_low);
    let tail = m.fma(s, sum, low);
    let tail = m.sub(half, tail);
    let rest = m.sub(f, tail);
    // e times the high part is exact: it has trailing zeros.
    m.fma_c(e, ln_2_high, rest)
}

/// -inf at 0, NaN below, inf at inf, NaN at NaN.
fn with_limits(m: &mut Math<'_>, x: Reg, log: Reg) -> Reg {
    let (inf, nan) = (m.c(f64::INFINITY), m.c(f64::NAN));
    let minus_inf = m.c(f64::NEG_INFINITY);
    let is_inf = m.is(x, f64::INFINITY);
    let log = m.select(is_inf, inf, log);
    let is_zero = m.is(x, 0.0);
    let log = m.select(is_zero, minus_inf, log);
    let zero = m.c(0.0);
    let is_valid = m.two(Scalar::Le, zero, x);
    m.select(is_valid, log, nan)
}

pub(super) fn f32(m: &mut Math<'_>, x: Reg) -> Reg {
    // A denormal is scaled by 2^25 first.
    let is_small = m.below(x, f64::from(f32::MIN_POSITIVE));
    let scaled = m.mul_c(x, 33_554_432.0);
    let normal = m.select(is_small, scaled, x);
    let bits = m.one(Scalar::Bitcast(Dtype::I32), normal);
    let e = exponent(m, bits);
    let shift = m.shl(e, 23);
    let bits = m.sub(bits, shift);
    let centred = m.one(Scalar::Bitcast(Dtype::F32), bits);
    let (zero, lower) = (m.body.int(0), m.body.int(-25));
    let correction = m.select(is_small, lower, zero);
    let e = m.add(e, correction);
    let e = m.float(e);
    let one = m.c(1.0);
    let f = m.sub(centred, one);
    // ln 2 in 16 bits.
    let log = combine(m, e, f, 6, 45_426.0 / 65_536.0);
    with_limits(m, x, log)
}

pub(super) fn f64(m: &mut Math<'_>, x: Reg) -> Reg {
    let (near, shift) = near_one(m, x);
    // What is left is in the range of f32, whose bits give the exponent.
    let single = m.one(Scalar::Cast(Dtype::F32), near);
    let bits = m.one(Scalar::Bitcast(Dtype::I32), single);
    let e = exponent(m, bits);
    let zero = m.body.int(0);
    let minus = m.sub(zero, e);
    let scale = m.power_of_two(minus);
    let centred = m.mul(near, scale);
    let e = m.float(e);
    let e = m.add(e, shift);
    let one = m.c(1.0);
    let f = m.sub(centred, one);
    // ln 2 in 32 bits.
    let log = combine(m, e, f, 12, 2_977_044_472.0 / 4_294_967_296.0);
    with_limits(m, x, log)
}

/// x scaled exactly into 2^-64 .. 2^64, and the exponent that was taken out.
fn near_one(m: &mut Math<'_>, x: Reg) -> (Reg, Reg) {
    let (mut x, mut shift) = (x, m.c(0.0));
    for by in [512, 256, 128, 64] {
        let limit = 2f64.powi(by);
        let bound = m.c(limit);
        let is_large = m.two(Scalar::Le, bound, x);
        (x, shift) = scaled(m, is_large, (x, shift), -by);
    }
    for by in [512, 512, 256, 128, 64] {
        let is_small = m.below(x, 2f64.powi(-by));
        (x, shift) = scaled(m, is_small, (x, shift), by);
    }
    (x, shift)
}

fn scaled(m: &mut Math<'_>, when: Reg, (x, shift): (Reg, Reg), by: i32) -> (Reg, Reg) {
    let moved = m.mul_c(x, 2f64.powi(by));
    let count = m.c(-f64::from(by));
    let shifted = m.add(shift, count);
    (m.select(when, moved, x), m.select(when, shifted, shift))
}
