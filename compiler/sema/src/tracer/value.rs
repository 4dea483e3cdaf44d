//! What an expression of a declaration's body is while it is walked.

use std::rc::Rc;

use diag::Span;

use super::scan::Along;
use crate::dim::{Atoms, Poly};
use crate::shape::Shape;
use crate::trace::{self, Id};

/// An abstract value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A whole number known before the run, maybe only as a polynomial.
    Size(Poly),
    /// A real number known before the run; `None` while checking for all of them.
    Real(Option<f64>),
    /// A truth value known before the run.
    Bool(Option<bool>),
    /// A string.
    Str(String),
    /// `none`.
    None,
    /// A value of the run.
    Tensor(Tensor),
    /// `(a, b)`.
    Tuple(Vec<Value>),
    /// A layer with its configuration.
    Module(Rc<Module>),
    /// The axes that `..s` stands for.
    Rest(Shape),
    /// Something already reported, or not known: nothing is said about it.
    Hole,
}

/// A value of the run.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    /// The instruction that makes it.
    pub(crate) id: Id,
    /// Of its elements.
    pub(crate) elem: Elem,
    /// Of its axes.
    pub(crate) shape: Shape,
}

/// As [`trace::Elem`], with the bound of ids as a size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Elem {
    /// Under the precision policy.
    Real,
    /// Pinned single precision.
    Fp32,
    /// A number of the run, double precision.
    Scalar,
    /// A 32-bit integer.
    Int,
    /// A truth value.
    Bool,
    /// Ids below a bound.
    Ids(Poly),
}

impl Elem {
    /// Whether arithmetic of real numbers applies.
    pub(crate) fn is_float(&self) -> bool {
        matches!(self, Elem::Real | Elem::Fp32 | Elem::Scalar)
    }

    /// As written in the source.
    pub(crate) fn show(&self, atoms: &Atoms) -> String {
        match self {
            Elem::Real => "real".into(),
            Elem::Fp32 => "fp32".into(),
            Elem::Scalar => "scalar".into(),
            Elem::Int => "int32".into(),
            Elem::Bool => "bool".into(),
            Elem::Ids(bound) => format!("tok({})", atoms.show(bound)),
        }
    }

    /// With the bound's value.
    pub(crate) fn traced(&self, atoms: &Atoms) -> trace::Elem {
        match self {
            Elem::Real => trace::Elem::Real,
            Elem::Fp32 => trace::Elem::Fp32,
            Elem::Scalar => trace::Elem::Scalar,
            Elem::Int => trace::Elem::Int,
            Elem::Bool => trace::Elem::Bool,
            Elem::Ids(bound) => {
                let bound = atoms.value(bound).and_then(|v| u64::try_from(v).ok());
                trace::Elem::Ids(bound.unwrap_or(0))
            }
        }
    }
}

/// A layer with its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    /// What it is made of.
    pub(crate) kind: ModuleKind,
    /// Where its parameters live, once it has a name.
    pub(crate) path: Option<String>,
    /// The name it was bound to.
    pub(crate) name: Option<String>,
    /// The expression that built it.
    pub(crate) built: Span,
}

/// What a module is made of.
#[derive(Debug, Clone)]
pub(crate) enum ModuleKind {
    /// A declared layer.
    Layer {
        /// Its index in the library.
        decl: usize,
        /// Its configuration, in the sizes of whoever built it.
        args: Vec<(String, Value)>,
    },
    /// Copies of a layer, one after the other.
    Repeat {
        /// How many.
        n: Poly,
        /// Of what.
        inner: Rc<Module>,
        /// Whether all use the weights of one.
        shared: bool,
    },
    /// A module parameter while its layer is checked for all modules.
    Opaque,
    /// A layer of one place, taken along an axis.
    Scan {
        /// The cell.
        inner: Rc<Module>,
        /// The axis.
        along: Along,
    },
}

impl Value {
    /// What it is, in a few words.
    pub(crate) fn describe(&self, atoms: &Atoms) -> String {
        match self {
            Value::Size(p) => match p.as_constant() {
                Some(n) => format!("the whole number {n}"),
                None => format!("the size `{}`", atoms.show(p)),
            },
            Value::Real(Some(x)) => format!("the number {x}"),
            Value::Real(None) => "a real number".into(),
            Value::Bool(_) => "a truth value".into(),
            Value::Str(_) => "a string".into(),
            Value::None => "`none`".into(),
            Value::Tensor(t) => format!("`{}{}`", t.elem_prefix(atoms), t.shape.show(atoms)),
            Value::Tuple(parts) => format!("{} values", parts.len()),
            Value::Module(_) => "a layer".into(),
            Value::Rest(_) => "axes".into(),
            Value::Hole => "a value".into(),
        }
    }

    /// The number, where it is one and known.
    pub(crate) fn number(&self, atoms: &Atoms) -> Option<f64> {
        if let Value::Size(p) = self {
            return atoms.value(p).map(|n| n as f64);
        }
        if let Value::Real(x) = self { *x } else { None }
    }
}

impl Tensor {
    /// The element type as it stands before a shape: nothing for `real`.
    pub(crate) fn elem_prefix(&self, atoms: &Atoms) -> String {
        if self.elem == Elem::Real { String::new() } else { self.elem.show(atoms) }
    }
}
