//! Element types and tensor types.

use std::fmt;

/// The type of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// IEEE half precision; what memory holds, never what arithmetic is done in.
    F16,
    /// The upper half of an f32; what memory holds, never what arithmetic is done in.
    Bf16,
    /// 32-bit integer, two's complement.
    I32,
    /// 0 or 1, stored as a 32-bit integer.
    Bool,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 6] =
        [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16, Dtype::I32, Dtype::Bool];

    /// Bytes of one stored element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::I32 | Self::Bool => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// As printed: `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I32 => "i32",
            Self::Bool => "bool",
        }
    }

    /// The type that is printed as `name`.
    pub fn parse(name: &str) -> Option<Dtype> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Whether it is a floating-point type: what gradients flow through.
    pub fn is_float(self) -> bool {
        self.is_wide() || self.is_narrow()
    }

    /// Whether it is a floating-point type that arithmetic is done in: f32, f64.
    pub fn is_wide(self) -> bool {
        match self {
            Self::F32 | Self::F64 => true,
            Self::F16 | Self::Bf16 | Self::I32 | Self::Bool => false,
        }
    }

    /// Whether it is a floating-point type for storage only: f16, bf16.
    pub fn is_narrow(self) -> bool {
        match self {
            Self::F16 | Self::Bf16 => true,
            Self::F32 | Self::F64 | Self::I32 | Self::Bool => false,
        }
    }

    /// The type that elements are held in outside memory: f32 for the narrow ones.
    pub fn held(self) -> Dtype {
        if self.is_narrow() { Self::F32 } else { self }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sizes of the axes, slowest first; row-major.
pub type Shape = Vec<u64>;

/// The type of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Type {
    /// Of its elements.
    pub dtype: Dtype,
    /// Of its axes; empty for a scalar.
    pub shape: Shape,
}

impl Type {
    /// A tensor type.
    pub fn new(dtype: Dtype, shape: impl Into<Shape>) -> Self {
        Self { dtype, shape: shape.into() }
    }

    /// A scalar.
    pub fn scalar(dtype: Dtype) -> Self {
        Self { dtype, shape: vec![] }
    }

    /// How many elements; the verifier keeps it below 2^40 bytes, and until then it saturates.
    pub fn len(&self) -> u64 {
        self.shape.iter().fold(1, |len, &size| len.saturating_mul(size))
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.len().saturating_mul(self.dtype.bytes())
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        write!(f, "{}[{}]", self.dtype, dims.join(","))
    }
}
