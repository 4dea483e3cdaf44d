//! Reductions, softmax and the axes they run over.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{ExprId, ExprKind, UnaryOp};

use super::builtin::Given;
use super::value::{Elem, Tensor, Value};
use super::{Eval, Tracer};
use crate::dim::Poly;
use crate::shape::Shape;
use crate::trace::{Prim, Reduce, Unary};

impl Tracer<'_> {
    /// The position, after a rest axis, of the axis that an expression names by its size.
    pub(super) fn axis(&mut self, expr: ExprId, shape: &Shape) -> Eval<usize> {
        let spec = self.frame.spec.clone();
        let span = spec[expr].span;
        let is_index = matches!(
            &spec[expr].kind,
            ExprKind::Number(_) | ExprKind::Unary { op: UnaryOp::Neg, .. }
        );
        let size = self.size(expr)?;
        if let (true, Some(i)) = (is_index, size.as_constant()) {
            let n = i64::try_from(shape.axes.len()).unwrap_or(0);
            let at = if i < 0 { n + i } else { i };
            if (0..n).contains(&at) && (i < 0 || shape.rest.is_none()) {
                return Ok(usize::try_from(at).expect("within the axes"));
            }
            let message = format!("`{}` has no axis {i}", self.show_shape(shape));
            return Err(self.error(Code::E0406, span, message));
        }
        let found: Vec<usize> =
            (0..shape.axes.len()).filter(|&i| shape.axes[i].size == size).collect();
        if let [axis] = found.as_slice() {
            return Ok(*axis);
        }
        let (axis, shape) = (self.show(&size), self.show_shape(shape));
        let diagnostic = if found.is_empty() {
            Diagnostic::new(Code::E0406, span, format!("`{shape}` has no axis `{axis}`"))
                .help("name one of its axes, or count from the end: `-1`")
        } else {
            Diagnostic::new(Code::E0406, span, format!("`over: {axis}` is ambiguous in `{shape}`"))
                .help("count from the end: `over: -1`")
        };
        Err(self.fail(diagnostic))
    }

    /// The axes after `over:`, ascending; `None` without it.
    pub(super) fn over(&mut self, given: &Given, x: &Tensor, _: Span) -> Eval<Option<Vec<usize>>> {
        let Some(over) = given.named("over") else { return Ok(None) };
        let spec = self.frame.spec.clone();
        let ExprKind::List(elems) = &spec[over].kind else {
            return Ok(Some(vec![self.axis(over, &x.shape)?]));
        };
        let mut axes = Vec::new();
        for elem in elems {
            if let syntax::ast::Elem::Arg(arg) = elem {
                axes.push(self.axis(arg.value, &x.shape)?);
            }
        }
        axes.sort_unstable();
        axes.dedup();
        Ok(Some(axes))
    }

    /// `sum(x, over: d, keep: true)` and its like; without `over` of all elements.
    pub(super) fn reduce_call(&mut self, kind: Reduce, given: &Given, span: Span) -> Eval<Value> {
        let name = match kind {
            Reduce::Sum => "sum",
            Reduce::Mean => "mean",
            Reduce::Max => "max",
            Reduce::LogSumExp => "logsumexp",
        };
        given.only(self, name, 1, &["over", "keep"], span)?;
        let x = given.tensor(self, 0, span)?;
        self.float(&x, name, span)?;
        let keep = given.flag(self, "keep")?;
        let axes = self.over(given, &x, span)?;
        if kind == Reduce::LogSumExp && axes.as_ref().is_none_or(|a| a.len() != 1) {
            return Err(self.error(Code::E0406, span, "`logsumexp` runs over one axis"));
        }
        self.reduce(kind, &x, axes, keep, span).map(Value::Tensor)
    }

    fn reduce(
        &mut self,
        kind: Reduce,
        x: &Tensor,
        axes: Option<Vec<usize>>,
        keep: bool,
        span: Span,
    ) -> Eval<Tensor> {
        let whole = axes.is_none();
        let axes = axes.unwrap_or_else(|| (0..x.shape.axes.len()).collect());
        // A scalar is its own sum; while checking, no axes may stand for a rest axis.
        if axes.is_empty() && x.shape.rest.is_none() {
            return Ok(x.clone());
        }
        let mut shape = x.shape.clone();
        for &axis in &axes {
            shape.axes[axis].size = Poly::constant(1);
            shape.axes[axis].made = span;
        }
        if whole {
            shape.rest = None;
        }
        let prim = Prim::Reduce { kind, axes: axes.clone() };
        let reduced = self.emit(prim, &[x.id], x.elem.clone(), shape.clone(), span)?;
        if keep {
            return Ok(reduced);
        }
        let left = (0..shape.axes.len()).filter(|i| !axes.contains(i));
        let left = left.map(|i| shape.axes[i].clone()).collect();
        self.reshape(&reduced, left, span)
    }

    /// `norm(x)`: the root of the sum of squares.
    pub(super) fn norm(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "norm", 1, &["over", "keep"], span)?;
        let x = given.tensor(self, 0, span)?;
        self.float(&x, "norm", span)?;
        let x = self.cast(&x, &Elem::Fp32, span)?;
        let axes = self.over(given, &x, span)?;
        let keep = given.flag(self, "keep")?;
        let square = self.emit(Prim::PowInt(2), &[x.id], x.elem.clone(), x.shape.clone(), span)?;
        let sum = self.reduce(Reduce::Sum, &square, axes, keep, span)?;
        self.map(Unary::Sqrt, &sum, "norm", span).map(Value::Tensor)
    }

    /// `softmax(x, over: s)`.
    pub(super) fn softmax(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "softmax", 1, &["over"], span)?;
        let x = given.tensor(self, 0, span)?;
        self.float(&x, "softmax", span)?;
        let axes = self.over(given, &x, span)?;
        let Some([axis]) = axes.as_deref() else {
            return Err(self.error(Code::E0406, span, "`softmax` runs over one axis: `over: s`"));
        };
        let prim = Prim::Softmax { axis: *axis };
        self.emit(prim, &[x.id], x.elem.clone(), x.shape, span).map(Value::Tensor)
    }
}
