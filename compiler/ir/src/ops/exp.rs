//! `exp`: e to the x.

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
pub struct Exp;

impl OpDef for Exp {
    const NAME: &'static str = "exp";
    const DOC: &'static str = "e to the power x.";

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
        vec![Some(b.mul(grad, out))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Exp)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(-2.0, 2.0)])
    }
}
