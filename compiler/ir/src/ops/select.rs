//! `select`: one of two.

use crate::attr::{AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::Scalar;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, Fill, SHAPES, Sample};
use crate::types::{Dtype, Type};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Select;

impl OpDef for Select {
    const NAME: &'static str = "select";
    const DOC: &'static str = "`c ? x : y`, element by element.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&[]).map(|()| Self)
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::count(args, 3)?;
        rules::takes(args, 0, Takes::Bools)?;
        rules::equal(&args[1], &args[2])?;
        let condition = Type::new(Dtype::Bool, args[1].shape.clone());
        rules::equal(&args[0], &condition).map(|()| args[1].clone())
    }

    fn vjp(&self, b: &mut Builder, args: &[Value], _out: Value, grad: Value) -> Vec<Option<Value>> {
        let zero = b.zeros_like(grad);
        vec![None, Some(b.select(args[0], grad, zero)), Some(b.select(args[0], zero, grad))]
    }

    fn lowering(&self) -> Lowering {
        Lowering::scalar(Scalar::Select)
    }

    fn samples() -> Vec<Sample> {
        let sample = |(i, shape): (usize, &&[u64])| {
            let choice = match i % 5 {
                0..=2 => (sample::mixed(i, shape), Fill::Range(-2.0, 2.0)),
                3 => (Type::new(Dtype::I32, *shape), Fill::Ints(-9, 9)),
                _ => (Type::new(Dtype::Bool, *shape), Fill::Bools),
            };
            let condition = (Type::new(Dtype::Bool, *shape), Fill::Bools);
            Sample { op: Self.into(), args: vec![condition, choice.clone(), choice] }
        };
        SHAPES.iter().enumerate().map(sample).collect()
    }
}
