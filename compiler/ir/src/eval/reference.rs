//! Plain definitions that the standard library lacks: erf and the random generator.

/// The error function, to about 1e-15.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    let magnitude = if a < 2.5 { series(a) } else { 1.0 - fraction(a) };
    magnitude.copysign(x)
}

/// 2/sqrt(pi) exp(-x^2) sum of 2^n x^(2n+1) / (2n+1)!!: no cancellation.
fn series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    if x.is_nan() { x } else { std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum }
}

/// erfc by its continued fraction, from the far end.
fn fraction(x: f64) -> f64 {
    if x.is_nan() || x > 30.0 {
        return if x.is_nan() { x } else { 0.0 };
    }
    let tail = (1..=120).rev().fold(x, |tail, n| x + f64::from(n) / 2.0 / tail);
    (-x * x).exp() / tail / std::f64::consts::PI.sqrt()
}

/// One block of Philox4x32-10.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let first = u64::from(c[0]) * 0xD251_1F53;
        let second = u64::from(c[2]) * 0xCD9E_8D57;
        let high = |product: u64| (product >> 32) as u32;
        c = [high(second) ^ c[1] ^ k[0], second as u32, high(first) ^ c[3] ^ k[1], first as u32];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}
