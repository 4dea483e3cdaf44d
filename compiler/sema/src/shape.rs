//! Shapes: an optional rest axis, then sized axes, and how two line up.

use diag::Span;

use crate::dim::{Atoms, Poly};

/// Zero or more leading axes whose number is not known: `..s` while it is checked for all ranks.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    /// Distinguishes it from all others.
    pub(crate) id: u32,
    /// After the dots; empty for a bare `..`.
    pub(crate) name: String,
}

/// One axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// Its size.
    pub(crate) size: Poly,
    /// What gave it that size, for messages.
    pub(crate) made: Span,
}

/// The shape of a value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    /// Before all axes.
    pub(crate) rest: Option<Rest>,
    /// From the slowest to the fastest.
    pub(crate) axes: Vec<Axis>,
}

impl Axis {
    /// Whether it is the literal 1, which stretches.
    pub(crate) fn is_one(&self) -> bool {
        self.size.as_constant() == Some(1)
    }
}

impl Shape {
    /// Of a scalar.
    pub(crate) fn scalar() -> Shape {
        Shape::default()
    }

    /// Without a rest axis.
    pub(crate) fn of(axes: Vec<Axis>) -> Shape {
        Shape { rest: None, axes }
    }

    /// Whether it has no axis at all.
    pub(crate) fn is_scalar(&self) -> bool {
        self.rest.is_none() && self.axes.is_empty()
    }

    /// Equal sizes, whatever made them.
    pub(crate) fn same(&self, other: &Shape) -> bool {
        self.same_rest(other)
            && self.axes.len() == other.axes.len()
            && self.axes.iter().zip(&other.axes).all(|(a, b)| a.size == b.size)
    }

    fn same_rest(&self, other: &Shape) -> bool {
        self.rest.as_ref().map(|r| r.id) == other.rest.as_ref().map(|r| r.id)
    }

    /// Whether `self` is the end of `other`.
    fn is_suffix_of(&self, other: &Shape) -> bool {
        if self.rest.is_some() {
            return self.same(other);
        }
        let Some(skip) = other.axes.len().checked_sub(self.axes.len()) else { return false };
        self.axes.iter().zip(&other.axes[skip..]).all(|(a, b)| a.size == b.size)
    }

    /// The shape of an elementwise operation: equal, or one the end of the other, or equal rank
    /// with literal ones.
    pub(crate) fn broadcast(&self, other: &Shape) -> Option<Shape> {
        if self.is_suffix_of(other) {
            return Some(other.clone());
        }
        if other.is_suffix_of(self) {
            return Some(self.clone());
        }
        if !self.same_rest(other) || self.axes.len() != other.axes.len() {
            return None;
        }
        let axes = self.axes.iter().zip(&other.axes).map(|(a, b)| {
            if a.size == b.size || b.is_one() {
                Some(a.clone())
            } else {
                a.is_one().then(|| b.clone())
            }
        });
        Some(Shape { rest: self.rest.clone(), axes: axes.collect::<Option<_>>()? })
    }

    /// As written in the source: `[..s, t, 3 * d]`.
    pub(crate) fn show(&self, atoms: &Atoms) -> String {
        let rest = self.rest.iter().map(|r| format!("..{}", r.name));
        let axes = self.axes.iter().map(|a| atoms.show(&a.size));
        format!("[{}]", rest.chain(axes).collect::<Vec<_>>().join(", "))
    }
}
