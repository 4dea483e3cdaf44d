//! `scatter_add`: adds rows by id.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct ScatterAdd {
    /// Rows of the result.
    pub rows: u64,
}

impl OpDef for ScatterAdd {
    const NAME: &'static str = "scatter_add";
    const DOC: &'static str = "`[rows, d]`: row `v` is the sum of `values[.., d]` whose i32 id is `v`, in the order of their positions. Ids outside `0 .. rows` are left out.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("rows", Attr::Int(self.rows))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["rows"])?;
        Ok(Self { rows: attrs.int("rows")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::count(args, 2)?;
        rules::takes(args, 0, Takes::Ints)?;
        rules::takes(args, 1, Takes::Floats)?;
        match args[1].shape.split_last() {
            Some((d, front)) if front == args[0].shape => {
                Ok(Type::new(args[1].dtype, [self.rows, *d]))
            }
            Some(_) | None => {
                let expected = format!("axes {:?} and one more", args[0].shape);
                Err(ShapeError::Shape { arg: 1, expected, found: args[1].clone() })
            }
        }
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        vec![None, Some(b.gather(grad, args[0]))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::Scatter { rows: self.rows }
    }

    fn samples() -> Vec<Sample> {
        let ids: [&[u64]; 8] = [&[], &[0], &[1], &[4], &[9], &[2, 3], &[1, 5], &[2, 1, 2]];
        let mut samples = vec![];
        for (rows, d) in [(5, 3), (1, 1), (7, 2), (3, 0), (0, 2)] {
            for shape in ids {
                let ids = (Type::new(Dtype::I32, shape), Fill::Ints(-1, rows as i32 + 1));
                let values = (sample::f32s(&[shape, &[d]].concat()), Fill::Range(-2.0, 2.0));
                samples.push(Sample { op: Self { rows }.into(), args: vec![ids, values] });
            }
        }
        samples
    }
}
