//! Narrow floats: bits to registers and back, rounded by integer vectors.
//!
//! A register holds the f32 that the number equals. Four lanes at a time; a single value takes the
//! same way in a vector of its own. Nothing multiplies subnormals, which is slow on many machines.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use ir::types::Dtype;

use super::emitter::Emitter;

/// Bits between the lowest of an f32's fraction and that of an f16's.
const F16_SHIFT: i64 = 13;
/// What the biases of the two exponents differ by, in the place of an f32's exponent.
const F16_BIAS: u32 = 112 << 23;
/// The smallest normal f16, 2^-14, as f32 bits.
const F16_NORMAL: u32 = 0x3880_0000;
/// The first number beyond every f16, 2^16, as f32 bits.
const F16_BEYOND: u32 = 0x4780_0000;
/// One half as f32 bits; the quantum there is that of f16 subnormals.
const HALF: u32 = 0x3f00_0000;
const INFINITY: u32 = 0x7f80_0000;
const NAN: u32 = 0x7fc0_0000;
const F16_NAN: u32 = 0x7e00;

impl Emitter<'_> {
    /// The number that 16 bits, in an i32, are.
    pub(super) fn widen(&mut self, dtype: Dtype, bits: Value) -> Value {
        let lanes = self.b.ins().splat(types::I32X4, bits);
        let wide = self.widen_lanes(dtype, lanes);
        self.b.ins().extractlane(wide, 0u8)
    }

    /// An f32 rounded to a narrow type.
    pub(super) fn round(&mut self, dtype: Dtype, x: Value) -> Value {
        let lanes = self.b.ins().splat(types::F32X4, x);
        let rounded = self.round_lanes(dtype, lanes);
        self.b.ins().extractlane(rounded, 0u8)
    }

    /// The 16 bits, in an i32, of an f32 rounded to a narrow type.
    pub(super) fn narrow(&mut self, dtype: Dtype, x: Value) -> Value {
        let lanes = self.b.ins().splat(types::F32X4, x);
        let bits = self.narrow_lanes(dtype, lanes);
        self.b.ins().extractlane(bits, 0u8)
    }

    /// The bits of four f32 rounded to a narrow type, side by side in an f64.
    pub(super) fn narrow_four(&mut self, dtype: Dtype, x: Value) -> Value {
        let bits = self.narrow_lanes(dtype, x);
        let packed = self.b.ins().unarrow(bits, bits);
        let packed = self.reinterpret(types::F64X2, packed);
        self.b.ins().extractlane(packed, 0u8)
    }

    /// As [`Self::widen`], of four lanes.
    pub(super) fn widen_lanes(&mut self, dtype: Dtype, bits: Value) -> Value {
        let wide = match dtype {
            Dtype::Bf16 => self.b.ins().ishl_imm_u(bits, 16),
            Dtype::F16 => self.widen_f16(bits),
            Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => {
                unreachable!("{dtype} is not narrow")
            }
        };
        self.reinterpret(types::F32X4, wide)
    }

    /// As [`Self::round`], of four lanes.
    pub(super) fn round_lanes(&mut self, dtype: Dtype, x: Value) -> Value {
        let rounded = match dtype {
            Dtype::Bf16 => {
                let carried = self.carry_bf16(x);
                let upper = self.words(0xffff_0000);
                self.b.ins().band(carried, upper)
            }
            Dtype::F16 => self.round_f16(x),
            Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => {
                unreachable!("{dtype} is not narrow")
            }
        };
        self.reinterpret(types::F32X4, rounded)
    }

    /// As [`Self::narrow`], of four lanes.
    pub(super) fn narrow_lanes(&mut self, dtype: Dtype, x: Value) -> Value {
        match dtype {
            Dtype::Bf16 => {
                let carried = self.carry_bf16(x);
                self.b.ins().ushr_imm_u(carried, 16)
            }
            Dtype::F16 => self.narrow_f16(x),
            Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => {
                unreachable!("{dtype} is not narrow")
            }
        }
    }

    /// f32 bits whose upper half is the nearest bf16, or the one NaN.
    fn carry_bf16(&mut self, x: Value) -> Value {
        let bits = self.reinterpret(types::I32X4, x);
        let odd = self.odd(bits, 16);
        let below = self.words(0x7fff);
        let carried = self.b.ins().iadd(bits, below);
        let carried = self.b.ins().iadd(carried, odd);
        self.or_nan(x, carried, NAN)
    }

    /// `bits`, or in the lanes where `x` is a NaN those of the canonical one.
    fn or_nan(&mut self, x: Value, bits: Value, nan: u32) -> Value {
        let is_number = self.b.ins().fcmp(FloatCC::Equal, x, x);
        let nan = self.words(nan);
        self.b.ins().bitselect(is_number, bits, nan)
    }

    /// Adding 2^23 quanta and taking them away again leaves a multiple of the quantum.
    fn round_f16(&mut self, x: Value) -> Value {
        let bits = self.reinterpret(types::I32X4, x);
        let magnitude = self.below(bits);
        let (exponents, normal) = (self.words(INFINITY), self.words(F16_NORMAL));
        let exponent = self.b.ins().band(magnitude, exponents);
        let exponent = self.b.ins().smax(exponent, normal);
        let steps = self.words(13 << 23);
        let large = self.b.ins().iadd(exponent, steps);
        let (large, magnitude) = (self.float(large), self.float(magnitude));
        let sum = self.b.ins().fadd(magnitude, large);
        let rounded = self.b.ins().fsub(sum, large);
        let rounded = self.reinterpret(types::I32X4, rounded);
        // Beyond every f16 all bits of the exponent are set.
        let last = self.words(F16_BEYOND - 1);
        let is_beyond = self.b.ins().icmp(IntCC::SignedGreaterThan, rounded, last);
        let infinity = self.b.ins().band(is_beyond, exponents);
        let rounded = self.b.ins().bor(rounded, infinity);
        let sign = self.words(0x8000_0000);
        let sign = self.b.ins().band(bits, sign);
        let rounded = self.b.ins().bor(rounded, sign);
        self.or_nan(x, rounded, NAN)
    }

    fn narrow_f16(&mut self, x: Value) -> Value {
        let bits = self.reinterpret(types::I32X4, x);
        let magnitude = self.below(bits);
        let odd = self.odd(magnitude, F16_SHIFT);
        // The other bias, and all but half of a quantum.
        let moved = self.words(0u32.wrapping_sub(F16_BIAS) + 0xfff);
        let carried = self.b.ins().iadd(magnitude, moved);
        let carried = self.b.ins().iadd(carried, odd);
        let normal = self.b.ins().ushr_imm_u(carried, F16_SHIFT);
        let (half, single) = (self.words(HALF), self.float(magnitude));
        let half_single = self.float(half);
        let quanta = self.b.ins().fadd(single, half_single);
        let quanta = self.reinterpret(types::I32X4, quanta);
        let subnormal = self.b.ins().isub(quanta, half);
        let limit = self.words(F16_NORMAL);
        let is_normal = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, magnitude, limit);
        let result = self.b.ins().bitselect(is_normal, normal, subnormal);
        let sign = self.b.ins().ushr_imm_u(bits, 16);
        let top = self.words(0x8000);
        let sign = self.b.ins().band(sign, top);
        let result = self.b.ins().bor(result, sign);
        self.or_nan(x, result, F16_NAN)
    }

    fn widen_f16(&mut self, bits: Value) -> Value {
        let magnitude = self.words(0x7fff);
        let magnitude = self.b.ins().band(bits, magnitude);
        let sign = self.b.ins().bxor(bits, magnitude);
        let sign = self.b.ins().ishl_imm_u(sign, 16);
        // The exponent of infinities and NaN becomes that of f32; a product brings the others back.
        let (top, scale) = (self.words(2 * F16_BIAS), self.words((127 - 112) << 23));
        let raised = self.b.ins().ishl_imm_u(magnitude, F16_SHIFT);
        let raised = self.b.ins().iadd(raised, top);
        let (raised, scale) = (self.float(raised), self.float(scale));
        let normal = self.b.ins().fmul(raised, scale);
        let normal = self.reinterpret(types::I32X4, normal);
        let half = self.words(HALF);
        let quanta = self.b.ins().iadd(magnitude, half);
        let (quanta, half) = (self.float(quanta), self.float(half));
        let subnormal = self.b.ins().fsub(quanta, half);
        let subnormal = self.reinterpret(types::I32X4, subnormal);
        let limit = self.words(0x3ff);
        let is_normal = self.b.ins().icmp(IntCC::SignedGreaterThan, magnitude, limit);
        let wide = self.b.ins().bitselect(is_normal, normal, subnormal);
        self.b.ins().bor(wide, sign)
    }

    /// The magnitude by its bits, at most the first one beyond every f16; also for a NaN.
    fn below(&mut self, bits: Value) -> Value {
        let (all, beyond) = (self.words(0x7fff_ffff), self.words(F16_BEYOND));
        let magnitude = self.b.ins().band(bits, all);
        self.b.ins().smin(magnitude, beyond)
    }

    /// The lowest bit that rounding at `shift` keeps.
    fn odd(&mut self, bits: Value, shift: i64) -> Value {
        let one = self.words(1);
        let shifted = self.b.ins().ushr_imm_u(bits, shift);
        self.b.ins().band(shifted, one)
    }

    fn float(&mut self, bits: Value) -> Value {
        self.reinterpret(types::F32X4, bits)
    }

    fn words(&mut self, word: u32) -> Value {
        self.vector_constant(types::I32X4, word.to_le_bytes().repeat(4))
    }
}
