//! `mul`: x * y.

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
pub struct Mul;

impl OpDef for Mul {
    const NAME: &'static str = "mul";
    const DOC: &'static str = "The product of x and y, element by element.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::binary(args, Takes::Numbers)
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        vec![Some(b.mul(grad, args[1])), Some(b.mul(grad, args[0]))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Mul)
    }

    fn samples() -> Vec<Sample> {
        let mut samples = sample::pointwise(&Self.into(), &[Fill::Range(-2.0, 2.0); 2]);
        samples.extend(sample::typed(&Self.into(), Dtype::I32, &[Fill::Ints(-9, 9); 2]));
        samples
    }
}
