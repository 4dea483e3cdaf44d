//! Primitive scalar operations as instructions, with the bits of the interpreter.

use ir::kernel::{Reduction, Scalar};
use ir::types::Dtype;
use ptx_builder::{self as ptx, B32, Cmp, F32, F64, Float, Logic, Pred, Reg};

use super::emitter::{Emitter, Value};
use super::memory::{half, wide};

impl Emitter<'_> {
    pub(super) fn apply(&mut self, op: Scalar, args: &[Value]) -> Value {
        match (op, args) {
            (Scalar::Cast(to), [x]) => self.cast(to, *x),
            (Scalar::Bitcast(_), [Value::F32(x)]) => Value::Int(self.one_nan_bits(*x)),
            (Scalar::Bitcast(_), [Value::Int(x)]) => Value::F32(self.b.from_bits(*x)),
            (Scalar::Select, [Value::Bool(p), x, y]) => self.select(*p, *x, *y),
            (_, [Value::F32(x), ..]) => {
                let rest: Vec<Reg<F32>> = args.iter().map(single).collect();
                self.float(op, *x, &rest, Value::F32)
            }
            (_, [Value::F64(x), ..]) => {
                let rest: Vec<Reg<F64>> = args.iter().map(double).collect();
                self.float(op, *x, &rest, Value::F64)
            }
            (_, [Value::Int(x)]) => self.int(op, *x, None),
            (_, [Value::Int(x), Value::Int(y)]) => self.int(op, *x, Some(*y)),
            (Scalar::Not, [Value::Bool(x)]) => Value::Bool(self.b.pnot(*x)),
            (_, [Value::Bool(x), Value::Bool(y)]) => Value::Bool(self.b.plogic(logic(op), *x, *y)),
            (_, _) => unreachable!("the verifier checked the types of a body"),
        }
    }

    /// The bits of a single; every NaN is the same, as in the interpreter.
    fn one_nan_bits(&mut self, x: Reg<F32>) -> Reg<B32> {
        let is_nan = self.b.fcmp(Cmp::Nan, x, x);
        let bits = self.b.bits(x);
        self.b.select(is_nan, 0x7fc0_0000, bits)
    }

    fn select(&mut self, p: Reg<Pred>, x: Value, y: Value) -> Value {
        match (x, y) {
            (Value::F32(x), Value::F32(y)) => Value::F32(self.b.select(p, x, y)),
            (Value::F64(x), Value::F64(y)) => Value::F64(self.b.select(p, x, y)),
            (Value::Int(x), Value::Int(y)) => Value::Int(self.b.select(p, x, y)),
            (Value::Bool(x), Value::Bool(y)) => {
                // There is no choice between truth values.
                let (x, y) = (self.b.plogic(Logic::And, p, x), self.b_and_not(y, p));
                Value::Bool(self.b.plogic(Logic::Or, x, y))
            }
            (_, _) => unreachable!("both have one type"),
        }
    }

    fn b_and_not(&mut self, x: Reg<Pred>, y: Reg<Pred>) -> Reg<Pred> {
        let not = self.b.pnot(y);
        self.b.plogic(Logic::And, x, not)
    }

    /// Two values as a reduction puts them together.
    pub(super) fn combine(&mut self, kind: Reduction, x: Value, y: Value) -> Value {
        let op = match kind {
            Reduction::Sum => Scalar::Add,
            Reduction::Max => Scalar::Max,
            Reduction::Min => Scalar::Min,
        };
        self.apply(op, &[x, y])
    }

    fn float<K: Float>(
        &mut self,
        op: Scalar,
        x: Reg<K>,
        all: &[Reg<K>],
        wrap: fn(Reg<K>) -> Value,
    ) -> Value
    where
        ptx::Val<K>: From<Reg<K>>,
    {
        let y = || all[1];
        wrap(match op {
            Scalar::Add => self.b.fadd(x, y()),
            Scalar::Sub => self.b.fsub(x, y()),
            Scalar::Mul => self.b.fmul(x, y()),
            Scalar::Div => self.b.fdiv(x, y()),
            Scalar::Min => {
                let least = self.b.fmin(x, y());
                self.nan_wins(least, x, y())
            }
            Scalar::Max => {
                let most = self.b.fmax(x, y());
                self.nan_wins(most, x, y())
            }
            Scalar::Fma => self.b.fma(x, y(), all[2]),
            Scalar::Neg => self.b.fneg(x),
            Scalar::Abs => self.b.fabs(x),
            Scalar::Sqrt => self.b.fsqrt(x),
            Scalar::Floor => self.b.ffloor(x),
            Scalar::Nearest => self.b.fnearest(x),
            Scalar::Lt => return Value::Bool(self.b.fcmp(Cmp::Lt, x, y())),
            Scalar::Le => return Value::Bool(self.b.fcmp(Cmp::Le, x, y())),
            Scalar::Eq => return Value::Bool(self.b.fcmp(Cmp::Eq, x, y())),
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
            | Scalar::Exp
            | Scalar::Log
            | Scalar::Tanh
            | Scalar::Erf
            | Scalar::Cos
            | Scalar::Rsqrt
            | Scalar::Pow
            | Scalar::Philox => unreachable!("{} is no primitive operation of floats", op.name()),
        })
    }

    /// The sum of both where one is NaN. Singles have it in their instruction.
    fn nan_wins<K: Float>(&mut self, found: Reg<K>, x: Reg<K>, y: Reg<K>) -> Reg<K> {
        if K::CLASS == ptx::Class::F32 {
            return found;
        }
        let is_nan = self.b.fcmp(Cmp::Nan, x, y);
        let nan = self.b.fadd(x, y);
        self.b.select(is_nan, nan, found)
    }

    fn int(&mut self, op: Scalar, x: Reg<B32>, y: Option<Reg<B32>>) -> Value {
        let second = || y.expect("an operation of two");
        Value::Int(match op {
            Scalar::Add => self.b.iadd(x, second()),
            Scalar::Sub => self.b.isub(x, second()),
            Scalar::Mul => self.b.imul(x, second()),
            Scalar::Min => self.b.imin(x, second()),
            Scalar::Max => self.b.imax(x, second()),
            Scalar::And | Scalar::Or | Scalar::Xor => self.b.logic(logic(op), x, second()),
            Scalar::Not => self.b.not(x),
            Scalar::Shl => self.b.shl(x, second()),
            Scalar::ShrLogical => self.b.shr(x, second()),
            Scalar::MulHi => self.b.mul_hi(x, second()),
            Scalar::Lt => return Value::Bool(self.b.icmp(Cmp::Lt, x, second())),
            Scalar::Le => return Value::Bool(self.b.icmp(Cmp::Le, x, second())),
            Scalar::Eq => return Value::Bool(self.b.icmp(Cmp::Eq, x, second())),
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
            | Scalar::Pow
            | Scalar::Philox => unreachable!("{} is no primitive operation of integers", op.name()),
        })
    }

    fn cast(&mut self, to: Dtype, x: Value) -> Value {
        match to {
            Dtype::F32 => Value::F32(self.single_of(x)),
            Dtype::F64 => Value::F64(self.double_of(x)),
            Dtype::F16 | Dtype::Bf16 => {
                let x = self.single_of(x);
                let half = half(self.b, to, x);
                Value::F32(wide(self.b, to, half))
            }
            Dtype::I32 => Value::Int(self.int_of(x)),
            Dtype::Bool => Value::Bool(self.is_not_zero(x)),
        }
    }

    fn single_of(&mut self, x: Value) -> Reg<F32> {
        match x {
            Value::F32(x) => x,
            Value::F64(x) => self.b.f32_from_f64(x),
            Value::Int(x) => self.b.f32_from_s32(x),
            Value::Bool(p) => self.b.select(p, 1.0, 0.0),
        }
    }

    fn double_of(&mut self, x: Value) -> Reg<F64> {
        match x {
            Value::F32(x) => self.b.f64_from_f32(x),
            Value::F64(x) => x,
            Value::Int(x) => self.b.f64_from_s32(x),
            Value::Bool(p) => self.b.select(p, 1.0, 0.0),
        }
    }

    fn int_of(&mut self, x: Value) -> Reg<B32> {
        match x {
            Value::F32(x) => self.b.s32_from_f32(x),
            Value::F64(x) => {
                let number = self.b.s32_from_f64(x);
                let is_nan = self.b.fcmp(Cmp::Nan, x, x);
                self.b.select(is_nan, 0, number)
            }
            Value::Int(x) => x,
            Value::Bool(p) => self.b.select(p, 1, 0),
        }
    }

    fn is_not_zero(&mut self, x: Value) -> Reg<Pred> {
        // NaN is not 0 either.
        let is_zero = match x {
            Value::F32(x) => self.b.fcmp(Cmp::Eq, x, 0.0f32),
            Value::F64(x) => self.b.fcmp(Cmp::Eq, x, 0.0f64),
            Value::Int(x) => self.b.icmp(Cmp::Eq, x, 0),
            Value::Bool(p) => return p,
        };
        self.b.pnot(is_zero)
    }
}

fn single(value: &Value) -> Reg<F32> {
    let Value::F32(x) = value else { unreachable!("operands have one type") };
    *x
}

fn double(value: &Value) -> Reg<F64> {
    let Value::F64(x) = value else { unreachable!("operands have one type") };
    *x
}

fn logic(op: Scalar) -> Logic {
    if op == Scalar::And {
        Logic::And
    } else if op == Scalar::Or {
        Logic::Or
    } else {
        assert_eq!(op, Scalar::Xor, "the verifier checked the types of a body");
        Logic::Xor
    }
}
