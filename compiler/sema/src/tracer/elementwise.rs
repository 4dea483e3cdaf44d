//! Elementwise operations on values of the run: types, broadcasts, scalars.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{BinaryOp, UnaryOp};

use super::value::{Elem, Tensor, Value};
use super::{Eval, Tracer};
use crate::shape::Shape;
use crate::trace::{Binary, Prim, Unary};

/// The largest exponent that becomes repeated multiplication.
const MAX_POW_INT: f64 = 16.0;

impl Tracer<'_> {
    /// `a op b`, whatever both are.
    pub(super) fn binary(&mut self, op: BinaryOp, a: &Value, b: &Value, span: Span) -> Eval<Value> {
        if !matches!(a, Value::Tensor(_)) && !matches!(b, Value::Tensor(_)) {
            return self.static_binary(op, a, b, span);
        }
        if op == BinaryOp::MatMul {
            return self.matmul(a, b, span).map(Value::Tensor);
        }
        if let (BinaryOp::Pow, Value::Tensor(x), Some(n)) = (op, a, b.number(&self.atoms))
            && n.fract() == 0.0
            && (1.0..=MAX_POW_INT).contains(&n)
        {
            self.float(x, op.symbol(), span)?;
            let prim = Prim::PowInt(n as u32);
            return Ok(Value::Tensor(self.emit(
                prim,
                &[x.id],
                x.elem.clone(),
                x.shape.clone(),
                span,
            )?));
        }
        let Some(prim) = primitive(op) else { return Err(self.no_operator(op, a, b, span)) };
        let (a, b) = self.operands(op.symbol(), a, b, span)?;
        self.pointwise(prim, &a, &b, span).map(Value::Tensor)
    }

    /// Both as values of the run; a number takes the element type of the other.
    pub(super) fn operands(
        &mut self,
        what: &str,
        a: &Value,
        b: &Value,
        span: Span,
    ) -> Eval<(Tensor, Tensor)> {
        Ok(match (a, b) {
            (Value::Tensor(a), Value::Tensor(b)) => (a.clone(), b.clone()),
            (Value::Tensor(a), b) => (a.clone(), self.filled(what, b, a, span)?),
            (a, Value::Tensor(b)) => (self.filled(what, a, b, span)?, b.clone()),
            (a, b) => {
                let scalar = Elem::Scalar;
                (self.scalar(a, &scalar, span)?, self.scalar(b, &scalar, span)?)
            }
        })
    }

    /// A number known before the run, in the type and shape of `like`.
    fn filled(&mut self, what: &str, x: &Value, like: &Tensor, span: Span) -> Eval<Tensor> {
        if let (Value::Bool(x), Elem::Bool) = (x, &like.elem) {
            let x = if *x == Some(true) { 1.0 } else { 0.0 };
            return self.constant(x, Elem::Bool, like.shape.clone(), span);
        }
        let elem = match (&like.elem, x) {
            (Elem::Ids(_), Value::Size(_)) => Elem::Int,
            (elem, _) => elem.clone(),
        };
        if !elem.is_float() && !matches!((&elem, x), (Elem::Int, Value::Size(_))) {
            let (x, elem) = (self.describe(x), elem.show(&self.atoms));
            let message = format!("`{what}` does not mix {x} with elements of type `{elem}`");
            return Err(self.error(Code::E0411, span, message));
        }
        let mut filled = self.scalar(x, &elem, span)?;
        if !like.shape.is_scalar() {
            filled = self.stretch(&filled, &like.shape, span)?;
        }
        Ok(filled)
    }

    /// A number known before the run as a scalar of the run.
    pub(super) fn scalar(&mut self, x: &Value, elem: &Elem, span: Span) -> Eval<Tensor> {
        match x {
            Value::Tensor(x) => Ok(x.clone()),
            Value::Hole => Err(super::Stop),
            Value::Size(_) | Value::Real(_) => {
                let x = x.number(&self.atoms).unwrap_or(0.0);
                self.constant(x, elem.clone(), Shape::scalar(), span)
            }
            Value::Bool(_)
            | Value::Str(_)
            | Value::None
            | Value::Tuple(_)
            | Value::Module(_)
            | Value::Rest(_) => {
                let message = format!("expected a number, found {}", self.describe(x));
                Err(self.error(Code::E0301, span, message))
            }
        }
    }

    /// An elementwise primitive: element types joined, shapes lined up.
    pub(super) fn pointwise(
        &mut self,
        prim: Binary,
        a: &Tensor,
        b: &Tensor,
        span: Span,
    ) -> Eval<Tensor> {
        let elem = self.joined(symbol(prim), a, b, span)?;
        let logic = matches!(prim, Binary::And | Binary::Or);
        if logic != (elem == Elem::Bool) && !matches!(prim, Binary::Eq | Binary::Ne) {
            let wants = if logic { "truth values" } else { "numbers" };
            return Err(self.wants(symbol(prim), wants, &elem, span));
        }
        let (a, b) = (self.cast(a, &elem, span)?, self.cast(b, &elem, span)?);
        let Some(shape) = a.shape.broadcast(&b.shape) else {
            return Err(self.does_not_line_up(&a, &b, span));
        };
        let (a, b) = (self.stretch(&a, &shape, span)?, self.stretch(&b, &shape, span)?);
        let compares = matches!(
            prim,
            Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge | Binary::Eq | Binary::Ne
        );
        let elem = if compares { Elem::Bool } else { elem };
        self.emit(Prim::Binary(prim), &[a.id, b.id], elem, shape, span)
    }

    /// The element type of an operation on both.
    pub(super) fn joined(&mut self, what: &str, a: &Tensor, b: &Tensor, span: Span) -> Eval<Elem> {
        let compares = matches!(what, "<" | "<=" | ">" | ">=" | "==" | "!=");
        Ok(match (&a.elem, &b.elem) {
            (Elem::Ids(_), Elem::Ids(_) | Elem::Int) | (Elem::Int, Elem::Ids(_)) if compares => {
                Elem::Int
            }
            (Elem::Ids(_), _) | (_, Elem::Ids(_)) => {
                let ids = if matches!(a.elem, Elem::Ids(_)) { &a.elem } else { &b.elem };
                let ids = ids.clone();
                return Err(self.wants(what, "real operands", &ids, span));
            }
            (x, y) if x == y => x.clone(),
            (Elem::Scalar, other) if a.shape.is_scalar() && other.is_float() => other.clone(),
            (other, Elem::Scalar) if b.shape.is_scalar() && other.is_float() => other.clone(),
            (Elem::Real, Elem::Fp32) | (Elem::Fp32, Elem::Real) => Elem::Fp32,
            (Elem::Scalar, Elem::Int) | (Elem::Int, Elem::Scalar) => Elem::Scalar,
            (x, y) => {
                let (x, y) = (x.show(&self.atoms), y.show(&self.atoms));
                let message = format!("`{what}` does not mix `{x}` and `{y}`");
                let help = "`cast(x, like: y)` converts";
                let diagnostic = Diagnostic::new(Code::E0411, span, message).help(help);
                return Err(self.fail(diagnostic));
            }
        })
    }

    fn wants(&mut self, what: &str, wants: &str, elem: &Elem, span: Span) -> super::Stop {
        let found = elem.show(&self.atoms);
        let message = format!("`{what}` needs {wants}, found `{found}`");
        let mut diagnostic = Diagnostic::new(Code::E0411, span, message);
        if matches!(elem, Elem::Ids(_)) {
            diagnostic = diagnostic.help(embed_first(&found));
        }
        self.fail(diagnostic)
    }

    /// Whether arithmetic of real numbers applies to `x`.
    pub(super) fn float(&mut self, x: &Tensor, what: &str, span: Span) -> Eval<()> {
        if x.elem.is_float() {
            return Ok(());
        }
        Err(self.wants(what, "real operands", &x.elem, span))
    }

    fn does_not_line_up(&mut self, a: &Tensor, b: &Tensor, span: Span) -> super::Stop {
        let (left, right) = (self.show_shape(&a.shape), self.show_shape(&b.shape));
        let mut diagnostic =
            Diagnostic::new(Code::E0404, span, format!("`{left}` and `{right}` do not line up"))
                .note("one must be the end of the other, or have a 1 where they differ");
        let n_axes = a.shape.axes.len().abs_diff(b.shape.axes.len());
        let fixed = a.shape.rest.is_none() && b.shape.rest.is_none();
        let help = match n_axes {
            0 if fixed => "bring both to one shape, or write an axis of 1 where they differ",
            _ => "keep a reduced axis with `keep: true`, or add the axis with `expand`",
        };
        // One place that made both axes explains nothing.
        let apart = differing(&a.shape, &b.shape).filter(|(x, y)| x.made != y.made);
        if let Some((x, y)) = apart {
            let size = |s| self.show(s);
            let (text_a, text_b) = (size(&x.size), size(&y.size));
            diagnostic = diagnostic
                .label(x.made, format!("this made the axis `{text_a}`"))
                .label(y.made, format!("this made the axis `{text_b}`"));
        }
        self.fail(diagnostic.help(help))
    }

    /// `op x`.
    pub(super) fn unary(&mut self, op: UnaryOp, x: &Value, span: Span) -> Eval<Value> {
        match (op, x) {
            (_, Value::Hole) => Err(super::Stop),
            (UnaryOp::Not, Value::Bool(x)) => Ok(Value::Bool(x.map(|x| !x))),
            (UnaryOp::Neg, Value::Real(x)) => Ok(Value::Real(x.map(|x| -x))),
            (UnaryOp::Neg, Value::Size(x)) => {
                let negated = self.atoms.mul(x, &crate::dim::Poly::constant(-1));
                Ok(Value::Size(self.sized(negated, span)?))
            }
            (UnaryOp::Neg, Value::Tensor(x)) if x.elem != Elem::Int => {
                self.map(Unary::Neg, x, "-", span).map(Value::Tensor)
            }
            (UnaryOp::Not, Value::Tensor(x)) if x.elem == Elem::Bool => {
                let (elem, shape) = (x.elem.clone(), x.shape.clone());
                let prim = Prim::Unary(Unary::Not);
                self.emit(prim, &[x.id], elem, shape, span).map(Value::Tensor)
            }
            (UnaryOp::Neg | UnaryOp::Not, _) => {
                let symbol = if op == UnaryOp::Neg { "-" } else { "not" };
                let message = format!("`{symbol}` does not apply to {}", self.describe(x));
                Err(self.error(Code::E0301, span, message))
            }
        }
    }

    /// An elementwise function of a real value.
    pub(super) fn map(&mut self, f: Unary, x: &Tensor, what: &str, span: Span) -> Eval<Tensor> {
        self.float(x, what, span)?;
        self.emit(Prim::Unary(f), &[x.id], x.elem.clone(), x.shape.clone(), span)
    }
}

/// What to do with ids where a number is wanted: `tok(vocab)` says how many there are.
pub(super) fn embed_first(ids: &str) -> String {
    let n = ids.split_once('(').map_or("vocab", |(_, n)| n.trim_end_matches(')'));
    format!("look the ids up first: `table = embedding({n}, d)`, then `table(ids)`")
}

/// The first pair of axes, counted from the right, with different sizes.
fn differing<'s>(
    a: &'s Shape,
    b: &'s Shape,
) -> Option<(&'s crate::shape::Axis, &'s crate::shape::Axis)> {
    a.axes.iter().rev().zip(b.axes.iter().rev()).find(|(x, y)| x.size != y.size)
}

fn primitive(op: BinaryOp) -> Option<Binary> {
    Some(match op {
        BinaryOp::Add => Binary::Add,
        BinaryOp::Sub => Binary::Sub,
        BinaryOp::Mul => Binary::Mul,
        BinaryOp::Div => Binary::Div,
        BinaryOp::Pow => Binary::Pow,
        BinaryOp::Lt => Binary::Lt,
        BinaryOp::Le => Binary::Le,
        BinaryOp::Gt => Binary::Gt,
        BinaryOp::Ge => Binary::Ge,
        BinaryOp::Eq => Binary::Eq,
        BinaryOp::Ne => Binary::Ne,
        BinaryOp::And => Binary::And,
        BinaryOp::Or => Binary::Or,
        BinaryOp::Arrow
        | BinaryOp::Pipe
        | BinaryOp::In
        | BinaryOp::Divides
        | BinaryOp::Range
        | BinaryOp::MatMul => return None,
    })
}

fn symbol(prim: Binary) -> &'static str {
    match prim {
        Binary::Add => "+",
        Binary::Sub => "-",
        Binary::Mul => "*",
        Binary::Div => "/",
        Binary::Pow => "^",
        Binary::Min => "min",
        Binary::Max => "max",
        Binary::Lt => "<",
        Binary::Le => "<=",
        Binary::Gt => ">",
        Binary::Ge => ">=",
        Binary::Eq => "==",
        Binary::Ne => "!=",
        Binary::And => "and",
        Binary::Or => "or",
    }
}
