//! `round`: to a number that 16 bits hold, in the type of arithmetic.
//!
//! A cast to 16 bits says how a value is stored, and a pass may store it wider. This says which
//! number it is.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::Scalar;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, PointwiseFn, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// The type whose numbers are left.
    pub to: Dtype,
}

impl OpDef for Round {
    const NAME: &'static str = "round";
    const DOC: &'static str =
        "The number of the type `to` that is nearest to x, even where two are, in the type of x.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("to", Attr::Dtype(self.to))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["to"])?;
        Ok(Self { to: attrs.dtype("to")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let ty = rules::unary(args, Takes::Floats)?;
        if !self.to.is_narrow() {
            let expected = "a type of 16 bits".to_owned();
            return Err(ShapeError::Attr { key: "to", expected, found: ty });
        }
        Ok(ty)
    }

    fn vjp(&self, _: &mut Builder, _: &[Value], _: Value, grad: Value) -> Vec<Option<Value>> {
        vec![Some(grad)]
    }

    fn lowering(&self) -> Lowering {
        let to = self.to;
        Lowering::Pointwise(PointwiseFn::new(move |body, args, _| {
            let held = body.dtype(args[0]);
            let rounded = body.apply(Scalar::Cast(to), args);
            body.apply(Scalar::Cast(held), &[rounded])
        }))
    }

    fn samples() -> Vec<Sample> {
        let sample = |to| sample::pointwise(&Self { to }.into(), &[Fill::OffGrid]);
        [Dtype::F16, Dtype::Bf16].into_iter().flat_map(sample).collect()
    }
}
