//! `max`: the larger one.

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
pub struct Max;

impl OpDef for Max {
    const NAME: &'static str = "max";
    const DOC: &'static str =
        "The larger of x and y; NaN wins. The gradient goes to x where they are equal.";

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
        let zero = b.zeros_like(grad);
        let takes_y = b.lt(args[0], args[1]);
        vec![Some(b.select(takes_y, zero, grad)), Some(b.select(takes_y, grad, zero))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Max)
    }

    fn samples() -> Vec<Sample> {
        let mut samples = sample::pointwise(
            &Self.into(),
            &[Fill::Distinct { phase: 0 }, Fill::Distinct { phase: 1 }],
        );
        samples.extend(sample::typed(&Self.into(), Dtype::I32, &[Fill::Ints(-9, 9); 2]));
        samples
    }
}
