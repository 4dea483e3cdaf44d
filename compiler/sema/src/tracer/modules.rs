//! Modules: repeated layers, members of a layer, and what has weights.

use std::rc::Rc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, ExprKind, StmtKind};

use super::builtin::Given;
use super::value::{Module, ModuleKind, Value};
use super::{Eval, STEPS_OF_A_TURN, Stop, Tracer};
use crate::dim::Poly;

impl Tracer<'_> {
    /// `repeat(n, layer)` or `share(n, layer)`.
    pub(super) fn repeat(&mut self, given: &Given, shared: bool, span: Span) -> Eval<Value> {
        let name = if shared { "share" } else { "repeat" };
        given.only(self, name, 2, &[], span)?;
        let n = match given.value(self, 0, span)? {
            Value::Size(n) => n,
            other => {
                let message =
                    format!("`{name}` takes a count first, found {}", self.describe(&other));
                return Err(self.error(Code::E0301, given.span(self, 0, span), message));
            }
        };
        let Value::Module(inner) = given.value(self, 1, span)? else {
            let message = format!("`{name}` takes a layer: `{name}(n, block(..))`");
            return Err(self.error(Code::E0301, given.span(self, 1, span), message));
        };
        if self.atoms.value(&n).is_some_and(|n| n < 0) {
            let message = format!("`{name}` takes a count, found {}", self.show(&n));
            return Err(self.error(Code::E0302, given.span(self, 0, span), message));
        }
        let kind = ModuleKind::Repeat { n, inner, shared };
        Ok(Value::Module(Rc::new(Module { kind, path: None, name: None, built: span })))
    }

    /// Copies applied one after the other; while checking one stands for all.
    pub(super) fn apply_repeat(
        &mut self,
        path: &str,
        n: &Poly,
        inner: &Rc<Module>,
        shared: bool,
        actuals: Vec<(Value, Span)>,
        span: Span,
    ) -> Eval<Value> {
        let at = |path: String| {
            let name = inner.name.clone();
            Rc::new(Module { path: Some(path), name, ..(**inner).clone() })
        };
        if self.is_check() {
            let first = actuals.first().map(|(v, _)| v.clone());
            let result = self.apply_module(&at(format!("{path}.0")), actuals, span)?;
            self.same_in_and_out(first.as_ref(), &result, inner.built, span)?;
            return Ok(result);
        }
        let n = self.number_of(n, span)?;
        let mut carried = actuals;
        for i in 0..n {
            self.step(STEPS_OF_A_TURN, span)?;
            // A layer with a path is one that exists already: its weights are shared.
            let path = match &inner.path {
                Some(path) => path.clone(),
                None if shared => path.to_string(),
                None => format!("{path}.{i}"),
            };
            let x = self.apply_module(&at(path), carried, span)?;
            carried = vec![(x, span)];
        }
        match carried.as_slice() {
            [(x, _)] => Ok(x.clone()),
            _ => Err(self.error(Code::E0305, span, "a repeated layer takes one value")),
        }
    }

    fn same_in_and_out(
        &mut self,
        x: Option<&Value>,
        y: &Value,
        built: Span,
        span: Span,
    ) -> Eval<()> {
        let (Some(Value::Tensor(x)), Value::Tensor(y)) = (x, y) else { return Ok(()) };
        if x.shape.same(&y.shape) {
            return Ok(());
        }
        let (x, y) = (self.show_shape(&x.shape), self.show_shape(&y.shape));
        let message = format!("a repeated layer takes `{x}` but returns `{y}`");
        let diagnostic = Diagnostic::new(Code::E0410, span, message)
            .label(built, "this layer is repeated")
            .note("each copy takes what the one before returns")
            .help(format!("return `{x}` from the layer"));
        Err(self.fail(diagnostic))
    }

    /// `module.name`: a configuration argument or a parameter of a layer.
    pub(super) fn member(
        &mut self,
        module: &Rc<Module>,
        name: &ast::Ident,
        span: Span,
    ) -> Eval<Value> {
        match &module.kind {
            ModuleKind::Layer { decl, args } => {
                if let Some((_, value)) = args.iter().find(|(n, _)| *n == name.text) {
                    return Ok(value.clone());
                }
                if let Some(value) = self.weight(module, *decl, args, &name.text)? {
                    return Ok(value);
                }
                let layer = &self.lib.decl(*decl).name.text;
                let message = format!("layer `{layer}` has no member `{}`", name.text);
                Err(self.error(Code::E0202, span, message))
            }
            ModuleKind::Opaque | ModuleKind::Repeat { .. } | ModuleKind::Scan { .. } => Err(Stop),
        }
    }

    /// A parameter declared at the top of a layer's body.
    pub(super) fn weight(
        &mut self,
        module: &Module,
        decl: usize,
        args: &[(String, Value)],
        name: &str,
    ) -> Eval<Option<Value>> {
        let mut frame = self.lib.frame(decl);
        let spec = frame.spec.clone();
        let is_it = |&&id: &&ast::StmtId| {
            let StmtKind::Node(node) = &spec[id].kind else { return false };
            let words = node.groups.first().map_or(&[][..], Vec::as_slice);
            let word = |i: usize| words.get(i).map(|&e| &spec[e].kind);
            let is = |i, text: &str| matches!(word(i), Some(ExprKind::Name(n)) if n == text);
            is(0, "param") && is(1, name)
        };
        let Some(&line) = self.lib.decl(decl).body.stmts.iter().find(is_it) else {
            return Ok(None);
        };
        frame.env = args.to_vec();
        frame.path = module.path.clone().unwrap_or_default();
        let (value, _) = self.within(frame, |t| {
            t.statement(line, false)?;
            Ok(t.lookup(name).cloned())
        });
        value
    }

    /// Whether a layer, or one inside it, declares parameters.
    pub(super) fn has_params(&self, module: &Module) -> bool {
        match &module.kind {
            ModuleKind::Layer { decl, .. } => self.lib.has_params(*decl),
            ModuleKind::Repeat { inner, .. } | ModuleKind::Scan { inner, .. } => {
                self.has_params(inner)
            }
            ModuleKind::Opaque => false,
        }
    }
}
