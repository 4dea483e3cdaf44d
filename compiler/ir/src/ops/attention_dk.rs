//! `attention_dk`: the gradient of the keys of an attention.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::attend::{self, Attend, Part};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::Sample;
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionDk(pub Attend);

impl OpDef for AttentionDk {
    const NAME: &'static str = "attention_dk";
    const DOC: &'static str = "The gradient `[b,s,g,k]` of the keys of `attention`, from the operands of `attention_dq`; heads of a group are added.";
    const IS_DIFFERENTIABLE: bool = false;

    fn attrs(&self) -> Attrs {
        self.0.attrs()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        Attend::from_attrs(attrs).map(Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let s = self.0.sizes(Part::Dk, args)?;
        Ok(Type::new(Dtype::F32, [s.batch, s.keys, s.groups, s.width]))
    }

    fn vjp(&self, _: &mut Builder, _: &[Value], _: Value, _: Value) -> Vec<Option<Value>> {
        unreachable!("a gradient is not differentiated again")
    }

    fn lowering(&self) -> Lowering {
        Lowering::Attention(self.0, Part::Dk)
    }

    fn samples() -> Vec<Sample> {
        let sample = |(attend, args)| Sample { op: Self(attend).into(), args };
        attend::samples(Part::Dk).into_iter().map(sample).collect()
    }
}
