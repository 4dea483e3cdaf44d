//! Short names for the instructions that expansions are made of.

use crate::body::Body;
use crate::kernel::{Reg, Scalar};
use crate::types::Dtype;

/// A body and the float type that an expansion works in.
#[derive(Debug)]
pub(super) struct Math<'a> {
    pub(super) body: &'a mut Body,
    pub(super) dtype: Dtype,
}

impl Math<'_> {
    /// A float constant.
    pub(super) fn c(&mut self, value: f64) -> Reg {
        self.body.constant(self.dtype, value)
    }

    /// The same body, working in f64.
    pub(super) fn in_f64(&mut self) -> Math<'_> {
        Math { body: self.body, dtype: Dtype::F64 }
    }

    pub(super) fn one(&mut self, op: Scalar, x: Reg) -> Reg {
        self.body.apply(op, &[x])
    }

    pub(super) fn two(&mut self, op: Scalar, x: Reg, y: Reg) -> Reg {
        self.body.apply(op, &[x, y])
    }

    pub(super) fn add(&mut self, x: Reg, y: Reg) -> Reg {
        self.two(Scalar::Add, x, y)
    }

    pub(super) fn sub(&mut self, x: Reg, y: Reg) -> Reg {
        self.two(Scalar::Sub, x, y)
    }

    pub(super) fn mul(&mut self, x: Reg, y: Reg) -> Reg {
        self.two(Scalar::Mul, x, y)
    }

    pub(super) fn div(&mut self, x: Reg, y: Reg) -> Reg {
        self.two(Scalar::Div, x, y)
    }

    /// `x * y + z` with one rounding.
    pub(super) fn fma(&mut self, x: Reg, y: Reg, z: Reg) -> Reg {
        self.body.apply(Scalar::Fma, &[x, y, z])
    }

    /// As [`Self::fma`] with constants for `y`.
    pub(super) fn fma_c(&mut self, x: Reg, y: f64, z: Reg) -> Reg {
        let y = self.c(y);
        self.fma(x, y, z)
    }

    pub(super) fn mul_c(&mut self, x: Reg, y: f64) -> Reg {
        let y = self.c(y);
        self.mul(x, y)
    }

    pub(super) fn select(&mut self, cond: Reg, x: Reg, y: Reg) -> Reg {
        self.body.apply(Scalar::Select, &[cond, x, y])
    }

    /// `x < limit`.
    pub(super) fn below(&mut self, x: Reg, limit: f64) -> Reg {
        let limit = self.c(limit);
        self.two(Scalar::Lt, x, limit)
    }

    /// `x == value`.
    pub(super) fn is(&mut self, x: Reg, value: f64) -> Reg {
        let value = self.c(value);
        self.two(Scalar::Eq, x, value)
    }

    /// `x` within limits; NaN stays NaN.
    pub(super) fn clamp(&mut self, x: Reg, low: f64, high: f64) -> Reg {
        let (low, high) = (self.c(low), self.c(high));
        let x = self.two(Scalar::Max, x, low);
        self.two(Scalar::Min, x, high)
    }

    /// `coefficients[0] + x * (coefficients[1] + ..)` with fma, by Horner.
    pub(super) fn horner(&mut self, x: Reg, coefficients: &[f64]) -> Reg {
        let (last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
        let mut sum = self.c(*last);
        for &coefficient in rest.iter().rev() {
            let coefficient = self.c(coefficient);
            sum = self.fma(sum, x, coefficient);
        }
        sum
    }

    pub(super) fn int(&mut self, x: Reg) -> Reg {
        self.one(Scalar::Cast(Dtype::I32), x)
    }

    /// i32 or f32 to the float type at hand.
    pub(super) fn float(&mut self, x: Reg) -> Reg {
        if self.body.dtype(x) == self.dtype {
            return x;
        }
        self.one(Scalar::Cast(self.dtype), x)
    }

    pub(super) fn add_int(&mut self, x: Reg, y: i32) -> Reg {
        let y = self.body.int(y);
        self.add(x, y)
    }

    pub(super) fn shl(&mut self, x: Reg, by: i32) -> Reg {
        let by = self.body.int(by);
        self.two(Scalar::Shl, x, by)
    }

    pub(super) fn shr(&mut self, x: Reg, by: i32) -> Reg {
        let by = self.body.int(by);
        self.two(Scalar::ShrLogical, x, by)
    }

    /// 2 to the power `k`, an i32 in `-126 ..= 127`, from the exponent bits of an f32.
    pub(super) fn power_of_two(&mut self, k: Reg) -> Reg {
        let biased = self.add_int(k, 127);
        let bits = self.shl(biased, 23);
        let single = self.one(Scalar::Bitcast(Dtype::F32), bits);
        self.float(single)
    }

    /// `x` with the sign of `like`, for `x >= 0`; a zero of `like` gives `like`.
    pub(super) fn with_sign(&mut self, x: Reg, like: Reg) -> Reg {
        let negative = self.below(like, 0.0);
        let minus = self.one(Scalar::Neg, x);
        let signed = self.select(negative, minus, x);
        let zero = self.is(like, 0.0);
        self.select(zero, like, signed)
    }
}

/// `high + low` as an f32 and what is left for a second one.
pub(super) fn split_f32(high: f64, low: f64) -> (f64, f64) {
    let first = f64::from(high as f32);
    (first, (high - first) + low)
}
