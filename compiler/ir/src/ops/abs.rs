//! `abs`: the magnitude.

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
pub struct Abs;

impl OpDef for Abs {
    const NAME: &'static str = "abs";
    const DOC: &'static str = "The magnitude of x; its gradient at 0 is 0.";

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
        let zero = b.zeros_like(grad);
        let is_negative = b.lt(args[0], zero);
        let is_zero = b.eq(args[0], zero);
        let minus = b.neg(grad);
        let signed = b.select(is_negative, minus, grad);
        vec![Some(b.select(is_zero, zero, signed))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Abs)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::NonZero])
    }
}
