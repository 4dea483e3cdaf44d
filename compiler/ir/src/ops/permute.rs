//! `permute`: the axes in another order.

use crate::attr::{self, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError, View};
use crate::sample::{self, Fill, SHAPES, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Permute {
    /// For each axis of the result the axis of x.
    pub axes: Vec<usize>,
}

impl OpDef for Permute {
    const NAME: &'static str = "permute";
    const DOC: &'static str = "Axis `i` of the result is axis `axes[i]` of x.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("axes", attr::axes_attr(&self.axes))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["axes"])?;
        Ok(Self { axes: attrs.axes("axes")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        let ty = rules::unary(args, Takes::Any)?;
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if sorted.iter().copied().eq(0..ty.shape.len()) {
            let shape: Vec<u64> = self.axes.iter().map(|&a| ty.shape[a]).collect();
            return Ok(Type::new(ty.dtype, shape));
        }
        let expected = format!("each axis below {} once", ty.shape.len());
        Err(ShapeError::Attr { key: "axes", expected, found: ty })
    }

    fn vjp(
        &self,
        b: &mut Builder,
        _args: &[Value],
        _out: Value,
        grad: Value,
    ) -> Vec<Option<Value>> {
        let mut inverse = self.axes.clone();
        for (to, &from) in self.axes.iter().enumerate() {
            inverse[from] = to;
        }
        vec![Some(b.permute(grad, &inverse))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::View(View::Permute(self.axes.clone()))
    }

    fn samples() -> Vec<Sample> {
        let mut samples = vec![];
        for (i, shape) in SHAPES.into_iter().enumerate() {
            let mut reversed: Vec<usize> = (0..shape.len()).collect();
            reversed.reverse();
            let mut rotated: Vec<usize> = (0..shape.len()).collect();
            rotated.rotate_left(usize::from(!shape.is_empty()));
            for axes in [reversed, rotated] {
                let args = vec![(sample::mixed(i, shape), Fill::Range(-2.0, 2.0))];
                samples.push(Sample { op: Self { axes }.into(), args });
            }
        }
        samples
    }
}
