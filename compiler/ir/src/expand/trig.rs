//! `cos`: x = k pi/2 + r, then sine or cosine of r by Taylor polynomials.
//!
//! The reduction is in f64 also for f32, so that positions of long contexts keep their accuracy.

use super::math::Math;
use crate::kernel::{Reg, Scalar};
use crate::types::Dtype;

/// pi/2 as f64 and the next digits.
const HALF_PI: (f64, f64) = (std::f64::consts::FRAC_PI_2, 6.123_233_995_736_766e-17);

/// r in about -pi/4 .. pi/4, and k modulo 4 as a float; both f64.
fn reduced(m: &mut Math<'_>, x: Reg) -> (Reg, Reg) {
    let scaled = m.mul_c(x, std::f64::consts::FRAC_2_PI);
    let k = m.one(Scalar::Nearest, scaled);
    let r = m.fma_c(k, -HALF_PI.0, x);
    let r = m.fma_c(k, -HALF_PI.1, r);
    // A huge x leaves no digits of r; whatever comes out stays a cosine of something.
    let r = m.clamp(r, -1.0, 1.0);
    let quarter = m.mul_c(k, 0.25);
    let turns = m.one(Scalar::Floor, quarter);
    (r, m.fma_c(turns, -4.0, k))
}

/// The alternating coefficients 1/start!, -1/(start + 2)! .., up to the degree.
fn taylor(start: u32, degree: u32) -> Vec<f64> {
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let sign = |n: u32| if (n - start).is_multiple_of(4) { 1.0 } else { -1.0 };
    (start..=degree).step_by(2).map(|n| sign(n) / factorial(n)).collect()
}

/// cos(r + quadrant pi/2); `quadrant` is f64.
fn in_quadrant(m: &mut Math<'_>, r: Reg, quadrant: Reg, degree: u32) -> Reg {
    let z = m.mul(r, r);
    let p = m.horner(z, &taylor(3, degree + 1));
    let cube = m.mul(r, z);
    let minus_p = m.one(Scalar::Neg, p);
    let sine = m.fma(cube, minus_p, r);
    let p = m.horner(z, &taylor(4, degree));
    let half = m.c(-0.5);
    let tail = m.fma(z, p, half);
    let one = m.c(1.0);
    let cosine = m.fma(z, tail, one);

    let mut wide = m.in_f64();
    let is_first = wide.is(quadrant, 1.0);
    let is_second = wide.is(quadrant, 2.0);
    let is_third = wide.is(quadrant, 3.0);
    let is_odd = wide.two(Scalar::Or, is_first, is_third);
    let is_minus = wide.two(Scalar::Or, is_first, is_second);
    let value = m.select(is_odd, sine, cosine);
    let minus = m.one(Scalar::Neg, value);
    m.select(is_minus, minus, value)
}

pub(super) fn cos_f32(m: &mut Math<'_>, x: Reg) -> Reg {
    let mut wide = m.in_f64();
    let x = wide.float(x);
    let (r, quadrant) = reduced(&mut wide, x);
    let r = m.one(Scalar::Cast(Dtype::F32), r);
    in_quadrant(m, r, quadrant, 10)
}

pub(super) fn cos_f64(m: &mut Math<'_>, x: Reg) -> Reg {
    let (r, quadrant) = reduced(m, x);
    in_quadrant(m, r, quadrant, 18)
}
