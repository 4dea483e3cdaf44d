//! `sum`: the sum over axes.

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
pub struct Sum {
    /// Ascending.
    pub axes: Vec<usize>,
}

impl OpDef for Sum {
    const NAME: &'static str = "sum";
    const DOC: &'static str = "The sum over `axes`, which keep size 1; 0 over nothing.";

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

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        let shape = b.shape(args[0]);
        vec![Some(b.broadcast(grad, &shape))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::Reduce { kind: Reduction::Sum, axes: self.axes.clone() }
    }

    fn samples() -> Vec<Sample> {
        let sample = |(shape, axes): (Vec<u64>, Vec<usize>)| Sample {
            op: Self { axes }.into(),
            args: vec![(sample::f32s(&shape), Fill::Range(-2.0, 2.0))],
        };
        sample::reductions().into_iter().map(sample).collect()
    }
}
