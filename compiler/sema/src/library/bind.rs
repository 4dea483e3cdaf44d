//! Configuration calls at file level: names, arguments, defaults.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what is neither a call nor a name is refused alike"
)]

use std::sync::Arc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, Arg, DeclKind, ExprId, ExprKind};

use super::{Library, Provenance};
use crate::dim::Poly;
use crate::schema::{foreign_value, nearest};
use crate::tracer::Tracer;
use crate::tracer::value::{Module, ModuleKind, Value};
use crate::{Call, StaticArg, StaticEnv};

impl Library {
    /// Binds a configuration call `name(args)`, or a bare `name`, to a declaration of that kind.
    ///
    /// Checks kinds, ranges, unknown and missing arguments, and fills in defaults. An argument
    /// whose value is not known yet is bound to [`StaticArg::Unknown`]. The data parameters of a
    /// `fn`, the leading ones without a default, stay open.
    ///
    /// # Errors
    /// What is wrong with the call.
    pub fn bind(
        &self,
        spec: &Arc<ast::Spec>,
        expr: ExprId,
        want: DeclKind,
        env: &StaticEnv,
    ) -> Result<Call, Vec<Diagnostic>> {
        let span = spec[expr].span;
        let (callee, args) = match &spec[expr].kind {
            ExprKind::Call { callee, args } => (*callee, args.as_slice()),
            _ => (expr, &[][..]),
        };
        let Some(name) = dotted(spec, callee) else {
            let message = format!("expected a {}, as `name(..)`", word(want));
            let wrong = Diagnostic::new(Code::E0301, span, message);
            return Err(vec![match in_quotes(spec, callee) {
                Some(name) => wrong.fix("names have no quotes", spec[callee].span, name),
                None => wrong,
            }]);
        };
        let decl = self.named(&name, want, (spec[callee].span, self.side_of(spec.file)))?;
        self.bind_to(decl, spec, args, env, span)
    }

    /// Whether a declaration of that name and kind has an argument of that name.
    pub(crate) fn declares(&self, spec: &ast::Spec, name: &str, want: DeclKind, arg: &str) -> bool {
        let mut found = self.candidates(name, self.side_of(spec.file));
        let decl = found.find(|&i| self.decl(i).kind == want);
        decl.is_some_and(|i| self.decl(i).params.iter().any(|p| p.name.text == arg))
    }

    /// Binds a declaration to nothing but its defaults; `span` is what asks for it.
    ///
    /// # Errors
    /// An unknown name, or an argument without a default.
    pub fn bind_defaults(&self, name: &str, span: Span) -> Result<Call, Vec<Diagnostic>> {
        let Some(decl) = self.resolve(name, Provenance::User) else {
            let message = format!("`{name}` is not defined");
            return Err(vec![Diagnostic::new(Code::E0202, span, message)]);
        };
        let spec = self.spec(decl);
        self.bind_to(decl, &spec, &[], &StaticEnv::new(), span)
    }

    /// The static value of an expression: numbers, arithmetic and the names of `env`.
    ///
    /// A value that depends on one not known yet is [`StaticArg::Unknown`].
    ///
    /// # Errors
    /// An unknown name, a kind that does not fit, or a fault of arithmetic.
    #[allow(clippy::result_large_err, reason = "made once, where compilation ends")]
    pub fn eval_static(
        &self,
        spec: &Arc<ast::Spec>,
        expr: ExprId,
        env: &StaticEnv,
    ) -> Result<StaticArg, Diagnostic> {
        let tracer = Tracer::at_file_level(self, spec, self.names_of(env));
        let fault = match tracer.static_value(expr) {
            Ok(value) => match self.static_arg(&value, spec[expr].span) {
                Some(arg) => return Ok(arg),
                None => None,
            },
            Err(diags) => diags.into_iter().next(),
        };
        let message = "this is not a value known before the run";
        Err(fault.unwrap_or_else(|| Diagnostic::new(Code::E0301, spec[expr].span, message)))
    }

    fn named(
        &self,
        name: &str,
        want: DeclKind,
        (span, by): (Span, Provenance),
    ) -> Result<usize, Vec<Diagnostic>> {
        let found = self.candidates(name, by).find(|&i| self.decl(i).kind == want);
        if let Some(decl) = found {
            return Ok(decl);
        }
        let kind = word(want);
        let mut diagnostic = match self.resolve(name, by).map(|i| self.decl(i).kind) {
            Some(other) => {
                let message = format!("`{name}` is a {}, expected a {kind}", word(other));
                Diagnostic::new(Code::E0301, span, message)
            }
            None => Diagnostic::new(Code::E0202, span, format!("`{name}` is not defined"))
                .primary(format!("no {kind} of this name")),
        };
        let lists: &[&str] = match want {
            DeclKind::Rule => &["optimizer"],
            DeclKind::Fn => &["schedule", "loss"],
            DeclKind::Layer => &[],
        };
        if let Some(meant) = lists.iter().find_map(|list| foreign_value(list, name)) {
            diagnostic = diagnostic.fix(format!("`{name}` is called `{meant}` here"), span, meant);
        } else if let Some(near) = nearest(name, self.names(want)) {
            diagnostic = diagnostic.fix(format!("did you mean `{near}`?"), span, near);
        }
        Err(vec![diagnostic])
    }

    fn bind_to(
        &self,
        decl: usize,
        spec: &Arc<ast::Spec>,
        args: &[Arg],
        env: &StaticEnv,
        span: Span,
    ) -> Result<Call, Vec<Diagnostic>> {
        let declared = self.decl(decl);
        let open = match declared.kind {
            DeclKind::Fn => declared.params.iter().take_while(|p| p.default.is_none()).count(),
            DeclKind::Layer | DeclKind::Rule => 0,
        };
        given_by_the_run(declared, open, args)?;
        let tracer = Tracer::at_file_level(self, spec, self.names_of(env));
        let bound = tracer.static_args(decl, args, open, span)?;
        let mut call = Call { name: self.called(decl), args: vec![], written: vec![], span };
        for bound in bound {
            let Some(arg) = self.static_arg(&bound.value, bound.at) else {
                let message = format!("`{}` needs a value known before the run", bound.name);
                return Err(vec![Diagnostic::new(Code::E0301, bound.at, message)]);
            };
            if bound.written {
                call.written.push(bound.name.clone());
            }
            call.args.push((bound.name, arg));
        }
        Ok(call)
    }

    fn names_of(&self, env: &StaticEnv) -> Vec<(String, Value)> {
        env.iter()
            .map(|(name, value)| (name.to_owned(), self.static_value(value).unwrap_or(Value::Hole)))
            .collect()
    }

    /// As the tracer knows it; nothing for a value that is not known.
    pub(super) fn static_value(&self, arg: &StaticArg) -> Option<Value> {
        Some(match arg {
            StaticArg::Int(n) => Value::Size(Poly::constant(*n)),
            StaticArg::Real(x) => Value::Real(Some(*x)),
            StaticArg::Bool(b) => Value::Bool(Some(*b)),
            StaticArg::Str(s) => Value::Str(s.clone()),
            StaticArg::None => Value::None,
            StaticArg::Module(call) => {
                let decl = self.callee(call)?;
                let args = call
                    .args
                    .iter()
                    .map(|(name, arg)| Some((name.clone(), self.static_value(arg)?)));
                let kind = ModuleKind::Layer { decl, args: args.collect::<Option<_>>()? };
                let module = Module { kind, path: None, name: None, built: call.span };
                Value::Module(module.into())
            }
            StaticArg::Unknown => return None,
        })
    }

    /// As callers know it; nothing for a value of the run.
    fn static_arg(&self, value: &Value, span: Span) -> Option<StaticArg> {
        Some(match value {
            Value::Size(size) => size.as_constant().map_or(StaticArg::Unknown, StaticArg::Int),
            Value::Real(x) => x.map_or(StaticArg::Unknown, StaticArg::Real),
            Value::Bool(b) => b.map_or(StaticArg::Unknown, StaticArg::Bool),
            Value::Str(s) => StaticArg::Str(s.clone()),
            Value::None => StaticArg::None,
            Value::Hole => StaticArg::Unknown,
            Value::Module(module) => {
                let ModuleKind::Layer { decl, args } = &module.kind else { return None };
                let args = args
                    .iter()
                    .map(|(name, value)| Some((name.clone(), self.static_arg(value, span)?)));
                let args = args.collect::<Option<Vec<_>>>()?;
                let name = self.called(*decl);
                StaticArg::Module(Box::new(Call { name, args, written: vec![], span }))
            }
            Value::Tensor(_) | Value::Tuple(_) | Value::Rest(_) => return None,
        })
    }
}

/// A name, maybe behind that of a used file.
pub(super) fn dotted(spec: &ast::Spec, expr: ExprId) -> Option<String> {
    match &spec[expr].kind {
        ExprKind::Name(name) => Some(name.clone()),
        ExprKind::Field { base, name } => Some(format!("{}.{}", dotted(spec, *base)?, name.text)),
        _ => None,
    }
}

/// The name in a string that is nothing else.
fn in_quotes(spec: &ast::Spec, expr: ExprId) -> Option<String> {
    let ExprKind::Str(text) = &spec[expr].kind else { return None };
    let is_name = |text: &String| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    text.plain().filter(is_name)
}

fn word(kind: DeclKind) -> &'static str {
    match kind {
        DeclKind::Layer => "layer",
        DeclKind::Fn => "function",
        DeclKind::Rule => "rule",
    }
}

/// Refuses names for what a function is called with: the step of a schedule, the logits of a loss.
fn given_by_the_run(
    declared: &ast::Decl,
    open: usize,
    args: &[Arg],
) -> Result<(), Vec<Diagnostic>> {
    // Two values of the run; what else has no default is an argument like others.
    let (given, own) = declared.params.split_at(open.min(2));
    let own: Vec<&str> = own.iter().map(|p| p.name.text.as_str()).collect();
    let names = args.iter().filter_map(|arg| arg.name.as_ref());
    let Some(wrong) = names.into_iter().find(|name| {
        let is_given = given.iter().any(|p| p.name.text == name.text);
        open > 0 && (is_given || !own.contains(&name.text.as_str()))
    }) else {
        return Ok(());
    };
    let callee = &declared.name.text;
    let message = format!("`{callee}` has no argument `{}`", wrong.text);
    let diagnostic = Diagnostic::new(Code::E0305, wrong.span, message);
    let diagnostic = match nearest(&wrong.text, own.iter().copied()) {
        Some(near) => diagnostic.fix(format!("did you mean `{near}`?"), wrong.span, near),
        None if own.is_empty() => diagnostic.help("it takes no arguments"),
        None => diagnostic.help(format!("it takes {}", own.join(", "))),
    };
    let given: Vec<String> = given.iter().map(|p| format!("`{}`", p.name.text)).collect();
    Err(vec![diagnostic.note(format!("the run gives it {}", given.join(" and ")))])
}
