//! Contractions: `@`, `einsum` and `unembed`, all as one `dot` on merged axes.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{BinaryOp, Elem as AstElem, ExprId, ExprKind};

use super::builtin::Given;
use super::types::rest_key;
use super::value::{ModuleKind, Tensor, Value};
use super::{Eval, Stop, Tracer};
use crate::shape::{Axis, Shape};
use crate::trace::{Prim, Reduce};

/// The axes of an operand by name; those of a rest axis are numbered.
type Keys = Vec<(String, Axis)>;

impl Tracer<'_> {
    /// `a @ b`: the last axis of `a` with the last but one of `b`.
    pub(super) fn matmul(&mut self, a: &Value, b: &Value, span: Span) -> Eval<Tensor> {
        let (Value::Tensor(a), Value::Tensor(b)) = (a, b) else {
            return Err(self.no_operator(BinaryOp::MatMul, a, b, span));
        };
        let elem = self.joined("@", a, b, span)?;
        self.float(a, "@", span)?;
        let rank = b.shape.axes.len();
        let (inner, outer) = (a.shape.axes.last(), rank.checked_sub(2).map(|i| &b.shape.axes[i]));
        let (Some(inner), Some(outer)) = (inner, outer) else {
            return Err(self.no_product(a, b, span));
        };
        let matrix = rank == 2 && b.shape.rest.is_none();
        let stacked = a.shape.axes.len() == rank
            && Shape { axes: a.shape.axes[..rank - 2].to_vec(), ..a.shape.clone() }
                .same(&Shape { axes: b.shape.axes[..rank - 2].to_vec(), ..b.shape.clone() });
        if inner.size != outer.size || !(matrix || stacked) {
            return Err(self.no_product(a, b, span));
        }
        let mut shape = a.shape.clone();
        shape.axes.pop();
        shape.axes.push(b.shape.axes[rank - 1].clone());
        let (a, b) = (self.cast(a, &elem, span)?, self.cast(b, &elem, span)?);
        if self.is_check() {
            return self.emit(Prim::Dot, &[a.id, b.id], elem, shape, span);
        }
        if !matrix || a.shape.axes.len() == 2 {
            return self.emit(Prim::Dot, &[a.id, b.id], elem, shape, span);
        }
        let k = a.shape.axes[a.shape.axes.len() - 1].clone();
        let rows = self.merged(&a.shape.axes[..a.shape.axes.len() - 1], span)?;
        let n = b.shape.axes[1].clone();
        let flat = self.reshape(&a, vec![rows.clone(), k], span)?;
        let flat_shape = Shape::of(vec![rows, n]);
        let y = self.emit(Prim::Dot, &[flat.id, b.id], elem, flat_shape, span)?;
        self.reshape(&y, shape.axes, span)
    }

    fn no_product(&mut self, a: &Tensor, b: &Tensor, span: Span) -> Stop {
        let (left, right) = (self.show_shape(&a.shape), self.show_shape(&b.shape));
        let message = format!("`{left}` @ `{right}` do not line up");
        let mut diagnostic = Diagnostic::new(Code::E0404, span, message)
            .note("the last axis of the left must be the last but one of the right");
        if let Some(inner) = a.shape.axes.last() {
            let made = format!("this made the axis `{}`", self.show(&inner.size));
            diagnostic = diagnostic.label(inner.made, made);
        }
        self.fail(diagnostic)
    }

    /// `unembed(x, emb)`: `x` times the transposed table of an embedding, whose weight it shares.
    pub(super) fn unembed(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "unembed", 2, &[], span)?;
        let x = given.tensor(self, 0, span)?;
        let table = match given.value(self, 1, span)? {
            Value::Module(module) => {
                let ModuleKind::Layer { decl, args } = &module.kind else { return Err(Stop) };
                self.weight(&module, *decl, args, "weight")?
            }
            Value::Hole => return Err(Stop),
            other => Some(other),
        };
        let Some(Value::Tensor(table)) = table else {
            let at = given.span(self, 1, span);
            return Err(self.error(Code::E0301, at, "`unembed` takes an embedding"));
        };
        let [_, d] = table.shape.axes.as_slice() else {
            return Err(self.error(Code::E0401, span, "the table of `unembed` has two axes"));
        };
        if x.shape.axes.last().map(|a| &a.size) != Some(&d.size) {
            let (x, table) = (self.show_shape(&x.shape), self.show_shape(&table.shape));
            let message = format!("`unembed` takes `[.., d]` for a table `{table}`, found `{x}`");
            return Err(self.error(Code::E0401, span, message));
        }
        let turned = self.permute(&table, &[1, 0], span)?;
        self.matmul(&Value::Tensor(x), &Value::Tensor(turned), span).map(Value::Tensor)
    }

    /// `einsum(a, b, [b, t, e], [b, s, e] -> [b, t, s])`.
    pub(super) fn einsum(&mut self, given: &Given, span: Span) -> Eval<Value> {
        let n = self.n_operands(given);
        given.only(self, "einsum", given.len(), &[], span)?;
        if n + n != given.len() || !(1..=2).contains(&n) {
            let message = "`einsum` takes one or two values and a pattern for each";
            return Err(self.error(Code::E0305, span, message));
        }
        let mut operands = Vec::new();
        for i in 0..n {
            operands.push(given.tensor(self, i, span)?);
        }
        let spec = self.frame.spec.clone();
        let mut patterns: Vec<ExprId> = (n..n + n).filter_map(|i| given.expr(i)).collect();
        let last = patterns.pop().map(|e| &spec[e].kind);
        let Some(ExprKind::Binary { op: BinaryOp::Arrow, left, right, .. }) = last else {
            let message = "the last pattern says the result: `-> [b, t, s]`";
            return Err(self.error(Code::E0301, span, message));
        };
        patterns.push(*left);
        let mut keys = Vec::new();
        for (x, pattern) in operands.iter().zip(&patterns) {
            keys.push(self.named_axes(x, *pattern)?);
        }
        let out = self.result_keys(*right, &keys)?;
        let first = operands[0].clone();
        let second = operands.get(1).unwrap_or(&first).clone();
        let elem = self.joined("einsum", &first, &second, span)?;
        self.float(&first, "einsum", span)?;
        if self.is_check() {
            let mut shape = Shape::of(out.iter().map(|(_, a)| a.clone()).collect());
            shape.rest = operands.iter().find_map(|x| x.shape.rest.clone());
            let args: Vec<_> = operands.iter().map(|x| x.id).collect();
            return self.emit(Prim::Dot, &args, elem, shape, span).map(Value::Tensor);
        }
        let result = if n == 1 {
            let (x, have) = self.sum_out(first, keys[0].clone(), &[&out], span)?;
            self.ordered(&x, &have, &out, span)?
        } else {
            let a = self.cast(&first, &elem, span)?;
            let b = self.cast(&second, &elem, span)?;
            let (a, ka) = self.sum_out(a, keys[0].clone(), &[&out, &keys[1]], span)?;
            let (b, kb) = self.sum_out(b, keys[1].clone(), &[&out, &ka], span)?;
            self.contract((&a, &ka), (&b, &kb), &out, span)?
        };
        Ok(Value::Tensor(result))
    }

    /// The axes of an operand with the names a pattern gives them.
    fn named_axes(&mut self, x: &Tensor, pattern: ExprId) -> Eval<Keys> {
        let spec = self.frame.spec.clone();
        let span = spec[pattern].span;
        let ExprKind::List(elems) = &spec[pattern].kind else {
            return Err(self.error(Code::E0301, span, "a pattern of `einsum` is a shape"));
        };
        self.one_rest(elems, span)?;
        let rest = elems.iter().any(|e| matches!(e, AstElem::Rest { .. }));
        let lead = x.shape.axes.len().checked_sub(elems.len() - usize::from(rest));
        let fits = lead.is_some_and(|lead| rest || (lead == 0 && x.shape.rest.is_none()));
        let (Some(lead), true) = (lead, fits) else {
            let message =
                format!("the pattern does not have the axes of `{}`", self.show_shape(&x.shape));
            return Err(self.error(Code::E0401, span, message));
        };
        let mut keys = Keys::new();
        for elem in elems {
            match elem {
                AstElem::Rest { name, .. } => {
                    let key = rest_key(name.as_ref());
                    let axes = x.shape.axes[..lead].iter().enumerate();
                    keys.extend(axes.map(|(i, a)| (format!("{key}{i}"), a.clone())));
                }
                AstElem::Arg(arg) => {
                    let axis = x.shape.axes[keys.len()].clone();
                    let key = self.axis_key(arg.value, &axis)?;
                    keys.push((key, axis));
                }
            }
        }
        Ok(keys)
    }

    fn axis_key(&mut self, expr: ExprId, actual: &Axis) -> Eval<String> {
        let spec = self.frame.spec.clone();
        let span = spec[expr].span;
        if let ExprKind::Name(name) = &spec[expr].kind
            && self.lookup(name).is_none()
        {
            self.bind(name, Value::Size(actual.size.clone()));
            return Ok(name.clone());
        }
        let size = self.size(expr)?;
        if size != actual.size {
            let (want, have) = (self.show(&size), self.show(&actual.size));
            let message = format!("the pattern says `{want}` where the value has `{have}`");
            let made = format!("this made the axis `{have}`");
            let diagnostic = Diagnostic::new(Code::E0401, span, message).label(actual.made, made);
            return Err(self.fail(diagnostic));
        }
        Ok(match &spec[expr].kind {
            ExprKind::Name(name) => name.clone(),
            _ => self.show(&size),
        })
    }

    fn result_keys(&mut self, pattern: ExprId, keys: &[Keys]) -> Eval<Keys> {
        let spec = self.frame.spec.clone();
        let span = spec[pattern].span;
        let ExprKind::List(elems) = &spec[pattern].kind else {
            return Err(self.error(Code::E0301, span, "the result of `einsum` is a shape"));
        };
        self.one_rest(elems, span)?;
        let all = || keys.iter().flatten();
        let mut out = Keys::new();
        for elem in elems {
            match elem {
                AstElem::Rest { name, .. } => {
                    let key = rest_key(name.as_ref());
                    let longest = keys.iter().max_by_key(|k| k.len());
                    let axes = longest.into_iter().flatten().filter(|(k, _)| k.starts_with(&key));
                    out.extend(axes.cloned());
                }
                AstElem::Arg(arg) => {
                    let key = match &spec[arg.value].kind {
                        ExprKind::Name(name) => name.clone(),
                        _ => {
                            let size = self.size(arg.value)?;
                            self.show(&size)
                        }
                    };
                    let Some(found) = all().find(|(k, _)| *k == key) else {
                        let message = format!("`{key}` stands in no operand");
                        return Err(self.error(Code::E0403, spec[arg.value].span, message));
                    };
                    out.push(found.clone());
                }
            }
        }
        Ok(out)
    }

    /// Sums over axes that nothing else names.
    fn sum_out(
        &mut self,
        x: Tensor,
        keys: Keys,
        others: &[&Keys],
        span: Span,
    ) -> Eval<(Tensor, Keys)> {
        let kept = |key: &str| others.iter().any(|o| has(o, key));
        let axes: Vec<usize> = (0..keys.len()).filter(|&i| !kept(&keys[i].0)).collect();
        if axes.is_empty() {
            return Ok((x, keys));
        }
        let mut shape = x.shape.clone();
        axes.iter().for_each(|&i| shape.axes[i].size = crate::dim::Poly::constant(1));
        let prim = Prim::Reduce { kind: Reduce::Sum, axes: axes.clone() };
        let sum = self.emit(prim, &[x.id], x.elem.clone(), shape, span)?;
        let keys: Keys = keys.into_iter().filter(|(k, _)| kept(k)).collect();
        let left = keys.iter().map(|(_, a)| a.clone()).collect();
        Ok((self.reshape(&sum, left, span)?, keys))
    }

    /// Two operands multiplied and summed over what the result does not name.
    fn contract(
        &mut self,
        (a, ka): (&Tensor, &Keys),
        (b, kb): (&Tensor, &Keys),
        out: &Keys,
        span: Span,
    ) -> Eval<Tensor> {
        let pick = |from: &Keys, test: &dyn Fn(&str) -> bool| -> Keys {
            from.iter().filter(|(k, _)| test(k)).cloned().collect()
        };
        let batch = pick(ka, &|k| has(kb, k) && has(out, k));
        let inner = pick(ka, &|k| has(kb, k) && !has(out, k));
        let left = pick(ka, &|k| !has(kb, k));
        let right = pick(kb, &|k| !has(ka, k));
        let (m, k, n) =
            (self.product(&left, span)?, self.product(&inner, span)?, self.product(&right, span)?);
        let lead: Vec<Axis> = batch.iter().map(|(_, a)| a.clone()).collect();
        let with = |x: Axis, y: Axis| lead.iter().cloned().chain([x, y]).collect::<Vec<_>>();
        let a = self.ordered(a, ka, &[batch.as_slice(), &left, &inner].concat(), span)?;
        let a = self.reshape(&a, with(m.clone(), k.clone()), span)?;
        let b = self.ordered(b, kb, &[batch.as_slice(), &inner, &right].concat(), span)?;
        let b = self.reshape(&b, with(k, n.clone()), span)?;
        let elem = a.elem.clone();
        let y = self.emit(Prim::Dot, &[a.id, b.id], elem, Shape::of(with(m, n)), span)?;
        let have = [batch.as_slice(), &left, &right].concat();
        let y = self.reshape(&y, have.iter().map(|(_, a)| a.clone()).collect(), span)?;
        self.ordered(&y, &have, out, span)
    }

    fn product(&mut self, keys: &Keys, span: Span) -> Eval<Axis> {
        let axes: Vec<Axis> = keys.iter().map(|(_, a)| a.clone()).collect();
        self.merged(&axes, span)
    }

    /// The axes named by `have` in the order of `want`.
    fn ordered(&mut self, x: &Tensor, have: &Keys, want: &Keys, span: Span) -> Eval<Tensor> {
        let place = |key: &str| have.iter().position(|(k, _)| k == key);
        let perm: Vec<usize> = want.iter().filter_map(|(k, _)| place(k)).collect();
        self.permute(x, &perm, span)
    }
}

fn has(keys: &Keys, key: &str) -> bool {
    keys.iter().any(|(k, _)| k == key)
}
