//! `floor`: the next integer below.

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
pub struct Floor;

impl OpDef for Floor {
    const NAME: &'static str = "floor";
    const DOC: &'static str = "The largest integer that is not above x; no gradient flows.";

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
        _b: &mut Builder,
        _args: &[Value],
        _out: Value,
        _grad: Value,
    ) -> Vec<Option<Value>> {
        vec![None]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Floor)
    }

    fn samples() -> Vec<Sample> {
        sample::pointwise(&Self.into(), &[Fill::OffGrid])
    }
}
