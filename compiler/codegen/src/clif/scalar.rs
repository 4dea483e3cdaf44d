//! Primitive scalar operations on single values.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use ir::kernel::Scalar;
use ir::types::Dtype;

use super::emitter::Emitter;
use super::memory::flags;

impl Emitter<'_> {
    /// One operation; `types` are those of `x`.
    pub(super) fn scalar(&mut self, op: Scalar, types: &[Dtype], x: &[Value]) -> Value {
        match op {
            Scalar::Lt | Scalar::Le | Scalar::Eq => self.compare(op, types[0], x[0], x[1]),
            Scalar::Not if types[0] == Dtype::Bool => self.b.ins().bxor_imm_u(x[0], 1),
            Scalar::Select => self.b.ins().select(x[0], x[1], x[2]),
            Scalar::Shl | Scalar::ShrLogical => self.shift(op, x[0], x[1]),
            Scalar::MulHi => self.upper_product(x[0], x[1]),
            Scalar::Mul if self.products.contains_key(&[x[0], x[1]]) => {
                self.b.ins().ireduce(types::I32, self.products[&[x[0], x[1]]])
            }
            Scalar::Cast(to) => self.cast(types[0], to, x[0]),
            Scalar::Bitcast(to) => self.bitcast(types[0], to, x[0]),
            Scalar::Add
            | Scalar::Sub
            | Scalar::Mul
            | Scalar::Div
            | Scalar::Min
            | Scalar::Max
            | Scalar::Fma
            | Scalar::Neg
            | Scalar::Abs
            | Scalar::Sqrt
            | Scalar::Floor
            | Scalar::Nearest
            | Scalar::And
            | Scalar::Or
            | Scalar::Xor
            | Scalar::Not => self.plain(op, types[0], x),
            Scalar::Exp
            | Scalar::Log
            | Scalar::Tanh
            | Scalar::Erf
            | Scalar::Cos
            | Scalar::Rsqrt
            | Scalar::Pow
            | Scalar::Philox => unreachable!("{} was expanded", op.name()),
        }
    }

    /// The upper half of a product, by one multiplication that serves the lower half as well.
    fn upper_product(&mut self, a: Value, b: Value) -> Value {
        let [wide_a, wide_b] = [a, b].map(|x| self.b.ins().uextend(types::I64, x));
        let product = self.b.ins().imul(wide_a, wide_b);
        self.products.insert([a, b], product);
        let upper = self.b.ins().ushr_imm_u(product, 32);
        self.b.ins().ireduce(types::I32, upper)
    }

    /// What is one instruction, the same for a value and for a vector.
    pub(super) fn plain(&mut self, op: Scalar, dtype: Dtype, x: &[Value]) -> Value {
        let ins = self.b.ins();
        let is_float = dtype.is_float();
        match op {
            Scalar::Add if is_float => ins.fadd(x[0], x[1]),
            Scalar::Sub if is_float => ins.fsub(x[0], x[1]),
            Scalar::Mul if is_float => ins.fmul(x[0], x[1]),
            Scalar::Min if is_float => ins.fmin(x[0], x[1]),
            Scalar::Max if is_float => ins.fmax(x[0], x[1]),
            Scalar::Add => ins.iadd(x[0], x[1]),
            Scalar::Sub => ins.isub(x[0], x[1]),
            Scalar::Mul => ins.imul(x[0], x[1]),
            Scalar::Min => ins.smin(x[0], x[1]),
            Scalar::Max => ins.smax(x[0], x[1]),
            Scalar::Div => ins.fdiv(x[0], x[1]),
            Scalar::Fma => ins.fma(x[0], x[1], x[2]),
            Scalar::Neg => ins.fneg(x[0]),
            Scalar::Abs => ins.fabs(x[0]),
            Scalar::Sqrt => ins.sqrt(x[0]),
            Scalar::Floor => ins.floor(x[0]),
            Scalar::Nearest => ins.nearest(x[0]),
            Scalar::And => ins.band(x[0], x[1]),
            Scalar::Or => ins.bor(x[0], x[1]),
            Scalar::Xor => ins.bxor(x[0], x[1]),
            Scalar::Not => ins.bnot(x[0]),
            Scalar::Lt
            | Scalar::Le
            | Scalar::Eq
            | Scalar::Select
            | Scalar::Shl
            | Scalar::ShrLogical
            | Scalar::MulHi
            | Scalar::Cast(_)
            | Scalar::Bitcast(_)
            | Scalar::Exp
            | Scalar::Log
            | Scalar::Tanh
            | Scalar::Erf
            | Scalar::Cos
            | Scalar::Rsqrt
            | Scalar::Pow
            | Scalar::Philox => unreachable!("{} is not one plain instruction", op.name()),
        }
    }

    /// A comparison: 0 or 1, or in vectors a mask.
    pub(super) fn compare(&mut self, op: Scalar, dtype: Dtype, a: Value, b: Value) -> Value {
        let ins = self.b.ins();
        let is_le = op == Scalar::Le;
        match (op == Scalar::Eq, dtype.is_float()) {
            (true, true) => ins.fcmp(FloatCC::Equal, a, b),
            (true, false) => ins.icmp(IntCC::Equal, a, b),
            (false, true) if is_le => ins.fcmp(FloatCC::LessThanOrEqual, a, b),
            (false, true) => ins.fcmp(FloatCC::LessThan, a, b),
            (false, false) if is_le => ins.icmp(IntCC::SignedLessThanOrEqual, a, b),
            (false, false) => ins.icmp(IntCC::SignedLessThan, a, b),
        }
    }

    /// A shift by one amount, of a value or of all lanes.
    pub(super) fn shift(&mut self, op: Scalar, x: Value, amount: Value) -> Value {
        if op == Scalar::Shl {
            return self.b.ins().ishl(x, amount);
        }
        self.b.ins().ushr(x, amount)
    }

    fn cast(&mut self, from: Dtype, to: Dtype, x: Value) -> Value {
        match (from, to) {
            (Dtype::F16, Dtype::F16) | (Dtype::Bf16, Dtype::Bf16) => x,
            (Dtype::F16 | Dtype::Bf16, _) => self.cast(Dtype::F32, to, x),
            (Dtype::F32, Dtype::F16 | Dtype::Bf16) => self.round(to, x),
            (Dtype::F64 | Dtype::I32 | Dtype::Bool, Dtype::F16 | Dtype::Bf16) => {
                let single = self.cast(from, Dtype::F32, x);
                self.cast(Dtype::F32, to, single)
            }
            (Dtype::F32, Dtype::F64) => self.b.ins().fpromote(types::F64, x),
            (Dtype::F64, Dtype::F32) => self.b.ins().fdemote(types::F32, x),
            (Dtype::F32 | Dtype::F64, Dtype::I32) => self.b.ins().fcvt_to_sint_sat(types::I32, x),
            (Dtype::F32 | Dtype::F64, Dtype::Bool) => {
                let zero = self.constant(from, 0);
                self.b.ins().fcmp(FloatCC::NotEqual, x, zero)
            }
            (Dtype::I32, Dtype::F32) => self.b.ins().fcvt_from_sint(types::F32, x),
            (Dtype::I32, Dtype::F64) => self.b.ins().fcvt_from_sint(types::F64, x),
            (Dtype::I32, Dtype::Bool) => self.b.ins().icmp_imm_s(IntCC::NotEqual, x, 0),
            (Dtype::Bool, Dtype::F32 | Dtype::F64) => {
                let x = self.b.ins().uextend(types::I32, x);
                self.cast(Dtype::I32, to, x)
            }
            (Dtype::Bool, Dtype::I32) => self.b.ins().uextend(types::I32, x),
            (Dtype::F32, Dtype::F32)
            | (Dtype::F64, Dtype::F64)
            | (Dtype::I32, Dtype::I32)
            | (Dtype::Bool, Dtype::Bool) => x,
        }
    }

    fn bitcast(&mut self, from: Dtype, to: Dtype, x: Value) -> Value {
        let x = if from.is_float() { self.canonical(from, x) } else { x };
        self.b.ins().bitcast(super::memory::stored(to), flags_of_bits(), x)
    }
}

/// Bit casts between vectors name a byte order.
pub(super) fn flags_of_bits() -> cranelift_codegen::ir::MemFlagsData {
    let order = flags().explicit_endianness().unwrap_or(cranelift_codegen::ir::Endianness::Little);
    cranelift_codegen::ir::MemFlagsData::new().with_endianness(order)
}
