//! `erf`: the error function.

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
pub struct Erf;

impl OpDef for Erf {
    const NAME: &'static str = "erf";
    const DOC: &'static str =
        "The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.";

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
        // 2/sqrt(pi) * exp(-x^2).
        let x = args[0];
        let square = b.mul(x, x);
        let minus = b.neg(square);
        let bell = b.exp(minus);
        let factor = b.full_like(std::f64::consts::FRAC_2_SQRT_PI, x);
        let slope = b.mul(factor, bell);
        vec![Some(b.mul(grad, slope))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Erf)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(-2.0, 2.0)])
    }
}
