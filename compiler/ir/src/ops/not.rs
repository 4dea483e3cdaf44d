//! `not`: the opposite truth.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::Scalar;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Not;

impl OpDef for Not {
    const NAME: &'static str = "not";
    const DOC: &'static str = "True where x is false.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::unary(args, Takes::Bools)
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
        Lowering::scalar(Scalar::Not)
    }

    fn samples() -> Vec<Sample> {
        sample::typed(&Self.into(), Dtype::Bool, &[Fill::Bools])
    }
}
