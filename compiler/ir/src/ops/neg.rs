//! `neg`: minus x.

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
pub struct Neg;

impl OpDef for Neg {
    const NAME: &'static str = "neg";
    const DOC: &'static str = "Minus x.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::unary(args, Takes::Floats)
    }

    fn vjp(
        &self,
        b: &mut Builder,
        _args: &[Value],
        _out: Value,
        grad: Value,
    ) -> Vec<Option<Value>> {
        vec![Some(b.neg(grad))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Neg)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(-2.0, 2.0)])
    }
}
