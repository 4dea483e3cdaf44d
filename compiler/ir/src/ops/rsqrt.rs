//! `rsqrt`: one over the square root.

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
pub struct Rsqrt;

impl OpDef for Rsqrt {
    const NAME: &'static str = "rsqrt";
    const DOC: &'static str = "One over the square root: 1 / sqrt(x), both rounded.";

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
        // -g y^3 / 2.
        let square = b.mul(out, out);
        let cube = b.mul(square, out);
        let half = b.full_like(-0.5, out);
        let slope = b.mul(half, cube);
        vec![Some(b.mul(grad, slope))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Rsqrt)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(0.2, 4.0)])
    }
}
