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
    const DOC: &'static str =
        "`[.., m, k]` times `[.., k, n]` gives `[.., m, n]`; the axes in front are equal.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::count(args, 2)?;
        rules::takes(args, 0, Takes::Floats)?;
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
        Ok(Type::new(x.dtype, [front, &[*m, n]].concat()))
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        // dx = g y^T, dy = x^T g.
        let y_t = b.transpose(args[1]);
        let x_t = b.transpose(args[0]);
        vec![Some(b.dot(grad, y_t)), Some(b.dot(x_t, grad))]
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
        for front in fronts {
            for (m, k, n) in sizes {
                let operand = |rows, cols| {
                    (sample::f32s(&[front, &[rows, cols]].concat()), Fill::Range(-2.0, 2.0))
                };
                samples.push(Sample { op: Self.into(), args: vec![operand(m, k), operand(k, n)] });
            }
        }
        samples
    }
}
