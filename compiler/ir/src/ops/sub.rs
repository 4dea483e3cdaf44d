//! `sub`: x - y.

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
pub struct Sub;

impl OpDef for Sub {
    const NAME: &'static str = "sub";
    const DOC: &'static str = "The difference of x and y.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::binary(args, Takes::Numbers)
    }

    fn vjp(
        &self,
        b: &mut Builder,
        _args: &[Value],
        _out: Value,
        grad: Value,
    ) -> Vec<Option<Value>> {
        vec![Some(grad), Some(b.neg(grad))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Sub)
    }

    fn samples() -> Vec<Sample> {
        let mut samples = sample::pointwise(&Self.into(), &[Fill::Range(-2.0, 2.0); 2]);
        samples.extend(sample::typed(&Self.into(), Dtype::I32, &[Fill::Ints(-9, 9); 2]));
        samples
    }
}
