//! `log`: the natural logarithm.

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
pub struct Log;

impl OpDef for Log {
    const NAME: &'static str = "log";
    const DOC: &'static str = "The natural logarithm; -inf at 0 and NaN below.";

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
        vec![Some(b.div(grad, args[0]))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Log)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::Range(0.2, 4.0)])
    }
}
