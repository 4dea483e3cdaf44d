//! Calls: of layers with a configuration, of functions, of modules with data.

use std::rc::Rc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, DeclKind, ExprId, ExprKind, Param};

use super::builtin::Builtin;
use super::signature::{Refusal, Sizes};
use super::types::{Kind, Ty, kind_of};
use super::value::{Elem, Module, ModuleKind, Tensor, Value};
use super::{Eval, Frame, Stop, Tracer};
use crate::dim::AtomKind;
use crate::shape::Shape;
use crate::trace::{Id, Prim};

/// What is called and with what, once names are resolved.
#[derive(Debug)]
pub(super) struct Callee<'m> {
    /// The declaration.
    pub(super) decl: usize,
    /// Its static arguments, in the caller's sizes.
    pub(super) config: Vec<(String, Value)>,
    /// The parameters that take data.
    pub(super) formals: Vec<Param>,
    /// The data, in their order, and where each is written.
    pub(super) actuals: Vec<(Value, Span)>,
    /// Where parameters live.
    pub(super) path: String,
    /// The module it is, for messages.
    pub(super) module: Option<&'m Module>,
    /// The call.
    pub(super) span: Span,
}

impl Tracer<'_> {
    /// Runs `f` in another frame and comes back; the frame is returned for what it collected.
    pub(super) fn within<T>(
        &mut self,
        frame: Frame,
        f: impl FnOnce(&mut Self) -> Eval<T>,
    ) -> (Eval<T>, Frame) {
        let outer = std::mem::replace(&mut self.frame, frame);
        let masked = self.masked.take();
        let real = std::mem::replace(&mut self.want_real, false);
        let result = f(self);
        self.want_real = real;
        self.masked = masked;
        (result, std::mem::replace(&mut self.frame, outer))
    }

    /// `callee(args)`, or `x |> callee(args)`.
    pub(super) fn call(
        &mut self,
        callee: ExprId,
        args: &[ast::Arg],
        piped: Option<(Value, Span)>,
        span: Span,
    ) -> Eval<Value> {
        let spec = self.frame.spec.clone();
        let Some(name) = self.called_name(callee) else {
            return match self.eval(callee)? {
                Value::Module(module) => self.call_module(&module, args, piped, span),
                Value::Hole => Err(Stop),
                other => {
                    let message = format!("{} cannot be called", self.describe(&other));
                    Err(self.error(Code::E0301, spec[callee].span, message))
                }
            };
        };
        let name = name.as_str();
        match self.lookup(name).cloned() {
            Some(Value::Module(module)) => return self.call_module(&module, args, piped, span),
            Some(Value::Hole) => return Err(Stop),
            Some(_) | None => {}
        }
        if let Some(decl) = self.lib.resolve(name, self.frame.by) {
            return self.call_decl(decl, args, piped, span);
        }
        if let Some(builtin) = Builtin::of(name) {
            return self.builtin(builtin, args, piped, span);
        }
        if let Some(value) = self.lookup(name).cloned() {
            let message = format!("`{name}` is {} and cannot be called", self.describe(&value));
            return Err(self.error(Code::E0301, spec[callee].span, message));
        }
        Err(self.unknown_name(name, spec[callee].span))
    }

    /// A name, or one behind that of a used file: `base.block`.
    fn called_name(&self, callee: ExprId) -> Option<String> {
        let spec = &self.frame.spec;
        if let ExprKind::Name(name) = &spec[callee].kind {
            return Some(name.clone());
        }
        let path = super::expr::dotted(spec, callee)?;
        let (first, _) = path.split_once('.')?;
        let is_file = self.lookup(first).is_none() && self.lib.is_use(first, self.frame.by);
        is_file.then_some(path)
    }

    /// `x |> right`.
    pub(super) fn pipe(&mut self, x: Value, right: ExprId, span: Span) -> Eval<Value> {
        let spec = self.frame.spec.clone();
        let at = spec[right].span;
        match &spec[right].kind {
            ExprKind::Call { callee, args } => self.call(*callee, args, Some((x, span)), at),
            _ if self.called_name(right).is_some() => self.call(right, &[], Some((x, span)), at),
            _ => match self.eval(right)? {
                Value::Module(module) => self.call_module(&module, &[], Some((x, span)), at),
                Value::Hole => Err(Stop),
                other => {
                    let message = format!("{} cannot be called", self.describe(&other));
                    Err(self.error(Code::E0301, at, message))
                }
            },
        }
    }

    fn call_decl(
        &mut self,
        decl: usize,
        args: &[ast::Arg],
        piped: Option<(Value, Span)>,
        span: Span,
    ) -> Eval<Value> {
        match self.lib.decl(decl).kind {
            DeclKind::Layer => {
                let bound = self.bind_args(decl, args, None, 0, span)?;
                let args = bound.into_iter().map(|b| (b.name, b.value)).collect();
                let kind = ModuleKind::Layer { decl, args };
                let module = Rc::new(Module { kind, path: None, name: None, built: span });
                match piped {
                    Some(_) => self.call_module(&module, &[], piped, span),
                    None => Ok(Value::Module(module)),
                }
            }
            DeclKind::Fn => self.call_fn(decl, args, piped, span),
            DeclKind::Rule => {
                let message = "a rule updates weights and cannot be called";
                Err(self.error(Code::E0301, span, message))
            }
        }
    }

    fn call_fn(
        &mut self,
        decl: usize,
        args: &[ast::Arg],
        piped: Option<(Value, Span)>,
        span: Span,
    ) -> Eval<Value> {
        let bound = self.bind_args(decl, args, piped, 0, span)?;
        let params = self.lib.decl(decl).params.clone();
        let callee = self.lib.spec(decl);
        let (mut config, mut formals, mut actuals) = (vec![], vec![], vec![]);
        for (param, bound) in params.into_iter().zip(bound) {
            if kind_of(&callee, param.ty).is_some() {
                config.push((bound.name, bound.value));
            } else {
                formals.push(param);
                actuals.push((bound.value, bound.at));
            }
        }
        let path = self.frame.path.clone();
        self.apply(&Callee { decl, config, formals, actuals, path, module: None, span })
    }

    /// A module applied to data.
    pub(super) fn call_module(
        &mut self,
        module: &Rc<Module>,
        args: &[ast::Arg],
        piped: Option<(Value, Span)>,
        span: Span,
    ) -> Eval<Value> {
        let module = match module.path {
            Some(_) => module.clone(),
            None => Rc::new(self.unnamed(module, span)),
        };
        let mut actuals: Vec<(Value, Span)> = piped.into_iter().collect();
        let mut names = vec![None; actuals.len()];
        for arg in args {
            actuals.push((self.eval(arg.value)?, self.frame.spec[arg.value].span));
            names.push(arg.name.clone());
        }
        if let ModuleKind::Layer { decl, .. } = &module.kind {
            let formals = self.lib.decl(*decl).data.clone().unwrap_or_default();
            self.in_order(&formals, &names, &mut actuals)?;
        }
        self.apply_module(&module, actuals, span)
    }

    /// Puts named data arguments in their places.
    fn in_order(
        &mut self,
        formals: &[Param],
        names: &[Option<ast::Ident>],
        actuals: &mut Vec<(Value, Span)>,
    ) -> Eval<()> {
        let mut keyed = Vec::new();
        for (i, (name, actual)) in names.iter().zip(actuals.drain(..)).enumerate() {
            let place = match name {
                None => Some(i),
                Some(name) => formals.iter().position(|f| f.name.text == name.text),
            };
            let Some(place) = place else {
                let message = "there is no data argument of this name";
                return Err(self.error(Code::E0305, actual.1, message));
            };
            keyed.push((place, actual));
        }
        keyed.sort_by_key(|(place, _)| *place);
        actuals.extend(keyed.into_iter().map(|(_, actual)| actual));
        Ok(())
    }

    /// A module with a path, applied.
    pub(super) fn apply_module(
        &mut self,
        module: &Rc<Module>,
        actuals: Vec<(Value, Span)>,
        span: Span,
    ) -> Eval<Value> {
        let path = module.path.clone().unwrap_or_default();
        match &module.kind {
            ModuleKind::Layer { decl, args } => {
                let formals = self.lib.decl(*decl).data.clone().unwrap_or_default();
                let config = args.clone();
                let module = Some(&**module);
                self.apply(&Callee { decl: *decl, config, formals, actuals, path, module, span })
            }
            ModuleKind::Repeat { n, inner, shared } => {
                self.apply_repeat(&path, n, inner, *shared, actuals, span)
            }
            ModuleKind::Opaque => Err(Stop),
            ModuleKind::Scan { inner, along } => {
                self.apply_scan(&path, inner, along, &actuals, span)
            }
        }
    }

    /// Matches a call with the callee's signature, and in a trace walks its body.
    pub(super) fn apply(&mut self, call: &Callee<'_>) -> Eval<Value> {
        let &Callee { decl, span, .. } = call;
        if call.actuals.len() != call.formals.len() {
            let message = format!(
                "`{}` takes {} values, found {}",
                self.callee_name(call),
                call.formals.len(),
                call.actuals.len()
            );
            return Err(self.error(Code::E0305, span, message));
        }
        if call.actuals.iter().any(|(v, _)| matches!(v, Value::Hole)) {
            return Err(Stop);
        }
        let mut frame = self.lib.frame(decl);
        frame.env = call.config.clone();
        frame.path = call.path.clone();
        frame.in_signature = true;
        let (promised, mut frame) = self.within(frame, |t| t.match_signature(call));
        let promised = promised?;
        if self.is_check()
            && let Some(ty) = promised
        {
            let mut used = Vec::new();
            call.actuals.iter().for_each(|(v, _)| ids(v, &mut used));
            return self.some_value(&ty, &used, span);
        }
        if self.stack.contains(&decl) {
            let name = &self.lib.decl(decl).name.text;
            let message = format!("`{name}` is built from itself");
            let diagnostic = Diagnostic::new(Code::E0306, span, message)
                .primary(format!("`{name}` again, inside of itself"))
                .help("use `repeat` for copies one behind the other");
            return Err(self.fail(diagnostic));
        }
        if promised.is_some() {
            frame = self.own_frame(call)?;
        }
        frame.in_signature = false;
        self.stack.push(decl);
        let (value, _) = self.within(frame, |t| t.body(decl));
        self.stack.pop();
        let value = value?;
        Ok(promised.map_or(value.clone(), |ty| self.as_formal(&ty, &value)))
    }

    /// The result's type, in the caller's sizes.
    fn match_signature(&mut self, call: &Callee<'_>) -> Eval<Option<Ty>> {
        for (formal, (actual, _)) in call.formals.iter().zip(&call.actuals) {
            if let Some(ty) = formal.ty {
                self.match_sizes(ty, actual, Sizes::Caller);
            }
        }
        for (formal, (actual, at)) in call.formals.iter().zip(&call.actuals) {
            let value = match (kind_of(&self.frame.spec, formal.ty), formal.ty) {
                (Some(kind), _) => self.of_kind(kind, actual.clone(), &formal.name.text, *at)?,
                (None, Some(ty)) => self.check_argument(call, formal, ty, actual, *at)?,
                (None, None) => actual.clone(),
            };
            self.bind(&formal.name.text, value);
        }
        let ret = self.lib.decl(call.decl).ret;
        ret.map(|ret| self.ty(ret)).transpose()
    }

    fn check_argument(
        &mut self,
        call: &Callee<'_>,
        formal: &Param,
        ty: ExprId,
        actual: &Value,
        at: Span,
    ) -> Eval<Value> {
        let whole = super::types::shape_parts(&self.frame.spec, ty);
        let real = whole.is_some_and(|(base, _)| base.is_none());
        if let (true, Value::Tensor(t)) = (real, actual)
            && !t.elem.is_float()
        {
            return Err(self.refused(call, formal, ty, None, actual, Refusal::Elem, at));
        }
        if !self.too_short(ty, actual) {
            let wanted = self.ty(ty)?;
            match self.accepts(&wanted, actual) {
                Ok(()) => return Ok(actual.clone()),
                Err(refusal) => {
                    return Err(self.refused(call, formal, ty, Some(&wanted), actual, refusal, at));
                }
            }
        }
        Err(self.refused(call, formal, ty, None, actual, Refusal::Shape, at))
    }

    /// Whether the value has not even the axes that the type names.
    fn too_short(&self, ty: ExprId, actual: &Value) -> bool {
        let Value::Tensor(actual) = actual else { return false };
        let parts = super::types::shape_parts(&self.frame.spec, ty);
        let n = parts.map_or(0, |(_, elems)| {
            elems.iter().filter(|e| matches!(e, ast::Elem::Arg(_))).count()
        });
        actual.shape.axes.len() < n
    }

    #[allow(clippy::too_many_arguments, reason = "each is part of the message")]
    fn refused(
        &mut self,
        call: &Callee<'_>,
        formal: &Param,
        ty: ExprId,
        wanted: Option<&Ty>,
        actual: &Value,
        refusal: Refusal,
        at: Span,
    ) -> Stop {
        let name = self.callee_name(call);
        let takes = self.show_formal(ty);
        let given = self.describe(actual);
        let code = match refusal {
            Refusal::Shape | Refusal::Kind => Code::E0401,
            Refusal::Elem => Code::E0411,
            Refusal::Ids => Code::E0701,
        };
        let given = given.trim_matches('`');
        let message = format!("`{name}` takes `{takes}` but is given `{given}`");
        let place = if call.formals.len() == 1 { call.span } else { at };
        let mut diagnostic = Diagnostic::new(code, place, message);
        if let (Some(Ty::Tensor { shape, .. }), Value::Tensor(actual)) = (wanted, actual)
            && let Some((want, have)) = Self::odd_axis(shape, &actual.shape)
        {
            let (want_text, have_text) = (self.show(&want.size), self.show(&have.size));
            diagnostic =
                diagnostic.primary(format!("axis is `{have_text}`, expected `{want_text}`"));
            if have.made != place {
                diagnostic =
                    diagnostic.label(have.made, format!("this made the axis `{have_text}`"));
            }
            diagnostic = diagnostic
                .note(format!("the error holds for every `{want_text}` and `{have_text}`"));
            if let Some(help) = self.swap_help(call, &have.size) {
                diagnostic = diagnostic.help(help);
            }
        }
        if let Some(module) = call.module {
            diagnostic = diagnostic.label(module.built, format!("`{name}` is built here"));
        }
        let decl = &self.lib.decl(call.decl).name.text;
        diagnostic = diagnostic.label(formal.span, format!("`{decl}` reads it as this"));
        self.fail(diagnostic)
    }

    /// ``swap the arguments: `linear(hidden, d)` ``, when another argument is the size at hand.
    fn swap_help(&self, call: &Callee<'_>, have: &crate::dim::Poly) -> Option<String> {
        let sizes: Vec<_> = call
            .config
            .iter()
            .filter_map(|(_, v)| if let Value::Size(s) = v { Some(s) } else { None })
            .collect();
        let [a, b] = sizes.as_slice() else { return None };
        (*b == have && a != b).then(|| {
            let decl = &self.lib.decl(call.decl).name.text;
            format!("swap the arguments: `{decl}({}, {})`", self.show(b), self.show(a))
        })
    }

    fn callee_name(&self, call: &Callee<'_>) -> String {
        let named = call.module.and_then(|m| m.name.clone());
        named.unwrap_or_else(|| self.lib.decl(call.decl).name.text.clone())
    }

    /// The frame of a callee with sizes of its own, each with the value of the caller's.
    fn own_frame(&mut self, call: &Callee<'_>) -> Eval<Frame> {
        let mut frame = self.lib.frame(call.decl);
        frame.path = call.path.clone();
        for (name, value) in &call.config {
            let value = match value {
                Value::Size(size) => {
                    let value = self.atoms.value(size);
                    Value::Size(self.atoms.fresh(name, AtomKind::Config, value))
                }
                Value::Module(module) if module.path.is_none() => {
                    let path = Some(format!("{}.{name}", call.path).trim_matches('.').to_string());
                    Value::Module(Rc::new(Module { path, ..(**module).clone() }))
                }
                other => other.clone(),
            };
            frame.env.push((name.clone(), value));
        }
        let (done, frame) = self.within(frame, |t| t.own_data(call));
        done.map(|()| frame)
    }

    fn own_data(&mut self, call: &Callee<'_>) -> Eval<()> {
        for (formal, (actual, _)) in call.formals.iter().zip(&call.actuals) {
            if let Some(ty) = formal.ty {
                self.match_sizes(ty, actual, Sizes::Own);
            }
        }
        for (formal, (actual, at)) in call.formals.iter().zip(&call.actuals) {
            let value = match (kind_of(&self.frame.spec, formal.ty), formal.ty, actual) {
                (Some(Kind::Dim), _, Value::Size(size)) => {
                    let value = self.atoms.value(size);
                    Value::Size(self.atoms.fresh(&formal.name.text, AtomKind::Config, value))
                }
                (Some(kind), _, _) => self.of_kind(kind, actual.clone(), &formal.name.text, *at)?,
                (None, Some(ty), _) => {
                    let ty = self.ty(ty)?;
                    self.as_formal(&ty, actual)
                }
                (None, None, _) => actual.clone(),
            };
            self.bind(&formal.name.text, value);
        }
        Ok(())
    }

    /// Walks the body of the current frame's declaration and checks what it promises.
    pub(super) fn body(&mut self, decl: usize) -> Eval<Value> {
        let decl = self.lib.decl(decl).clone();
        let value = self.block(&decl.body)?;
        let Some(ret) = decl.ret else { return Ok(value) };
        self.frame.in_signature = true;
        let ty = self.ty(ret);
        self.frame.in_signature = false;
        let ty = ty?;
        let result = decl.body.stmts.last().map_or(decl.body.span, |&s| self.frame.spec[s].span);
        match self.accepts_result(&ty, &value) {
            Ok(()) => self.converted(&ty, value, result),
            Err(refusal) => Err(self.broken_promise(&decl, &ty, &value, refusal, result)),
        }
    }

    /// As for arguments, but real and pinned results convert into each other.
    fn accepts_result(&self, ty: &Ty, value: &Value) -> Result<(), Refusal> {
        match (ty, value) {
            (Ty::Tensor { elem, shape }, Value::Tensor(t))
                if elem.is_float() && t.elem.is_float() =>
            {
                if shape.same(&t.shape) {
                    Ok(())
                } else {
                    Err(Refusal::Shape)
                }
            }
            (Ty::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
                types.iter().zip(values).try_for_each(|(t, v)| self.accepts_result(t, v))
            }
            (ty, value) => self.accepts(ty, value),
        }
    }

    /// A result in the element type that is promised.
    fn converted(&mut self, ty: &Ty, value: Value, span: Span) -> Eval<Value> {
        Ok(match (ty, value) {
            (Ty::Tensor { elem, .. }, Value::Tensor(t)) if elem.is_float() => {
                Value::Tensor(self.cast(&t, elem, span)?)
            }
            (Ty::Tensor { elem, .. }, x @ (Value::Size(_) | Value::Real(_))) => {
                Value::Tensor(self.scalar(&x, elem, span)?)
            }
            (Ty::Tuple(types), Value::Tuple(values)) => Value::Tuple(
                types
                    .iter()
                    .zip(values)
                    .map(|(ty, v)| self.converted(ty, v, span))
                    .collect::<Eval<_>>()?,
            ),
            (_, value) => value,
        })
    }

    fn broken_promise(
        &mut self,
        decl: &ast::Decl,
        ty: &Ty,
        value: &Value,
        refusal: Refusal,
        at: Span,
    ) -> Stop {
        let (promised, found) = (self.show_type(ty), self.describe(value));
        let code = if refusal == Refusal::Elem { Code::E0411 } else { Code::E0402 };
        let found = found.trim_matches('`');
        let message = format!("`{}` promises `{promised}` but returns `{found}`", decl.name.text);
        let mut diagnostic = Diagnostic::new(code, at, message);
        if let Some(ret) = decl.ret {
            diagnostic = diagnostic.label(self.frame.spec[ret].span, "promised here");
        }
        if let (Ty::Tensor { shape, .. }, Value::Tensor(t)) = (ty, value)
            && let Some((_, have)) = Self::odd_axis(shape, &t.shape)
        {
            let have_text = self.show(&have.size);
            // Under the caret of the fault itself it says nothing new.
            if have.made != at {
                let made = format!("this made the axis `{have_text}`");
                diagnostic = diagnostic.label(have.made, made);
            }
        }
        let help = format!("end with a value of `{promised}`, or promise what is returned");
        self.fail(diagnostic.help(help))
    }

    fn show_type(&self, ty: &Ty) -> String {
        match ty {
            Ty::Tensor { elem: Elem::Real, shape } => self.show_shape(shape),
            Ty::Tensor { elem, shape } if shape.is_scalar() => elem.show(&self.atoms),
            Ty::Tensor { elem, shape } => {
                format!("{}{}", elem.show(&self.atoms), self.show_shape(shape))
            }
            Ty::Tuple(types) => {
                let parts: Vec<_> = types.iter().map(|t| self.show_type(t)).collect();
                format!("({})", parts.join(", "))
            }
            Ty::Kind(kind) => kind.describe().to_string(),
        }
    }

    /// A value of a type, computed in some way from `used`.
    pub(super) fn some_value(&mut self, ty: &Ty, used: &[Id], span: Span) -> Eval<Value> {
        Ok(match ty {
            Ty::Tensor { elem, shape } => {
                // Axes are labelled with what made them: this call.
                let mut shape: Shape = shape.clone();
                shape.axes.iter_mut().for_each(|a| a.made = span);
                Value::Tensor(self.emit(Prim::Const(0.0), used, elem.clone(), shape, span)?)
            }
            Ty::Tuple(types) => Value::Tuple(
                types.iter().map(|ty| self.some_value(ty, used, span)).collect::<Eval<_>>()?,
            ),
            Ty::Kind(Kind::Real | Kind::Prob) => Value::Real(None),
            Ty::Kind(Kind::Int | Kind::Dim) => {
                Value::Size(self.atoms.fresh("a result", AtomKind::Config, None))
            }
            Ty::Kind(Kind::Bool) => Value::Bool(None),
            Ty::Kind(Kind::Str | Kind::Module) => Value::Hole,
        })
    }

    /// A scalar of the run, as `lr` and `t` of a rule are.
    pub(super) fn run_scalar(&mut self, prim: Prim, span: Span) -> Eval<Tensor> {
        self.emit(prim, &[], Elem::Scalar, Shape::scalar(), span)
    }
}

/// All values of the run in a value.
pub(super) fn ids(value: &Value, out: &mut Vec<Id>) {
    match value {
        Value::Tensor(t) => out.push(t.id),
        Value::Tuple(parts) => parts.iter().for_each(|p| ids(p, out)),
        Value::Size(_)
        | Value::Real(_)
        | Value::Bool(_)
        | Value::Str(_)
        | Value::None
        | Value::Module(_)
        | Value::Rest(_)
        | Value::Hole => {}
    }
}
