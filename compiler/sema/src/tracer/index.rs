//! Indexing: `x[.., 0]`, `x[0..t]`, `table[ids]`.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{BinaryOp, Elem as AstElem, ExprId, ExprKind};

use super::value::{Elem, Tensor, Value};
use super::{Eval, Stop, Tracer};
use crate::dim::Poly;
use crate::shape::Axis;
use crate::trace::Prim;

impl Tracer<'_> {
    /// `base[elems]`.
    pub(super) fn index(&mut self, base: ExprId, elems: &[AstElem], span: Span) -> Eval<Value> {
        let x = match self.eval(base)? {
            Value::Tensor(x) => x,
            Value::Hole => return Err(Stop),
            other => {
                let message = format!("{} cannot be indexed", self.describe(&other));
                return Err(self.error(Code::E0301, span, message));
            }
        };
        self.one_rest(elems, span)?;
        if let [AstElem::Arg(arg)] = elems
            && !self.is_range(arg.value)
            && let Value::Tensor(ids) = self.eval(arg.value)?
        {
            return self.gather(&x, &ids, span).map(Value::Tensor);
        }
        let args: Vec<ExprId> = elems
            .iter()
            .filter_map(|e| if let AstElem::Arg(arg) = e { Some(arg.value) } else { None })
            .collect();
        let from_end = args.len() < elems.len();
        let Some(skip) = x.shape.axes.len().checked_sub(args.len()) else {
            let message = format!("`{}` has fewer axes than that", self.show_shape(&x.shape));
            return Err(self.error(Code::E0406, span, message));
        };
        if !from_end && x.shape.rest.is_some() {
            let message = "the leading axes are not known here: write `[.., i]`";
            return Err(self.error(Code::E0406, span, message));
        }
        let first = if from_end { skip } else { 0 };
        let mut x = x;
        // From the last axis on, so that an axis that goes does not move those still to come.
        for (i, &arg) in args.iter().enumerate().rev() {
            x = self.index_axis(&x, first + i, arg, span)?;
        }
        Ok(Value::Tensor(x))
    }

    fn is_range(&self, expr: ExprId) -> bool {
        matches!(&self.frame.spec[expr].kind, ExprKind::Binary { op: BinaryOp::Range, .. })
    }

    fn index_axis(&mut self, x: &Tensor, axis: usize, arg: ExprId, span: Span) -> Eval<Tensor> {
        let spec = self.frame.spec.clone();
        let at = spec[arg].span;
        let size = x.shape.axes[axis].size.clone();
        if let ExprKind::Binary { op: BinaryOp::Range, left, right, .. } = &spec[arg].kind {
            let (from, to) = (self.size(*left)?, self.size(*right)?);
            let len = self.atoms.sub(&to, &from);
            let len = self.sized(len, at)?;
            self.within_axis(&from, &to, &size, at)?;
            let mut shape = x.shape.clone();
            shape.axes[axis] = Axis { size: len.clone(), made: at };
            if self.is_check() {
                return self.emit(Prim::Reshape, &[x.id], x.elem.clone(), shape, span);
            }
            let (start, len) = (self.number_of(&from, at)?, self.number_of(&len, at)?);
            if self.atoms.value(&size) == i64::try_from(len).ok() {
                return Ok(Tensor { shape, ..x.clone() });
            }
            let prim = Prim::Slice { axis, start, len };
            return self.emit(prim, &[x.id], x.elem.clone(), shape, span);
        }
        let mut at_index = self.size(arg)?;
        if at_index.as_constant().is_some_and(|i| i < 0) {
            let sum = self.atoms.add(&size, &at_index);
            at_index = self.sized(sum, at)?;
        }
        let end = self.atoms.add(&at_index, &Poly::constant(1));
        let end = self.sized(end, at)?;
        self.within_axis(&at_index, &end, &size, at)?;
        let start = if self.is_check() { 0 } else { self.number_of(&at_index, at)? };
        self.take(x, axis, start, span)
    }

    /// Refuses what is known to lie outside an axis.
    fn within_axis(&mut self, from: &Poly, to: &Poly, size: &Poly, span: Span) -> Eval<()> {
        let value = |p: &Poly| self.atoms.value(p);
        let (from, to, n) = (value(from), value(to), value(size));
        let outside = from.is_some_and(|from| from < 0)
            || to.zip(n).is_some_and(|(to, n)| to > n)
            || from.zip(to).is_some_and(|(from, to)| from > to);
        if !outside {
            return Ok(());
        }
        let (to, n) = (to.unwrap_or(0), n.map_or("its axis".into(), |n| n.to_string()));
        let code = if self.frame.layer == "positions" { Code::E0503 } else { Code::E0302 };
        let diagnostic = if code == Code::E0503 {
            let message = format!("a sequence of {to} tokens exceeds the model's {n} positions");
            Diagnostic::new(code, span, message)
                .primary(format!("the table has {n} rows"))
                .help(format!("use `context {n}`, or `positions({to}, ..)` in the model"))
        } else {
            let message = format!("the end {to} lies outside an axis of {n}");
            Diagnostic::new(code, span, message)
        };
        Err(self.fail(diagnostic))
    }

    /// Rows of a table.
    fn gather(&mut self, table: &Tensor, ids: &Tensor, span: Span) -> Eval<Tensor> {
        let [rows, row] = table.shape.axes.as_slice() else {
            return Err(self.error(Code::E0401, span, "ids index a table of two axes"));
        };
        let bound = match &ids.elem {
            Elem::Ids(bound) => bound.clone(),
            other => {
                let other = other.show(&self.atoms);
                let message = format!("a table is indexed by ids, found `{other}`");
                return Err(self.error(Code::E0411, span, message));
            }
        };
        let values = self.atoms.value(&bound).zip(self.atoms.value(&rows.size));
        if bound != rows.size && values.is_none_or(|(ids, rows)| ids > rows) {
            let (bound, rows) = (self.show(&bound), self.show(&rows.size));
            let message = format!("ids go to `{bound}` but the table has `{rows}` rows");
            return Err(self.error(Code::E0701, span, message));
        }
        let mut shape = ids.shape.clone();
        shape.axes.push(row.clone());
        self.emit(Prim::Gather, &[table.id, ids.id], table.elem.clone(), shape, span)
    }
}
