//! What tasks are evaluated over: bits, or the spans of what fast code may compute.

use super::kernel::Memory;
use super::scalar::{eval_scalar, f32_bits};
use super::tensor::Data;
use crate::body::constant_bits;
use crate::expand::expand_kernel;
use crate::kernel::{Kernel, LANES, Reduction, Scalar};
use crate::types::Dtype;

/// Buffers of values of one kind, and the arithmetic of these.
pub(super) trait Numbers {
    /// An element.
    type Value: Copy;

    /// A number of a type.
    fn of(dtype: Dtype, bits: u64) -> Self::Value;
    /// The bits of an i32, which is known.
    fn int(value: Self::Value) -> u64;
    fn apply(op: Scalar, dtypes: &[Dtype], args: &[Self::Value]) -> Self::Value;
    /// A reduction, along a row or down a column.
    fn reduce(kind: Reduction, dtype: Dtype, is_row: bool, all: &[Self::Value]) -> Self::Value;
    /// A sum of products, each side of one type: that of the memory that it is read from, in which
    /// a side may be rounded before.
    fn chain(operands: Dtype, products: &[[Self::Value; 2]]) -> Self::Value;
    /// The kernel that is evaluated in the place of another.
    fn kernel(kernel: &Kernel) -> Kernel;

    fn get(&self, buffer: usize, at: usize) -> Self::Value;
    fn set(&mut self, buffer: usize, at: usize, value: Self::Value);
    fn n_buffers(&self) -> usize;
    /// One more buffer.
    fn push(&mut self, dtype: Dtype, all: Vec<Self::Value>);
    /// No more than so many buffers.
    fn truncate(&mut self, n: usize);
}

impl Numbers for Memory {
    type Value = u64;

    fn of(_: Dtype, bits: u64) -> u64 {
        bits
    }

    fn int(bits: u64) -> u64 {
        bits
    }

    fn apply(op: Scalar, dtypes: &[Dtype], args: &[u64]) -> u64 {
        eval_scalar(op, dtypes, args)
    }

    fn reduce(kind: Reduction, dtype: Dtype, is_row: bool, all: &[u64]) -> u64 {
        let (op, identity) = fold_of(kind);
        let identity = constant_bits(dtype, identity);
        let fold = |x: u64, &y: &u64| eval_scalar(op, &[dtype, dtype], &[x, y]);
        if !is_row {
            return all.iter().fold(identity, fold);
        }
        let mut lanes = vec![identity; LANES as usize];
        for (item, bits) in all.iter().enumerate() {
            let lane = item % LANES as usize;
            lanes[lane] = fold(lanes[lane], bits);
        }
        let mut half = LANES as usize / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] = fold(lanes[i], &lanes[i + half]);
            }
            half /= 2;
        }
        lanes[0]
    }

    /// Fused and ascending, from +0.
    fn chain(_: Dtype, products: &[[u64; 2]]) -> u64 {
        let number = |bits: u64| f32::from_bits(bits as u32);
        f32_bits(products.iter().fold(0.0, |sum, &[x, y]| number(x).mul_add(number(y), sum)))
    }

    fn kernel(kernel: &Kernel) -> Kernel {
        expand_kernel(kernel)
    }

    fn get(&self, buffer: usize, at: usize) -> u64 {
        self.0[buffer].bits(at)
    }

    fn set(&mut self, buffer: usize, at: usize, bits: u64) {
        self.0[buffer].set_bits(at, bits);
    }

    fn n_buffers(&self) -> usize {
        self.0.len()
    }

    fn push(&mut self, dtype: Dtype, all: Vec<u64>) {
        let mut data = Data::zeros(dtype, all.len());
        all.into_iter().enumerate().for_each(|(at, bits)| data.set_bits(at, bits));
        self.0.push(data);
    }

    fn truncate(&mut self, n: usize) {
        self.0.truncate(n);
    }
}

/// What combines two values of a reduction, and what changes none.
pub(super) fn fold_of(kind: Reduction) -> (Scalar, f64) {
    match kind {
        Reduction::Sum => (Scalar::Add, 0.0),
        Reduction::Max => (Scalar::Max, f64::NEG_INFINITY),
        Reduction::Min => (Scalar::Min, f64::INFINITY),
    }
}
