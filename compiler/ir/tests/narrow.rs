//! The rounding and the bits of 16-bit floats, against a list of all their numbers.

use ir::narrow::{pack, round, unpack};
use ir::types::Dtype;

/// Fraction bits, the exponent of the smallest normal number and that of the largest.
fn format(dtype: Dtype) -> (u32, i32, i32) {
    if dtype == Dtype::F16 { (10, -14, 15) } else { (7, -126, 127) }
}

/// Every finite number that is not negative, ascending: its index is its bits.
fn numbers(dtype: Dtype) -> Vec<f64> {
    let (fraction, least, most) = format(dtype);
    let steps = 1u32 << fraction;
    let quantum = |exponent: i32| 2f64.powi(exponent - fraction as i32);
    let subnormal = (0..steps).map(|f| f64::from(f) * quantum(least));
    let normal =
        (least..=most).flat_map(|e| (0..steps).map(move |f| f64::from(steps + f) * quantum(e)));
    subnormal.chain(normal).collect()
}

/// The nearest number; between two, the one with even bits; one more than the largest is infinity.
fn nearest(numbers: &[f64], dtype: Dtype, x: f64) -> f64 {
    let beyond = 2f64.powi(format(dtype).2 + 1);
    let at = |i: usize| numbers.get(i).copied().unwrap_or(beyond);
    let above = numbers.partition_point(|&n| n < x.abs());
    let below = above.saturating_sub(1);
    let (low, high) = (x.abs() - at(below), at(above) - x.abs());
    let is_up = high < low || (high == low && above.is_multiple_of(2));
    let magnitude = if is_up { at(above) } else { at(below) };
    let magnitude = if magnitude >= beyond { f64::INFINITY } else { magnitude };
    magnitude.copysign(x)
}

/// A small generator of our own (Steele et al. 2014, SplitMix).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
}

#[test]
fn all_bit_patterns_come_back() {
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let known = numbers(dtype);
        for bits in 0..=u16::MAX {
            let x = unpack(dtype, bits);
            if x.is_nan() {
                let canonical = if dtype == Dtype::F16 { 0x7e00 } else { 0x7fc0 };
                assert_eq!(pack(dtype, round(dtype, x)), canonical, "{dtype} {bits:04x}");
                continue;
            }
            let magnitude = known.get(usize::from(bits & 0x7fff)).copied();
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            assert_eq!(f64::from(x), sign * magnitude.unwrap_or(f64::INFINITY));
            assert_eq!(
                round(dtype, x).to_bits(),
                x.to_bits(),
                "{dtype} {bits:04x} rounds to itself"
            );
            assert_eq!(pack(dtype, x), bits, "{dtype} {x}");
        }
    }
}

#[test]
fn rounding_finds_the_nearest_number() {
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let known = numbers(dtype);
        let check = |x: f32| {
            if x.is_nan() {
                assert_eq!(round(dtype, x).to_bits(), 0x7fc0_0000);
                return;
            }
            let expected = nearest(&known, dtype, f64::from(x)) as f32;
            assert_eq!(round(dtype, x).to_bits(), expected.to_bits(), "{dtype} {x:e}");
        };
        // Every number, every tie and what is next to them.
        for pair in known.windows(2) {
            for middle in [pair[0] as f32, ((pair[0] + pair[1]) / 2.0) as f32] {
                for x in [middle.next_down(), middle, middle.next_up()] {
                    check(x);
                    check(-x);
                }
            }
        }
        for x in [65504.0, 65519.99, 65520.0, 65536.0, f32::MAX, f32::INFINITY, f32::NAN] {
            check(x);
            check(-x);
        }
        let mut state = 1;
        for _ in 0..2_000_000 {
            check(f32::from_bits(random(&mut state) as u32));
        }
    }
}
