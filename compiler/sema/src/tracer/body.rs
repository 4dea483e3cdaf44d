//! Bodies: bindings, parameters, states, requirements, loops and the result.

use std::collections::BTreeMap;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, DeclKind, ExprId, ExprKind, StmtId, StmtKind};

use super::types::Ty;
use super::value::{Elem, Module, ModuleKind, Tensor, Value};
use super::{Eval, STEPS_OF_A_TURN, Stop, Tracer};
use crate::dim::{AtomKind, Poly};
use crate::shape::Shape;
use crate::trace::{self, Init, Prim};

/// What a line of a body is.
enum Line<'a> {
    /// `a, b = value`.
    Bind(Vec<(&'a str, Span)>, ExprId),
    /// `param name: type = init`.
    Param(&'a str, &'a ast::Node),
    /// `state name: type = init`.
    State(&'a str, &'a ast::Node),
    /// `require condition "words"`.
    Require(&'a [ExprId]),
    /// `freeze module`.
    Freeze(ExprId),
    /// A bare value.
    Value(ExprId),
    /// Anything else.
    Other,
}

impl Tracer<'_> {
    /// Walks a block; its value is that of its last line.
    pub(super) fn block(&mut self, block: &ast::Block) -> Eval<Value> {
        let mut failed = false;
        let mut result = None;
        for (i, &id) in block.stmts.iter().enumerate() {
            let last = i + 1 == block.stmts.len();
            match self.statement(id, last) {
                Ok(value) => result = value,
                Err(Stop) if self.is_check() => {
                    failed = true;
                    self.poison(id);
                }
                Err(Stop) => return Err(Stop),
            }
        }
        match result {
            Some(value) if !failed || self.is_check() => Ok(value),
            Some(_) => Err(Stop),
            None if failed => Err(Stop),
            None => {
                let diagnostic =
                    Diagnostic::new(Code::E0210, block.span, "this block has no result")
                        .help("the last line must be a value");
                Err(self.fail(diagnostic))
            }
        }
    }

    /// Names that a failed line would have bound stand for anything, so that nothing is said twice.
    fn poison(&mut self, id: StmtId) {
        let spec = self.frame.spec.clone();
        let StmtKind::Node(node) = &spec[id].kind else { return };
        match classify(&spec, node) {
            Line::Bind(names, _) => {
                for (name, _) in names {
                    self.bind(name, Value::Hole);
                }
            }
            Line::Param(name, _) | Line::State(name, _) => self.bind(name, Value::Hole),
            Line::Require(_) | Line::Freeze(_) | Line::Value(_) | Line::Other => {}
        }
    }

    pub(super) fn statement(&mut self, id: StmtId, last: bool) -> Eval<Option<Value>> {
        let spec = self.frame.spec.clone();
        let stmt = &spec[id];
        // A name is looked for among all others.
        self.step(self.frame.env.len() as u64 / 256, stmt.span)?;
        let node = match &stmt.kind {
            StmtKind::Error => {
                self.frame.unread = true;
                return Err(Stop);
            }
            StmtKind::For { name, over, body } => {
                self.for_loop(name, *over, body, stmt.span)?;
                return Ok(None);
            }
            StmtKind::Use { .. } | StmtKind::Decl(_) => {
                let message = "this belongs to the top of the file";
                return Err(self.error(Code::E0206, stmt.span, message));
            }
            StmtKind::Node(node) => node,
        };
        match classify(&spec, node) {
            Line::Bind(names, value) => self.binding(&names, value, stmt.span).map(|()| None),
            Line::Param(name, node) => self.param(name, node, stmt.span).map(|()| None),
            Line::State(name, node) => self.state(name, node, stmt.span).map(|()| None),
            Line::Require(words) => self.require(words).map(|()| None),
            // Freezing changes the update, not what is computed here.
            Line::Freeze(what) => self.eval(what).map(|_| None),
            Line::Value(value) if last => self.eval(value).map(Some),
            Line::Value(value) => {
                self.eval(value)?;
                let message = "this value is not used and is not the result";
                let diagnostic = Diagnostic::new(Code::E0210, stmt.span, message)
                    .help("bind it to a name, or delete it");
                Err(self.fail(diagnostic))
            }
            Line::Other => {
                let diagnostic =
                    Diagnostic::new(Code::E0210, stmt.span, "this line does nothing in a body")
                        .help("write `name = value`, `param`, `state`, `require`, or a value");
                Err(self.fail(diagnostic))
            }
        }
    }

    fn binding(&mut self, names: &[(&str, Span)], value: ExprId, span: Span) -> Eval<()> {
        let value = self.eval(value)?;
        if let [(name, _)] = names {
            return self.bind_one(name, value, span);
        }
        let parts = self.destructure(value, names.len(), span)?;
        for ((name, _), part) in names.iter().zip(parts) {
            self.bind_one(name, part, span)?;
        }
        Ok(())
    }

    fn bind_one(&mut self, name: &str, value: Value, span: Span) -> Eval<()> {
        let value = match value {
            Value::Module(module) if module.path.is_none() => {
                let path = self.inner_path(name);
                let module =
                    Module { path: Some(path), name: Some(name.into()), ..(*module).clone() };
                Value::Module(module.into())
            }
            Value::Size(size) => {
                self.atoms.name_quotient(&size, name);
                Value::Size(size)
            }
            other => other,
        };
        let value = match self.frame.states.iter().find(|(n, _)| n == name) {
            Some(&(_, state)) => self.next_state(state, name, &value, span)?,
            None => value,
        };
        self.bind(name, value);
        Ok(())
    }

    /// The path of what is called `name` here.
    pub(super) fn inner_path(&self, name: &str) -> String {
        let dot = if self.frame.path.is_empty() { "" } else { "." };
        format!("{}{dot}{name}{}", self.frame.path, self.frame.suffix)
    }

    /// `a, b = x`: a tuple, or axis 0 of that size.
    fn destructure(&mut self, value: Value, n: usize, span: Span) -> Eval<Vec<Value>> {
        match value {
            Value::Hole => Err(Stop),
            Value::Tuple(parts) if parts.len() == n => Ok(parts),
            Value::Tensor(x) => {
                let first = x.shape.axes.first().map(|a| a.size.clone());
                let known = first.as_ref().and_then(Poly::as_constant);
                if x.shape.rest.is_some() || known != i64::try_from(n).ok() {
                    let shape = self.show_shape(&x.shape);
                    let message = format!("{n} names for `{shape}`");
                    let diagnostic = Diagnostic::new(Code::E0402, span, message)
                        .note("axis 0 is taken apart, so its size must be the number of names");
                    return Err(self.fail(diagnostic));
                }
                (0..n).map(|i| self.take(&x, 0, i as u64, span).map(Value::Tensor)).collect()
            }
            other => {
                let message = format!("{n} names for {}", self.describe(&other));
                Err(self.error(Code::E0402, span, message))
            }
        }
    }

    /// Declares a parameter, or finds the one already declared under its path.
    fn param(&mut self, name: &str, node: &ast::Node, span: Span) -> Eval<()> {
        if self.frame.kind != Some(DeclKind::Layer) {
            return Err(self.error(Code::E0206, span, "`param` belongs to a `layer`"));
        }
        let (Some(ty), init) = (node.ty, node.value) else {
            let diagnostic = Diagnostic::new(Code::E0209, span, format!("`{name}` has no shape"))
                .help(format!("write `param {name}: [d] = zeros`"));
            return Err(self.fail(diagnostic));
        };
        let shape = match self.ty(ty)? {
            Ty::Tensor { elem: Elem::Real, shape } => shape,
            Ty::Tensor { .. } | Ty::Tuple(_) | Ty::Kind(_) => {
                let at = self.frame.spec[ty].span;
                return Err(self.error(Code::E0411, at, "a parameter is a shape of real numbers"));
            }
        };
        let init = self.init(init)?;
        let tensor = self.declare(name, &shape, init, span)?;
        self.frame.declared.push((name.to_string(), span, tensor.id));
        self.bind(name, Value::Tensor(tensor));
        Ok(())
    }

    fn declare(&mut self, name: &str, shape: &Shape, init: Init, span: Span) -> Eval<Tensor> {
        let path = self.inner_path(name);
        if !self.is_check()
            && let Some(known) = self.params.get(&path)
        {
            return Ok(Tensor { shape: shape.clone(), ..known.clone() });
        }
        let index = self.out.params.len();
        let tensor = self.emit(Prim::Param(index), &[], Elem::Real, shape.clone(), span)?;
        if !self.is_check() {
            let shape = self.numbers(shape, span)?;
            let layer = self.frame.layer.clone();
            let outer = self.stack.split_last().map_or(&[][..], |(_, outer)| outer);
            let around = outer.iter().map(|&d| self.lib.decl(d).name.text.clone()).collect();
            let (path, is_head) = (path.clone(), false);
            self.out.params.push(trace::Param { path, shape, init, layer, around, is_head, span });
        }
        self.params.insert(path, tensor.clone());
        Ok(tensor)
    }

    /// `normal(0.02)`, `uniform(a)`, `zeros`, `ones` or a number.
    fn init(&mut self, init: Option<ExprId>) -> Eval<Init> {
        let Some(init) = init else { return Ok(Init::Zeros) };
        let spec = self.frame.spec.clone();
        let span = spec[init].span;
        if let ExprKind::Call { callee, args } = &spec[init].kind
            && let ExprKind::Name(name) = &spec[*callee].kind
            && let [arg] = args.as_slice()
            && matches!(name.as_str(), "normal" | "uniform")
        {
            let x = self.real(arg.value)?;
            return Ok(if name == "normal" { Init::Normal(x) } else { Init::Uniform(x) });
        }
        if let ExprKind::Name(name) = &spec[init].kind {
            match name.as_str() {
                "zeros" => return Ok(Init::Zeros),
                "ones" => return Ok(Init::Ones),
                _ => {}
            }
        }
        let value = self.eval(init)?;
        if !matches!(value, Value::Size(_) | Value::Real(_)) {
            let diagnostic = Diagnostic::new(Code::E0301, span, "this is not a start for weights")
                .help("use `normal(std)`, `uniform(a)`, `zeros`, `ones` or a number");
            return Err(self.fail(diagnostic));
        }
        Ok(Init::Constant(value.number(&self.atoms).unwrap_or(0.0)))
    }

    /// A real number known before the run; any while checking for all of them.
    pub(super) fn real(&mut self, expr: ExprId) -> Eval<f64> {
        let outer = std::mem::replace(&mut self.want_real, true);
        let value = self.eval(expr);
        self.want_real = outer;
        let value = value?;
        match &value {
            Value::Hole => Err(Stop),
            Value::Size(_) | Value::Real(_) => Ok(value.number(&self.atoms).unwrap_or(0.0)),
            other => {
                let span = self.frame.spec[expr].span;
                let message = format!(
                    "expected a number known before the run, found {}",
                    self.describe(other)
                );
                Err(self.error(Code::E0301, span, message))
            }
        }
    }

    fn state(&mut self, name: &str, node: &ast::Node, span: Span) -> Eval<()> {
        if self.frame.kind != Some(DeclKind::Rule) {
            return Err(self.error(Code::E0206, span, "`state` belongs to a `rule`"));
        }
        let ty = node.ty.map(|ty| self.ty(ty)).transpose()?;
        let Some(Ty::Tensor { elem, shape }) = ty else {
            return Err(self.error(Code::E0209, span, format!("`{name}` has no shape")));
        };
        let init = self.init(node.value)?;
        let index = self.frame.states.len();
        let tensor = self.emit(Prim::State(index), &[], elem, shape, span)?;
        if !self.is_check() {
            let ty = self.traced_type(&tensor.elem, &tensor.shape, span)?;
            let next = tensor.id;
            self.out.states.push(trace::StateVar { name: name.to_string(), ty, init, next });
        }
        self.frame.states.push((name.to_string(), index));
        self.bind(name, Value::Tensor(tensor));
        Ok(())
    }

    /// A state bound anew: its shape stays.
    fn next_state(&mut self, state: usize, name: &str, value: &Value, span: Span) -> Eval<Value> {
        let Some(Value::Tensor(old)) = self.lookup(name).cloned() else { return Err(Stop) };
        let new = self.scalar(value, &old.elem, span)?;
        let lines_up = old.shape.broadcast(&new.shape).is_some_and(|s| s.same(&old.shape));
        if !lines_up || !new.elem.is_float() {
            let (is, was) = (self.show_shape(&new.shape), self.show_shape(&old.shape));
            let message = format!("state `{name}` is `{was}` and cannot become `{is}`");
            return Err(self.error(Code::E0402, span, message));
        }
        let new = self.stretch(&new, &old.shape, span)?;
        let new = self.cast(&new, &old.elem, span)?;
        if !self.is_check() {
            self.out.states[state].next = new.id;
        }
        Ok(Value::Tensor(new))
    }

    fn require(&mut self, words: &[ExprId]) -> Eval<()> {
        let spec = self.frame.spec.clone();
        let Some((&cond, rest)) = words.split_first() else { return Ok(()) };
        let span = spec[cond].span;
        let value = self.eval(cond)?;
        let said = rest.first().and_then(|&e| match &spec[e].kind {
            ExprKind::Str(text) => text.plain(),
            _ => None,
        });
        match value {
            Value::Bool(Some(false)) => Err(self.requirement_fails(cond, said, span)),
            Value::Bool(_) | Value::Hole => Ok(()),
            other => {
                let message =
                    format!("`require` takes a condition, found {}", self.describe(&other));
                Err(self.error(Code::E0301, span, message))
            }
        }
    }

    fn requirement_fails(&mut self, cond: ExprId, said: Option<String>, span: Span) -> Stop {
        let spec = self.frame.spec.clone();
        if let ExprKind::Binary { op: ast::BinaryOp::Divides, left, right, .. } = &spec[cond].kind
            && let (Ok(d), Ok(n)) = (self.size(*left), self.size(*right))
            && let (Some(dv), Some(nv)) = (self.atoms.value(&d), self.atoms.value(&n))
        {
            let (num, den) = (self.show(&n), self.show(&d));
            let mut diagnostic = self.remainder((&num, nv), (&den, dv), span);
            if let Some(said) = said {
                diagnostic = diagnostic.note(said);
            }
            return self.fail(diagnostic);
        }
        let message = said.unwrap_or_else(|| "a requirement of this layer does not hold".into());
        self.fail(Diagnostic::new(Code::E0302, span, message).primary("this does not hold"))
    }

    /// `for i in a..b`: unrolled; while checking the body is walked once.
    fn for_loop(
        &mut self,
        name: &ast::Ident,
        over: ExprId,
        body: &ast::Block,
        span: Span,
    ) -> Eval<()> {
        let spec = self.frame.spec.clone();
        let ExprKind::Binary { op: ast::BinaryOp::Range, left, right, .. } = &spec[over].kind
        else {
            let message = "`for` runs over a range `0..n`";
            return Err(self.error(Code::E0301, spec[over].span, message));
        };
        let (from, to) = (self.size(*left)?, self.size(*right)?);
        let outer = self.frame.suffix.clone();
        if self.is_check() {
            let i = self.atoms.fresh(&name.text, AtomKind::Config, None);
            return self.iteration(name, i, body, span);
        }
        let (from, to) = (self.atoms.value(&from), self.atoms.value(&to));
        let (Some(from), Some(to)) = (from, to) else { return Err(self.overflow(span)) };
        for i in from..to {
            self.frame.suffix = format!("{outer}.{i}");
            self.iteration(name, Poly::constant(i), body, span)?;
        }
        self.frame.suffix = outer;
        Ok(())
    }

    fn iteration(&mut self, name: &ast::Ident, i: Poly, body: &ast::Block, span: Span) -> Eval<()> {
        self.step(STEPS_OF_A_TURN + self.frame.env.len() as u64, span)?;
        let outer = self.frame.env.clone();
        self.bind(&name.text, Value::Size(i));
        for &id in &body.stmts {
            if self.statement(id, true)?.is_some() {
                let message = "a value in a loop is not used";
                let at = self.frame.spec[id].span;
                return Err(self.error(Code::E0210, at, message));
            }
        }
        // Names of outside that were bound anew keep their new value; those of inside end.
        let mut env = outer;
        let counter = &name.text;
        let inner = self.frame.env.clone();
        let latest: BTreeMap<&str, &Value> = inner.iter().map(|(n, v)| (n.as_str(), v)).collect();
        for (name, value) in env.iter_mut().filter(|(name, _)| name != counter) {
            let Some(&new) = latest.get(name.as_str()) else { continue };
            if let (Value::Tensor(old), Value::Tensor(new)) = (&*value, new)
                && !old.shape.same(&new.shape)
            {
                let (was, is) = (self.show_shape(&old.shape), self.show_shape(&new.shape));
                let message = format!("the loop changes `{name}` from `{was}` to `{is}`");
                return Err(self.error(Code::E0410, span, message));
            }
            *value = new.clone();
        }
        self.frame.env = env;
        Ok(())
    }

    /// Element `i` of an axis, the axis gone.
    pub(super) fn take(&mut self, x: &Tensor, axis: usize, i: u64, span: Span) -> Eval<Tensor> {
        let mut shape = x.shape.clone();
        shape.axes[axis].size = Poly::constant(1);
        let prim = Prim::Slice { axis, start: i, len: 1 };
        let part = self.emit(prim, &[x.id], x.elem.clone(), shape, span)?;
        let mut axes = part.shape.axes.clone();
        axes.remove(axis);
        self.reshape(&part, axes, span)
    }

    /// A module built here but not bound to a name.
    pub(super) fn unnamed(&mut self, module: &Module, span: Span) -> Module {
        let name = match &module.kind {
            ModuleKind::Layer { decl, .. } => self.lib.decl(*decl).name.text.clone(),
            ModuleKind::Repeat { .. } => "repeat".into(),
            ModuleKind::Scan { .. } => "scan".into(),
            ModuleKind::Opaque => "layer".into(),
        };
        if self.is_check() && self.has_params(module) {
            let message = format!("the weights of this `{name}` have no name of their own");
            let diagnostic = Diagnostic::new(Code::W0412, span, message)
                .note("without a name they are called by position, which an edit may change")
                .help(format!("bind it first: `name = {name}(..)`"));
            self.diags.push(diagnostic);
        }
        let path = self.inner_path(&format!("{name}_{}", self.frame.unnamed));
        self.frame.unnamed += 1;
        Module { path: Some(path), ..module.clone() }
    }
}

fn classify<'a>(spec: &'a ast::Spec, node: &'a ast::Node) -> Line<'a> {
    let word = |id: ExprId| match &spec[id].kind {
        ExprKind::Name(name) => Some(name.as_str()),
        _ => None,
    };
    if node.block.is_some() {
        return Line::Other;
    }
    if let [group] = node.groups.as_slice() {
        match (group.as_slice(), node.ty, node.value) {
            ([head, name], _, _) if word(*head) == Some("param") && word(*name).is_some() => {
                return Line::Param(word(*name).unwrap_or_default(), node);
            }
            ([head, name], _, _) if word(*head) == Some("state") && word(*name).is_some() => {
                return Line::State(word(*name).unwrap_or_default(), node);
            }
            ([head, rest @ ..], None, None)
                if word(*head) == Some("require") && !rest.is_empty() =>
            {
                return Line::Require(rest);
            }
            ([head, what], None, None) if word(*head) == Some("freeze") => {
                return Line::Freeze(*what);
            }
            ([value], None, None) => return Line::Value(*value),
            _ => {}
        }
    }
    let (Some(value), None) = (node.value, node.ty) else { return Line::Other };
    let names = node.groups.iter().map(|group| match group.as_slice() {
        [one] => word(*one).map(|name| (name, spec[*one].span)),
        _ => None,
    });
    names.collect::<Option<Vec<_>>>().map_or(Line::Other, |names| Line::Bind(names, value))
}
