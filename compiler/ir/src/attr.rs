//! Attributes of ops: what the text form has between braces.
//!
//! An op gives its attributes in a fixed order and is built back from them.

use std::fmt;

use crate::text::quote;
use crate::types::{Dtype, Type};

/// The value of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attr {
    /// A count, an axis, a number: `3`.
    Int(u64),
    /// A number that prints so that it parses back to the same bits: `1.5`, `-inf`, `nan`.
    Float(f64),
    /// A name: `"blocks.0.w"`.
    Text(String),
    /// An element type: `f32`.
    Dtype(Dtype),
    /// A tensor type: `f32[2,3]`.
    Type(Type),
    /// A shape or a list of axes: `[2,3]`.
    Dims(Vec<u64>),
}

/// Attributes in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attrs(pub Vec<(String, Attr)>);

/// What is wrong with the attributes of an op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttrError {
    /// The op needs this one.
    Missing {
        /// Its name.
        key: &'static str,
    },
    /// It has another kind of value.
    Kind {
        /// Its name.
        key: &'static str,
        /// What the op takes: `a shape`.
        expected: &'static str,
    },
    /// The op has no such attribute.
    Unknown {
        /// Its name.
        key: String,
    },
    /// No op has this name.
    Op {
        /// The name.
        name: String,
    },
}

impl fmt::Display for AttrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key } => write!(f, "attribute `{key}` is missing"),
            Self::Kind { key, expected } => write!(f, "attribute `{key}` must be {expected}"),
            Self::Unknown { key } => write!(f, "unknown attribute `{key}`"),
            Self::Op { name } => write!(f, "unknown op `{name}`"),
        }
    }
}

impl std::error::Error for AttrError {}

impl Attrs {
    /// No attribute.
    pub fn none() -> Self {
        Self::default()
    }

    /// These and one more.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: Attr) -> Self {
        self.0.push((key.to_owned(), value));
        self
    }

    /// Fails when there is an attribute that is not one of `keys`.
    pub fn only(&self, keys: &[&'static str]) -> Result<(), AttrError> {
        match self.0.iter().find(|(k, _)| !keys.contains(&k.as_str())) {
            Some((key, _)) => Err(AttrError::Unknown { key: key.clone() }),
            None => Ok(()),
        }
    }

    fn get(&self, key: &'static str) -> Result<&Attr, AttrError> {
        let found = self.0.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value).ok_or(AttrError::Missing { key })
    }

    /// The count `key`.
    pub fn int(&self, key: &'static str) -> Result<u64, AttrError> {
        let Attr::Int(value) = self.get(key)? else {
            return Err(AttrError::Kind { key, expected: "a count" });
        };
        Ok(*value)
    }

    /// The axis `key`.
    pub fn axis(&self, key: &'static str) -> Result<usize, AttrError> {
        usize::try_from(self.int(key)?).map_err(|_| AttrError::Kind { key, expected: "an axis" })
    }

    /// The number `key`.
    pub fn float(&self, key: &'static str) -> Result<f64, AttrError> {
        let Attr::Float(value) = self.get(key)? else {
            return Err(AttrError::Kind { key, expected: "a number with a point" });
        };
        Ok(*value)
    }

    /// The name `key`.
    pub fn text(&self, key: &'static str) -> Result<String, AttrError> {
        let Attr::Text(value) = self.get(key)? else {
            return Err(AttrError::Kind { key, expected: "a text" });
        };
        Ok(value.clone())
    }

    /// The element type `key`.
    pub fn dtype(&self, key: &'static str) -> Result<Dtype, AttrError> {
        let Attr::Dtype(value) = self.get(key)? else {
            return Err(AttrError::Kind { key, expected: "an element type" });
        };
        Ok(*value)
    }

    /// The tensor type `key`.
    pub fn ty(&self, key: &'static str) -> Result<Type, AttrError> {
        let Attr::Type(value) = self.get(key)? else {
            return Err(AttrError::Kind { key, expected: "a tensor type" });
        };
        Ok(value.clone())
    }

    /// The shape `key`.
    pub fn dims(&self, key: &'static str) -> Result<Vec<u64>, AttrError> {
        let Attr::Dims(value) = self.get(key)? else {
            return Err(AttrError::Kind { key, expected: "a shape" });
        };
        Ok(value.clone())
    }

    /// The axes `key`.
    pub fn axes(&self, key: &'static str) -> Result<Vec<usize>, AttrError> {
        let dims = self.dims(key)?;
        let wrong = AttrError::Kind { key, expected: "a list of axes" };
        dims.into_iter().map(|d| usize::try_from(d).map_err(|_| wrong.clone())).collect()
    }
}

/// A list of axes as an attribute.
pub(crate) fn axes_attr(axes: &[usize]) -> Attr {
    Attr::Dims(axes.iter().map(|&a| a as u64).collect())
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) if value.is_nan() => f.write_str("nan"),
            // Debug keeps a point or an exponent, and the shortest digits that parse back.
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(text) => f.write_str(&quote(text)),
            Self::Dtype(dtype) => write!(f, "{dtype}"),
            Self::Type(ty) => write!(f, "{ty}"),
            Self::Dims(dims) => {
                let dims: Vec<String> = dims.iter().map(u64::to_string).collect();
                write!(f, "[{}]", dims.join(","))
            }
        }
    }
}

impl fmt::Display for Attrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let parts: Vec<String> =
            self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}
