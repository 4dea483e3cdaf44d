//! Types written as expressions: `[..s, d]`, `tok(v)[b, t]`, `([b, h], [b, h])`.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, Elem as AstElem, ExprId, ExprKind};

use super::value::{Elem, Value};
use super::{Eval, Tracer};
use crate::dim::Poly;
use crate::shape::{Axis, Shape};

/// A type.
#[derive(Debug, Clone)]
pub(super) enum Ty {
    /// Of a value of the run.
    Tensor { elem: Elem, shape: Shape },
    /// `(a, b)`.
    Tuple(Vec<Ty>),
    /// Of a number or another static value.
    Kind(Kind),
}

/// What a parameter takes that is not a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A size: a whole number from 1.
    Dim,
    /// A whole number.
    Int,
    /// A real number.
    Real,
    /// A real number within 0..1.
    Prob,
    /// A truth value.
    Bool,
    /// A string.
    Str,
    /// A layer.
    Module,
}

impl Kind {
    fn of_name(name: &str) -> Option<Kind> {
        Some(match name {
            "dim" => Kind::Dim,
            "int" | "count" => Kind::Int,
            "real" => Kind::Real,
            "prob" => Kind::Prob,
            "bool" => Kind::Bool,
            "string" | "path" => Kind::Str,
            "module" => Kind::Module,
            _ => return None,
        })
    }

    /// What it takes, in words.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Kind::Dim => "a size",
            Kind::Int => "a whole number",
            Kind::Real => "a number",
            Kind::Prob => "a number within 0..1",
            Kind::Bool => "`true` or `false`",
            Kind::Str => "a string",
            Kind::Module => "a layer",
        }
    }
}

/// The kind a parameter's type names; `None` for the type of a tensor or no type.
pub(super) fn kind_of(spec: &ast::Spec, ty: Option<ExprId>) -> Option<Kind> {
    if let ExprKind::Name(name) = &spec[ty?].kind { Kind::of_name(name) } else { None }
}

/// The elements of a shape: of `[b, t]` itself or of `tok(v)[b, t]`, with the element type.
pub(super) fn shape_parts(spec: &ast::Spec, ty: ExprId) -> Option<(Option<ExprId>, &[AstElem])> {
    if let ExprKind::List(elems) = &spec[ty].kind {
        return Some((None, elems));
    }
    if let ExprKind::Index { base, elems } = &spec[ty].kind {
        return Some((Some(*base), elems));
    }
    None
}

/// The key under which `..name` is bound; it cannot clash with a name.
pub(super) fn rest_key(name: Option<&ast::Ident>) -> String {
    format!("..{}", name.map_or("", |n| n.text.as_str()))
}

impl Tracer<'_> {
    /// A type whose names all have values.
    pub(super) fn ty(&mut self, ty: ExprId) -> Eval<Ty> {
        let spec = self.frame.spec.clone();
        let expr = &spec[ty];
        if let ExprKind::Tuple(args) = &expr.kind {
            let parts = args.iter().map(|a| self.ty(a.value)).collect::<Eval<Vec<_>>>()?;
            return Ok(if parts.len() == 1 { parts[0].clone() } else { Ty::Tuple(parts) });
        }
        if let Some((base, elems)) = shape_parts(&spec, ty) {
            let elem = base.map_or(Ok(Elem::Real), |base| self.elem_type(base))?;
            return Ok(Ty::Tensor { elem, shape: self.shape(elems, expr.span)? });
        }
        if let Some(kind) = kind_of(&spec, Some(ty)) {
            return Ok(Ty::Kind(kind));
        }
        let elem = self.elem_type(ty)?;
        Ok(Ty::Tensor { elem, shape: Shape::scalar() })
    }

    /// What stands before a shape.
    fn elem_type(&mut self, ty: ExprId) -> Eval<Elem> {
        let spec = self.frame.spec.clone();
        if let ExprKind::Call { callee, args } = &spec[ty].kind
            && let ExprKind::Name(name) = &spec[*callee].kind
            && matches!(name.as_str(), "tok" | "class")
            && let [bound] = args.as_slice()
        {
            return Ok(Elem::Ids(self.size(bound.value)?));
        }
        if let ExprKind::Name(name) = &spec[ty].kind {
            match name.as_str() {
                "real" => return Ok(Elem::Real),
                "fp32" => return Ok(Elem::Fp32),
                "int" | "int32" => return Ok(Elem::Int),
                "bool" => return Ok(Elem::Bool),
                _ => {}
            }
        }
        let diagnostic = Diagnostic::new(Code::E0301, spec[ty].span, "this is not a type")
            .help("element types are real, fp32, int32, bool, `tok(v)` and `class(n)`");
        Err(self.fail(diagnostic))
    }

    /// A shape whose names all have values.
    pub(super) fn shape(&mut self, elems: &[AstElem], span: Span) -> Eval<Shape> {
        self.one_rest(elems, span)?;
        let mut shape = Shape::scalar();
        for elem in elems {
            match elem {
                AstElem::Arg(arg) => {
                    let span = self.frame.spec[arg.value].span;
                    let axis = Axis { size: self.size(arg.value)?, made: span };
                    shape.axes.push(axis);
                }
                AstElem::Rest { name, span } => match self.lookup(&rest_key(name.as_ref())) {
                    Some(Value::Rest(rest)) => shape = rest.clone(),
                    _ => {
                        let shown = rest_key(name.as_ref());
                        let code = if self.frame.in_signature { Code::E0409 } else { Code::E0202 };
                        let message = format!("the axes `{shown}` are never fixed by an argument");
                        return Err(self.error(code, *span, message));
                    }
                },
            }
        }
        Ok(shape)
    }

    /// Refuses a second rest axis, and one that does not come first.
    pub(super) fn one_rest(&mut self, elems: &[AstElem], span: Span) -> Eval<()> {
        let is_rest = |e: &&AstElem| matches!(e, AstElem::Rest { .. });
        let n = elems.iter().filter(is_rest).count();
        let (message, help) = match n {
            0 => return Ok(()),
            1 if is_rest(&&elems[0]) => return Ok(()),
            1 => ("a rest axis must come first".to_owned(), "move the `..` to the front"),
            _ => (format!("a shape has at most one rest axis, found {n}"), "keep the first `..`"),
        };
        Err(self.fail(Diagnostic::new(Code::E0414, span, message).help(help)))
    }

    /// A size.
    pub(super) fn size(&mut self, expr: ExprId) -> Eval<Poly> {
        let real = std::mem::replace(&mut self.want_real, false);
        let value = self.eval(expr);
        self.want_real = real;
        match value? {
            Value::Size(size) => Ok(size),
            Value::Hole => Err(super::Stop),
            other => {
                let span = self.frame.spec[expr].span;
                let message = format!("expected a size, found {}", self.describe(&other));
                Err(self.error(Code::E0301, span, message))
            }
        }
    }

    /// A value as a parameter of that kind takes it.
    pub(super) fn of_kind(
        &mut self,
        kind: Kind,
        value: Value,
        name: &str,
        at: Span,
    ) -> Eval<Value> {
        let number = value.number(&self.atoms);
        let ok = match (kind, &value) {
            (_, Value::Hole) => return Ok(Value::Hole),
            // A number of the run where a number is expected: `lr`, `t`, `step`.
            (Kind::Int | Kind::Real | Kind::Prob, Value::Tensor(t)) => {
                if t.shape.is_scalar() && t.elem == Elem::Scalar {
                    return Ok(value);
                }
                false
            }
            (Kind::Dim, Value::Size(_)) => {
                if number.is_some_and(|n| n < 1.0) {
                    return Err(self.out_of_range(name, "at least 1", &value, at));
                }
                true
            }
            (Kind::Int, Value::Size(_)) => true,
            (Kind::Real, Value::Real(_) | Value::Size(_)) => return Ok(Value::Real(number)),
            (Kind::Prob, Value::Real(_) | Value::Size(_)) => {
                if number.is_some_and(|n| !(0.0..=1.0).contains(&n)) {
                    return Err(self.out_of_range(name, "within 0..1", &value, at));
                }
                return Ok(Value::Real(number));
            }
            (Kind::Bool, Value::Bool(_)) => true,
            (Kind::Str, Value::Str(_)) => true,
            (Kind::Module, Value::Module(_)) => true,
            (
                Kind::Dim
                | Kind::Int
                | Kind::Real
                | Kind::Prob
                | Kind::Bool
                | Kind::Str
                | Kind::Module,
                _,
            ) => false,
        };
        if ok {
            return Ok(value);
        }
        let (wants, found) = (kind.describe(), self.describe(&value));
        let message = format!("`{name}` takes {wants}, found {found}");
        let diagnostic =
            Diagnostic::new(Code::E0301, at, message).primary(format!("expected {wants}"));
        Err(self.fail(diagnostic))
    }

    fn out_of_range(&mut self, name: &str, range: &str, value: &Value, at: Span) -> super::Stop {
        let n = value.number(&self.atoms).unwrap_or(0.0);
        let mut diagnostic =
            Diagnostic::new(Code::E0302, at, format!("`{name}` must be {range}, found {n}"));
        if range == "within 0..1" && (1.0..=100.0).contains(&n) {
            diagnostic = diagnostic.fix(format!("did you mean `{n}%`?"), at, format!("{n}%"));
        }
        self.fail(diagnostic)
    }
}
