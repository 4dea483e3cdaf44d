//! Primitive scalar operations on four lanes at once.
//!
//! Four lanes are one vector of f32 (narrow floats among them), i32 or bool masks, or two vectors of f64. What has no vector
//! form runs lane by lane, with the same bits.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use ir::kernel::Scalar;
use ir::types::Dtype;

use super::emitter::{Emitter, Val};
use super::memory::vector;
use super::scalar::flags_of_bits;

/// Byte selections of a shuffle, as four i32 lanes of two vectors.
fn dwords(lanes: [u8; 4]) -> Vec<u8> {
    lanes.into_iter().flat_map(|lane| (0..4).map(move |byte| lane * 4 + byte)).collect()
}

impl Emitter<'_> {
    /// A value in four lanes.
    pub(super) fn four(&mut self, dtype: Dtype, value: Val) -> [Value; 2] {
        let value = match value {
            Val::Four(lanes) => return lanes,
            Val::One(value) => value,
        };
        if let Some(&lanes) = self.spread.get(&value) {
            return lanes;
        }
        let lanes = match (self.constant_bits(value), dtype) {
            (Some((_, bits)), Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32) => {
                self.vector_constant(vector(dtype), (bits as u32).to_le_bytes().repeat(4))
            }
            (Some((_, bits)), Dtype::F64) => {
                self.vector_constant(vector(dtype), bits.to_le_bytes().repeat(2))
            }
            (_, Dtype::Bool) => {
                let wide = self.b.ins().uextend(types::I32, value);
                let mask = self.b.ins().ineg(wide);
                self.b.ins().splat(types::I32X4, mask)
            }
            (None, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 | Dtype::I32) => {
                self.b.ins().splat(vector(dtype), value)
            }
        };
        self.spread.insert(value, [lanes; 2]);
        [lanes; 2]
    }

    /// The lanes as single values.
    pub(super) fn unpack(&mut self, dtype: Dtype, x: [Value; 2]) -> [Value; 4] {
        [0u8, 1, 2, 3].map(|lane| match dtype {
            Dtype::F64 => self.b.ins().extractlane(x[usize::from(lane / 2)], lane % 2),
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 => {
                self.b.ins().extractlane(x[0], lane)
            }
            Dtype::Bool => {
                let mask = self.b.ins().extractlane(x[0], lane);
                self.b.ins().icmp_imm_s(IntCC::NotEqual, mask, 0)
            }
        })
    }

    /// Four single values as lanes.
    pub(super) fn pack(&mut self, dtype: Dtype, x: [Value; 4]) -> [Value; 2] {
        if dtype == Dtype::F64 {
            let [low, high] = [[x[0], x[1]], [x[2], x[3]]].map(|[a, b]| {
                let first = self.b.ins().splat(types::F64X2, a);
                self.b.ins().insertlane(first, b, 1u8)
            });
            return [low, high];
        }
        let mut lanes = self.four(dtype, Val::One(x[0]))[0];
        for (lane, &value) in (1u8..).zip(&x[1..]) {
            let value = if dtype == Dtype::Bool {
                let wide = self.b.ins().uextend(types::I32, value);
                self.b.ins().ineg(wide)
            } else {
                value
            };
            lanes = self.b.ins().insertlane(lanes, value, lane);
        }
        [lanes; 2]
    }

    /// The same bits as a vector of another type.
    pub(super) fn reinterpret(&mut self, to: Type, x: Value) -> Value {
        if self.b.func.dfg.value_type(x) == to {
            return x;
        }
        self.b.ins().bitcast(to, flags_of_bits(), x)
    }

    /// Selects four 32-bit lanes out of the eight of two vectors.
    fn shuffle(&mut self, to: Type, a: Value, b: Value, lanes: [u8; 4]) -> Value {
        let mask = self.b.func.dfg.immediates.push(dwords(lanes).into());
        let (a, b) = (self.reinterpret(types::I8X16, a), self.reinterpret(types::I8X16, b));
        let bytes = self.b.ins().shuffle(a, b, mask);
        self.reinterpret(to, bytes)
    }

    /// One operation on four lanes; `dtypes` are those of `x`.
    pub(super) fn lanes(&mut self, op: Scalar, dtypes: &[Dtype], x: &[[Value; 2]]) -> [Value; 2] {
        let dtype = dtypes[0];
        match op {
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
            | Scalar::Not => self.halves(dtype, x, |e, x| e.plain(op, dtype, x)),
            Scalar::Lt | Scalar::Le | Scalar::Eq => {
                let masks = self.halves(dtype, x, |e, x| e.compare(op, dtype, x[0], x[1]));
                self.narrow_mask(dtype, masks)
            }
            Scalar::Select => self.select_lanes(dtypes[1], x),
            Scalar::MulHi => [self.mul_hi(x[0][0], x[1][0]); 2],
            Scalar::Cast(to) => self.cast_lanes(dtype, to, x[0]),
            Scalar::Bitcast(to) => {
                let from =
                    if dtype.is_float() { self.canonical_lanes(dtype, x[0][0]) } else { x[0][0] };
                [self.reinterpret(vector(to), from); 2]
            }
            Scalar::Shl | Scalar::ShrLogical => self.lane_by_lane(op, dtypes, Dtype::I32, x),
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

    /// Runs `f` on the vector, or for f64 on both.
    fn halves(
        &mut self,
        dtype: Dtype,
        x: &[[Value; 2]],
        f: impl Fn(&mut Self, &[Value]) -> Value,
    ) -> [Value; 2] {
        let half = |i: usize| x.iter().map(|v| v[i]).collect::<Vec<Value>>();
        let first = f(self, &half(0));
        let second = if dtype == Dtype::F64 { f(self, &half(1)) } else { first };
        [first, second]
    }

    fn narrow_mask(&mut self, dtype: Dtype, masks: [Value; 2]) -> [Value; 2] {
        if dtype != Dtype::F64 {
            return masks;
        }
        [self.shuffle(types::I32X4, masks[0], masks[1], [0, 2, 4, 6]); 2]
    }

    fn select_lanes(&mut self, dtype: Dtype, x: &[[Value; 2]]) -> [Value; 2] {
        let mask = x[0][0];
        if dtype != Dtype::F64 {
            let mask = self.reinterpret(vector(dtype), mask);
            return [self.b.ins().bitselect(mask, x[1][0], x[2][0]); 2];
        }
        let low = self.shuffle(types::F64X2, mask, mask, [0, 0, 1, 1]);
        let high = self.shuffle(types::F64X2, mask, mask, [2, 2, 3, 3]);
        [
            self.b.ins().bitselect(low, x[1][0], x[2][0]),
            self.b.ins().bitselect(high, x[1][1], x[2][1]),
        ]
    }

    fn mul_hi(&mut self, a: Value, b: Value) -> Value {
        let (al, bl) = (self.b.ins().uwiden_low(a), self.b.ins().uwiden_low(b));
        let low = self.b.ins().imul(al, bl);
        let (ah, bh) = (self.b.ins().uwiden_high(a), self.b.ins().uwiden_high(b));
        let high = self.b.ins().imul(ah, bh);
        self.shuffle(types::I32X4, low, high, [1, 3, 5, 7])
    }

    fn cast_lanes(&mut self, from: Dtype, to: Dtype, x: [Value; 2]) -> [Value; 2] {
        match (from, to) {
            (Dtype::F16, Dtype::F16) | (Dtype::Bf16, Dtype::Bf16) => x,
            (Dtype::F16 | Dtype::Bf16, _) => self.cast_lanes(Dtype::F32, to, x),
            (Dtype::F32, Dtype::F16 | Dtype::Bf16) => [self.round_lanes(to, x[0]); 2],
            (Dtype::F64 | Dtype::I32 | Dtype::Bool, Dtype::F16 | Dtype::Bf16) => {
                let single = self.cast_lanes(from, Dtype::F32, x);
                self.cast_lanes(Dtype::F32, to, single)
            }
            (Dtype::F32, Dtype::I32) => [self.b.ins().fcvt_to_sint_sat(types::I32X4, x[0]); 2],
            (Dtype::I32, Dtype::F32) => [self.b.ins().fcvt_from_sint(types::F32X4, x[0]); 2],
            (Dtype::F32, Dtype::F64) => {
                let low = self.b.ins().fvpromote_low(x[0]);
                let high = self.shuffle(types::F32X4, x[0], x[0], [2, 3, 2, 3]);
                [low, self.b.ins().fvpromote_low(high)]
            }
            (Dtype::F64, Dtype::F32) => {
                let (low, high) = (self.b.ins().fvdemote(x[0]), self.b.ins().fvdemote(x[1]));
                [self.shuffle(types::F32X4, low, high, [0, 1, 4, 5]); 2]
            }
            (Dtype::F32 | Dtype::F64, Dtype::Bool) => {
                let zero = self.constant(from, 0);
                let zero = self.four(from, Val::One(zero));
                let masks = self
                    .halves(from, &[x, zero], |e, x| e.b.ins().fcmp(FloatCC::NotEqual, x[0], x[1]));
                self.narrow_mask(from, masks)
            }
            (Dtype::I32, Dtype::Bool) => {
                let zero = self.vector_constant(types::I32X4, vec![0; 16]);
                [self.b.ins().icmp(IntCC::NotEqual, x[0], zero); 2]
            }
            (Dtype::Bool, Dtype::I32) => [self.b.ins().ushr_imm_u(x[0], 31); 2],
            (Dtype::Bool, Dtype::F32) => {
                let one = self.constant(Dtype::F32, u64::from(1f32.to_bits()));
                let one = self.four(Dtype::F32, Val::One(one))[0];
                let mask = self.reinterpret(types::F32X4, x[0]);
                [self.b.ins().band(mask, one); 2]
            }
            (Dtype::I32 | Dtype::Bool, Dtype::F64) | (Dtype::F64, Dtype::I32) => {
                self.lane_by_lane(Scalar::Cast(to), &[from], to, &[x])
            }
            (Dtype::F32, Dtype::F32)
            | (Dtype::F64, Dtype::F64)
            | (Dtype::I32, Dtype::I32)
            | (Dtype::Bool, Dtype::Bool) => x,
        }
    }

    fn lane_by_lane(
        &mut self,
        op: Scalar,
        dtypes: &[Dtype],
        to: Dtype,
        x: &[[Value; 2]],
    ) -> [Value; 2] {
        let lanes: Vec<[Value; 4]> =
            x.iter().zip(dtypes).map(|(&v, &dtype)| self.unpack(dtype, v)).collect();
        let results = [0, 1, 2, 3].map(|lane| {
            let args: Vec<Value> = lanes.iter().map(|v| v[lane]).collect();
            self.scalar(op, dtypes, &args)
        });
        self.pack(to, results)
    }
}
