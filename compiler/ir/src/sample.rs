//! Samples of ops: the values that the generic tests feed to every op.
//!
//! A sample keeps away from kinks, so that finite differences mean something.

use crate::ops::Op;
use crate::types::{Dtype, Type};

/// How the elements of a sample operand are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// Anywhere in a range.
    Range(f64, f64),
    /// In `0.3 .. 2`, of either sign.
    NonZero,
    /// All different by 0.01 at least, also from operands of another phase.
    Distinct {
        /// 0 or 1.
        phase: u32,
    },
    /// At least 0.1 from any integer.
    OffGrid,
    /// i32 in `low .. high`.
    Ints(i32, i32),
    /// 0 or 1.
    Bools,
}

/// An op with operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The op.
    pub op: Op,
    /// The type and the values of each operand.
    pub args: Vec<(Type, Fill)>,
}

/// 42 shapes: scalars, empty ones, ones of size 1, odd ones, up to five axes.
pub const SHAPES: [&[u64]; 42] = [
    &[],
    &[0],
    &[1],
    &[2],
    &[3],
    &[5],
    &[7],
    &[16],
    &[17],
    &[31],
    &[33],
    &[0, 3],
    &[3, 0],
    &[1, 1],
    &[1, 4],
    &[4, 1],
    &[2, 3],
    &[3, 2],
    &[5, 7],
    &[7, 5],
    &[3, 17],
    &[17, 2],
    &[1, 33],
    &[2, 16],
    &[0, 1, 2],
    &[2, 0, 3],
    &[1, 1, 1],
    &[2, 1, 3],
    &[1, 3, 2],
    &[2, 3, 4],
    &[3, 3, 3],
    &[4, 3, 2],
    &[2, 5, 3],
    &[1, 2, 17],
    &[2, 2, 2, 2],
    &[1, 2, 3, 1],
    &[3, 1, 2, 2],
    &[2, 3, 1, 5],
    &[1, 1, 1, 7],
    &[2, 1, 2, 1, 2],
    &[1, 2, 2, 3, 2],
    &[2, 0, 1, 3, 1],
];

/// An f32 type.
pub fn f32s(shape: &[u64]) -> Type {
    Type::new(Dtype::F32, shape)
}

/// A type for what only moves elements: mostly f32, every third time one of 16 bits.
pub fn mixed(i: usize, shape: &[u64]) -> Type {
    let dtypes = [Dtype::F32, Dtype::F32, Dtype::F16, Dtype::F32, Dtype::F32, Dtype::Bf16];
    Type::new(dtypes[i % 6], shape)
}

/// One sample a shape, with as many equal f32 operands as `fills`.
pub fn pointwise(op: &Op, fills: &[Fill]) -> Vec<Sample> {
    typed(op, Dtype::F32, fills)
}

/// As [`pointwise`], of another element type.
pub fn typed(op: &Op, dtype: Dtype, fills: &[Fill]) -> Vec<Sample> {
    let sample = |shape: &&[u64]| Sample {
        op: op.clone(),
        args: fills.iter().map(|&fill| (Type::new(dtype, *shape), fill)).collect(),
    };
    SHAPES.iter().map(sample).collect()
}

/// Every shape with every one of its axes, and some pairs of axes: `(shape, axes)`.
pub fn reductions() -> Vec<(Vec<u64>, Vec<usize>)> {
    let mut found = vec![];
    for shape in SHAPES {
        let all: Vec<usize> = (0..shape.len()).collect();
        found.extend(all.iter().map(|&axis| (shape.to_vec(), vec![axis])));
        if shape.len() > 1 {
            found.push((shape.to_vec(), all));
        }
        if shape.len() > 2 {
            found.push((shape.to_vec(), vec![0, 2]));
        }
    }
    found
}
