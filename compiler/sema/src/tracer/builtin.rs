//! Functions that the language itself knows; all others are declarations.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, ExprId, ExprKind};

use super::value::{Elem, Tensor, Value};
use super::{Eval, Stop, Tracer};
use crate::dim::Poly;
use crate::shape::{Axis, Shape};
use crate::trace::{Binary, Prim, Reduce, Unary};

/// What stands for minus infinity in a mask: `exp` of it is 0, and a row of nothing else has no
/// `inf - inf`.
const MASKED: f64 = -1e30;

/// A function of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    /// Elementwise.
    Map(Unary),
    /// Of two values, or a reduction over axes.
    Extreme(Binary),
    /// Over axes.
    Reduce(Reduce),
    Norm,
    Softmax,
    Fp32,
    Cast,
    Rearrange,
    Expand,
    Einsum,
    Concat,
    Unembed,
    Pick,
    Mask,
    Row,
    Iota,
    Dropout,
    Repeat,
    Share,
    Scan,
}

/// Names of all of them, for suggestions.
pub(crate) const NAMES: &[&str] = &[
    "exp",
    "log",
    "tanh",
    "erf",
    "sqrt",
    "rsqrt",
    "abs",
    "floor",
    "cos",
    "sin",
    "sigmoid",
    "max",
    "min",
    "sum",
    "mean",
    "logsumexp",
    "norm",
    "softmax",
    "fp32",
    "cast",
    "rearrange",
    "split",
    "expand",
    "einsum",
    "concat",
    "unembed",
    "pick",
    "mask",
    "row",
    "iota",
    "dropout",
    "repeat",
    "share",
    "scan",
];

impl Builtin {
    /// By name.
    pub(super) fn of(name: &str) -> Option<Builtin> {
        Some(match name {
            "exp" => Builtin::Map(Unary::Exp),
            "log" => Builtin::Map(Unary::Log),
            "tanh" => Builtin::Map(Unary::Tanh),
            "erf" => Builtin::Map(Unary::Erf),
            "sqrt" => Builtin::Map(Unary::Sqrt),
            "rsqrt" => Builtin::Map(Unary::Rsqrt),
            "abs" => Builtin::Map(Unary::Abs),
            "floor" => Builtin::Map(Unary::Floor),
            "cos" => Builtin::Map(Unary::Cos),
            "sin" => Builtin::Map(Unary::Sin),
            "sigmoid" => Builtin::Map(Unary::Sigmoid),
            "max" => Builtin::Extreme(Binary::Max),
            "min" => Builtin::Extreme(Binary::Min),
            "sum" => Builtin::Reduce(Reduce::Sum),
            "mean" => Builtin::Reduce(Reduce::Mean),
            "logsumexp" => Builtin::Reduce(Reduce::LogSumExp),
            "norm" => Builtin::Norm,
            "softmax" => Builtin::Softmax,
            "fp32" => Builtin::Fp32,
            "cast" => Builtin::Cast,
            "rearrange" | "split" => Builtin::Rearrange,
            "expand" => Builtin::Expand,
            "einsum" => Builtin::Einsum,
            "concat" => Builtin::Concat,
            "unembed" => Builtin::Unembed,
            "pick" => Builtin::Pick,
            "mask" => Builtin::Mask,
            "row" => Builtin::Row,
            "iota" => Builtin::Iota,
            "dropout" => Builtin::Dropout,
            "repeat" => Builtin::Repeat,
            "share" => Builtin::Share,
            "scan" => Builtin::Scan,
            _ => return None,
        })
    }
}

/// What a call gives to a builtin.
#[derive(Debug)]
pub(super) struct Given {
    /// The value before `|>`.
    piped: Option<(Value, Span)>,
    /// In order, after the piped one.
    positional: Vec<ExprId>,
    /// `name: value`.
    named: Vec<(ast::Ident, ExprId)>,
}

impl Given {
    fn new(args: &[ast::Arg], piped: Option<(Value, Span)>) -> Given {
        let mut given = Given { piped, positional: vec![], named: vec![] };
        for arg in args {
            match &arg.name {
                Some(name) => given.named.push((name.clone(), arg.value)),
                None => given.positional.push(arg.value),
            }
        }
        given
    }

    /// How many without a name.
    pub(super) fn len(&self) -> usize {
        self.positional.len() + usize::from(self.piped.is_some())
    }

    /// The expression of argument `i`; the piped one has none.
    pub(super) fn expr(&self, i: usize) -> Option<ExprId> {
        let i = i.checked_sub(usize::from(self.piped.is_some()))?;
        self.positional.get(i).copied()
    }

    /// The expression of a named argument.
    pub(super) fn named(&self, name: &str) -> Option<ExprId> {
        self.named.iter().find(|(n, _)| n.text == name).map(|(_, e)| *e)
    }

    /// The value of argument `i`.
    pub(super) fn value(&self, t: &mut Tracer<'_>, i: usize, span: Span) -> Eval<Value> {
        match (&self.piped, i, self.expr(i)) {
            (Some((value, _)), 0, _) => Ok(value.clone()),
            (_, _, Some(expr)) => t.eval(expr),
            (_, _, None) => Err(t.error(Code::E0305, span, "an argument is missing here")),
        }
    }

    /// Where argument `i` stands.
    pub(super) fn span(&self, t: &Tracer<'_>, i: usize, span: Span) -> Span {
        match (&self.piped, i, self.expr(i)) {
            (Some((_, at)), 0, _) => *at,
            (_, _, Some(expr)) => t.frame.spec[expr].span,
            (_, _, None) => span,
        }
    }

    /// Argument `i`, which must be a value of the run.
    pub(super) fn tensor(&self, t: &mut Tracer<'_>, i: usize, span: Span) -> Eval<Tensor> {
        match self.value(t, i, span)? {
            Value::Tensor(x) => Ok(x),
            Value::Hole => Err(Stop),
            other => {
                let message = format!("expected a value of the run, found {}", t.describe(&other));
                Err(t.error(Code::E0301, self.span(t, i, span), message))
            }
        }
    }

    /// Refuses arguments that the function does not take.
    pub(super) fn only(
        &self,
        t: &mut Tracer<'_>,
        callee: &str,
        n: usize,
        names: &[&str],
        span: Span,
    ) -> Eval<()> {
        if let Some((name, _)) = self.named.iter().find(|(n, _)| !names.contains(&n.text.as_str()))
        {
            let message = format!("`{callee}` has no argument `{}`", name.text);
            let mut diagnostic = Diagnostic::new(Code::E0305, name.span, message);
            if !names.is_empty() {
                diagnostic = diagnostic.help(format!("it takes {}", names.join(", ")));
            }
            return Err(t.fail(diagnostic));
        }
        if self.len() != n {
            let message = format!("`{callee}` takes {n} values, found {}", self.len());
            return Err(t.error(Code::E0305, span, message));
        }
        Ok(())
    }

    /// `keep: true`, which must be known.
    pub(super) fn flag(&self, t: &mut Tracer<'_>, name: &str) -> Eval<bool> {
        let Some(expr) = self.named(name) else { return Ok(false) };
        match t.eval(expr)? {
            Value::Bool(Some(b)) => Ok(b),
            other => {
                let message =
                    format!("`{name}` is `true` or `false`, found {}", t.describe(&other));
                Err(t.error(Code::E0301, t.frame.spec[expr].span, message))
            }
        }
    }
}

impl Tracer<'_> {
    /// Calls a function of the language.
    pub(super) fn builtin(
        &mut self,
        builtin: Builtin,
        args: &[ast::Arg],
        piped: Option<(Value, Span)>,
        span: Span,
    ) -> Eval<Value> {
        let given = Given::new(args, piped);
        match builtin {
            Builtin::Map(f) => self.map_call(f, &given, span),
            Builtin::Extreme(prim) => self.extreme(prim, &given, span),
            Builtin::Reduce(kind) => self.reduce_call(kind, &given, span),
            Builtin::Norm => self.norm(&given, span),
            Builtin::Softmax => self.softmax(&given, span),
            Builtin::Fp32 => {
                given.only(self, "fp32", 1, &[], span)?;
                self.in_elem(&given, &Elem::Fp32, span)
            }
            Builtin::Cast => self.cast_call(&given, span),
            Builtin::Rearrange => self.rearrange(&given, span),
            Builtin::Expand => self.expand(&given, span),
            Builtin::Einsum => self.einsum(&given, span),
            Builtin::Concat => self.concat(&given, span),
            Builtin::Unembed => self.unembed(&given, span),
            Builtin::Pick => self.pick(&given, span),
            Builtin::Mask => self.mask(&given, span),
            Builtin::Row => self.row(&given, span),
            Builtin::Iota => self.iota(&given, span),
            Builtin::Dropout => self.dropout(&given, span),
            Builtin::Repeat => self.repeat(&given, false, span),
            Builtin::Share => self.repeat(&given, true, span),
            Builtin::Scan => self.scan(&given, span),
        }
    }

    fn map_call(&mut self, f: Unary, given: &Given, span: Span) -> Eval<Value> {
        let name = name_of(f);
        given.only(self, name, 1, &[], span)?;
        match given.value(self, 0, span)? {
            Value::Tensor(x) => self.map(f, &x, name, span).map(Value::Tensor),
            value @ (Value::Size(_) | Value::Real(_)) => match value.number(&self.atoms) {
                Some(x) => self.finite(apply(f, x), span),
                None => Ok(Value::Real(None)),
            },
            Value::Hole => Err(Stop),
            other => {
                let message = format!("`{name}` takes a number, found {}", self.describe(&other));
                Err(self.error(Code::E0301, span, message))
            }
        }
    }

    /// `max(x, y)`, or `max(x, over: d)`.
    fn extreme(&mut self, prim: Binary, given: &Given, span: Span) -> Eval<Value> {
        if prim == Binary::Max && given.len() == 1 {
            return self.reduce_call(Reduce::Max, given, span);
        }
        given.only(self, if prim == Binary::Max { "max" } else { "min" }, 2, &[], span)?;
        let (a, b) = (given.value(self, 0, span)?, given.value(self, 1, span)?);
        if !matches!(a, Value::Tensor(_)) && !matches!(b, Value::Tensor(_)) {
            let known = a.number(&self.atoms).zip(b.number(&self.atoms));
            if let (Value::Size(x), Value::Size(y), Some((m, n))) = (&a, &b, known) {
                let first = (m >= n) == (prim == Binary::Max);
                return Ok(Value::Size(if first { x.clone() } else { y.clone() }));
            }
            let pick = |(x, y): (f64, f64)| if prim == Binary::Max { x.max(y) } else { x.min(y) };
            return Ok(Value::Real(known.map(pick)));
        }
        let (a, b) = self.operands("max", &a, &b, span)?;
        self.pointwise(prim, &a, &b, span).map(Value::Tensor)
    }

    fn in_elem(&mut self, given: &Given, elem: &Elem, span: Span) -> Eval<Value> {
        match given.value(self, 0, span)? {
            Value::Tensor(x) if matches!(x.elem, Elem::Ids(_)) => {
                let message = "ids are names, not numbers: they cannot be converted";
                let help = super::elementwise::embed_first(&x.elem.show(&self.atoms));
                Err(self.fail(Diagnostic::new(Code::E0411, span, message).help(help)))
            }
            Value::Tensor(x) => self.cast(&x, elem, span).map(Value::Tensor),
            other => self.scalar(&other, elem, span).map(Value::Tensor),
        }
    }

    fn cast_call(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "cast", 1, &["like"], span)?;
        let Some(like) = given.named("like") else {
            let message = "`cast` needs `like:`, a value of the type to convert to";
            return Err(self.error(Code::E0305, span, message));
        };
        match self.eval(like)? {
            Value::Tensor(like) => self.in_elem(given, &like.elem, span),
            Value::Hole => Err(Stop),
            other => {
                let message =
                    format!("`like` takes a value of the run, found {}", self.describe(&other));
                Err(self.error(Code::E0301, self.frame.spec[like].span, message))
            }
        }
    }

    fn pick(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "pick", 2, &["over"], span)?;
        let (x, ids) = (given.tensor(self, 0, span)?, given.tensor(self, 1, span)?);
        let axis = self.over(given, &x, span)?.map_or(x.shape.axes.len(), |axes| axes[0]);
        if axis + 1 != x.shape.axes.len() {
            let message = "`pick` looks along the last axis";
            return Err(self.error(Code::E0406, span, message));
        }
        let mut shape = x.shape.clone();
        shape.axes.pop();
        if !shape.same(&ids.shape) || !matches!(ids.elem, Elem::Ids(_) | Elem::Int) {
            let found = self.describe(&Value::Tensor(ids));
            let message =
                format!("`pick` needs ids of shape `{}`, found {found}", self.show_shape(&shape));
            return Err(self.error(Code::E0401, span, message));
        }
        let picked = self.emit(Prim::Pick, &[x.id, ids.id], x.elem.clone(), shape, span)?;
        Ok(Value::Tensor(picked))
    }

    /// `mask(z, keep)`: minus infinity where `keep` is false.
    fn mask(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "mask", 2, &[], span)?;
        let z = given.tensor(self, 0, span)?;
        self.float(&z, "mask", span)?;
        let outer = self.masked.replace(z.shape.clone());
        let keep = given.tensor(self, 1, span);
        self.masked = outer;
        let keep = keep?;
        if keep.elem != Elem::Bool {
            let message =
                format!("`mask` takes a condition, found {}", self.describe(&Value::Tensor(keep)));
            return Err(self.error(Code::E0411, span, message));
        }
        let lines_up = keep.shape.broadcast(&z.shape).is_some_and(|s| s.same(&z.shape));
        if !lines_up {
            let (k, z) = (self.show_shape(&keep.shape), self.show_shape(&z.shape));
            let message = format!("the condition `{k}` does not line up with `{z}`");
            return Err(self.error(Code::E0404, span, message));
        }
        let keep = self.stretch(&keep, &z.shape, span)?;
        let low = self.constant(MASKED, z.elem.clone(), z.shape.clone(), span)?;
        let args = [keep.id, z.id, low.id];
        self.emit(Prim::Select, &args, z.elem.clone(), z.shape, span).map(Value::Tensor)
    }

    /// `row(t)`: the index along the axis `t` of what is masked.
    fn row(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "row", 1, &[], span)?;
        let Some(masked) = self.masked.clone() else {
            let message = "`row` stands in the condition of `mask`";
            return Err(self.error(Code::E0301, span, message));
        };
        let Some(expr) = given.expr(0) else {
            return Err(self.error(Code::E0301, span, "`row` takes an axis"));
        };
        let axis = self.axis(expr, &masked)?;
        let mut axes = vec![Axis { size: Poly::constant(1), made: span }; masked.axes.len()];
        axes[axis] = masked.axes[axis].clone();
        let shape = Shape { rest: None, axes };
        self.emit(Prim::Iota { axis }, &[], Elem::Int, shape, span).map(Value::Tensor)
    }

    /// `iota(t)`: 0, 1, .. along one axis of that size.
    fn iota(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "iota", 1, &[], span)?;
        let Some(expr) = given.expr(0) else {
            return Err(self.error(Code::E0301, span, "`iota` takes a size"));
        };
        let shape = Shape::of(vec![Axis { size: self.size(expr)?, made: span }]);
        self.emit(Prim::Iota { axis: 0 }, &[], Elem::Int, shape, span).map(Value::Tensor)
    }

    fn dropout(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "dropout", 2, &[], span)?;
        let x = given.tensor(self, 0, span)?;
        self.float(&x, "dropout", span)?;
        let at = given.span(self, 1, span);
        let p = given.value(self, 1, span)?;
        let p = self.of_kind(super::types::Kind::Prob, p, "dropout", at)?;
        let p = p.number(&self.atoms).unwrap_or(0.0);
        if p == 0.0 && !self.is_check() {
            return Ok(Value::Tensor(x));
        }
        self.emit(Prim::Dropout(p), &[x.id], x.elem.clone(), x.shape, span).map(Value::Tensor)
    }
}

fn name_of(f: Unary) -> &'static str {
    match f {
        Unary::Neg => "-",
        Unary::Abs => "abs",
        Unary::Exp => "exp",
        Unary::Log => "log",
        Unary::Tanh => "tanh",
        Unary::Erf => "erf",
        Unary::Sigmoid => "sigmoid",
        Unary::Sqrt => "sqrt",
        Unary::Rsqrt => "rsqrt",
        Unary::Cos => "cos",
        Unary::Sin => "sin",
        Unary::Floor => "floor",
        Unary::Not => "not",
    }
}

/// The function of a number known before the run; NaN where there is none.
fn apply(f: Unary, x: f64) -> f64 {
    match f {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Cos => x.cos(),
        Unary::Sin => x.sin(),
        Unary::Floor => x.floor(),
        Unary::Erf | Unary::Not => f64::NAN,
    }
}

/// Whether an expression is a shape pattern: a list, or lists around an arrow.
pub(super) fn is_pattern(spec: &ast::Spec, expr: ExprId) -> bool {
    matches!(
        &spec[expr].kind,
        ExprKind::List(_) | ExprKind::Binary { op: ast::BinaryOp::Arrow, .. }
    )
}
