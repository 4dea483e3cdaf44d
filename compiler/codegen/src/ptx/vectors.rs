//! Neighbouring columns between memory and registers, 16 bytes at a time.

use ir::types::Dtype;
use ptx_builder::{B32, B64, Builder, Cmp, F32, F64, Kind, Narrow, Pred, Reg};

use super::emitter::{Emitter, Value};
use super::memory::{Pointer, advance, load_from, wide};
use super::wide::Access;

impl Emitter<'_> {
    /// An operand at all columns of the group: one value where it is the same.
    pub(super) fn load(&mut self, operand: usize, pointer: Pointer) -> Vec<Value> {
        let kernel = self.kernel;
        let about = &kernel.operands[operand];
        match self.access(operand) {
            Access::Same => vec![load_from(self.b, pointer, about.dtype)],
            Access::Vector => load_vector(self.b, global(pointer), about.dtype, self.width()),
            Access::Each => (0..self.width())
                .map(|lane| {
                    let pointer = self.at_lane(operand, pointer, lane);
                    load_from(self.b, pointer, about.dtype)
                })
                .collect(),
        }
    }

    /// An element of an operand at an index, which may be another one at each column; 0 where
    /// there is none.
    pub(super) fn load_at(
        &mut self,
        operand: usize,
        pointer: Pointer,
        index: &[Value],
        (stride, bound): (i64, u64),
    ) -> Vec<Value> {
        let dtype = self.kernel.operands[operand].dtype;
        let is_even = stride.rem_euclid(self.width() as i64) == 0;
        let access = self.access(operand);
        if let ([index], Access::Vector, true) = (index, access, is_even) {
            let (is_there, pointer) = self.indexed(pointer, *index, (stride, bound), dtype);
            let width = self.width();
            return self.load_where(is_there, dtype, width, |b| {
                load_vector(b, global(pointer), dtype, width)
            });
        }
        let n = if access == Access::Same { index.len() } else { self.width() };
        let mut found = vec![];
        for lane in 0..n {
            let own = index[lane.min(index.len() - 1)];
            let pointer = self.at_lane(operand, pointer, lane);
            let (is_there, pointer) = self.indexed(pointer, own, (stride, bound), dtype);
            found.extend(
                self.load_where(is_there, dtype, 1, |b| vec![load_from(b, pointer, dtype)]),
            );
        }
        found
    }

    /// Whether an index is valid, and the place there.
    fn indexed(
        &mut self,
        pointer: Pointer,
        index: Value,
        (stride, bound): (i64, u64),
        dtype: Dtype,
    ) -> (Reg<Pred>, Pointer) {
        let Value::Int(index) = index else { unreachable!("an index is an integer") };
        let is_there = match i32::try_from(bound) {
            // A negative index is a large one without sign.
            Ok(bound) => self.b.ucmp(Cmp::Lt, index, bound),
            Err(_) => self.b.icmp(Cmp::Ge, index, 0),
        };
        (is_there, advance(self.b, pointer, index, stride, dtype))
    }

    /// What is read where a truth value holds, else zeros.
    fn load_where(
        &mut self,
        is_there: Reg<Pred>,
        dtype: Dtype,
        n: usize,
        read: impl FnOnce(&mut Builder) -> Vec<Value>,
    ) -> Vec<Value> {
        let zero = self.constant(dtype, 0);
        let found: Vec<Value> = (0..n).map(|_| self.copy(zero)).collect();
        let end = self.b.label();
        self.b.bra_if(is_there, false, end);
        let values = read(self.b);
        for (&to, value) in found.iter().zip(values) {
            self.assign(to, value);
        }
        self.b.place(end);
        found
    }

    /// The place of an operand so many columns further on.
    fn at_lane(&mut self, operand: usize, pointer: Pointer, lane: usize) -> Pointer {
        let about = &self.kernel.operands[operand];
        let bytes = lane as i64 * about.col * about.dtype.bytes().cast_signed();
        match pointer {
            _ if bytes == 0 => pointer,
            Pointer::Global(base) => Pointer::Global(self.b.iadd(base, bytes)),
            Pointer::Shared(_) => unreachable!("groups of columns are in global memory"),
        }
    }
}

fn global(pointer: Pointer) -> Reg<B64> {
    let Pointer::Global(base) = pointer else {
        unreachable!("groups of columns are in global memory")
    };
    base
}

/// Elements side by side, of which the first is aligned to a vector.
fn load_vector(b: &mut Builder, base: Reg<B64>, dtype: Dtype, n: usize) -> Vec<Value> {
    match dtype {
        Dtype::F32 => words::<F32>(b, base, n).into_iter().map(Value::F32).collect(),
        Dtype::F64 => {
            let pairs = (0..n / 2).flat_map(|at| b.load2::<F64>(base, at as i32 * 16));
            pairs.map(Value::F64).collect()
        }
        Dtype::I32 => words::<B32>(b, base, n).into_iter().map(Value::Int).collect(),
        Dtype::Bool => {
            let words = words::<B32>(b, base, n);
            words.into_iter().map(|one| Value::Bool(b.icmp(Cmp::Ne, one, 0))).collect()
        }
        Dtype::F16 | Dtype::Bf16 => {
            let pairs = words::<B32>(b, base, n / 2);
            pairs.into_iter().flat_map(|pair| unpacked(b, dtype, pair)).map(Value::F32).collect()
        }
    }
}

/// The two singles that a pair of 16 bits are.
fn unpacked(b: &mut Builder, dtype: Dtype, pair: Reg<B32>) -> [Reg<F32>; 2] {
    b.unpack(pair).map(|half| wide(b, dtype, half))
}

/// Words of 32 bits in as few accesses as there can be.
fn words<K: Kind>(b: &mut Builder, base: Reg<B64>, n: usize) -> Vec<Reg<K>> {
    match n {
        1 => vec![b.load(base, 0)],
        2 => b.load2(base, 0).to_vec(),
        _ => (0..n / 4).flat_map(|at| b.load4(base, at as i32 * 16)).collect(),
    }
}

fn store_words<K: Kind>(b: &mut Builder, base: Reg<B64>, words: &[Reg<K>]) {
    match *words {
        [one] => b.store(base, 0, one),
        [low, high] => b.store2(base, 0, [low, high]),
        _ => {
            for (at, four) in (0..).zip(words.chunks_exact(4)) {
                b.store4(base, at * 16, [four[0], four[1], four[2], four[3]]);
            }
        }
    }
}

/// Elements side by side, of which the first is aligned to a vector.
pub(super) fn store_vector(b: &mut Builder, pointer: Pointer, dtype: Dtype, values: &[Value]) {
    let base = global(pointer);
    match dtype {
        Dtype::F32 => {
            let words: Vec<Reg<F32>> = values.iter().map(single).collect();
            store_words(b, base, &words);
        }
        Dtype::F64 => {
            for (at, pair) in (0..).zip(values.chunks_exact(2)) {
                let [Value::F64(low), Value::F64(high)] = *pair else {
                    unreachable!("a store has the type of its value")
                };
                b.store2(base, at * 16, [low, high]);
            }
        }
        Dtype::I32 | Dtype::Bool => {
            let words: Vec<Reg<B32>> = values.iter().map(|&value| integer(b, value)).collect();
            store_words(b, base, &words);
        }
        Dtype::F16 | Dtype::Bf16 => {
            let narrow = if dtype == Dtype::Bf16 { Narrow::Bf16 } else { Narrow::F16 };
            let pairs = values.chunks_exact(2);
            let words: Vec<Reg<B32>> = pairs
                .map(|pair| b.narrow_pair(narrow, single(&pair[0]), single(&pair[1])))
                .collect();
            store_words(b, base, &words);
        }
    }
}

fn single(value: &Value) -> Reg<F32> {
    let Value::F32(x) = value else { unreachable!("a store has the type of its value") };
    *x
}

fn integer(b: &mut Builder, value: Value) -> Reg<B32> {
    match value {
        Value::Int(x) => x,
        Value::Bool(p) => b.select(p, 1, 0),
        Value::F32(_) | Value::F64(_) => unreachable!("a store has the type of its value"),
    }
}
