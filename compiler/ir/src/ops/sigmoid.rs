//! `sigmoid`: 1 / (1 + exp(-x)).

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::Scalar;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, PointwiseFn, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Sigmoid;

impl OpDef for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const DOC: &'static str = "`1 / (1 + exp(-x))`. The gradient is taken from the result, so that it is 0 and not NaN where exp(-x) overflows.";

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
        let one = b.full_like(1.0, out);
        let rest = b.sub(one, out);
        let slope = b.mul(out, rest);
        vec![Some(b.mul(grad, slope))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::Pointwise(PointwiseFn::new(|body, args, _| {
            let minus = body.apply(Scalar::Neg, &[args[0]]);
            let e = body.apply(Scalar::Exp, &[minus]);
            let one = body.constant(body.dtype(e), 1.0);
            let below = body.apply(Scalar::Add, &[one, e]);
            body.apply(Scalar::Div, &[one, below])
        }))
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(-4.0, 4.0)])
    }
}
