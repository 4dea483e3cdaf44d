//! `attention_dq`: the gradient of the queries of an attention.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::attend::{self, Attend, Part};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::Sample;
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionDq(pub Attend);

impl OpDef for AttentionDq {
    const NAME: &'static str = "attention_dq";
    const DOC: &'static str = "The gradient `[b,t,h,k]` of the queries of `attention`, from queries, keys, values, the gradient `[b,t,h,e]` of its result, `attention_lse`, and `delta[b,h,t]`: the sums over e of its result times that gradient. The gradient of a score is weight * (dropout * dout . v - delta) * scale.";
    const IS_DIFFERENTIABLE: bool = false;

    fn attrs(&self) -> Attrs {
        self.0.attrs()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        Attend::from_attrs(attrs).map(Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let s = self.0.sizes(Part::Dq, args)?;
        Ok(Type::new(Dtype::F32, [s.batch, s.rows, s.heads, s.width]))
    }

    fn vjp(&self, _: &mut Builder, _: &[Value], _: Value, _: Value) -> Vec<Option<Value>> {
        unreachable!("a gradient is not differentiated again")
    }

    fn lowering(&self) -> Lowering {
        Lowering::Attention(self.0, Part::Dq)
    }

    fn samples() -> Vec<Sample> {
        let sample = |(attend, args)| Sample { op: Self(attend).into(), args };
        attend::samples(Part::Dq).into_iter().map(sample).collect()
    }
}
