//! `dot`: the matrix product.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Dot;

impl OpDef for Dot {
    const NAME: &'static str = "dot";
    const DOC: &'static str = "`[.., m, k]` times `[.., k, n]` gives `[.., m, n]`; the axes in front are equal. Operands of 16 bits are multiplied and summed in f32, which is the type of their product.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::count(args, 2)?;
        rules::takes(args, 0, Takes::AllFloats)?;
        let (x, y) = (&args[0], &args[1]);
        let [front @ .., m, k] = x.shape.as_slice() else {
            let expected = "`[.., m, k]`".to_owned();
            return Err(ShapeError::Shape { arg: 0, expected, found: x.clone() });
        };
        let n = y.shape.last().copied().unwrap_or(0);
        let fits = Type::new(x.dtype, [front, &[*k, n]].concat());
        if *y != fits {
            let expected = format!("{} `[.., {k}, n]` with axes {front:?} in front", x.dtype);
            return Err(ShapeError::Shape { arg: 1, expected, found: y.clone() });
        }
        Ok(Type::new(x.dtype.held(), [front, &[*m, n]].concat()))
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        // dx = g y^T, dy = x^T g, all operands of one type.
        let dtype = b.dtype(args[0]);
        let grad = b.cast(grad, dtype);
        let y_t = b.transpose(args[1]);
        let x_t = b.transpose(args[0]);
        [b.dot(grad, y_t), b.dot(x_t, grad)].map(|flow| Some(b.cast(flow, dtype))).to_vec()
    }

    fn lowering(&self) -> Lowering {
        Lowering::Dot
    }

    fn samples() -> Vec<Sample> {
        let fronts: [&[u64]; 5] = [&[], &[1], &[3], &[0], &[2, 2]];
        let sizes = [
            (1, 1, 1),
            (2, 3, 4),
            (3, 1, 2),
            (1, 5, 1),
            (4, 2, 1),
            (0, 2, 3),
            (2, 0, 3),
            (2, 3, 0),
            (3, 7, 2),
        ];
        let mut samples = vec![];
        for (i, front) in fronts.into_iter().enumerate() {
            for (j, (m, k, n)) in sizes.into_iter().enumerate() {
                let operand = |rows, cols| {
                    let ty = sample::mixed(i + j, &[front, &[rows, cols]].concat());
                    (ty, Fill::Range(-2.0, 2.0))
                };
                samples.push(Sample { op: Self.into(), args: vec![operand(m, k), operand(k, n)] });
            }
        }
        samples
    }
}
