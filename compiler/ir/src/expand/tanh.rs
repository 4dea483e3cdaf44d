//! `tanh`: an odd polynomial near 0, `1 - 2 / (exp(2|x|) + 1)` elsewhere.

use super::exp;
use super::math::Math;
use crate::kernel::{Reg, Scalar};

/// P of tanh x = x + x^3 P(x^2) for |x| below 0.64; Chebyshev interpolation, error 2e-9.
const SMALL: [f64; 6] = [
    -0.333_333_331_234_391_9,
    0.133_332_963_528_113,
    -0.053_957_595_132_456_25,
    0.021_755_700_345_853_29,
    -0.008_301_695_360_635_958,
    0.002_246_003_685_593_036_4,
];

/// Where the polynomial ends.
const LIMIT: f64 = 0.64;

fn large(m: &mut Math<'_>, exp: Reg) -> Reg {
    let (one, two) = (m.c(1.0), m.c(2.0));
    let below = m.add(exp, one);
    let part = m.div(two, below);
    m.sub(one, part)
}

pub(super) fn f32(m: &mut Math<'_>, x: Reg) -> Reg {
    let magnitude = m.one(Scalar::Abs, x);
    let square = m.mul(magnitude, magnitude);
    let p = m.horner(square, &SMALL);
    let cube = m.mul(square, magnitude);
    let small = m.fma(cube, p, magnitude);
    let twice = m.add(magnitude, magnitude);
    let exp = exp::f32(m, twice);
    let large = large(m, exp);
    let is_small = m.below(magnitude, LIMIT);
    let result = m.select(is_small, small, large);
    m.with_sign(result, x)
}

pub(super) fn f64(m: &mut Math<'_>, x: Reg) -> Reg {
    let magnitude = m.one(Scalar::Abs, x);
    let twice = m.add(magnitude, magnitude);
    // t = exp(2|x|) - 1 by Taylor: tanh |x| = t / (t + 2).
    let series: Vec<f64> =
        (1..=24).map(|n| 1.0 / (1..=n).map(f64::from).product::<f64>()).collect();
    let p = m.horner(twice, &series);
    let t = m.mul(twice, p);
    let two = m.c(2.0);
    let below = m.add(t, two);
    let small = m.div(t, below);
    let exp = exp::f64(m, twice);
    let large = large(m, exp);
    let is_small = m.below(magnitude, LIMIT);
    let result = m.select(is_small, small, large);
    m.with_sign(result, x)
}
