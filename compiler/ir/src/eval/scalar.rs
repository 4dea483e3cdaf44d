//! Evaluates one scalar operation on bits.
//!
//! Primitive operations are the definition. Named ones use the standard library: they are what
//! expansions are measured against, not what they are.

use super::reference;
use crate::kernel::Scalar;
use crate::narrow;
use crate::types::Dtype;

const NAN_F32: u32 = 0x7fc0_0000;
const NAN_F64: u64 = 0x7ff8_0000_0000_0000;

/// The bits of a number; every NaN is the same.
pub fn f32_bits(x: f32) -> u64 {
    u64::from(if x.is_nan() { NAN_F32 } else { x.to_bits() })
}

/// The bits of a number; every NaN is the same.
pub fn f64_bits(x: f64) -> u64 {
    if x.is_nan() { NAN_F64 } else { x.to_bits() }
}

/// The result of `op` on operands given by type and bits.
pub fn eval_scalar(op: Scalar, dtypes: &[Dtype], args: &[u64]) -> u64 {
    if op == Scalar::Select {
        return if args[0] != 0 { args[1] } else { args[2] };
    }
    if let Scalar::Cast(to) = op {
        return cast(dtypes[0], to, args[0]);
    }
    if let Scalar::Bitcast(_) = op {
        return args[0];
    }
    match dtypes[0] {
        Dtype::F32 => float_f32(op, args),
        Dtype::F64 => float_f64(op, args),
        Dtype::I32 => u64::from(int(op, args) as u32),
        Dtype::Bool => u64::from(int(op, args) as u32 & 1),
        Dtype::F16 | Dtype::Bf16 => unreachable!("{} takes no {}", op.name(), dtypes[0]),
    }
}

macro_rules! float {
    ($name:ident, $float:ident, $to_bits:ident, $from:expr) => {
        fn $name(op: Scalar, args: &[u64]) -> u64 {
            let at = |i: usize| -> $float { $from(args[i]) };
            let x = at(0);
            let result = match op {
                Scalar::Add => x + at(1),
                Scalar::Sub => x - at(1),
                Scalar::Mul => x * at(1),
                Scalar::Div => x / at(1),
                Scalar::Min => smaller(x.into(), at(1).into()) as $float,
                Scalar::Max => larger(x.into(), at(1).into()) as $float,
                Scalar::Fma => x.mul_add(at(1), at(2)),
                Scalar::Neg => -x,
                Scalar::Abs => x.abs(),
                Scalar::Sqrt => x.sqrt(),
                Scalar::Floor => x.floor(),
                Scalar::Nearest => x.round_ties_even(),
                Scalar::Lt => return u64::from(x < at(1)),
                Scalar::Le => return u64::from(x <= at(1)),
                Scalar::Eq => return u64::from(x == at(1)),
                Scalar::Exp => f64::from(x).exp() as $float,
                Scalar::Log => f64::from(x).ln() as $float,
                Scalar::Tanh => f64::from(x).tanh() as $float,
                Scalar::Erf => reference::erf(f64::from(x)) as $float,
                Scalar::Cos => f64::from(x).cos() as $float,
                Scalar::Rsqrt => 1.0 / x.sqrt(),
                Scalar::Pow => f64::from(x).powf(f64::from(at(1))) as $float,
                Scalar::And
                | Scalar::Or
                | Scalar::Xor
                | Scalar::Not
                | Scalar::Select
                | Scalar::Shl
                | Scalar::ShrLogical
                | Scalar::MulHi
                | Scalar::Cast(_)
                | Scalar::Bitcast(_)
                | Scalar::Philox => unreachable!("{} takes no float", op.name()),
            };
            $to_bits(result)
        }
    };
}

float!(float_f32, f32, f32_bits, |bits: u64| f32::from_bits(bits as u32));
float!(float_f64, f64, f64_bits, f64::from_bits);

/// NaN wins; -0 is below +0.
pub(super) fn smaller(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x == y {
        return if x.is_sign_negative() { x } else { y };
    }
    if x < y { x } else { y }
}

/// NaN wins; +0 is above -0.
pub(super) fn larger(x: f64, y: f64) -> f64 {
    -smaller(-x, -y)
}

fn int(op: Scalar, args: &[u64]) -> i32 {
    let at = |i: usize| args[i] as u32 as i32;
    let x = at(0);
    match op {
        Scalar::Add => x.wrapping_add(at(1)),
        Scalar::Sub => x.wrapping_sub(at(1)),
        Scalar::Mul => x.wrapping_mul(at(1)),
        Scalar::Min => x.min(at(1)),
        Scalar::Max => x.max(at(1)),
        Scalar::Lt => i32::from(x < at(1)),
        Scalar::Le => i32::from(x <= at(1)),
        Scalar::Eq => i32::from(x == at(1)),
        Scalar::And => x & at(1),
        Scalar::Or => x | at(1),
        Scalar::Xor => x ^ at(1),
        Scalar::Not => !x,
        Scalar::Shl => x.wrapping_shl(args[1] as u32),
        Scalar::ShrLogical => (x as u32).wrapping_shr(args[1] as u32) as i32,
        Scalar::MulHi => ((u64::from(x as u32) * u64::from(at(1) as u32)) >> 32) as u32 as i32,
        Scalar::Philox => {
            let word = |i: usize| args[i] as u32;
            let counter = [word(4) / 4, word(3), word(2), 0];
            reference::philox4x32(counter, [word(0), word(1)])[word(4) as usize % 4] as i32
        }
        Scalar::Div
        | Scalar::Fma
        | Scalar::Neg
        | Scalar::Abs
        | Scalar::Sqrt
        | Scalar::Floor
        | Scalar::Nearest
        | Scalar::Select
        | Scalar::Cast(_)
        | Scalar::Bitcast(_)
        | Scalar::Exp
        | Scalar::Log
        | Scalar::Tanh
        | Scalar::Erf
        | Scalar::Cos
        | Scalar::Rsqrt
        | Scalar::Pow => unreachable!("{} takes no integer", op.name()),
    }
}

fn cast(from: Dtype, to: Dtype, bits: u64) -> u64 {
    // Every f32 and i32 is an f64, so what rounds is the type of the result.
    let number = match from {
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 => f64::from(f32::from_bits(bits as u32)),
        Dtype::F64 => f64::from_bits(bits),
        Dtype::I32 => f64::from(bits as u32 as i32),
        Dtype::Bool => f64::from(bits as u32 & 1),
    };
    match to {
        Dtype::F32 => f32_bits(number as f32),
        // Through f32, so that one instruction does it on every back end.
        Dtype::F16 | Dtype::Bf16 => f32_bits(narrow::round(to, number as f32)),
        Dtype::F64 => f64_bits(number),
        Dtype::I32 => u64::from(number as i32 as u32),
        Dtype::Bool => u64::from(number != 0.0),
    }
}
