//! Where walks begin: a check for all sizes, a call traced, a value of a file.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, DeclKind, ExprId, Param};

use super::call::ids;
use super::signature::{Bound, Sizes};
use super::types::{Kind, Ty, kind_of, shape_parts};
use super::value::{Elem, Module, ModuleKind, Tensor, Value};
use super::{Eval, Frame, Mode, Stop, Tracer};
use crate::dim::{AtomKind, Atoms, Poly};
use crate::library::{Ambient, Library};
use crate::shape::{Axis, Shape};
use crate::trace::{self, Id, Input, Prim, Trace};

impl<'a> Tracer<'a> {
    /// A walk in a frame.
    pub(crate) fn new(lib: &'a Library, mode: Mode, frame: Frame, context: Option<u64>) -> Self {
        let mut atoms = Atoms::default();
        let value = context.and_then(|n| i64::try_from(n).ok());
        let context = atoms.fresh("context", AtomKind::Config, value);
        Tracer {
            lib,
            mode,
            atoms,
            frame,
            diags: vec![],
            out: Trace::default(),
            deps: vec![],
            params: BTreeMap::new(),
            context,
            masked: None,
            want_real: false,
            steps: 0,
            depth: 0,
            n_rests: 0,
            stack: vec![],
        }
    }

    /// Checks a declaration for all sizes; `steps` were made for others, and grow.
    pub(crate) fn check(lib: &Library, decl: usize, steps: &mut u64) -> Vec<Diagnostic> {
        let mut tracer = Tracer::new(lib, Mode::Check, lib.frame(decl), None);
        tracer.steps = *steps;
        let result = tracer.check_decl(decl);
        if let Ok(value) = result {
            tracer.unused_params(&value);
        }
        *steps = tracer.steps;
        tracer.diags
    }

    fn check_decl(&mut self, decl: usize) -> Eval<Value> {
        let lib = self.lib;
        let declared = lib.decl(decl);
        let takes_data = declared.kind != DeclKind::Fn;
        for param in &declared.params {
            let value = match kind_of(&self.frame.spec, param.ty) {
                Some(kind) => self.any_of(kind, &param.name.text),
                None => continue,
            };
            self.bind(&param.name.text, value);
        }
        let data =
            if takes_data { declared.data.as_deref().unwrap_or(&[]) } else { &declared.params };
        self.frame.in_signature = true;
        for param in data {
            if let Some(ty) = param.ty {
                self.invent_sizes(ty);
            }
        }
        for param in data {
            let value = self.any_data(param, takes_data)?;
            self.bind(&param.name.text, value);
        }
        self.frame.in_signature = false;
        // What the file provides is not known here.
        for size in ["data.vocab", "data.classes", "data.pad"] {
            self.bind(size, Value::Hole);
        }
        for param in &declared.params {
            if let (Some(kind), Some(default)) =
                (kind_of(&self.frame.spec, param.ty), param.default)
            {
                let at = self.frame.spec[default].span;
                self.argument(Some(kind), &param.name.text, default, at)?;
            }
        }
        self.body(decl)
    }

    /// A static value of a kind, not known.
    fn any_of(&mut self, kind: Kind, name: &str) -> Value {
        match kind {
            Kind::Dim | Kind::Int => Value::Size(self.atoms.fresh(name, AtomKind::Config, None)),
            Kind::Real | Kind::Prob => Value::Real(None),
            Kind::Bool => Value::Bool(None),
            Kind::Str => Value::Hole,
            Kind::Module => {
                let built = self.frame.spec.exprs.first().map(|e| e.span);
                let built = built.unwrap_or(Span::new(self.frame.spec.file, 0, 0));
                let kind = ModuleKind::Opaque;
                Value::Module(Rc::new(Module {
                    kind,
                    path: Some(name.into()),
                    name: Some(name.into()),
                    built,
                }))
            }
        }
    }

    /// The value of a data parameter while it is checked.
    fn any_data(&mut self, param: &Param, takes_data: bool) -> Eval<Value> {
        let kind = kind_of(&self.frame.spec, param.ty);
        match (kind, param.ty) {
            (Some(Kind::Dim), _) => {
                let size = self.atoms.fresh(&param.name.text, AtomKind::Data, None);
                Ok(Value::Size(size))
            }
            (Some(_), _) if takes_data => {
                self.run_scalar(Prim::Input(0), param.span).map(Value::Tensor)
            }
            (Some(_), _) => self.lookup(&param.name.text).cloned().ok_or(Stop),
            (None, Some(ty)) => {
                let span = self.frame.spec[ty].span;
                let ty = self.ty(ty)?;
                self.some_value(&ty, &[], span)
            }
            (None, None) => {
                let name = &param.name.text;
                let diagnostic =
                    Diagnostic::new(Code::E0301, param.span, format!("`{name}` has no type"))
                        .help(format!("write `{name}: [b, t, d]`"));
                Err(self.fail(diagnostic))
            }
        }
    }

    /// W0413: parameters that the result does not depend on.
    fn unused_params(&mut self, result: &Value) {
        let mut reached = vec![false; self.deps.len()];
        let mut open: Vec<Id> = Vec::new();
        ids(result, &mut open);
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut reached[id.0 as usize], true) {
                open.extend(&self.deps[id.0 as usize]);
            }
        }
        let holes = matches!(result, Value::Hole)
            || self.diags.iter().any(|d| d.code.name().starts_with('E'));
        if holes {
            return;
        }
        for (name, span, id) in std::mem::take(&mut self.frame.declared) {
            if !reached[id.0 as usize] {
                let message = format!("`param {name}` never reaches the result");
                let diagnostic = Diagnostic::new(Code::W0413, span, message)
                    .note("it gets no gradient and never changes")
                    .help("use it, or delete the line");
                self.diags.push(diagnostic);
            }
        }
    }

    /// Traces a declaration for given sizes.
    pub(crate) fn trace(
        lib: &Library,
        decl: usize,
        config: Vec<(String, Value)>,
        inputs: &[trace::Type],
        ambient: Ambient,
        at: Span,
    ) -> Result<Trace, Vec<Diagnostic>> {
        let mode = Mode::Trace(at);
        let mut tracer = Tracer::new(lib, mode, lib.frame(decl), Some(ambient.context));
        match tracer.trace_decl(decl, config, inputs, at) {
            Ok(()) => Ok(tracer.out),
            Err(Stop) => Err(tracer.diags),
        }
    }

    fn trace_decl(
        &mut self,
        decl: usize,
        config: Vec<(String, Value)>,
        inputs: &[trace::Type],
        at: Span,
    ) -> Eval<()> {
        let lib = self.lib;
        let declared = lib.decl(decl);
        let n_data = match declared.kind {
            DeclKind::Fn => inputs.len().min(declared.params.len()),
            DeclKind::Layer | DeclKind::Rule => 0,
        };
        for (name, value) in config {
            if declared.params[..n_data].iter().any(|p| p.name.text == name) {
                continue;
            }
            let value = self.own_static(&name, value);
            self.bind(&name, value);
        }
        let data = match declared.kind {
            DeclKind::Fn => &declared.params[..n_data],
            DeclKind::Layer | DeclKind::Rule => declared.data.as_deref().unwrap_or(&[]),
        };
        if data.len() != inputs.len() {
            let name = &declared.name.text;
            let message = format!("`{name}` takes {} values, found {}", data.len(), inputs.len());
            return Err(self.error(Code::E0401, at, message));
        }
        for (param, input) in data.iter().zip(inputs) {
            if let Some(ty) = param.ty {
                let actual = Value::Tensor(given(input, param.span));
                self.match_sizes(ty, &actual, Sizes::Own);
            }
        }
        for (i, (param, input)) in data.iter().zip(inputs).enumerate() {
            let value = self.input(i, param, input, at)?;
            self.bind(&param.name.text, value);
        }
        self.stack.push(decl);
        let value = self.body(decl)?;
        let value = match value {
            x @ (Value::Size(_) | Value::Real(_)) => {
                Value::Tensor(self.scalar(&x, &Elem::Scalar, at)?)
            }
            other => other,
        };
        let mut outputs = Vec::new();
        ids(&value, &mut outputs);
        self.out.outputs = outputs;
        Ok(())
    }

    /// A static argument inside the declaration: a size becomes an atom of its own.
    fn own_static(&mut self, name: &str, value: Value) -> Value {
        match value {
            Value::Size(size) => {
                let value = self.atoms.value(&size);
                Value::Size(self.atoms.fresh(name, AtomKind::Config, value))
            }
            Value::Module(module) if module.path.is_none() => {
                let path = Some(name.to_string());
                Value::Module(Rc::new(Module { path, ..(*module).clone() }))
            }
            other => other,
        }
    }

    fn input(&mut self, i: usize, param: &Param, input: &trace::Type, at: Span) -> Eval<Value> {
        let name = param.name.text.clone();
        self.out.inputs.push(Input { name: name.clone(), ty: input.clone() });
        let scalar = input.elem == trace::Elem::Scalar && input.shape.is_empty();
        if kind_of(&self.frame.spec, param.ty).is_some() {
            if !scalar {
                let message = format!("`{name}` takes a scalar");
                return Err(self.error(Code::E0401, at, message));
            }
            return self.run_scalar(Prim::Input(i), param.span).map(Value::Tensor);
        }
        let Some(ty) = param.ty else { return Err(Stop) };
        let actual = given(input, param.span);
        let fits = shape_parts(&self.frame.spec, ty).is_none_or(|(_, elems)| {
            let n = elems.iter().filter(|e| matches!(e, ast::Elem::Arg(_))).count();
            n == input.shape.len() || (n < elems.len() && n < input.shape.len())
        });
        let wanted = if fits { self.ty(ty)? } else { Ty::Tuple(vec![]) };
        let Ty::Tensor { elem, shape } = &wanted else {
            let message = format!("`{name}` is given {} axes", input.shape.len());
            return Err(self.error(Code::E0401, at, message));
        };
        let sizes = self.numbers(shape, at)?;
        let elem_fits = match (elem, &actual.elem) {
            (Elem::Ids(_), Elem::Ids(_)) => true,
            (formal, actual) => formal == actual || (formal.is_float() && actual.is_float()),
        };
        if sizes != input.shape || !elem_fits {
            let takes = self.show_formal(ty);
            let message = format!("`{name}` takes `{takes}` but is given `{:?}`", input.shape);
            return Err(self.error(Code::E0401, at, message));
        }
        if let (Elem::Ids(most), trace::Elem::Ids(n)) = (elem, input.elem) {
            let rows = self.number_of(&most.clone(), at)?;
            if n > rows {
                let message = format!("data ids go to {n} but `{name}` takes ids below {rows}");
                return Err(self.error(Code::E0701, at, message));
            }
        }
        // The element type is the one of the data, so that the instruction says what comes in; a
        // rule keeps what it is given, because weights are updated in their own precision.
        let is_rule = self.frame.kind == Some(DeclKind::Rule);
        let elem = match (elem, &actual.elem) {
            (Elem::Ids(_), _) => actual.elem.clone(),
            (Elem::Real, _) if is_rule => actual.elem.clone(),
            (elem, _) => elem.clone(),
        };
        let given = self.emit(Prim::Input(i), &[], elem, shape.clone(), param.span)?;
        Ok(Value::Tensor(match wanted {
            Ty::Tensor { elem: elem @ Elem::Ids(_), .. } => Tensor { elem, ..given },
            Ty::Tensor { .. } | Ty::Tuple(_) | Ty::Kind(_) => given,
        }))
    }

    /// A walk over expressions at file level, with these names.
    pub(crate) fn at_file_level(
        lib: &'a Library,
        spec: &Arc<ast::Spec>,
        names: Vec<(String, Value)>,
    ) -> Tracer<'a> {
        let frame = Frame {
            spec: spec.clone(),
            by: lib.side_of(spec.file),
            kind: None,
            layer: String::new(),
            env: names,
            path: String::new(),
            suffix: String::new(),
            unnamed: 0,
            states: vec![],
            declared: vec![],
            in_signature: false,
            unread: false,
        };
        Tracer::new(lib, Mode::Check, frame, None)
    }

    /// The value of an expression at file level.
    pub(crate) fn static_value(mut self, expr: ExprId) -> Result<Value, Vec<Diagnostic>> {
        match self.eval(expr) {
            Ok(value) => Ok(value),
            Err(Stop) if self.diags.is_empty() => Ok(Value::Hole),
            Err(Stop) => Err(self.diags),
        }
    }

    /// The configuration of a call at file level; data parameters of a function stay open.
    pub(crate) fn static_args(
        mut self,
        decl: usize,
        args: &[ast::Arg],
        open: usize,
        span: Span,
    ) -> Result<Vec<Bound>, Vec<Diagnostic>> {
        let bound = self.bind_args(decl, args, None, open, span);
        match bound {
            Ok(bound) if self.diags.is_empty() => Ok(bound),
            Ok(_) | Err(Stop) => Err(self.diags),
        }
    }
}

/// A value of a type with its sizes as numbers.
fn given(ty: &trace::Type, span: Span) -> Tensor {
    let size = |n: u64| Poly::constant(i64::try_from(n).unwrap_or(i64::MAX));
    let axes = ty.shape.iter().map(|&n| Axis { size: size(n), made: span }).collect();
    let elem = match ty.elem {
        trace::Elem::Real => Elem::Real,
        trace::Elem::Fp32 => Elem::Fp32,
        trace::Elem::Scalar => Elem::Scalar,
        trace::Elem::Int => Elem::Int,
        trace::Elem::Bool => Elem::Bool,
        trace::Elem::Ids(n) => Elem::Ids(size(n)),
    };
    Tensor { id: Id(0), elem, shape: Shape::of(axes) }
}
