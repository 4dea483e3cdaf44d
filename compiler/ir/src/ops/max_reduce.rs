//! `max_reduce`: the maximum over axes.

use crate::attr::{self, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::Reduction;
use crate::ops::rules;
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct MaxReduce {
    /// Ascending.
    pub axes: Vec<usize>,
}

impl OpDef for MaxReduce {
    const NAME: &'static str = "max_reduce";
    const DOC: &'static str = "The maximum over `axes`, which keep size 1; NaN wins, -inf over nothing. Equal maxima share the gradient.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("axes", attr::axes_attr(&self.axes))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["axes"])?;
        Ok(Self { axes: attrs.axes("axes")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::reduction(args, &self.axes)
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], out: Value, grad: Value) -> Vec<Option<Value>> {
        let (shape, dtype) = (b.shape(args[0]), b.dtype(args[0]));
        let top = b.broadcast(out, &shape);
        let is_top = b.eq(args[0], top);
        let ones = b.cast(is_top, dtype);
        let count = b.sum(ones, &self.axes);
        let share = b.div(grad, count);
        let share = b.broadcast(share, &shape);
        vec![Some(b.mul(ones, share))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::Reduce { kind: Reduction::Max, axes: self.axes.clone() }
    }

    fn samples() -> Vec<Sample> {
        let sample = |(shape, axes): (Vec<u64>, Vec<usize>)| Sample {
            op: Self { axes }.into(),
            args: vec![(sample::f32s(&shape), Fill::Distinct { phase: 0 })],
        };
        sample::reductions().into_iter().map(sample).collect()
    }
}
