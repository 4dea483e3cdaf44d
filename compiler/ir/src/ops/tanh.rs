//! `tanh`: the hyperbolic tangent.

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
pub struct Tanh;

impl OpDef for Tanh {
    const NAME: &'static str = "tanh";
    const DOC: &'static str = "The hyperbolic tangent.";

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
        // 1 - y^2 from the result: no second tanh.
        let one = b.full_like(1.0, out);
        let square = b.mul(out, out);
        let slope = b.sub(one, square);
        vec![Some(b.mul(grad, slope))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Tanh)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(-2.0, 2.0)])
    }
}
