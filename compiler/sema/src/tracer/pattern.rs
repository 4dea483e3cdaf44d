//! Patterns: `rearrange`, `split` and `expand` with products of named sizes.
//!
//! A product in a pattern is both a size and a split, the left factor slowest. One unknown factor
//! in each axis is solved for.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, BinaryOp, Elem as AstElem, ExprId, ExprKind};

use super::builtin::{Given, is_pattern};
use super::types::rest_key;
use super::value::{Tensor, Value};
use super::{Eval, Stop, Tracer};
use crate::dim::Poly;
use crate::shape::{Axis, Shape};
use crate::trace::Prim;

/// A factor of an axis of a pattern.
#[derive(Debug, Clone)]
struct Factor {
    /// What it is called: equal on both sides of the arrow.
    key: String,
    /// Its axis once the product is split.
    axis: Axis,
}

/// One side of an arrow, matched.
#[derive(Debug)]
struct Side {
    /// For each axis, its factors.
    axes: Vec<Vec<Factor>>,
    /// Whether it starts with a rest axis.
    rest: bool,
}

impl Side {
    fn factors(&self) -> impl Iterator<Item = &Factor> {
        self.axes.iter().flatten()
    }
}

impl Tracer<'_> {
    /// `rearrange(x, [b, t, h * e] -> [b, h, t, e])`.
    pub(super) fn rearrange(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "rearrange", 2, &[], span)?;
        let (x, lead, from, to) = self.sides(given, span)?;
        self.same_factors(&from, &to, span)?;
        self.keeps_order(&from, &to, span)?;
        let pieces = self.pieces(&x, lead, &from, span)?;
        let order = order(&from, &to);
        let moved = self.permute_after(&pieces, lead, &order, span)?;
        self.merge(&moved, lead, &to, span).map(Value::Tensor)
    }

    /// `expand(x, [b, g, s] -> [b, g * n, s])`: axes that stand only on the right are repeated.
    pub(super) fn expand(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "expand", 2, &[], span)?;
        let (x, lead, from, to) = self.sides(given, span)?;
        let lost = from.factors().find(|f| {
            f.axis.size.as_constant() != Some(1) && !to.factors().any(|g| g.key == f.key)
        });
        if let Some(lost) = lost {
            let message = format!("`{}` stands only on the left of `->`", lost.key);
            return Err(self.error(Code::E0403, span, message));
        }
        let pieces = self.pieces(&x, lead, &from, span)?;
        let kept: Vec<usize> =
            to.factors().filter_map(|f| from.factors().position(|g| g.key == f.key)).collect();
        let ones = (0..from.factors().count()).filter(|i| !kept.contains(i));
        let order: Vec<usize> = ones.chain(kept.iter().copied()).collect();
        let moved = self.permute_after(&pieces, lead, &order, span)?;
        let mut thin = moved.shape.axes[..lead].to_vec();
        let mut full = thin.clone();
        for f in to.factors() {
            let known = from.factors().any(|g| g.key == f.key);
            let one = Axis { size: Poly::constant(1), made: f.axis.made };
            thin.push(if known { f.axis.clone() } else { one });
            full.push(f.axis.clone());
        }
        let thin = self.reshape(&moved, thin, span)?;
        let full = Shape { rest: x.shape.rest.clone(), axes: full };
        let stretched = self.stretch(&thin, &full, span)?;
        self.merge(&stretched, lead, &to, span).map(Value::Tensor)
    }

    /// The value, how many of its axes the rest takes, and both sides of the pattern.
    fn sides(&mut self, given: &Given, span: Span) -> Eval<(Tensor, usize, Side, Side)> {
        let x = given.tensor(self, 0, span)?;
        let spec = self.frame.spec.clone();
        let pattern = given.expr(1).map(|e| (&spec[e].kind, spec[e].span));
        let Some((ExprKind::Binary { op: BinaryOp::Arrow, left, right, .. }, at)) = pattern else {
            let message = "expected a pattern `[a, b] -> [b, a]`";
            return Err(self.error(Code::E0301, given.span(self, 1, span), message));
        };
        let (ExprKind::List(from), ExprKind::List(to)) = (&spec[*left].kind, &spec[*right].kind)
        else {
            return Err(self.error(Code::E0301, at, "both sides of `->` are shapes"));
        };
        self.one_rest(from, spec[*left].span)?;
        self.one_rest(to, spec[*right].span)?;
        let (lead, from) = self.match_left(from, &x, spec[*left].span)?;
        let to = self.right_side(to)?;
        if from.rest != to.rest {
            return Err(self.error(Code::E0403, at, "a rest axis stands on both sides or on none"));
        }
        Ok((x, lead, from, to))
    }

    fn match_left(&mut self, elems: &[AstElem], x: &Tensor, span: Span) -> Eval<(usize, Side)> {
        let rest = matches!(elems.first(), Some(AstElem::Rest { .. }));
        let n = elems.len() - usize::from(rest);
        let lead = x.shape.axes.len().checked_sub(n);
        let fits = lead.is_some_and(|lead| rest || (lead == 0 && x.shape.rest.is_none()));
        let (Some(lead), true) = (lead, fits) else {
            let message = format!(
                "the pattern has {n} axes but the value is `{}`",
                self.show_shape(&x.shape)
            );
            return Err(self.error(Code::E0401, span, message));
        };
        let mut axes = Vec::new();
        for elem in elems {
            match elem {
                AstElem::Rest { name, .. } => {
                    let shape =
                        Shape { rest: x.shape.rest.clone(), axes: x.shape.axes[..lead].to_vec() };
                    self.bind_rest(name.as_ref(), shape, span)?;
                }
                AstElem::Arg(arg) => {
                    let actual = x.shape.axes[lead + axes.len()].clone();
                    axes.push(self.match_axis(arg.value, &actual)?);
                }
            }
        }
        Ok((lead, Side { axes, rest }))
    }

    fn bind_rest(&mut self, name: Option<&ast::Ident>, shape: Shape, span: Span) -> Eval<()> {
        let key = rest_key(name);
        if let (Some(_), Some(Value::Rest(known))) = (name, self.lookup(&key).cloned()) {
            if known.same(&shape) {
                return Ok(());
            }
            let (known, found) = (self.show_shape(&known), self.show_shape(&shape));
            let message = format!("`{key}` is `{known}` but the value has `{found}` there");
            return Err(self.error(Code::E0401, span, message));
        }
        self.bind(&key, Value::Rest(shape));
        Ok(())
    }

    /// The factors of one axis of the left side, the unknown one solved for and bound.
    fn match_axis(&mut self, expr: ExprId, actual: &Axis) -> Eval<Vec<Factor>> {
        let spec = self.frame.spec.clone();
        let mut unknown: Option<(&str, usize)> = None;
        let mut known = Poly::constant(1);
        let mut parts = Vec::new();
        let span = spec[expr].span;
        for factor in factors(&spec, expr) {
            if let ExprKind::Name(name) = &spec[factor].kind
                && self.lookup(name).is_none()
                && name != "context"
            {
                if let Some((other, _)) = unknown {
                    let message =
                        format!("`{other}` and `{name}` are both unknown in this product");
                    let diagnostic = Diagnostic::new(Code::E0407, span, message)
                        .help(format!("give one before: `{name} = ..`"));
                    return Err(self.fail(diagnostic));
                }
                unknown = Some((name, parts.len()));
                parts.push(Factor { key: name.clone(), axis: actual.clone() });
                continue;
            }
            let part = self.known_factor(factor)?;
            let product = self.atoms.mul(&known, &part.axis.size);
            known = self.sized(product, span)?;
            parts.push(part);
        }
        if let Some((name, i)) = unknown {
            let size = self.divide(&actual.size, &known, span)?;
            self.atoms.name_quotient(&size, name);
            self.bind(name, Value::Size(size.clone()));
            parts[i].axis.size = size;
        } else if known != actual.size {
            return Err(self.axis_differs(&known, actual, parts.len(), span));
        }
        Ok(parts)
    }

    fn axis_differs(&mut self, pattern: &Poly, actual: &Axis, n: usize, span: Span) -> Stop {
        let (want, have) = (self.show(pattern), self.show(&actual.size));
        let diagnostic = if n > 1 {
            let message = format!("cannot show that `{want}` equals `{have}`");
            Diagnostic::new(Code::E0403, span, message)
        } else {
            let message = format!("the pattern says `{want}` where the value has `{have}`");
            Diagnostic::new(Code::E0401, span, message)
        };
        let made = format!("this made the axis `{have}`");
        self.fail(diagnostic.label(actual.made, made))
    }

    fn known_factor(&mut self, factor: ExprId) -> Eval<Factor> {
        let spec = self.frame.spec.clone();
        let size = self.size(factor)?;
        let key = match &spec[factor].kind {
            ExprKind::Name(name) => name.clone(),
            _ => self.show(&size),
        };
        Ok(Factor { key, axis: Axis { size, made: spec[factor].span } })
    }

    fn right_side(&mut self, elems: &[AstElem]) -> Eval<Side> {
        let spec = self.frame.spec.clone();
        let mut side = Side { axes: vec![], rest: false };
        for elem in elems {
            match elem {
                AstElem::Rest { .. } => side.rest = true,
                AstElem::Arg(arg) => {
                    let parts = factors(&spec, arg.value).into_iter();
                    side.axes.push(parts.map(|f| self.known_factor(f)).collect::<Eval<_>>()?);
                }
            }
        }
        Ok(side)
    }

    /// Both sides name the same factors, each once.
    fn same_factors(&mut self, from: &Side, to: &Side, span: Span) -> Eval<()> {
        let sorted = |side: &Side| {
            let mut keys: Vec<String> = side.factors().map(|f| f.key.clone()).collect();
            keys.sort();
            keys
        };
        let (left, right) = (sorted(from), sorted(to));
        if left == right {
            return Ok(());
        }
        let odd = left.iter().find(|k| !right.contains(k));
        let (odd, side) = match odd.or_else(|| right.iter().find(|k| !left.contains(k))) {
            Some(odd) if left.contains(odd) => (odd.as_str(), "left"),
            Some(odd) => (odd.as_str(), "right"),
            None => ("a size", "one side twice"),
        };
        let message = format!("`{odd}` stands only on the {side} of `->`");
        Err(self.error(Code::E0403, span, message))
    }

    /// Factors that share an axis on both sides keep their order.
    fn keeps_order(&mut self, from: &Side, to: &Side, span: Span) -> Eval<()> {
        for axis in &from.axes {
            for (i, a) in axis.iter().enumerate() {
                for b in &axis[i + 1..] {
                    let swapped = to.axes.iter().any(|other| {
                        let place = |f: &Factor| other.iter().position(|o| o.key == f.key);
                        matches!((place(a), place(b)), (Some(x), Some(y)) if y < x)
                    });
                    if swapped {
                        let (a, b) = (&a.key, &b.key);
                        let message = format!("`{a} * {b}` to `{b} * {a}` reorders memory");
                        let help = format!("rearrange through `[{a}, {b}]` to say so");
                        let diagnostic = Diagnostic::new(Code::E0408, span, message).help(help);
                        return Err(self.fail(diagnostic));
                    }
                }
            }
        }
        Ok(())
    }

    /// Every product split into axes of its own.
    fn pieces(&mut self, x: &Tensor, lead: usize, side: &Side, span: Span) -> Eval<Tensor> {
        let lead = x.shape.axes[..lead].iter();
        let axes = lead.chain(side.factors().map(|f| &f.axis)).cloned().collect();
        self.reshape(x, axes, span)
    }

    fn permute_after(
        &mut self,
        x: &Tensor,
        lead: usize,
        order: &[usize],
        span: Span,
    ) -> Eval<Tensor> {
        let perm: Vec<usize> = (0..lead).chain(order.iter().map(|i| i + lead)).collect();
        self.permute(x, &perm, span)
    }

    /// Axes joined into the products of a side.
    fn merge(&mut self, x: &Tensor, lead: usize, side: &Side, span: Span) -> Eval<Tensor> {
        let mut axes = x.shape.axes[..lead].to_vec();
        for parts in &side.axes {
            let parts: Vec<Axis> = parts.iter().map(|f| f.axis.clone()).collect();
            axes.push(self.merged(&parts, span)?);
        }
        self.reshape(x, axes, span)
    }

    /// `concat(a, b, axis: -1)`.
    pub(super) fn concat(&mut self, given: &Given, span: Span) -> Eval<Value> {
        let n = given.len().max(1);
        given.only(self, "concat", n, &["axis"], span)?;
        let parts: Vec<Tensor> =
            (0..n).map(|i| given.tensor(self, i, span)).collect::<Eval<_>>()?;
        let axis = match given.named("axis") {
            Some(axis) => self.axis(axis, &parts[0].shape)?,
            None => return Err(self.error(Code::E0305, span, "`concat` needs `axis:`")),
        };
        let mut joined = parts[0].clone();
        let mut args = vec![joined.id];
        for part in &parts[1..] {
            let mut expected = part.shape.clone();
            if let (Some(e), Some(j)) = (expected.axes.get_mut(axis), joined.shape.axes.get(axis)) {
                e.size = j.size.clone();
            }
            if !expected.same(&joined.shape) || part.elem != joined.elem {
                let (a, b) = (self.show_shape(&joined.shape), self.show_shape(&part.shape));
                let message = format!("`{a}` and `{b}` do not line up besides the joined axis");
                return Err(self.error(Code::E0404, span, message));
            }
            let sum = self.atoms.add(&joined.shape.axes[axis].size, &part.shape.axes[axis].size);
            joined.shape.axes[axis] = Axis { size: self.sized(sum, span)?, made: span };
            args.push(part.id);
        }
        self.emit(Prim::Concat { axis }, &args, joined.elem, joined.shape, span).map(Value::Tensor)
    }

    /// The value arguments before the patterns.
    pub(super) fn n_operands(&self, given: &Given) -> usize {
        let spec = &self.frame.spec;
        let is_value = |&i: &usize| given.expr(i).is_none_or(|e| !is_pattern(spec, e));
        (0..given.len()).take_while(is_value).count()
    }
}

/// For each factor of the right side, in order, its place on the left.
fn order(from: &Side, to: &Side) -> Vec<usize> {
    to.factors().filter_map(|f| from.factors().position(|g| g.key == f.key)).collect()
}

/// `a * b * c` as its factors.
fn factors(spec: &ast::Spec, expr: ExprId) -> Vec<ExprId> {
    if let ExprKind::Binary { op: BinaryOp::Mul, left, right, .. } = &spec[expr].kind {
        let mut all = factors(spec, *left);
        all.extend(factors(spec, *right));
        return all;
    }
    vec![expr]
}
