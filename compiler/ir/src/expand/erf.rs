//! `erf`: an odd polynomial up to 1, then one minus an exponential.
//!
//! Beyond 1 the complement is below 0.16, so its relative error hardly counts.

use super::exp;
use super::math::Math;
use crate::kernel::{Reg, Scalar};

/// P of erf x = x + x P(x^2) for |x| up to 1; Chebyshev interpolation, error 1.3e-9.
const SMALL: [f64; 7] = [
    0.128_379_165_848_350_95,
    -0.376_126_266_667_203_3,
    0.112_835_947_151_602_18,
    -0.026_854_212_010_626_412,
    0.005_189_087_423_433_974,
    -0.000_801_686_428_716_587,
    0.000_078_758_750_626_854_88,
];

/// log erfc(1 + t) for t in 0 .. 3; Chebyshev interpolation, error 8e-9.
const LOG_COMPLEMENT: [f64; 10] = [
    -1.849_605_501_591_254_3,
    -2.638_968_074_695_066,
    -0.843_100_849_140_514_9,
    -0.041_590_457_217_433_42,
    0.010_104_860_316_343_366,
    -0.002_081_732_082_632_244,
    0.000_336_385_925_936_121_24,
    -0.000_038_454_642_034_861_83,
    0.000_002_639_243_213_456_448,
    -0.000_000_075_826_819_697_252_74,
];

/// log erfc(a) + a^2 for a = 3.5 + 2.5 u in 1 .. 6; Chebyshev interpolation, error 3e-16.
const LOG_COMPLEMENT_F64: [f64; 24] = [
    -1.862_437_402_148_174,
    -0.665_248_970_912_977_2,
    0.207_793_407_861_140_1,
    -0.081_650_909_717_812_2,
    0.034_128_411_075_984_803,
    -0.014_384_548_330_034_056,
    0.005_953_704_546_707_301,
    -0.002_373_997_287_185_778_4,
    0.000_893_575_902_216_765,
    -0.000_307_819_490_051_535_24,
    0.000_090_904_817_077_207_62,
    -0.000_018_474_935_013_349_413,
    -0.000_001_491_759_268_684_243,
    0.000_004_567_482_282_873_93,
    -0.000_003_387_990_651_103_627_3,
    0.000_001_914_247_497_267_893,
    -0.000_000_967_831_163_943_711_8,
    0.000_000_390_180_391_702_755_53,
    -0.000_000_076_441_133_156_681_8,
    0.000_000_020_037_511_431_082_82,
    -0.000_000_037_630_401_073_729_45,
    0.000_000_004_239_998_243_092_615,
    0.000_000_018_019_347_257_583_866,
    -0.000_000_007_159_677_424_539_575,
];

/// Chooses between the two ranges and puts the sign back.
fn joined(m: &mut Math<'_>, x: Reg, small: Reg, complement: Reg) -> Reg {
    let magnitude = m.one(Scalar::Abs, x);
    let one = m.c(1.0);
    let large = m.sub(one, complement);
    let is_small = m.below(magnitude, 1.0);
    let result = m.select(is_small, small, large);
    m.with_sign(result, x)
}

pub(super) fn f32(m: &mut Math<'_>, x: Reg) -> Reg {
    let magnitude = m.one(Scalar::Abs, x);
    let square = m.mul(magnitude, magnitude);
    let p = m.horner(square, &SMALL);
    let small = m.fma(magnitude, p, magnitude);
    // From 4 on the complement is below half a unit of 1.
    let limited = m.clamp(magnitude, 1.0, 4.0);
    let one = m.c(1.0);
    let t = m.sub(limited, one);
    let log = m.horner(t, &LOG_COMPLEMENT);
    let complement = exp::f32(m, log);
    joined(m, x, small, complement)
}

pub(super) fn f64(m: &mut Math<'_>, x: Reg) -> Reg {
    let magnitude = m.one(Scalar::Abs, x);
    let square = m.mul(magnitude, magnitude);
    let p = m.horner(square, &series());
    let small = m.mul(magnitude, p);
    let limited = m.clamp(magnitude, 1.0, 6.0);
    let centre = m.c(3.5);
    let moved = m.sub(limited, centre);
    let u = m.mul_c(moved, 0.4);
    let p = m.horner(u, &LOG_COMPLEMENT_F64);
    let minus = m.one(Scalar::Neg, limited);
    let log = m.fma(minus, limited, p);
    let complement = exp::f64(m, log);
    joined(m, x, small, complement)
}

/// The coefficients of erf(x) / x in x^2: 2/sqrt(pi) (-1)^n / (n! (2n + 1)).
fn series() -> Vec<f64> {
    let mut factorial = 1.0;
    let term = |n: u32| {
        factorial *= f64::from(n.max(1));
        let sign = if n.is_multiple_of(2) { 1.0 } else { -1.0 };
        std::f64::consts::FRAC_2_SQRT_PI * sign / (factorial * f64::from(2 * n + 1))
    };
    (0..22).map(term).collect()
}
