//! Random numbers by counter for the host: no state but a number.
//!
//! The mixer is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).

/// A bijection on 64 bits that spreads every bit over all.
pub fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Number `counter` of the stream of `seed`, uniform in `0..1`.
pub fn uniform(seed: u64, counter: u64) -> f64 {
    let bits = mix(mix(seed) ^ mix(counter.wrapping_add(1)));
    // 53 bits, all a double holds.
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_over_the_interval() {
        let n = 10_000;
        let mean: f64 = (0..n).map(|i| uniform(4, i)).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!((0..n).all(|i| (0.0..1.0).contains(&uniform(4, i))));
        assert_ne!(uniform(4, 0), uniform(5, 0));
    }
}
