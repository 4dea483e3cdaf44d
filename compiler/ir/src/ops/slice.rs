//! `slice`: a range of one axis.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError, View};
use crate::sample::{self, Fill, SHAPES, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Which axis.
    pub axis: usize,
    /// The first index.
    pub start: u64,
    /// How many.
    pub len: u64,
}

impl OpDef for Slice {
    const NAME: &'static str = "slice";
    const DOC: &'static str = "`len` indices of `axis`, from `start`.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
            .with("axis", Attr::Int(self.axis as u64))
            .with("start", Attr::Int(self.start))
            .with("len", Attr::Int(self.len))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["axis", "start", "len"])?;
        Ok(Self { axis: attrs.axis("axis")?, start: attrs.int("start")?, len: attrs.int("len")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let mut ty = rules::unary(args, Takes::Any)?;
        rules::axis(&ty, self.axis)?;
        if self.start.checked_add(self.len).is_none_or(|end| end > ty.shape[self.axis]) {
            let expected = format!("an end of at most {}", ty.shape[self.axis]);
            return Err(ShapeError::Attr { key: "len", expected, found: ty });
        }
        ty.shape[self.axis] = self.len;
        Ok(ty)
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        let after = b.ty(args[0]).shape[self.axis] - self.start - self.len;
        vec![Some(b.pad(grad, self.axis, self.start, after))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::View(View::Slice { axis: self.axis, start: self.start, len: self.len })
    }

    fn samples() -> Vec<Sample> {
        let mut samples = vec![];
        for (i, shape) in SHAPES.into_iter().enumerate() {
            for (axis, &size) in shape.iter().enumerate() {
                for (start, end) in
                    [(0, size), (size / 2, size), (0, size / 2), (size / 3, size / 2 + 1)]
                {
                    let end = end.min(size);
                    let op = Self { axis, start: start.min(end), len: end - start.min(end) };
                    let args = vec![(sample::mixed(i + axis, shape), Fill::Range(-2.0, 2.0))];
                    samples.push(Sample { op: op.into(), args });
                }
            }
        }
        samples
    }
}
