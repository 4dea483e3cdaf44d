//! `gather`: rows of a table by id.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Gather;

impl OpDef for Gather {
    const NAME: &'static str = "gather";
    const DOC: &'static str = "Rows of `table[v, d]` by i32 ids of any shape: `[.., d]`. An id outside `0 .. v` gives zeros.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::count(args, 2)?;
        rules::takes(args, 1, Takes::Ints)?;
        let [_, d] = args[0].shape.as_slice() else {
            let expected = "`[v, d]`".to_owned();
            return Err(ShapeError::Shape { arg: 0, expected, found: args[0].clone() });
        };
        Ok(Type::new(args[0].dtype, [args[1].shape.as_slice(), &[*d]].concat()))
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        // Rows add up in a type that sums are done in.
        let (rows, dtype) = (b.ty(args[0]).shape[0], b.dtype(args[0]));
        let wide = b.cast(grad, dtype.held());
        let total = b.scatter_add(rows, args[1], wide);
        vec![Some(b.cast(total, dtype)), None]
    }

    fn lowering(&self) -> Lowering {
        Lowering::Gather
    }

    fn samples() -> Vec<Sample> {
        let tables: [[u64; 2]; 5] = [[5, 3], [1, 1], [7, 2], [3, 0], [0, 2]];
        let ids: [&[u64]; 8] = [&[], &[0], &[1], &[4], &[9], &[2, 3], &[1, 5], &[2, 1, 2]];
        let mut samples = vec![];
        for table in tables {
            for (i, shape) in ids.into_iter().enumerate() {
                let table = (sample::mixed(i, &table), Fill::Range(-2.0, 2.0));
                // One too low and one too high are among them.
                let ids =
                    (Type::new(Dtype::I32, shape), Fill::Ints(-1, table.0.shape[0] as i32 + 1));
                samples.push(Sample { op: Self.into(), args: vec![table, ids] });
            }
        }
        samples
    }
}
