//! `state`: reads a state.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules;
use crate::ops::{Lowering, OpDef, ShapeError};
use crate::sample::{self, SHAPES, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The name of the state.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

impl OpDef for State {
    const NAME: &'static str = "state";
    const DOC: &'static str = "The value that a state had before the call.";

    fn attrs(&self) -> Attrs {
        Attrs::none()
            .with("name", Attr::Text(self.name.clone()))
            .with("type", Attr::Type(self.ty.clone()))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["name", "type"])?;
        Ok(Self { name: attrs.text("name")?, ty: attrs.ty("type")? })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::count(args, 0).map(|()| self.ty.clone())
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
        Lowering::Leaf
    }

    fn samples() -> Vec<Sample> {
        let sample = |(i, shape): (usize, &&[u64])| Sample {
            op: Self { name: "x".to_owned(), ty: sample::mixed(i, shape) }.into(),
            args: vec![],
        };
        SHAPES.iter().enumerate().map(sample).collect()
    }
}
