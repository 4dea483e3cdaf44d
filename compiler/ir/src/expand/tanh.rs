//! `tanh`: in f32 a ratio of polynomials; in f64 by `exp`.

use super::exp;
use super::math::Math;
use crate::kernel::{Reg, Scalar};

/// P and Q of tanh x = x P(x^2) / Q(x^2) for |x| up to [`END`]: the ratio of least relative error,
/// 2.2e-8, found by weighted least squares.
const P: [f64; 5] = [
    0.999_999_979_626,
    0.133_796_557_907,
    0.003_493_955_663_07,
    2.058_201_486_21e-5,
    1.331_679_022_46e-8,
];
const Q: [f64; 5] =
    [1.0, 0.467_129_713_041, 0.025_870_785_797_8, 0.000_328_295_610_016, 7.761_135_087_07e-7];
/// From here on tanh is 1 in f32.
const END: f64 = 9.02;

pub(super) fn f32(m: &mut Math<'_>, x: Reg) -> Reg {
    let x = m.clamp(x, -END, END);
    let square = m.mul(x, x);
    let above = m.horner(square, &P);
    let above = m.mul(x, above);
    let below = m.horner(square, &Q);
    let ratio = m.div(above, below);
    m.clamp(ratio, -1.0, 1.0)
}

/// Where the series of f64 ends.
const LIMIT: f64 = 0.64;

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
    let one = m.c(1.0);
    let below = m.add(exp, one);
    let part = m.div(two, below);
    let large = m.sub(one, part);
    let is_small = m.below(magnitude, LIMIT);
    let result = m.select(is_small, small, large);
    m.with_sign(result, x)
}
