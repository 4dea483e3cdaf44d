//! What each scalar operation takes and gives, and its name in text.

use crate::kernel::Scalar;
use crate::types::Dtype;

/// Every scalar operation without a type of its own, with its name.
const NAMES: [(Scalar, &str); 31] = [
    (Scalar::Add, "add"),
    (Scalar::Sub, "sub"),
    (Scalar::Mul, "mul"),
    (Scalar::Div, "div"),
    (Scalar::Min, "min"),
    (Scalar::Max, "max"),
    (Scalar::Fma, "fma"),
    (Scalar::Neg, "neg"),
    (Scalar::Abs, "abs"),
    (Scalar::Sqrt, "sqrt"),
    (Scalar::Floor, "floor"),
    (Scalar::Nearest, "nearest"),
    (Scalar::Lt, "lt"),
    (Scalar::Le, "le"),
    (Scalar::Eq, "eq"),
    (Scalar::And, "and"),
    (Scalar::Or, "or"),
    (Scalar::Xor, "xor"),
    (Scalar::Not, "not"),
    (Scalar::Select, "select"),
    (Scalar::Shl, "shl"),
    (Scalar::ShrLogical, "shr"),
    (Scalar::MulHi, "mulhi"),
    (Scalar::Exp, "exp"),
    (Scalar::Log, "log"),
    (Scalar::Tanh, "tanh"),
    (Scalar::Erf, "erf"),
    (Scalar::Cos, "cos"),
    (Scalar::Rsqrt, "rsqrt"),
    (Scalar::Pow, "pow"),
    (Scalar::Philox, "philox"),
];

impl Scalar {
    /// Whether it is one instruction on every back end; the others are expanded.
    pub fn is_primitive(self) -> bool {
        match self {
            Self::Exp
            | Self::Log
            | Self::Tanh
            | Self::Erf
            | Self::Cos
            | Self::Rsqrt
            | Self::Pow
            | Self::Philox => false,
            Self::Add
            | Self::Sub
            | Self::Mul
            | Self::Div
            | Self::Min
            | Self::Max
            | Self::Fma
            | Self::Neg
            | Self::Abs
            | Self::Sqrt
            | Self::Floor
            | Self::Nearest
            | Self::Lt
            | Self::Le
            | Self::Eq
            | Self::And
            | Self::Or
            | Self::Xor
            | Self::Not
            | Self::Select
            | Self::Shl
            | Self::ShrLogical
            | Self::MulHi
            | Self::Cast(_)
            | Self::Bitcast(_) => true,
        }
    }

    /// How many operands it has.
    pub fn arity(self) -> usize {
        match self {
            Self::Neg
            | Self::Abs
            | Self::Sqrt
            | Self::Floor
            | Self::Nearest
            | Self::Not
            | Self::Cast(_)
            | Self::Bitcast(_)
            | Self::Exp
            | Self::Log
            | Self::Tanh
            | Self::Erf
            | Self::Cos
            | Self::Rsqrt => 1,
            Self::Add
            | Self::Sub
            | Self::Mul
            | Self::Div
            | Self::Min
            | Self::Max
            | Self::Lt
            | Self::Le
            | Self::Eq
            | Self::And
            | Self::Or
            | Self::Xor
            | Self::Shl
            | Self::ShrLogical
            | Self::MulHi
            | Self::Pow => 2,
            Self::Fma | Self::Select => 3,
            Self::Philox => 5,
        }
    }

    /// The type of the result for operands of these types, or none when they do not fit.
    pub fn result(self, args: &[Dtype]) -> Option<Dtype> {
        if args.len() != self.arity() {
            return None;
        }
        let first = args[0];
        let one_type = args.iter().all(|&a| a == first);
        let is_number = first.is_wide() || first == Dtype::I32;
        match self {
            Self::Add | Self::Sub | Self::Mul | Self::Min | Self::Max => {
                (one_type && is_number).then_some(first)
            }
            Self::Div
            | Self::Fma
            | Self::Neg
            | Self::Abs
            | Self::Sqrt
            | Self::Floor
            | Self::Nearest
            | Self::Exp
            | Self::Log
            | Self::Tanh
            | Self::Erf
            | Self::Cos
            | Self::Rsqrt
            | Self::Pow => (one_type && first.is_wide()).then_some(first),
            Self::Lt | Self::Le | Self::Eq => (one_type && is_number).then_some(Dtype::Bool),
            Self::And | Self::Or | Self::Xor | Self::Not => {
                (one_type && !first.is_float()).then_some(first)
            }
            Self::Select => (first == Dtype::Bool && args[1] == args[2]).then_some(args[1]),
            Self::Shl | Self::ShrLogical | Self::MulHi | Self::Philox => {
                (one_type && first == Dtype::I32).then_some(first)
            }
            Self::Cast(to) => Some(to),
            Self::Bitcast(to) => {
                let pair = (first, to);
                let fits = pair == (Dtype::F32, Dtype::I32) || pair == (Dtype::I32, Dtype::F32);
                fits.then_some(to)
            }
        }
    }

    /// As printed: `add`, `cast.f32`.
    pub fn name(self) -> String {
        if let Self::Cast(to) = self {
            return format!("cast.{to}");
        }
        if let Self::Bitcast(to) = self {
            return format!("bitcast.{to}");
        }
        let found = NAMES.iter().find(|(op, _)| *op == self);
        found.map(|(_, name)| (*name).to_owned()).expect("NAMES lists every scalar operation")
    }

    /// The operation printed as `name`.
    pub fn parse(name: &str) -> Option<Scalar> {
        if let Some((kind, dtype)) = name.split_once('.') {
            let dtype = Dtype::parse(dtype)?;
            return match kind {
                "cast" => Some(Self::Cast(dtype)),
                "bitcast" => Some(Self::Bitcast(dtype)),
                _ => None,
            };
        }
        NAMES.iter().find(|(_, n)| *n == name).map(|(op, _)| *op)
    }
}
