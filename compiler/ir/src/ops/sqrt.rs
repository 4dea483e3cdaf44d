//! `sqrt`: the square root.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::Scalar;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Sqrt;

impl OpDef for Sqrt {
    const NAME: &'static str = "sqrt";
    const DOC: &'static str = "The square root; NaN below 0.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::unary(args, Takes::Floats)
    }

    fn vjp(&self, b: &mut Builder, _args: &[Value], out: Value, grad: Value) -> Vec<Option<Value>> {
        // g / (2 y).
        let twice = b.add(out, out);
        vec![Some(b.div(grad, twice))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Sqrt)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(0.2, 4.0)])
    }
}
