//! `random`: uniform numbers by counter.

use crate::attr::{Attr, AttrError, Attrs};
use crate::body::{Body, ElementIndex};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::{Reg, Scalar};
use crate::ops::rules;
use crate::ops::{Lowering, OpDef, PointwiseFn, ShapeError};
use crate::sample::{Fill, SHAPES, Sample};
use crate::types::{Dtype, Shape, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Random {
    /// The shape of the result.
    pub shape: Shape,
}

impl OpDef for Random {
    const NAME: &'static str = "random";
    const DOC: &'static str = "Uniform f32 in `[0, 1)` with 24 bits from Philox4x32-10. Operands stream, seed, step and first row (i32 scalars). The number of an element is by its row (row + index along axis 0) and its linear index in that row, four neighbours to a block of the generator, so that no split into micro-batches changes the numbers.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("shape", Attr::Dims(self.shape.clone()))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["shape"])?;
        Ok(Self { shape: attrs.dims("shape")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::count(args, 4)?;
        for arg in args {
            rules::equal(&Type::scalar(Dtype::I32), arg)?;
        }
        Ok(Type::new(Dtype::F32, self.shape.clone()))
    }

    fn vjp(
        &self,
        _b: &mut Builder,
        _args: &[Value],
        _out: Value,
        _grad: Value,
    ) -> Vec<Option<Value>> {
        vec![None, None, None, None]
    }

    fn lowering(&self) -> Lowering {
        let shape = self.shape.clone();
        Lowering::Pointwise(PointwiseFn::new(move |body, args, index| {
            let (row, element) = counter(body, &shape, args[3], index);
            let key = [args[1], args[0], args[2], row, element];
            let bits = body.apply(Scalar::Philox, &key);
            // The upper 24 bits as an integer fit f32 exactly.
            let eight = body.int(8);
            let upper = body.apply(Scalar::ShrLogical, &[bits, eight]);
            let number = body.apply(Scalar::Cast(Dtype::F32), &[upper]);
            let scale = body.constant(Dtype::F32, 1.0 / 16_777_216.0);
            body.apply(Scalar::Mul, &[number, scale])
        }))
    }

    fn samples() -> Vec<Sample> {
        let scalar = |low, high| (Type::scalar(Dtype::I32), Fill::Ints(low, high));
        let any = || scalar(i32::MIN, i32::MAX);
        let sample = |shape: &&[u64]| Sample {
            op: Self { shape: shape.to_vec() }.into(),
            args: vec![any(), any(), scalar(0, 1000), scalar(0, 64)],
        };
        SHAPES.iter().map(sample).collect()
    }
}

/// The two counter words: the row from `base`, and the element in that row.
fn counter(body: &mut Body, shape: &[u64], base: Reg, index: &mut dyn ElementIndex) -> (Reg, Reg) {
    let Some((_, inner)) = shape.split_first() else {
        return (base, body.int(0));
    };
    let mut element = None;
    for (i, &size) in inner.iter().enumerate() {
        let at = index.axis(body, i + 1);
        element = Some(match element {
            None => at,
            Some(front) => {
                let size = body.int(size as i32);
                let scaled = body.apply(Scalar::Mul, &[front, size]);
                body.apply(Scalar::Add, &[scaled, at])
            }
        });
    }
    let at = index.axis(body, 0);
    let element = element.unwrap_or_else(|| body.int(0));
    (body.apply(Scalar::Add, &[base, at]), element)
}
