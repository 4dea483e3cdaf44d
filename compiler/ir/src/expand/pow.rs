//! `pow`: exp(y log |x|) in f64, with the special cases of C.

use super::math::Math;
use super::{exp, log};
use crate::kernel::{Reg, Scalar};
use crate::types::Dtype;

pub(super) fn f32(m: &mut Math<'_>, x: Reg, y: Reg) -> Reg {
    let mut wide = m.in_f64();
    let (x, y) = (wide.float(x), wide.float(y));
    let power = f64(&mut wide, x, y);
    m.one(Scalar::Cast(Dtype::F32), power)
}

pub(super) fn f64(m: &mut Math<'_>, x: Reg, y: Reg) -> Reg {
    let magnitude = m.one(Scalar::Abs, x);
    let log = log::f64(m, magnitude);
    let product = m.mul(y, log);
    let power = exp::f64(m, product);
    let power = with_sign(m, power, x, y);
    // 1^y and x^0 are 1, also for a NaN; (-1)^inf is 1.
    let one = m.c(1.0);
    let is_one = m.is(x, 1.0);
    let is_zeroth = m.is(y, 0.0);
    let power = m.select(is_one, one, power);
    let power = m.select(is_zeroth, one, power);
    let is_unit = m.is(magnitude, 1.0);
    let y_magnitude = m.one(Scalar::Abs, y);
    let is_endless = m.is(y_magnitude, f64::INFINITY);
    let is_limit = m.two(Scalar::And, is_unit, is_endless);
    m.select(is_limit, one, power)
}

/// For a negative x: minus for an odd y, NaN for a y that is no integer.
fn with_sign(m: &mut Math<'_>, power: Reg, x: Reg, y: Reg) -> Reg {
    let (one, nan) = (m.c(1.0), m.c(f64::NAN));
    // A negative zero counts as negative: 1 / x is below 0.
    let reciprocal = m.div(one, x);
    let is_below = m.below(x, 0.0);
    let is_minus = m.below(reciprocal, 0.0);
    let is_negative = m.two(Scalar::Or, is_below, is_minus);
    let floor = m.one(Scalar::Floor, y);
    let is_integer = m.two(Scalar::Eq, floor, y);
    let half = m.mul_c(y, 0.5);
    let half_floor = m.one(Scalar::Floor, half);
    let is_even = m.two(Scalar::Eq, half_floor, half);
    let is_fraction = m.one(Scalar::Not, is_integer);
    let is_odd = m.one(Scalar::Not, is_even);
    let is_odd = m.two(Scalar::And, is_odd, is_integer);
    let flips = m.two(Scalar::And, is_negative, is_odd);
    let minus = m.one(Scalar::Neg, power);
    let power = m.select(flips, minus, power);
    // -inf and -0 have real powers.
    let minus_inf = m.c(f64::NEG_INFINITY);
    let is_finite = m.two(Scalar::Lt, minus_inf, x);
    let is_proper = m.two(Scalar::And, is_below, is_finite);
    let is_wrong = m.two(Scalar::And, is_proper, is_fraction);
    m.select(is_wrong, nan, power)
}
