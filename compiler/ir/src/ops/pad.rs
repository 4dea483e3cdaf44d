//! `pad`: zeros around.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, SHAPES, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    /// Which axis.
    pub axis: usize,
    /// Zeros in front.
    pub before: u64,
    /// Zeros behind.
    pub after: u64,
}

impl OpDef for Pad {
    const NAME: &'static str = "pad";
    const DOC: &'static str =
        "x with `before` zeros in front and `after` zeros behind, along `axis`.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
            .with("axis", Attr::Int(self.axis as u64))
            .with("before", Attr::Int(self.before))
            .with("after", Attr::Int(self.after))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["axis", "before", "after"])?;
        let (before, after) = (attrs.int("before")?, attrs.int("after")?);
        Ok(Self { axis: attrs.axis("axis")?, before, after })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let mut ty = rules::unary(args, Takes::Any)?;
        rules::axis(&ty, self.axis)?;
        let size = ty.shape[self.axis].saturating_add(self.before).saturating_add(self.after);
        ty.shape[self.axis] = size;
        Ok(ty)
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        let len = b.ty(args[0]).shape[self.axis];
        vec![Some(b.slice(grad, self.axis, self.before, len))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::Pad { axis: self.axis, before: self.before, after: self.after }
    }

    fn samples() -> Vec<Sample> {
        let mut samples = vec![];
        for (i, shape) in SHAPES.into_iter().enumerate() {
            for axis in 0..shape.len() {
                for (before, after) in [(0, 0), (1, 0), (0, 2), (3, 1)] {
                    let args = vec![(sample::mixed(i + axis, shape), Fill::Range(-2.0, 2.0))];
                    samples.push(Sample { op: Self { axis, before, after }.into(), args });
                }
            }
        }
        samples
    }
}
