//! Where operands lie, and moving elements between memory and registers.

use ir::types::Dtype;
use ptx_builder::{B16, B32, B64, Builder, Cmp, F32, F64, Kind, Pred, Reg};

use super::emitter::{Emitter, Value};
use super::vectors::store_vector;
use super::wide::Access;

/// The address of an operand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pointer {
    Global(Reg<B64>),
    Shared(Reg<B32>),
}

/// A place of the iteration space.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The address of each operand there.
    pub(super) pointers: Vec<Pointer>,
    pub(super) outer: Vec<Reg<B32>>,
    pub(super) row: Option<Reg<B32>>,
    pub(super) col: Option<Reg<B32>>,
    /// Stores are done only where it holds.
    pub(super) writes: Option<Reg<Pred>>,
}

impl Emitter<'_> {
    /// The operands' parameters as addresses of global memory.
    pub(super) fn bases(&mut self) -> Vec<Pointer> {
        let n = u32::try_from(self.kernel.operands.len()).expect("operands are few");
        (0..n)
            .map(|at| {
                let address = self.b.param(at);
                Pointer::Global(self.b.to_global(address))
            })
            .collect()
    }

    /// The place of an outer index, given as one number.
    pub(super) fn outer_place(&mut self, bases: &[Pointer], unit: Reg<B32>) -> Place {
        let kernel = self.kernel;
        let mut outer = vec![];
        for (axis, &size) in kernel.outer.iter().enumerate() {
            let inner: u64 = kernel.outer[axis + 1..].iter().product();
            let mut index = unit;
            if inner > 1 {
                index = self.b.udiv(index, small(inner));
            }
            if axis > 0 {
                index = self.b.urem(index, small(size.max(1)));
            }
            outer.push(index);
        }
        self.place_at(bases, outer)
    }

    /// The place of outer indices.
    pub(super) fn place_at(&mut self, bases: &[Pointer], outer: Vec<Reg<B32>>) -> Place {
        let kernel = self.kernel;
        let mut pointers = bases.to_vec();
        for (pointer, operand) in pointers.iter_mut().zip(&kernel.operands) {
            for (&index, &stride) in outer.iter().zip(&operand.outer) {
                *pointer = advance(self.b, *pointer, index, stride, operand.dtype);
            }
        }
        Place { pointers, outer, row: None, col: None, writes: None }
    }

    /// The same at a column.
    pub(super) fn at_column(&mut self, place: &Place, col: Reg<B32>) -> Place {
        let kernel = self.kernel;
        let mut place = Place { col: Some(col), ..place.clone() };
        for (pointer, operand) in place.pointers.iter_mut().zip(&kernel.operands) {
            *pointer = advance(self.b, *pointer, col, operand.col, operand.dtype);
        }
        place
    }

    /// The value in a register of its own.
    pub(super) fn copy(&mut self, value: Value) -> Value {
        match value {
            Value::Bool(x) => Value::Bool(self.b.mov(x)),
            Value::Int(x) => Value::Int(self.b.mov(x)),
            Value::F32(x) => Value::F32(self.b.mov(x)),
            Value::F64(x) => Value::F64(self.b.mov(x)),
        }
    }

    pub(super) fn assign(&mut self, to: Value, value: Value) {
        match (to, value) {
            (Value::Bool(to), Value::Bool(x)) => self.b.mov_to(to, x),
            (Value::Int(to), Value::Int(x)) => self.b.mov_to(to, x),
            (Value::F32(to), Value::F32(x)) => self.b.mov_to(to, x),
            (Value::F64(to), Value::F64(x)) => self.b.mov_to(to, x),
            (_, _) => unreachable!("both have one type"),
        }
    }

    /// Values to an operand: one where the columns have one, else as many as there are columns.
    pub(super) fn store(&mut self, operand: usize, place: &Place, values: &[Value]) {
        let dtype = self.kernel.operands[operand].dtype;
        let pointer = place.pointers[operand];
        if self.access(operand) == Access::Vector {
            let width = self.width();
            let all = if values.len() == 1 { vec![values[0]; width] } else { values.to_vec() };
            return store_vector(self.b, pointer, dtype, &all);
        }
        match values[0] {
            Value::F32(x) => store_single(self.b, pointer, dtype, x, place.writes),
            Value::F64(x) => write(self.b, pointer, x, place.writes),
            Value::Int(x) => write(self.b, pointer, x, place.writes),
            Value::Bool(p) => {
                let one: Reg<B32> = self.b.select(p, 1, 0);
                write(self.b, pointer, one, place.writes);
            }
        }
    }
}

/// `pointer + index * stride` elements; the index is not negative.
pub(super) fn advance(
    b: &mut Builder,
    pointer: Pointer,
    index: Reg<B32>,
    stride: i64,
    dtype: Dtype,
) -> Pointer {
    let bytes = stride * dtype.bytes().cast_signed();
    if bytes == 0 {
        return pointer;
    }
    match (pointer, i32::try_from(bytes)) {
        (Pointer::Global(base), _) => Pointer::Global(advance_bytes(b, base, index, bytes)),
        (Pointer::Shared(base), bytes) => {
            let bytes = bytes.expect("shared memory is small");
            Pointer::Shared(b.mad(index, bytes, base))
        }
    }
}

/// `base + index * bytes`; the index is not negative.
pub(super) fn advance_bytes(
    b: &mut Builder,
    base: Reg<B64>,
    index: Reg<B32>,
    bytes: i64,
) -> Reg<B64> {
    match i32::try_from(bytes) {
        Ok(0) => base,
        Ok(bytes) => b.mad_wide(index, bytes, base),
        Err(_) => {
            let index = b.s64_from_s32(index);
            b.mad(index, bytes, base)
        }
    }
}

/// An element of memory.
pub(super) fn load_from(b: &mut Builder, pointer: Pointer, dtype: Dtype) -> Value {
    match dtype {
        Dtype::F32 => Value::F32(read::<F32>(b, pointer)),
        Dtype::F64 => Value::F64(read::<F64>(b, pointer)),
        Dtype::F16 | Dtype::Bf16 => {
            let half = read::<B16>(b, pointer);
            Value::F32(wide(b, dtype, half))
        }
        Dtype::I32 => Value::Int(read::<B32>(b, pointer)),
        Dtype::Bool => {
            let one = read::<B32>(b, pointer);
            Value::Bool(b.icmp(Cmp::Ne, one, 0))
        }
    }
}

fn read<K: Kind>(b: &mut Builder, pointer: Pointer) -> Reg<K> {
    match pointer {
        Pointer::Global(base) => b.load(base, 0),
        Pointer::Shared(base) => b.load_shared(base, 0),
    }
}

fn write<K: Kind>(b: &mut Builder, pointer: Pointer, value: Reg<K>, only: Option<Reg<Pred>>) {
    let write = |b: &mut Builder| match pointer {
        Pointer::Global(base) => b.store(base, 0, value),
        Pointer::Shared(base) => b.store_shared(base, 0, value),
    };
    match only {
        Some(p) => b.guarded(p, true, write),
        None => write(b),
    }
}

/// A single to memory, rounded to a type there, where a truth value holds.
pub(super) fn store_single(
    b: &mut Builder,
    pointer: Pointer,
    dtype: Dtype,
    x: Reg<F32>,
    only: Option<Reg<Pred>>,
) {
    if dtype.is_narrow() {
        let half = half(b, dtype, x);
        write(b, pointer, half, only);
    } else {
        write(b, pointer, x, only);
    }
}

/// An element of memory as a single, where a truth value holds.
pub(super) fn load_single(
    b: &mut Builder,
    to: Reg<F32>,
    pointer: Pointer,
    dtype: Dtype,
    only: Reg<Pred>,
) {
    let end = b.label();
    b.bra_if(only, false, end);
    let Value::F32(x) = load_from(b, pointer, dtype) else {
        unreachable!("products are of floats of 16 and 32 bits")
    };
    b.mov_to(to, x);
    b.place(end);
}

/// The 16 bits nearest to a single.
pub(super) fn half(b: &mut Builder, dtype: Dtype, x: Reg<F32>) -> Reg<B16> {
    if dtype == Dtype::Bf16 { b.bf16_from_f32(x) } else { b.f16_from_f32(x) }
}

/// The single that 16 bits are.
pub(super) fn wide(b: &mut Builder, dtype: Dtype, half: Reg<B16>) -> Reg<F32> {
    if dtype == Dtype::Bf16 { b.f32_from_bf16(half) } else { b.f32_from_f16(half) }
}

/// A size as an immediate.
pub(super) fn small(size: u64) -> i32 {
    i32::try_from(size).expect("dimensions are below 2^31")
}
