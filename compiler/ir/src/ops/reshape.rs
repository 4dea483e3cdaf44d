//! `reshape`: the same elements in another shape.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError, View};
use crate::sample::{self, Fill, SHAPES, Sample};
use crate::types::{Shape, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Reshape {
    /// The shape of the result.
    pub shape: Shape,
}

impl OpDef for Reshape {
    const NAME: &'static str = "reshape";
    const DOC: &'static str = "The elements of x in row-major order in another shape.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("shape", Attr::Dims(self.shape.clone()))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["shape"])?;
        Ok(Self { shape: attrs.dims("shape")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let ty = rules::unary(args, Takes::Any)?;
        let result = Type::new(ty.dtype, self.shape.clone());
        if result.len() == ty.len() {
            return Ok(result);
        }
        let expected = format!("{} elements, not {}", ty.len(), result.len());
        Err(ShapeError::Attr { key: "shape", expected, found: ty })
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        let shape = b.shape(args[0]);
        vec![Some(b.reshape(grad, &shape))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::View(View::Reshape(self.shape.clone()))
    }

    fn samples() -> Vec<Sample> {
        let mut samples = vec![];
        for (i, shape) in SHAPES.into_iter().enumerate() {
            let len: u64 = shape.iter().product();
            let mut reversed = shape.to_vec();
            reversed.reverse();
            for to in [vec![len], reversed, vec![1, len, 1]] {
                let args = vec![(sample::mixed(i, shape), Fill::Range(-2.0, 2.0))];
                samples.push(Sample { op: Self { shape: to }.into(), args });
            }
        }
        samples
    }
}
