//! `barrier`: its first operand, not to be used before the second is known.
//!
//! It computes nothing. What is computed again for the backward pass reads its operands through
//! one, so that neither merging equal nodes nor fusion takes it back into the forward pass.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::{Lowering, OpDef, ShapeError, View};
use crate::sample::{self, Fill, SHAPES, Sample};
use crate::types::{Shape, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Barrier {
    /// The shape of the first operand and of the result.
    pub shape: Shape,
}

impl OpDef for Barrier {
    const NAME: &'static str = "barrier";
    const DOC: &'static str = "The first operand, unchanged; whoever reads it runs after the second is computed. The attribute is its shape.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("shape", Attr::Dims(self.shape.clone()))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["shape"])?;
        Ok(Self { shape: attrs.dims("shape")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let [x, _] = args else {
            return Err(ShapeError::Count { expected: 2, found: args.len() });
        };
        if x.shape == self.shape {
            return Ok(x.clone());
        }
        let expected = "the shape of the operand".to_owned();
        Err(ShapeError::Attr { key: "shape", expected, found: x.clone() })
    }

    fn vjp(&self, _: &mut Builder, _: &[Value], _: Value, grad: Value) -> Vec<Option<Value>> {
        vec![Some(grad), None]
    }

    fn lowering(&self) -> Lowering {
        Lowering::View(View::Reshape(self.shape.clone()))
    }

    fn samples() -> Vec<Sample> {
        let of = |(i, shape): (usize, &&[u64])| {
            let x = (sample::mixed(i, shape), Fill::Range(-2.0, 2.0));
            let after = (sample::mixed(i, SHAPES[SHAPES.len() - 1 - i]), Fill::Range(-2.0, 2.0));
            Sample { op: Self { shape: shape.to_vec() }.into(), args: vec![x, after] }
        };
        SHAPES.iter().enumerate().map(of).collect()
    }
}
