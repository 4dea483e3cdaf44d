//! `constant`: one number everywhere.

use crate::attr::{Attr, AttrError, Attrs};
use crate::body::constant_bits;
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules;
use crate::ops::{Lowering, OpDef, PointwiseFn, ShapeError};
use crate::sample::{SHAPES, Sample};
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone)]
pub struct Constant {
    /// The number.
    pub value: f64,
    /// The type of the tensor.
    pub ty: Type,
}

impl PartialEq for Constant {
    /// By bits: a NaN equals itself, and the zeros differ.
    fn eq(&self, other: &Self) -> bool {
        self.value.to_bits() == other.value.to_bits() && self.ty == other.ty
    }
}

impl OpDef for Constant {
    const NAME: &'static str = "constant";
    const DOC: &'static str = "A tensor whose elements are all `value`: rounded to f32 and on to 16 bits, truncated to i32, `!= 0` for bool.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
            .with("value", Attr::Float(self.value))
            .with("type", Attr::Type(self.ty.clone()))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["value", "type"])?;
        Ok(Self { value: attrs.float("value")?, ty: attrs.ty("type")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::count(args, 0).map(|()| self.ty.clone())
    }

    fn vjp(
        &self,
        _b: &mut Builder,
        _args: &[Value],
        _out: Value,
        _grad: Value,
    ) -> Vec<Option<Value>> {
        vec![]
    }

    fn lowering(&self) -> Lowering {
        let bits = constant_bits(self.ty.dtype, self.value);
        let dtype = self.ty.dtype;
        Lowering::Pointwise(PointwiseFn::new(move |body, _, _| body.bits(dtype, bits)))
    }

    fn samples() -> Vec<Sample> {
        let values = [0.0, -0.0, 1.0, -1.5, 0.1, f64::INFINITY, f64::NAN, 1e300];
        let sample = |(i, shape): (usize, &&[u64])| Sample {
            op: Self { value: values[i % 8], ty: Type::new(Dtype::ALL[i % 6], *shape) }.into(),
            args: vec![],
        };
        SHAPES.iter().enumerate().map(sample).collect()
    }
}
