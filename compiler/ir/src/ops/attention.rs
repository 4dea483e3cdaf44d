//! `attention`: means of values, weighted by how well their keys fit the queries.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::attend::{self, Attend, Part};
use crate::ops::attention_dk::AttentionDk;
use crate::ops::attention_dq::AttentionDq;
use crate::ops::attention_dv::AttentionDv;
use crate::ops::attention_lse::AttentionLse;
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::Sample;
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention(pub Attend);

impl OpDef for Attention {
    const NAME: &'static str = "attention";
    const DOC: &'static str = "Queries `[b,h,t,k]`, keys `[b,g,s,k]` and values `[b,g,s,e]` give `[b,t,h,e]` in f32: for each row the mean of the values by softmax(scale * q . k) over the keys that it attends to, or 0 where there is none. With `causal` no key behind the row's place (row + offset); with `window` n the n keys up to that place; with `segments` only keys of the row's segment; with `drop` weights are left out at random as dropout does over `[b,h,t,s]`.";

    fn attrs(&self) -> Attrs {
        self.0.attrs()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        Attend::from_attrs(attrs).map(Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let s = self.0.sizes(Part::Out, args)?;
        Ok(Type::new(Dtype::F32, [s.batch, s.rows, s.heads, s.value_width]))
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], out: Value, grad: Value) -> Vec<Option<Value>> {
        let dtype = b.dtype(args[0]);
        let dout = b.cast(grad, dtype);
        let extras = self.0.extras(Part::Out.n_tensors());
        let of_scores = &args[3..extras.draw.map_or(extras.end, |draw| draw[0])];
        let lse = b.push(AttentionLse(self.0.kept()), &[&args[..2], of_scores].concat());
        let delta = delta(b, dout, out);
        let args_of = [&args[..3], &[dout, lse, delta], &args[3..]].concat();
        let flows = [
            b.push(AttentionDq(self.0), &args_of),
            b.push(AttentionDk(self.0), &args_of),
            b.push(AttentionDv(self.0), &args_of),
        ];
        let mut grads = flows.map(|flow| Some(heads_in_front(b, flow, dtype))).to_vec();
        grads.resize(args.len(), None);
        grads
    }

    fn lowering(&self) -> Lowering {
        Lowering::Attention(self.0, Part::Out)
    }

    fn samples() -> Vec<Sample> {
        let sample = |(attend, args)| Sample { op: Self(attend).into(), args };
        attend::samples(Part::Out).into_iter().map(sample).collect()
    }
}

/// What the gradient of a score has in common with its row: the row's result times its gradient.
fn delta(b: &mut Builder, dout: Value, out: Value) -> Value {
    let [batch, rows, heads, _] = b.shape(out)[..] else { unreachable!("the result has 4 axes") };
    let wide = b.cast(dout, Dtype::F32);
    let product = b.mul(wide, out);
    let sum = b.sum(product, &[3]);
    let sum = b.reshape(sum, &[batch, rows, heads]);
    b.permute(sum, &[0, 2, 1])
}

/// `[b,t,h,e]` as `[b,h,t,e]`, in the type of the operand that it is the gradient of.
pub(super) fn heads_in_front(b: &mut Builder, flow: Value, dtype: Dtype) -> Value {
    let flow = b.cast(flow, dtype);
    b.permute(flow, &[0, 2, 1, 3])
}
