//! `pow`: x to the y.

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
pub struct Pow;

impl OpDef for Pow {
    const NAME: &'static str = "pow";
    const DOC: &'static str =
        "x to the power y, as in C; the gradient of y is 0 where x is not positive.";

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
        // dx = g y x^(y-1), dy = g out log(x).
        let (x, y) = (args[0], args[1]);
        let (zero, one) = (b.zeros_like(x), b.full_like(1.0, x));
        let less = b.sub(y, one);
        let power = b.pow(x, less);
        let slope = b.mul(y, power);
        let log = b.log(x);
        let rate = b.mul(out, log);
        let is_positive = b.lt(zero, x);
        let rate = b.select(is_positive, rate, zero);
        vec![Some(b.mul(grad, slope)), Some(b.mul(grad, rate))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Pow)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(0.4, 2.0), Fill::Range(-2.0, 2.0)])
    }
}
