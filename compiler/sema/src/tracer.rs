//! The evaluator of declarations: one walk, for all sizes or for given ones.
//!
//! In check mode sizes are atoms without values, static values are unknown, both arms of an `if`
//! are walked and nothing is emitted but who uses what. In trace mode every atom has its value
//! and instructions are emitted. A call is matched against the callee's signature in the caller's
//! sizes; its body is walked with atoms of its own, so what was checked for all sizes holds, even
//! where two of them happen to be equal.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a place that takes one sort of value or expression says the same of all others"
)]

mod body;
mod builtin;
mod call;
mod contract;
mod elementwise;
mod emit;
mod entry;
mod expr;
mod index;
mod modules;
mod number;
mod pattern;
mod print;
mod reduce;
mod scan;
mod signature;
mod types;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, DeclKind};

use crate::dim::{Atoms, Poly};
use crate::library::{Library, Provenance};
use crate::shape::{Rest, Shape};
use crate::trace::{self, Id};
use value::{Tensor, Value};

/// Names of the functions that the language itself knows.
pub(crate) fn builtin_names() -> &'static [&'static str] {
    builtin::NAMES
}

/// The number of axes of the first data parameter; `None` where it is any.
pub(crate) fn data_rank(spec: &ast::Spec, decl: &ast::Decl) -> Option<usize> {
    let ty = decl.data.as_ref()?.first()?.ty?;
    let (_, elems) = types::shape_parts(spec, ty)?;
    let is_axis = |e: &ast::Elem| matches!(e, ast::Elem::Arg(_));
    elems.iter().all(is_axis).then_some(elems.len())
}

/// Whether the first data parameter may have any shape and the body knows no size of it: `[..s]`.
pub(crate) fn is_of_any_shape(spec: &ast::Spec, decl: &ast::Decl) -> bool {
    let ty = decl.data.as_ref().and_then(|data| data.first()?.ty);
    let elems = ty.and_then(|ty| types::shape_parts(spec, ty)).map(|(_, elems)| elems);
    elems.is_some_and(|elems| elems.len() == 1 && !matches!(elems[0], ast::Elem::Arg(_)))
}

/// Why a walk stopped: the diagnostic, if there is one, is already kept.
#[derive(Debug)]
pub(crate) struct Stop;

/// A result of the walk.
pub(crate) type Eval<T> = Result<T, Stop>;

/// Instructions and steps of one trace at most.
const MAX_INSTRS: usize = 100_000;
pub(crate) const MAX_STEPS: u64 = 2_000_000;
/// What a turn of a loop counts for: it copies the names that are in force.
const STEPS_OF_A_TURN: u64 = 16;
/// Expressions inside expressions, calls included.
const MAX_DEPTH: u32 = 220;

/// What a walk is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    /// To check a declaration for all sizes.
    Check,
    /// To emit instructions for the call at this place.
    Trace(Span),
}

/// The declaration being walked, and what its names stand for.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The tree it stands in.
    pub(crate) spec: Arc<ast::Spec>,
    /// Who wrote it.
    pub(crate) by: Provenance,
    /// What it is; `None` for an expression at file level.
    pub(crate) kind: Option<DeclKind>,
    /// The layer's name, the class of its parameters.
    pub(crate) layer: String,
    /// Names, the last one of a name counts.
    pub(crate) env: Vec<(String, Value)>,
    /// Where its parameters live.
    pub(crate) path: String,
    /// Index of the loop it is in, for paths: `.3`.
    pub(crate) suffix: String,
    /// Layers applied without a name so far.
    pub(crate) unnamed: usize,
    /// Names of states and their indices.
    pub(crate) states: Vec<(String, usize)>,
    /// Parameters declared, where, and their values: for the lint.
    pub(crate) declared: Vec<(String, Span, Id)>,
    /// Whether an unknown size is one that the signature fails to fix.
    pub(crate) in_signature: bool,
    /// Whether a line could not be read, which may have bound any name.
    pub(crate) unread: bool,
}

/// One walk.
#[derive(Debug)]
pub(crate) struct Tracer<'a> {
    lib: &'a Library,
    mode: Mode,
    atoms: Atoms,
    frame: Frame,
    diags: Vec<Diagnostic>,
    out: trace::Trace,
    /// In check mode, instead of instructions: the operands of each value.
    deps: Vec<Vec<Id>>,
    params: BTreeMap<String, Tensor>,
    context: Poly,
    /// The shape that `row` indexes, inside `mask`.
    masked: Option<Shape>,
    /// Whether `a / b` of whole numbers is a real number here.
    want_real: bool,
    steps: u64,
    depth: u32,
    n_rests: u32,
    /// Declarations being walked, to refuse recursion.
    stack: Vec<usize>,
}

impl<'a> Tracer<'a> {
    /// Keeps a diagnostic; in trace mode the call it is about comes first.
    fn fail(&mut self, mut diagnostic: Diagnostic) -> Stop {
        if let Mode::Trace(at) = self.mode {
            let inner = &mut diagnostic.labels[0];
            if inner.span != at {
                inner.style = diag::LabelStyle::Secondary;
                if inner.message.is_empty() {
                    inner.message = "found here".into();
                }
                let style = diag::LabelStyle::Primary;
                let message = "in this call".into();
                diagnostic.labels.insert(0, diag::Label { span: at, message, style });
            }
        }
        self.diags.push(diagnostic);
        Stop
    }

    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) -> Stop {
        self.fail(Diagnostic::new(code, span, message))
    }

    fn is_check(&self) -> bool {
        matches!(self.mode, Mode::Check)
    }

    /// A number too large on the way.
    fn overflow(&mut self, span: Span) -> Stop {
        self.error(Code::E0306, span, "this size does not fit in 63 bits")
    }

    fn sized<T>(&mut self, size: Option<T>, span: Span) -> Eval<T> {
        size.ok_or_else(|| self.overflow(span))
    }

    fn lookup(&self, name: &str) -> Option<&Value> {
        self.frame.env.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    fn bind(&mut self, name: &str, value: Value) {
        self.frame.env.push((name.to_string(), value));
    }

    fn fresh_rest(&mut self, name: &str) -> Rest {
        self.n_rests += 1;
        Rest { id: self.n_rests, name: name.to_string() }
    }

    fn show(&self, size: &Poly) -> String {
        self.atoms.show(size)
    }

    fn show_shape(&self, shape: &Shape) -> String {
        shape.show(&self.atoms)
    }

    fn describe(&self, value: &Value) -> String {
        value.describe(&self.atoms)
    }
}
