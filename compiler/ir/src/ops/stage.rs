//! `stage`: its operand, marked as past a stage of the optimizer step.
//!
//! It computes nothing. [`crate::verify`] follows the marks and refuses any order but that of
//! [`Stage::ORDER`]; scheduling drops them.

use crate::attr::{Attr, AttrError, Attrs};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::rules::{self, Takes};
use crate::ops::{Lowering, OpDef, PointwiseFn, ShapeError};
use crate::sample::{self, Fill, Sample};
use crate::types::Type;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The sum over micro-batches.
    Accumulate,
    /// The sum over workers.
    Reduce,
    /// Divided by loss scale and tokens.
    Unscale,
    /// Known to be finite, or skipped.
    Check,
    /// Clipped.
    Clip,
    /// Through the update rule.
    Rule,
}

impl Stage {
    /// All stages in their order.
    pub const ORDER: [Self; 6] =
        [Self::Accumulate, Self::Reduce, Self::Unscale, Self::Check, Self::Clip, Self::Rule];

    /// As the attribute `of` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accumulate => "accumulate",
            Self::Reduce => "reduce",
            Self::Unscale => "unscale",
            Self::Check => "check",
            Self::Clip => "clip",
            Self::Rule => "rule",
        }
    }

    /// How many stages come before it.
    pub fn index(self) -> usize {
        Self::ORDER.iter().position(|&s| s == self).expect("the order lists every stage")
    }
}

impl OpDef for Stage {
    const NAME: &'static str = "stage";
    const DOC: &'static str = "x, marked as having gone through a stage of the optimizer step: accumulate, reduce, unscale, check, clip, rule.";

    fn attrs(&self) -> Attrs {
        Attrs::none().with("of", Attr::Text(self.name().to_owned()))
    }

    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&["of"])?;
        let name = attrs.text("of")?;
        let found = Self::ORDER.into_iter().find(|stage| stage.name() == name);
        found.ok_or(AttrError::Kind { key: "of", expected: "a stage of the optimizer step" })
    }

    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
        rules::unary(args, Takes::Any)
    }

    fn vjp(&self, _: &mut Builder, _: &[Value], _: Value, grad: Value) -> Vec<Option<Value>> {
        vec![Some(grad)]
    }

    fn lowering(&self) -> Lowering {
        Lowering::Pointwise(PointwiseFn::new(|_, args, _| args[0]))
    }

    fn samples() -> Vec<Sample> {
        let of = |stage: &Self| sample::pointwise(&(*stage).into(), &[Fill::Range(-2.0, 2.0)]);
        Self::ORDER.iter().flat_map(of).collect()
    }
}
