//! Loads and stores at a place of the iteration space.
//!
//! Buffers hold bools as i32 of 0 or 1, narrow floats in 16 bits, and only the canonical NaN.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use cranelift_frontend::FunctionBuilder;
use ir::types::Dtype;

use super::emitter::{Emitter, Val, WIDTH};

/// Where instructions are evaluated.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The address of each operand at the outer indices, the row and the column.
    pub(super) pointers: Vec<Value>,
    /// The outer indices, i32.
    pub(super) outer: Vec<Value>,
    /// The row, i32, where there is one.
    pub(super) row: Option<Value>,
    /// The column, i64, where there is one.
    pub(super) col: Option<Value>,
    /// Columns from `col` to the first lane.
    pub(super) ahead: i64,
    /// Whether four columns are evaluated at once.
    pub(super) is_wide: bool,
}

impl Place {
    /// The place `ahead` columns after `col`.
    pub(super) fn group(&self, ahead: i64, is_wide: bool) -> Place {
        Place { ahead, is_wide, ..self.clone() }
    }
}

/// Addresses were checked when the plan was loaded; vectors may be unaligned.
pub(super) fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap().with_endianness(Endianness::Little)
}

/// The type of a register's single value; a bool's in memory.
pub(super) fn stored(dtype: Dtype) -> Type {
    match dtype {
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 => types::F32,
        Dtype::F64 => types::F64,
        Dtype::I32 | Dtype::Bool => types::I32,
    }
}

/// The type of a register's vector.
pub(super) fn vector(dtype: Dtype) -> Type {
    match dtype {
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 => types::F32X4,
        Dtype::F64 => types::F64X2,
        Dtype::I32 | Dtype::Bool => types::I32X4,
    }
}

/// The type of what is read of an element before it is widened.
fn raw(dtype: Dtype) -> Dtype {
    if dtype.is_narrow() { Dtype::I32 } else { dtype }
}

/// `index * bytes`.
fn times(b: &mut FunctionBuilder<'_>, index: Value, bytes: i64) -> Value {
    if bytes > 0 && bytes.count_ones() == 1 {
        return b.ins().ishl_imm_s(index, i64::from(bytes.trailing_zeros()));
    }
    b.ins().imul_imm_s(index, bytes)
}

impl Emitter<'_> {
    /// `base + index * stride` elements, in bytes.
    pub(super) fn advance(
        &mut self,
        base: Value,
        index: Value,
        stride: i64,
        dtype: Dtype,
    ) -> Value {
        let bytes = stride * dtype.bytes() as i64;
        if bytes == 0 {
            return base;
        }
        let distance = times(&mut self.b, index, bytes);
        self.b.ins().iadd(base, distance)
    }

    /// The place at a column; only the operands that `is_used` accepts can be read there.
    pub(super) fn at_column(
        &mut self,
        place: &Place,
        col: Value,
        is_used: impl Fn(usize) -> bool,
    ) -> Place {
        let mut place = Place { col: Some(col), ..place.clone() };
        let mut distances: Vec<(i64, Value)> = vec![];
        let pointers = self.kernel.operands.iter().zip(&mut place.pointers).enumerate();
        for (_, (operand, pointer)) in pointers.filter(|(at, (o, _))| o.col != 0 && is_used(*at)) {
            let bytes = operand.col * operand.dtype.bytes() as i64;
            let known = distances.iter().find(|(b, _)| *b == bytes).map(|(_, d)| *d);
            let distance = known.unwrap_or_else(|| {
                let distance = times(&mut self.b, col, bytes);
                distances.push((bytes, distance));
                distance
            });
            *pointer = self.b.ins().iadd(*pointer, distance);
        }
        place
    }

    /// Bytes from an address to that of lane `lane`.
    fn offset(&self, operand: usize, place: &Place, lane: i64) -> i32 {
        let o = &self.kernel.operands[operand];
        let bytes = (place.ahead + lane) * o.col * o.dtype.bytes() as i64;
        i32::try_from(bytes).expect("the verifier bounds column strides")
    }

    /// The element, or elements, of an operand.
    pub(super) fn load(&mut self, operand: usize, place: &Place) -> Val {
        let o = &self.kernel.operands[operand];
        let (dtype, col) = (o.dtype, o.col);
        let address = place.pointers[operand];
        if !place.is_wide || col == 0 {
            let at = self.offset(operand, place, 0);
            return Val::One(self.load_one(dtype, address, at));
        }
        if col == 1 {
            let at = self.offset(operand, place, 0);
            return Val::Four(self.load_four(dtype, address, at));
        }
        let lanes = [0, 1, 2, 3].map(|lane| {
            let at = self.offset(operand, place, lane);
            self.load_raw(dtype, address, at)
        });
        Val::Four(self.pack_raw(dtype, lanes))
    }

    pub(super) fn load_one(&mut self, dtype: Dtype, address: Value, at: i32) -> Value {
        let value = self.load_raw(dtype, address, at);
        if dtype.is_narrow() { self.widen(dtype, value) } else { value }
    }

    /// One element; of a narrow float its bits.
    fn load_raw(&mut self, dtype: Dtype, address: Value, at: i32) -> Value {
        match dtype {
            Dtype::Bool => {
                let value = self.b.ins().load(types::I32, flags(), address, at);
                self.b.ins().icmp_imm_s(IntCC::NotEqual, value, 0)
            }
            Dtype::F32 | Dtype::F64 | Dtype::I32 => {
                self.b.ins().load(stored(dtype), flags(), address, at)
            }
            Dtype::F16 | Dtype::Bf16 => self.b.ins().uload16(types::I32, flags(), address, at),
        }
    }

    /// Four of [`Self::load_raw`] as lanes.
    fn pack_raw(&mut self, dtype: Dtype, lanes: [Value; 4]) -> [Value; 2] {
        let packed = self.pack(raw(dtype), lanes);
        if dtype.is_narrow() { [self.widen_lanes(dtype, packed[0]); 2] } else { packed }
    }

    pub(super) fn load_four(&mut self, dtype: Dtype, address: Value, at: i32) -> [Value; 2] {
        if dtype.is_narrow() {
            let bits = self.b.ins().uload16x4(flags(), address, at);
            return [self.widen_lanes(dtype, bits); 2];
        }
        let first = self.b.ins().load(vector(dtype), flags(), address, at);
        match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 => [first; 2],
            Dtype::F64 => [first, self.b.ins().load(types::F64X2, flags(), address, at + 16)],
            Dtype::Bool => {
                let zero = self.vector_constant(types::I32X4, vec![0; 16]);
                [self.b.ins().icmp(IntCC::NotEqual, first, zero); 2]
            }
        }
    }

    /// The elements at an index; 0 and nothing read where it is out of bounds.
    pub(super) fn load_at(
        &mut self,
        operand: usize,
        index: Val,
        stride: i64,
        bound: u64,
        place: &Place,
    ) -> Val {
        let o = &self.kernel.operands[operand];
        let (dtype, col) = (o.dtype, o.col);
        let base = place.pointers[operand];
        match index {
            Val::One(index) if place.is_wide && col == 1 => {
                let at = self.offset(operand, place, 0);
                let (address, inside) = self.checked(base, at, index, stride, bound, dtype);
                let values = self.load_four(dtype, address, 0);
                let zero = self.constant(dtype, 0);
                let zero = self.four(dtype, Val::One(zero));
                let inside = self.four(Dtype::Bool, Val::One(inside));
                let types = [Dtype::Bool, dtype, dtype];
                Val::Four(self.lanes(ir::kernel::Scalar::Select, &types, &[inside, values, zero]))
            }
            Val::One(index) if !place.is_wide || col == 0 => {
                let at = self.offset(operand, place, 0);
                let value = self.load_raw_at(base, at, index, stride, bound, dtype);
                Val::One(if dtype.is_narrow() { self.widen(dtype, value) } else { value })
            }
            Val::One(_) | Val::Four(_) => {
                let index = self.four(Dtype::I32, index);
                let indices = self.unpack(Dtype::I32, index);
                let mut lane = 0;
                let lanes = indices.map(|index| {
                    let at = self.offset(operand, place, lane);
                    lane += 1;
                    self.load_raw_at(base, at, index, stride, bound, dtype)
                });
                Val::Four(self.pack_raw(dtype, lanes))
            }
        }
    }

    fn load_raw_at(
        &mut self,
        base: Value,
        at: i32,
        index: Value,
        stride: i64,
        bound: u64,
        dtype: Dtype,
    ) -> Value {
        let (address, inside) = self.checked(base, at, index, stride, bound, dtype);
        let value = self.load_raw(dtype, address, 0);
        let zero = self.constant(raw(dtype), 0);
        self.b.ins().select(inside, value, zero)
    }

    /// The address of an index, or of the scratch when it is out of bounds; and whether it is in.
    fn checked(
        &mut self,
        base: Value,
        at: i32,
        index: Value,
        stride: i64,
        bound: u64,
        dtype: Dtype,
    ) -> (Value, Value) {
        let wide = self.b.ins().sextend(types::I64, index);
        // As unsigned, a negative index is beyond every bound.
        let bound = self.int(i64::try_from(bound).unwrap_or(i64::MAX));
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, wide, bound);
        let address = self.advance(base, wide, stride, dtype);
        let address = self.b.ins().iadd_imm_s(address, i64::from(at));
        let scratch = self.scratch();
        (self.b.ins().select(inside, address, scratch), inside)
    }

    /// Writes the element, or elements, of an operand.
    pub(super) fn store(&mut self, operand: usize, dtype: Dtype, value: Val, place: &Place) {
        let col = self.kernel.operands[operand].col;
        let address = place.pointers[operand];
        if !place.is_wide {
            let Val::One(value) = value else {
                unreachable!("a narrow place has values of one lane");
            };
            let at = self.offset(operand, place, 0);
            return self.store_one(dtype, value, address, at);
        }
        let value = self.four(dtype, value);
        if col == 1 {
            let at = self.offset(operand, place, 0);
            return self.store_four(dtype, value, address, at);
        }
        if dtype.is_narrow() {
            let bits = self.narrow_lanes(dtype, value[0]);
            for (lane, bits) in (0..WIDTH).zip(self.unpack(Dtype::I32, [bits; 2])) {
                let at = self.offset(operand, place, lane);
                self.b.ins().istore16(flags(), bits, address, at);
            }
            return;
        }
        for (lane, value) in (0..WIDTH).zip(self.unpack(dtype, value)) {
            let at = self.offset(operand, place, lane);
            self.store_one(dtype, value, address, at);
        }
    }

    fn store_one(&mut self, dtype: Dtype, value: Value, address: Value, at: i32) {
        let value = match dtype {
            Dtype::F32 | Dtype::F64 => self.canonical(dtype, value),
            Dtype::F16 | Dtype::Bf16 => {
                let bits = self.narrow(dtype, value);
                self.b.ins().istore16(flags(), bits, address, at);
                return;
            }
            Dtype::I32 => value,
            Dtype::Bool => self.b.ins().uextend(types::I32, value),
        };
        self.b.ins().store(flags(), value, address, at);
    }

    fn store_four(&mut self, dtype: Dtype, value: [Value; 2], address: Value, at: i32) {
        let first = match dtype {
            Dtype::F32 | Dtype::F64 => self.canonical_lanes(dtype, value[0]),
            Dtype::F16 | Dtype::Bf16 => self.narrow_four(dtype, value[0]),
            Dtype::I32 => value[0],
            Dtype::Bool => self.b.ins().ushr_imm_u(value[0], 31),
        };
        self.b.ins().store(flags(), first, address, at);
        if dtype == Dtype::F64 {
            let second = self.canonical_lanes(dtype, value[1]);
            self.b.ins().store(flags(), second, address, at + 16);
        }
    }

    /// Any NaN as the one NaN.
    pub(super) fn canonical(&mut self, dtype: Dtype, value: Value) -> Value {
        let nan = self.constant(dtype, nan_bits(dtype));
        let is_number = self.b.ins().fcmp(FloatCC::Equal, value, value);
        self.b.ins().select(is_number, value, nan)
    }

    /// Any NaN as the one NaN, in each lane of one vector.
    pub(super) fn canonical_lanes(&mut self, dtype: Dtype, value: Value) -> Value {
        let bytes = match dtype {
            Dtype::F64 => nan_bits(dtype).to_le_bytes().repeat(2),
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::Bool => {
                (nan_bits(dtype) as u32).to_le_bytes().repeat(4)
            }
        };
        let nan = self.vector_constant(vector(dtype), bytes);
        let is_number = self.b.ins().fcmp(FloatCC::Equal, value, value);
        let mask = self.reinterpret(vector(dtype), is_number);
        self.b.ins().bitselect(mask, value, nan)
    }
}

/// The canonical NaN: quiet, positive, no payload.
fn nan_bits(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::F64 => 0x7ff8_0000_0000_0000,
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::Bool => 0x7fc0_0000,
    }
}
