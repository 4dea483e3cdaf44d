//! Conversions, against what is nearest among all values of a type.

use crate::instructions::is;
use crate::values::{doubles, random, singles, words};

fn alone(values: Vec<u64>) -> Vec<[u64; 3]> {
    values.into_iter().map(|x| [x, 0, 0]).collect()
}

/// A type of 16 bits: the bits of its exponent's unit, and of infinity.
#[derive(Clone, Copy)]
struct Half {
    mantissa_bits: u32,
    bias: i32,
}

const F16: Half = Half { mantissa_bits: 10, bias: 15 };
const BF16: Half = Half { mantissa_bits: 7, bias: 127 };

impl Half {
    fn infinity(self) -> u16 {
        0x7fff >> self.mantissa_bits << self.mantissa_bits
    }

    /// The value of a positive number, and of infinity the power of two that it stands at.
    fn value(self, bits: u16) -> f64 {
        let (exponent, mantissa) = (
            i32::from(bits >> self.mantissa_bits),
            f64::from(bits & ((1 << self.mantissa_bits) - 1)),
        );
        let unit = 2f64.powi(1 - self.bias - self.mantissa_bits as i32);
        match exponent {
            0 => mantissa * unit,
            _ => (mantissa + f64::from(1 << self.mantissa_bits)) * unit * 2f64.powi(exponent - 1),
        }
    }

    /// The nearest number, of two that are as near the one whose bits are even.
    fn nearest(self, x: f32) -> u64 {
        if x.is_nan() {
            return 0x7fff;
        }
        let size = f64::from(x.abs());
        let all: Vec<u16> = (0..=self.infinity()).collect();
        let above = all.partition_point(|bits| self.value(*bits) < size) as u16;
        let bits = if above == 0 || above > self.infinity() {
            above.min(self.infinity())
        } else {
            let below = above - 1;
            let (down, up) = (size - self.value(below), self.value(above) - size);
            match down.total_cmp(&up) {
                std::cmp::Ordering::Less => below,
                std::cmp::Ordering::Greater => above,
                std::cmp::Ordering::Equal => below + below % 2,
            }
        };
        u64::from(bits) | if x.is_sign_negative() { 0x8000 } else { 0 }
    }

    /// Singles at, and next to, numbers and their middles.
    fn operands(self) -> Vec<u64> {
        let chosen = (0..self.infinity()).step_by(97).chain([0, 1, 2, 3]);
        let edges =
            (0..4).flat_map(|n| [self.infinity() - 1 - n, (1 << self.mantissa_bits) - 2 + n]);
        let mut all = singles();
        for bits in chosen.chain(edges) {
            let middle = (self.value(bits) + self.value(bits + 1)) / 2.0;
            for x in [self.value(bits), middle] {
                let x = u64::from((x as f32).to_bits());
                all.extend([x, x + 1, x.saturating_sub(1), x | 0x8000_0000]);
            }
        }
        all
    }
}

fn single(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

#[test]
fn to_16_bits_is_to_the_nearest() {
    for (half, name) in [(F16, "f16"), (BF16, "bf16")] {
        let operands = alone(half.operands());
        is(&format!("cvt.rn.{name}.f32 %h0, %f10 -> %h0"), &operands, |[x, _, _]| {
            half.nearest(single(x))
        });
        let pairs: Vec<[u64; 3]> =
            operands.windows(2).step_by(5).map(|w| [w[0][0], w[1][0], 0]).collect();
        is(&format!("cvt.rn.{name}x2.f32 %r0, %f10, %f11 -> %r0"), &pairs, |[x, y, _]| {
            half.nearest(single(x)) << 16 | half.nearest(single(y))
        });
    }
}

#[test]
fn every_half_is_a_single() {
    let all = alone((0..=0xffff).collect());
    is("cvt.f32.f16 %f0, %h10 -> %f0", &all, |[x, _, _]| {
        let size = x as u16 & 0x7fff;
        let value = if size == F16.infinity() { f64::INFINITY } else { F16.value(size) };
        let signed = if x > 0x7fff { -value } else { value };
        if size > F16.infinity() { 0x7fff_ffff } else { (signed as f32).to_bits().into() }
    });
}

#[test]
fn integers_and_floats() {
    let (narrow, wide) = (alone(words()), alone(doubles()));
    is("cvt.rn.f32.s32 %f0, %r10 -> %f0", &narrow, |[a, _, _]| {
        (f64::from(a as i32) as f32).to_bits().into()
    });
    is("cvt.rn.f64.s32 %fd0, %r10 -> %fd0", &narrow, |[a, _, _]| f64::from(a as i32).to_bits());
    let whole = |x: f64, nan: i32| {
        let limits = (f64::from(i32::MIN), f64::from(i32::MAX));
        let whole = if x.is_nan() { nan } else { x.clamp(limits.0, limits.1).trunc() as i32 };
        u64::from(whole as u32)
    };
    is("cvt.rzi.s32.f32 %r0, %f10 -> %r0", &alone(singles()), |[a, _, _]| {
        whole(single(a).into(), 0)
    });
    is("cvt.rzi.s32.f64 %r0, %fd10 -> %r0", &wide, |[a, _, _]| whole(f64::from_bits(a), i32::MIN));
}

#[test]
fn singles_and_doubles() {
    is("cvt.rn.f32.f64 %f0, %fd10 -> %f0", &alone(doubles()), |[a, _, _]| {
        let x = f64::from_bits(a);
        if x.is_nan() { 0x7fff_ffff } else { (x as f32).to_bits().into() }
    });
    let numbers = singles().into_iter().filter(|x| !single(*x).is_nan()).collect();
    is("cvt.f64.f32 %fd0, %f10 -> %fd0", &alone(numbers), |[a, _, _]| {
        f64::from(single(a)).to_bits()
    });
}

#[test]
fn whole_numbers_of_floats() {
    let near = |x: f64| {
        let below = x.floor();
        let is_up = x - below > 0.5 || (x - below == 0.5 && below % 2.0 != 0.0);
        (below + if is_up { 1.0 } else { 0.0 }).copysign(x)
    };
    let of = |f: fn(f64) -> f64, x: u64| {
        let x = single(x);
        if x.is_nan() { 0x7fff_ffff } else { u64::from((f(x.into()) as f32).to_bits()) }
    };
    let mut operands = singles();
    operands
        .extend([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.4, -0.6].map(|x: f32| u64::from(x.to_bits())));
    let operands = alone(operands);
    is("cvt.rmi.f32.f32 %f0, %f10 -> %f0", &operands, |[a, _, _]| of(f64::floor, a));
    is("cvt.rni.f32.f32 %f0, %f10 -> %f0", &operands, |[a, _, _]| of(near, a));
    let numbers = random(64).into_iter().map(|x| (x as i64 as f64 / 2f64.powi(62)).to_bits());
    let numbers = alone(numbers.chain([0.5, 1.5, 2.5, -0.5, -1.5].map(f64::to_bits)).collect());
    is("cvt.rmi.f64.f64 %fd0, %fd10 -> %fd0", &numbers, |[a, _, _]| {
        f64::from_bits(a).floor().to_bits()
    });
    is("cvt.rni.f64.f64 %fd0, %fd10 -> %fd0", &numbers, |[a, _, _]| {
        near(f64::from_bits(a)).to_bits()
    });
}

#[test]
fn integers_of_other_sizes() {
    let (narrow, wide) = (alone(words()), alone(doubles()));
    is("cvt.u64.u32 %rd0, %r10 -> %rd0", &narrow, |[a, _, _]| a);
    is("cvt.s64.s32 %rd0, %r10 -> %rd0", &narrow, |[a, _, _]| i64::from(a as i32) as u64);
    is("cvt.u32.u64 %r0, %rd10 -> %r0", &wide, |[a, _, _]| a & 0xffff_ffff);
    is("cvt.u32.u16 %r0, %h10 -> %r0", &narrow, |[a, _, _]| a & 0xffff);
    is("cvt.u16.u32 %h0, %r10 -> %h0", &narrow, |[a, _, _]| a & 0xffff);
}
