//! Shape rules that several ops share, and what they say when operands do not fit.

use std::fmt;

use crate::types::{Dtype, Shape, Type};

/// Why operands do not fit an op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShapeError {
    /// Too few or too many operands.
    Count {
        /// What the op takes.
        expected: usize,
        /// What it got.
        found: usize,
    },
    /// An operand's element type.
    Dtype {
        /// Which operand, from 0.
        arg: usize,
        /// What the op takes: `f32 or f64`.
        expected: &'static str,
        /// What it got.
        found: Dtype,
    },
    /// Two operands must have one type.
    Unequal {
        /// The first.
        left: Type,
        /// The other.
        right: Type,
    },
    /// An operand's shape.
    Shape {
        /// Which operand, from 0.
        arg: usize,
        /// What the op takes: `[.., 3, n]`.
        expected: String,
        /// What it got.
        found: Type,
    },
    /// An attribute does not fit the operand.
    Attr {
        /// The attribute's name.
        key: &'static str,
        /// What the op takes.
        expected: String,
        /// The operand or result it is for.
        found: Type,
    },
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { expected, found } => {
                write!(f, "expected {expected} operands, found {found}")
            }
            Self::Dtype { arg, expected, found } => {
                write!(f, "operand {arg}: expected {expected}, found {found}")
            }
            Self::Unequal { left, right } => {
                write!(f, "expected operands of one type, found {left} and {right}")
            }
            Self::Shape { arg, expected, found } => {
                write!(f, "operand {arg}: expected {expected}, found {found}")
            }
            Self::Attr { key, expected, found } => {
                write!(f, "attribute `{key}` for {found}: expected {expected}")
            }
        }
    }
}

impl std::error::Error for ShapeError {}

/// Which element types an op takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// f32, f64.
    Floats,
    /// f32, f64, f16, bf16: only what computes in f32 all the same.
    AllFloats,
    /// f32, f64, i32.
    Numbers,
    /// bool.
    Bools,
    /// i32.
    Ints,
    /// All: what only moves elements.
    Any,
}

impl Takes {
    fn has(self, dtype: Dtype) -> bool {
        match self {
            Self::Floats => dtype.is_wide(),
            Self::AllFloats => dtype.is_float(),
            Self::Numbers => dtype.is_wide() || dtype == Dtype::I32,
            Self::Bools => dtype == Dtype::Bool,
            Self::Ints => dtype == Dtype::I32,
            Self::Any => true,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Floats => "f32 or f64",
            Self::AllFloats => "a float",
            Self::Numbers => "f32, f64 or i32",
            Self::Bools => "bool",
            Self::Ints => "i32",
            Self::Any => "anything",
        }
    }
}

/// Fails unless there are `expected` operands.
pub fn count(args: &[Type], expected: usize) -> Result<(), ShapeError> {
    if args.len() == expected {
        return Ok(());
    }
    Err(ShapeError::Count { expected, found: args.len() })
}

/// Fails unless operand `arg` has such elements.
pub fn takes(args: &[Type], arg: usize, takes: Takes) -> Result<(), ShapeError> {
    let found = args[arg].dtype;
    if takes.has(found) {
        return Ok(());
    }
    Err(ShapeError::Dtype { arg, expected: takes.sentence(), found })
}

/// One operand; the result has its type.
pub fn unary(args: &[Type], what: Takes) -> Result<Type, ShapeError> {
    count(args, 1)?;
    takes(args, 0, what)?;
    Ok(args[0].clone())
}

/// Two operands of one type; the result has it too.
pub fn binary(args: &[Type], what: Takes) -> Result<Type, ShapeError> {
    count(args, 2)?;
    takes(args, 0, what)?;
    equal(&args[0], &args[1])?;
    Ok(args[0].clone())
}

/// Two operands of one type; the result is bool.
pub fn comparison(args: &[Type]) -> Result<Type, ShapeError> {
    let ty = binary(args, Takes::Numbers)?;
    Ok(Type::new(Dtype::Bool, ty.shape))
}

/// Fails unless both types are the same.
pub fn equal(left: &Type, right: &Type) -> Result<(), ShapeError> {
    if left == right {
        return Ok(());
    }
    Err(ShapeError::Unequal { left: left.clone(), right: right.clone() })
}

/// Fails unless `axis` is one of the axes of `ty`.
pub fn axis(ty: &Type, axis: usize) -> Result<(), ShapeError> {
    if axis < ty.shape.len() {
        return Ok(());
    }
    let expected = format!("an axis below {}", ty.shape.len());
    Err(ShapeError::Attr { key: "axis", expected, found: ty.clone() })
}

/// One float operand; `axes` (ascending) become 1.
pub fn reduction(args: &[Type], axes: &[usize]) -> Result<Type, ShapeError> {
    let ty = unary(args, Takes::Floats)?;
    let is_ascending = axes.windows(2).all(|pair| pair[0] < pair[1]);
    if !is_ascending || axes.last().is_some_and(|&last| last >= ty.shape.len()) {
        let expected = format!("ascending axes below {}", ty.shape.len());
        return Err(ShapeError::Attr { key: "axes", expected, found: ty });
    }
    Ok(Type::new(ty.dtype, kept(&ty.shape, axes)))
}

/// `shape` with size 1 at `axes`.
pub fn kept(shape: &[u64], axes: &[usize]) -> Shape {
    let mut shape = shape.to_vec();
    for &axis in axes {
        shape[axis] = 1;
    }
    shape
}

/// Whether `from`, aligned at the right, repeats into `to`.
pub fn broadcasts(from: &[u64], to: &[u64]) -> bool {
    let pairs = from.iter().rev().zip(to.iter().rev());
    from.len() <= to.len() && pairs.into_iter().all(|(&f, &t)| f == t || f == 1)
}
