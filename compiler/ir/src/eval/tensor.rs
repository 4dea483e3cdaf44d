//! Tensors of the interpreter: a type and the elements.

use crate::body::constant_bits;
use crate::types::{Dtype, Type};

/// Elements in row-major order. Bools are i32 that are 0 or 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// IEEE single, and the narrow floats as the f32 they equal.
    F32(Vec<f32>),
    /// IEEE double.
    F64(Vec<f64>),
    /// i32 or bool.
    I32(Vec<i32>),
}

impl Data {
    /// `len` zeros of an element type.
    pub fn zeros(dtype: Dtype, len: usize) -> Self {
        match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => Self::F32(vec![0.0; len]),
            Dtype::F64 => Self::F64(vec![0.0; len]),
            Dtype::I32 | Dtype::Bool => Self::I32(vec![0; len]),
        }
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::I32(v) => v.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bits of an element, f32 and i32 in the low 32.
    pub fn bits(&self, at: usize) -> u64 {
        match self {
            Self::F32(v) => u64::from(v[at].to_bits()),
            Self::F64(v) => v[at].to_bits(),
            Self::I32(v) => u64::from(v[at] as u32),
        }
    }

    /// Writes the bits of an element.
    pub fn set_bits(&mut self, at: usize, bits: u64) {
        match self {
            Self::F32(v) => v[at] = f32::from_bits(bits as u32),
            Self::F64(v) => v[at] = f64::from_bits(bits),
            Self::I32(v) => v[at] = bits as u32 as i32,
        }
    }

    /// An element as a number.
    pub fn number(&self, at: usize) -> f64 {
        match self {
            Self::F32(v) => f64::from(v[at]),
            Self::F64(v) => v[at],
            Self::I32(v) => f64::from(v[at]),
        }
    }

    /// All elements as numbers.
    pub fn numbers(&self) -> Vec<f64> {
        (0..self.len()).map(|at| self.number(at)).collect()
    }
}

/// A tensor. In [`super::graph::Precision::F64`] the elements of all float types are held as f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its type.
    pub ty: Type,
    /// Its elements.
    pub data: Data,
}

impl Tensor {
    /// Zeros.
    pub fn zeros(ty: Type) -> Self {
        let data = Data::zeros(ty.dtype, ty.len() as usize);
        Self { ty, data }
    }

    /// From numbers, rounded to the element type.
    pub fn from_numbers(ty: Type, numbers: &[f64]) -> Self {
        assert_eq!(ty.len(), numbers.len() as u64, "a tensor has as many elements as its type");
        let mut tensor = Self::zeros(ty);
        for (at, &number) in numbers.iter().enumerate() {
            tensor.data.set_bits(at, constant_bits(tensor.ty.dtype, number));
        }
        tensor
    }

    /// From f32 elements.
    pub fn f32(shape: &[u64], elements: &[f32]) -> Self {
        let ty = Type::new(Dtype::F32, shape);
        assert_eq!(ty.len(), elements.len() as u64, "a tensor has as many elements as its type");
        Self { ty, data: Data::F32(elements.to_vec()) }
    }

    /// From i32 elements.
    pub fn i32(shape: &[u64], elements: &[i32]) -> Self {
        let ty = Type::new(Dtype::I32, shape);
        assert_eq!(ty.len(), elements.len() as u64, "a tensor has as many elements as its type");
        Self { ty, data: Data::I32(elements.to_vec()) }
    }

    /// The elements as numbers.
    pub fn numbers(&self) -> Vec<f64> {
        self.data.numbers()
    }

    /// With f32 elements held as f64.
    pub(super) fn widened(mut self) -> Self {
        if let Data::F32(v) = &self.data {
            self.data = Data::F64(v.iter().map(|&x| f64::from(x)).collect());
        }
        self
    }
}

/// Row-major strides of a shape.
pub(super) fn strides(shape: &[u64]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as usize;
    }
    strides
}

/// Calls `f` with every index of a shape, in row-major order.
pub(super) fn each_index(shape: &[u64], mut f: impl FnMut(&[u64])) {
    let total: u64 = shape.iter().product();
    let mut index = vec![0; shape.len()];
    for _ in 0..total {
        f(&index);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}
