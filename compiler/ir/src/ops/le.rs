//! `le`: x <= y.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::Scalar;
use crate::ops::rules;
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Le;

impl OpDef for Le {
    const NAME: &'static str = "le";
    const DOC: &'static str = "Whether x <= y; false when one is NaN.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::comparison(args)
    }

    fn vjp(
        &self,
        _b: &mut Builder,
        _args: &[Value],
        _out: Value,
        _grad: Value,
    ) -> Vec<Option<Value>> {
        vec![None, None]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Le)
    }

    fn samples() -> Vec<Sample> {
        let mut samples = sample::pointwise(&Self.into(), &[Fill::Range(-2.0, 2.0); 2]);
        samples.extend(sample::typed(&Self.into(), Dtype::I32, &[Fill::Ints(-9, 9); 2]));
        samples
    }
}
