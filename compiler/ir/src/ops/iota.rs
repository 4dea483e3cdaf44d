//! `iota`: the index along an axis.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules;
use crate::ops::{Lowering, OpDef, PointwiseFn, ShapeError};
use crate::sample::{SHAPES, Sample};
use crate::types::{Dtype, Shape, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Iota {
    /// Which axis.
    pub axis: usize,
    /// The shape of the result.
    pub shape: Shape,
}

impl OpDef for Iota {
    const NAME: &'static str = "iota";
    const DOC: &'static str = "i32 indices along `axis`: 0, 1, 2 ..";

    fn attrs(&self) -> Attrs {
        Attrs::none()
            .with("axis", Attr::Int(self.axis as u64))
            .with("shape", Attr::Dims(self.shape.clone()))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["axis", "shape"])?;
        Ok(Self { axis: attrs.axis("axis")?, shape: attrs.dims("shape")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::count(args, 0)?;
        let ty = Type::new(Dtype::I32, self.shape.clone());
        rules::axis(&ty, self.axis).map(|()| ty)
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
        let axis = self.axis;
        Lowering::Pointwise(PointwiseFn::new(move |body, _, index| index.axis(body, axis)))
    }

    fn samples() -> Vec<Sample> {
        let with_axes =
            SHAPES.iter().flat_map(|shape| (0..shape.len()).map(move |axis| (shape, axis)));
        let sample = |(shape, axis): (&&[u64], usize)| Sample {
            op: Self { axis, shape: shape.to_vec() }.into(),
            args: vec![],
        };
        with_axes.map(sample).collect()
    }
}
