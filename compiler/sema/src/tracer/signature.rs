//! Signatures: which argument goes where, and matching of formal shapes.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, Elem as AstElem, ExprId, ExprKind, Param};

use super::types::{Kind, Ty, kind_of, rest_key, shape_parts};
use super::value::{Elem, Tensor, Value};
use super::{Eval, Stop, Tracer};
use crate::dim::{AtomKind, Poly};
use crate::schema::Means;
use crate::shape::{Axis, Shape};

/// An argument bound to its parameter.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    /// The parameter.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: Value,
    /// Where it is written, or the call for a default.
    pub(crate) at: Span,
    /// Whether the caller wrote it.
    pub(crate) written: bool,
}

/// How the sizes of a formal shape get their values from an actual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    /// They are those of the caller.
    Caller,
    /// They are atoms of the callee's own, with the values of the caller's.
    Own,
}

impl Tracer<'_> {
    /// Binds the arguments of a call to parameters; defaults fill in, from `open` on all must be
    /// there (those before may be left to the data).
    pub(super) fn bind_args(
        &mut self,
        decl: usize,
        args: &[ast::Arg],
        piped: Option<(Value, Span)>,
        open: usize,
        span: Span,
    ) -> Eval<Vec<Bound>> {
        let callee = self.lib.spec(decl);
        let params = self.lib.decl(decl).params.clone();
        let mut slots: Vec<Option<(Value, Span)>> = vec![None; params.len()];
        let mut next = open;
        if let Some(piped) = piped {
            let Some(slot) = slots.first_mut() else {
                return Err(self.too_many(decl, &params, span));
            };
            *slot = Some(piped);
            next = 1;
        }
        let mut failed = false;
        for arg in args {
            let at = self.frame.spec[arg.value].span;
            let is_free = |i: usize| slots[i].is_none();
            let Some(i) = self.slot(decl, &params, arg, &mut next, at, is_free)? else { continue };
            if slots[i].is_some() {
                let message = format!("`{}` is given twice", params[i].name.text);
                let diagnostic = Diagnostic::new(Code::E0305, at, message).help("remove one");
                let first = slots[i].as_ref().map(|(_, at)| *at);
                let diagnostic = match first {
                    Some(first) => diagnostic.label(first, "given here first"),
                    None => diagnostic,
                };
                return Err(self.fail(diagnostic));
            }
            let kind = kind_of(&callee, params[i].ty);
            match self.argument(kind, &params[i].name.text, arg.value, at) {
                Ok(value) => slots[i] = Some((value, at)),
                Err(Stop) => {
                    failed = true;
                    slots[i] = Some((Value::Hole, at));
                }
            }
        }
        if failed && !self.is_check() {
            return Err(Stop);
        }
        self.fill_defaults(decl, &params, slots, open, span)
    }

    /// The parameter an argument is for.
    fn slot(
        &mut self,
        decl: usize,
        params: &[Param],
        arg: &ast::Arg,
        next: &mut usize,
        at: Span,
        is_free: impl Fn(usize) -> bool,
    ) -> Eval<Option<usize>> {
        let Some(name) = &arg.name else {
            *next += 1;
            if *next > params.len() {
                return Err(self.too_many(decl, params, at));
            }
            return Ok(Some(*next - 1));
        };
        if let Some(i) = params.iter().position(|p| p.name.text == name.text) {
            return Ok(Some(i));
        }
        let callee = &self.lib.decl(decl).name;
        let message = format!("`{}` has no argument `{}`", callee.text, name.text);
        let diagnostic = Diagnostic::new(Code::E0305, name.span, message);
        let names = params.iter().map(|p| p.name.text.as_str());
        let near = crate::schema::nearest(&name.text, names);
        // `adam(lr: 1e-3)`: what is a line of the job is not a slip for `l2`.
        let is_line = crate::schema::Home::Train.find(&name.text).is_some();
        if is_line && near.is_none_or(|near| !name.text.starts_with(near)) {
            let help = format!("`{}` is a line of the `train` block", name.text);
            return Err(self.fail(diagnostic.note(takes(params)).help(help)));
        }
        // `gpt(n_layer: 12)`.
        let ours = match crate::schema::foreign(&name.text) {
            Some(Means::Argument(ours)) => params.iter().position(|p| p.name.text == ours),
            Some(_) | None => None,
        };
        if let Some(at) = ours {
            let ours = &params[at].name.text;
            let help = format!("`{}` is called `{ours}` here", name.text);
            let diagnostic = diagnostic.note(takes(params));
            return Err(self.fail(match is_free(at) {
                true => diagnostic.fix(help, name.span, ours),
                false => diagnostic.help(help),
            }));
        }
        // `adam(betas: (0.9, 0.95))`.
        let stem = name.text.trim_end_matches('s');
        let parts = [1, 2].map(|i| format!("{stem}{i}"));
        if parts.iter().all(|part| params.iter().any(|p| p.name.text == *part)) {
            let [first, second] = parts;
            let help = format!("each has its own name: `{first}: .., {second}: ..`");
            return Err(self.fail(diagnostic.help(help)));
        }
        Err(self.fail(match near {
            Some(near) => diagnostic.note(takes(params)).fix(
                format!("did you mean `{near}`?"),
                name.span,
                near,
            ),
            None => diagnostic.help(takes(params)),
        }))
    }

    fn too_many(&mut self, decl: usize, params: &[Param], at: Span) -> Stop {
        let callee = &self.lib.decl(decl).name;
        let message = format!("`{}` takes {} arguments at most", callee.text, params.len());
        self.fail(Diagnostic::new(Code::E0305, at, message).help(takes(params)))
    }

    /// The value of an argument for a parameter of that kind.
    pub(super) fn argument(
        &mut self,
        kind: Option<Kind>,
        name: &str,
        value: ExprId,
        at: Span,
    ) -> Eval<Value> {
        let wants_real = matches!(kind, Some(Kind::Real | Kind::Prob));
        let outer = std::mem::replace(&mut self.want_real, wants_real);
        let value =
            if kind == Some(Kind::Module) { self.module_arg(value) } else { self.eval(value) };
        self.want_real = outer;
        match kind {
            Some(kind) => self.of_kind(kind, value?, name, at),
            None => value,
        }
    }

    /// A layer as an argument: a call, or the bare name of one that has defaults for everything.
    fn module_arg(&mut self, value: ExprId) -> Eval<Value> {
        let spec = self.frame.spec.clone();
        if let ExprKind::Name(name) = &spec[value].kind
            && self.lookup(name).is_none()
            && self.lib.resolve(name, self.frame.by).is_some()
        {
            return self.call(value, &[], None, spec[value].span);
        }
        self.eval(value)
    }

    fn fill_defaults(
        &mut self,
        decl: usize,
        params: &[Param],
        slots: Vec<Option<(Value, Span)>>,
        open: usize,
        span: Span,
    ) -> Eval<Vec<Bound>> {
        let mut bound: Vec<Bound> = Vec::new();
        for (i, (param, slot)) in params.iter().zip(slots).enumerate() {
            let name = param.name.text.clone();
            if let Some((value, at)) = slot {
                bound.push(Bound { name, value, at, written: true });
                continue;
            }
            let Some(default) = param.default else {
                if i < open {
                    continue;
                }
                let callee = &self.lib.decl(decl).name;
                let message = format!("`{}` needs the argument `{name}`", callee.text);
                let diagnostic = Diagnostic::new(Code::E0305, span, message)
                    .label(param.span, format!("`{name}` has no default"))
                    .note(takes(params))
                    .help(format!("add `{name}: ..`"));
                return Err(self.fail(diagnostic));
            };
            let mut frame = self.lib.frame(decl);
            // At file level a default may name what the file provides, such as `data.vocab`.
            let provided = self.frame.env.iter().filter(|(n, _)| n.contains('.'));
            frame.env = provided.cloned().collect();
            frame.env.extend(bound.iter().map(|b| (b.name.clone(), b.value.clone())));
            let kind = kind_of(&frame.spec, param.ty);
            let (value, _) = self.within(frame, |t| t.argument(kind, &name, default, span));
            bound.push(Bound { name, value: value?, at: span, written: false });
        }
        Ok(bound)
    }

    /// Gives the bare names of a formal type the sizes of an actual value.
    pub(super) fn match_sizes(&mut self, ty: ExprId, actual: &Value, sizes: Sizes) {
        let spec = self.frame.spec.clone();
        if let (ExprKind::Tuple(parts), Value::Tuple(values)) = (&spec[ty].kind, actual) {
            for (part, value) in parts.iter().zip(values) {
                self.match_sizes(part.value, value, sizes);
            }
        }
        let Value::Tensor(actual) = actual else { return };
        if let (Some(bound), Elem::Ids(size)) = (ids_bound(&spec, ty), &actual.elem) {
            self.match_size(bound, size, sizes);
        }
        let Some((_, elems)) = shape_parts(&spec, ty) else { return };
        let n = elems.iter().filter(|e| matches!(e, AstElem::Arg(_))).count();
        let Some(lead) = actual.shape.axes.len().checked_sub(n) else { return };
        let mut axes = actual.shape.axes[lead..].iter();
        for elem in elems {
            match elem {
                AstElem::Arg(arg) => {
                    let axis = axes.next().expect("as many as there are positional axes");
                    self.match_size(arg.value, &axis.size, sizes);
                }
                AstElem::Rest { name, .. } => {
                    let key = rest_key(name.as_ref());
                    if self.lookup(&key).is_none() {
                        let rest = self.rest_of(&actual.shape, lead, &key, sizes);
                        self.bind(&key, Value::Rest(rest));
                    }
                }
            }
        }
    }

    fn rest_of(&mut self, actual: &Shape, lead: usize, key: &str, sizes: Sizes) -> Shape {
        let mut rest = Shape { rest: actual.rest.clone(), axes: actual.axes[..lead].to_vec() };
        if sizes == Sizes::Own {
            for (i, axis) in rest.axes.iter_mut().enumerate() {
                let value = self.atoms.value(&axis.size);
                let name = format!("{}{i}", key.trim_start_matches('.'));
                axis.size = self.atoms.fresh(&name, AtomKind::Config, value);
            }
        }
        rest
    }

    /// Gives one bare name its size, if it has none yet.
    fn match_size(&mut self, formal: ExprId, actual: &Poly, sizes: Sizes) {
        let spec = self.frame.spec.clone();
        let ExprKind::Name(name) = &spec[formal].kind else { return };
        if self.lookup(name).is_some() {
            return;
        }
        let size = match sizes {
            Sizes::Caller => actual.clone(),
            Sizes::Own => {
                let value = self.atoms.value(actual);
                self.atoms.fresh(name, AtomKind::Config, value)
            }
        };
        self.bind(name, Value::Size(size));
    }

    /// Makes up sizes for the bare names of a formal type, to check it for all of them.
    pub(super) fn invent_sizes(&mut self, ty: ExprId) {
        let spec = self.frame.spec.clone();
        if let ExprKind::Tuple(parts) = &spec[ty].kind {
            for part in parts {
                self.invent_sizes(part.value);
            }
        }
        let elems = shape_parts(&spec, ty).map_or(&[][..], |(_, elems)| elems);
        let ids = ids_bound(&spec, ty);
        for elem in elems {
            match elem {
                AstElem::Arg(arg) => self.invent_size(arg.value),
                AstElem::Rest { name, .. } => {
                    let key = rest_key(name.as_ref());
                    if self.lookup(&key).is_none() {
                        let rest = self.fresh_rest(key.trim_start_matches('.'));
                        let shape = Shape { rest: Some(rest), axes: vec![] };
                        self.bind(&key, Value::Rest(shape));
                    }
                }
            }
        }
        if let Some(bound) = ids {
            self.invent_size(bound);
        }
    }

    fn invent_size(&mut self, formal: ExprId) {
        let spec = self.frame.spec.clone();
        if let ExprKind::Name(name) = &spec[formal].kind
            && self.lookup(name).is_none()
        {
            let size = self.atoms.fresh(name, AtomKind::Data, None);
            self.bind(name, Value::Size(size));
        }
    }

    /// Whether a value is what a formal type takes; the reason if not.
    pub(super) fn accepts(&self, ty: &Ty, value: &Value) -> Result<(), Refusal> {
        match (ty, value) {
            (_, Value::Hole) => Ok(()),
            (Ty::Tensor { elem, shape }, Value::Tensor(actual)) => {
                self.accepts_elem(elem, &actual.elem)?;
                if shape.same(&actual.shape) { Ok(()) } else { Err(Refusal::Shape) }
            }
            (Ty::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
                types.iter().zip(values).try_for_each(|(t, v)| self.accepts(t, v))
            }
            (Ty::Kind(Kind::Real | Kind::Int | Kind::Prob), Value::Tensor(t)) => {
                if t.shape.is_scalar() && t.elem.is_float() { Ok(()) } else { Err(Refusal::Shape) }
            }
            (Ty::Kind(Kind::Real), Value::Real(_) | Value::Size(_)) => Ok(()),
            (Ty::Tensor { elem, shape }, Value::Real(_) | Value::Size(_))
                if shape.is_scalar() && elem.is_float() =>
            {
                Ok(())
            }
            (Ty::Kind(Kind::Int | Kind::Dim), Value::Size(_)) => Ok(()),
            _ => Err(Refusal::Kind),
        }
    }

    fn accepts_elem(&self, formal: &Elem, actual: &Elem) -> Result<(), Refusal> {
        match (formal, actual) {
            (Elem::Real, actual) if actual.is_float() => Ok(()),
            (Elem::Ids(most), Elem::Ids(ids)) => {
                let values = self.atoms.value(most).zip(self.atoms.value(ids));
                if most == ids || values.is_some_and(|(most, ids)| ids <= most) {
                    Ok(())
                } else {
                    Err(Refusal::Ids)
                }
            }
            (formal, actual) if formal == actual => Ok(()),
            _ => Err(Refusal::Elem),
        }
    }

    /// A formal shape as the caller would write it: sizes in the caller's names, `..` for a rest.
    pub(super) fn show_formal(&mut self, ty: ExprId) -> String {
        let spec = self.frame.spec.clone();
        let Some((base, elems)) = shape_parts(&spec, ty) else { return "a number".into() };
        let kept = self.diags.len();
        let parts: Vec<String> = elems
            .iter()
            .map(|elem| match elem {
                AstElem::Rest { .. } => "..".to_string(),
                AstElem::Arg(arg) => match (self.size(arg.value), &spec[arg.value].kind) {
                    (Ok(size), _) => self.show(&size),
                    (Err(Stop), ExprKind::Name(name)) => name.clone(),
                    (Err(Stop), _) => "_".into(),
                },
            })
            .collect();
        let elem = base.and_then(|base| match &spec[base].kind {
            ExprKind::Name(name) if name != "real" => Some(name.clone()),
            ExprKind::Call { .. } => {
                let bound = self.size(ids_bound(&spec, ty)?).ok()?;
                Some(format!("tok({})", self.show(&bound)))
            }
            _ => None,
        });
        self.diags.truncate(kept);
        format!("{}[{}]", elem.unwrap_or_default(), parts.join(", "))
    }

    /// The formal parameter's value inside the callee.
    pub(super) fn as_formal(&mut self, ty: &Ty, actual: &Value) -> Value {
        match (ty, actual) {
            (Ty::Tensor { shape, .. }, Value::Tensor(t)) => {
                Value::Tensor(Tensor { shape: shape.clone(), ..t.clone() })
            }
            (Ty::Tuple(types), Value::Tuple(values)) => Value::Tuple(
                types.iter().zip(values).map(|(ty, value)| self.as_formal(ty, value)).collect(),
            ),
            (_, other) => other.clone(),
        }
    }

    /// The first axis, from the right, that is not what the type says.
    pub(super) fn odd_axis<'s>(
        formal: &'s Shape,
        actual: &'s Shape,
    ) -> Option<(&'s Axis, &'s Axis)> {
        let pairs = formal.axes.iter().rev().zip(actual.axes.iter().rev());
        pairs.into_iter().find(|(f, a)| f.size != a.size)
    }
}

/// Why a value is not what a type takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another shape.
    Shape,
    /// Another element type.
    Elem,
    /// Ids of a larger vocabulary.
    Ids,
    /// Not a value of that sort at all.
    Kind,
}

/// `v` of `tok(v)[..]`.
fn ids_bound(spec: &ast::Spec, ty: ExprId) -> Option<ExprId> {
    let (base, _) = shape_parts(spec, ty)?;
    let ExprKind::Call { args, .. } = &spec[base?].kind else { return None };
    args.first().map(|a| a.value)
}

fn takes(params: &[Param]) -> String {
    let names: Vec<&str> = params.iter().map(|p| p.name.text.as_str()).collect();
    if names.is_empty() {
        "it takes no arguments".into()
    } else {
        format!("it takes {}", names.join(", "))
    }
}
