//! `attention_lse`: the log of the sum of exponentials of each row's scores.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::attend::{self, Attend, Part};
use crate::ops::attention::heads_in_front;
use crate::ops::attention_dk::AttentionDk;
use crate::ops::attention_dq::AttentionDq;
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::Sample;
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionLse(pub Attend);

impl OpDef for AttentionLse {
    const NAME: &'static str = "attention_lse";
    const DOC: &'static str = "`[b,h,t]` of queries and keys: log(sum(exp(scale * q . k))) over the keys that a row of `attention` attends to; -inf where there is none. It knows no dropout: its `drop` is 0.";

    fn attrs(&self) -> Attrs {
        self.0.attrs()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        let attend = Attend::from_attrs(attrs)?;
        if attend.drop > 0.0 {
            return Err(AttrError::Kind { key: "drop", expected: "0" });
        }
        Ok(Self(attend))
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let s = self.0.sizes(Part::Lse, args)?;
        Ok(Type::new(Dtype::F32, [s.batch, s.heads, s.rows]))
    }

    /// The gradient of a score is its weight times the row's: that of an attention over values
    /// that give 0, whose `delta` is the negative gradient.
    fn vjp(&self, b: &mut Builder, args: &[Value], out: Value, grad: Value) -> Vec<Option<Value>> {
        let dtype = b.dtype(args[0]);
        let (queries, keys) = (b.shape(args[0]), b.shape(args[1]));
        let values = b.full(0.0, dtype, &[keys[0], keys[1], keys[2], 1]);
        let dout = b.full(0.0, dtype, &[queries[0], queries[2], queries[1], 1]);
        let delta = b.neg(grad);
        let args_of = [&args[..2], &[values, dout, out, delta], &args[2..]].concat();
        let flows = [b.push(AttentionDq(self.0), &args_of), b.push(AttentionDk(self.0), &args_of)];
        let mut grads = flows.map(|flow| Some(heads_in_front(b, flow, dtype))).to_vec();
        grads.resize(args.len(), None);
        grads
    }

    fn lowering(&self) -> Lowering {
        Lowering::Attention(self.0, Part::Lse)
    }

    fn samples() -> Vec<Sample> {
        let sample = |(attend, args)| Sample { op: Self(attend).into(), args };
        attend::samples(Part::Lse).into_iter().map(sample).collect()
    }
}
