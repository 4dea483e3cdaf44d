//! `div`: x / y.

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
pub struct Div;

impl OpDef for Div {
    const NAME: &'static str = "div";
    const DOC: &'static str = "The quotient of x and y.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::binary(args, Takes::Floats)
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], out: Value, grad: Value) -> Vec<Option<Value>> {
        // dx = g / y, dy = -dx * (x / y).
        let dx = b.div(grad, args[1]);
        let scaled = b.mul(dx, out);
        vec![Some(dx), Some(b.neg(scaled))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Div)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(-2.0, 2.0), Fill::NonZero])
    }
}
