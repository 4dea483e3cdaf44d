//! `concat`: operands one after the other.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules;
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, SHAPES, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Concat {
    /// Which axis.
    pub axis: usize,
}

impl OpDef for Concat {
    const NAME: &'static str = "concat";
    const DOC: &'static str =
        "One or more operands one after the other along `axis`; their other axes are equal.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("axis", Attr::Int(self.axis as u64))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["axis"])?;
        Ok(Self { axis: attrs.axis("axis")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let Some(first) = args.first() else {
            return Err(ShapeError::Count { expected: 1, found: 0 });
        };
        rules::axis(first, self.axis)?;
        let mut result = first.clone();
        for ty in &args[1..] {
            let mut like = ty.clone();
            if let Some(size) = like.shape.get_mut(self.axis) {
                result.shape[self.axis] = result.shape[self.axis].saturating_add(*size);
                *size = first.shape[self.axis];
            }
            rules::equal(first, &like)?;
        }
        Ok(result)
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        let mut start = 0;
        let mut part = |&x: &Value| {
            let len = b.ty(x).shape[self.axis];
            start += len;
            Some(b.slice(grad, self.axis, start - len, len))
        };
        args.iter().map(&mut part).collect()
    }

    fn lowering(&self) -> Lowering {
        Lowering::Concat { axis: self.axis }
    }

    fn samples() -> Vec<Sample> {
        let mut samples = vec![];
        for (i, shape) in SHAPES.into_iter().enumerate() {
            for axis in 0..shape.len() {
                let mut types = vec![sample::mixed(i, shape); 1 + axis];
                types[0].shape[axis] = 2;
                types.push(sample::mixed(i, shape));
                let args = types.into_iter().map(|ty| (ty, Fill::Range(-2.0, 2.0))).collect();
                samples.push(Sample { op: Self { axis }.into(), args });
            }
        }
        samples
    }
}
