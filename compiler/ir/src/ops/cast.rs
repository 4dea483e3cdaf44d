//! `cast`: to another element type.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::Scalar;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Cast {
    /// The element type of the result.
    pub to: Dtype,
}

impl OpDef for Cast {
    const NAME: &'static str = "cast";
    const DOC: &'static str = "x in another element type. To f16 and bf16 it rounds from f32 to the nearest, ties to even. Float to i32 truncates and saturates (NaN gives 0), bool is 0 or 1, anything to bool is `!= 0`.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("to", Attr::Dtype(self.to))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["to"])?;
        Ok(Self { to: attrs.dtype("to")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let ty = rules::unary(args, Takes::Any)?;
        Ok(Type::new(self.to, ty.shape))
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        let from = b.dtype(args[0]);
        let is_smooth = from.is_float() && self.to.is_float();
        vec![is_smooth.then(|| b.cast(grad, from))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Cast(self.to))
    }

    fn samples() -> Vec<Sample> {
        let pairs = Dtype::ALL.into_iter().flat_map(|from| Dtype::ALL.map(|to| (from, to)));
        let fill = |from: Dtype| match from {
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => Fill::OffGrid,
            Dtype::I32 => Fill::Ints(-9, 9),
            Dtype::Bool => Fill::Bools,
        };
        let samples = |(from, to)| sample::typed(&Self { to }.into(), from, &[fill(from)]);
        pairs.flat_map(samples).collect()
    }
}
