//! `broadcast`: repeats axes.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError, View};
use crate::sample::{self, Fill, SHAPES, Sample};
use crate::types::{Shape, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Broadcast {
    /// The shape of the result.
    pub shape: Shape,
}

impl OpDef for Broadcast {
    const NAME: &'static str = "broadcast";
    const DOC: &'static str = "x in a larger shape, aligned at the right: axes of size 1 repeat, and axes in front are added.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("shape", Attr::Dims(self.shape.clone()))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["shape"])?;
        Ok(Self { shape: attrs.dims("shape")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let ty = rules::unary(args, Takes::Any)?;
        if rules::broadcasts(&ty.shape, &self.shape) {
            return Ok(Type::new(ty.dtype, self.shape.clone()));
        }
        let expected = format!("a shape that repeats into {:?}", self.shape);
        Err(ShapeError::Shape { arg: 0, expected, found: ty })
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        let from = b.shape(args[0]);
        let added = self.shape.len() - from.len();
        let repeats = |&axis: &usize| axis < added || from[axis - added] != self.shape[axis];
        let axes: Vec<usize> = (0..self.shape.len()).filter(repeats).collect();
        // Repeats add up in a type that sums are done in.
        let dtype = b.dtype(args[0]);
        let wide = b.cast(grad, dtype.held());
        let total = b.sum(wide, &axes);
        let total = b.reshape(total, &from);
        vec![Some(b.cast(total, dtype))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::View(View::Broadcast(self.shape.clone()))
    }

    fn samples() -> Vec<Sample> {
        let mut samples = vec![];
        for (i, shape) in SHAPES.into_iter().enumerate() {
            let mut push = |from: Shape| {
                let args = vec![(sample::mixed(i, &from), Fill::Range(-2.0, 2.0))];
                samples.push(Sample { op: Self { shape: shape.to_vec() }.into(), args });
            };
            push(vec![]);
            push(rules::kept(shape, &(0..shape.len()).collect::<Vec<_>>()));
            for axis in 0..shape.len() {
                push(rules::kept(shape, &[axis]));
                push(shape[axis..].to_vec());
            }
        }
        samples
    }
}
