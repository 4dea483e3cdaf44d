//! `cos`: the cosine.

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
pub struct Cos;

impl OpDef for Cos {
    const NAME: &'static str = "cos";
    const DOC: &'static str = "The cosine of x in radians.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::unary(args, Takes::Floats)
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        // -sin x = cos(x + pi/2): no op of its own for the sine.
        let quarter = b.full_like(std::f64::consts::FRAC_PI_2, args[0]);
        let shifted = b.add(args[0], quarter);
        let slope = b.cos(shifted);
        vec![Some(b.mul(grad, slope))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Cos)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(-4.0, 4.0)])
    }
}
