//! All declarations of a compilation: the spec's own and the standard library's.
//!
//! In: syntax trees. Out: declarations by name, checked for all sizes, ready to be bound to a
//! configuration and traced for given sizes.

mod bind;

use std::sync::Arc;

use diag::{Code, Diagnostic, SourceMap};
use syntax::ast::{self, DeclKind, ExprKind};

use crate::Call;
use crate::trace::{self, Trace};
use crate::tracer::{Frame, Tracer, builtin_names, data_rank, is_of_any_shape};

/// Who wrote a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// The standard library.
    Std,
    /// The spec, or a file it uses.
    User,
}

/// Sizes that every layer can name without taking them as arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambient {
    /// Tokens a sequence.
    pub context: u64,
}

/// A declaration and the tree it stands in.
#[derive(Debug, Clone)]
struct Entry {
    spec: Arc<ast::Spec>,
    decl: ast::Decl,
    by: Provenance,
}

/// Declarations by name.
#[derive(Debug, Clone, Default)]
pub struct Library {
    entries: Vec<Entry>,
}

impl Library {
    /// Collects the declarations of the sources and checks the user's own for all sizes.
    ///
    /// A declaration of the user shadows one of the standard library; two of one kind and name by
    /// the same side are an error.
    pub fn load(
        sources: &[(&ast::Spec, Provenance)],
        map: &SourceMap,
    ) -> (Library, Vec<Diagnostic>) {
        let mut library = Library::default();
        let mut diags = Vec::new();
        for &(spec, by) in sources {
            assert!((spec.file.0 as usize) < map.iter().count(), "a tree of this source map");
            let spec = Arc::new(spec.clone());
            for &id in &spec.body {
                let ast::StmtKind::Decl(decl) = &spec[id].kind else { continue };
                diags.extend(library.declared_twice(decl, by));
                library.entries.push(Entry { spec: spec.clone(), decl: decl.clone(), by });
            }
        }
        let users = |i: &usize| library.entries[*i].by == Provenance::User;
        for i in (0..library.entries.len()).filter(users) {
            diags.extend(Tracer::check(&library, i));
        }
        (library, diags)
    }

    fn declared_twice(&self, decl: &ast::Decl, by: Provenance) -> Option<Diagnostic> {
        let clash = |e: &&Entry| {
            let same_kind = e.decl.kind == decl.kind || by == Provenance::User;
            e.by == by && e.decl.name.text == decl.name.text && same_kind
        };
        let first = self.entries.iter().find(clash)?;
        let name = &decl.name;
        Some(
            Diagnostic::new(Code::E0205, name.span, format!("`{}` is declared twice", name.text))
                .label(first.decl.name.span, "first declared here"),
        )
    }

    /// Checks every declaration for all sizes, those of the standard library too.
    pub fn check_all(&self) -> Vec<Diagnostic> {
        (0..self.entries.len()).flat_map(|i| Tracer::check(self, i)).collect()
    }

    /// What a name declares; a layer before a function of the same name.
    pub fn kind(&self, name: &str) -> Option<DeclKind> {
        self.resolve(name, Provenance::User).map(|i| self.decl(i).kind)
    }

    /// All names of a kind, in order of declaration.
    pub fn names(&self, kind: DeclKind) -> Vec<&str> {
        let of_kind = self.entries.iter().filter(|e| e.decl.kind == kind);
        of_kind.map(|e| e.decl.name.text.as_str()).collect()
    }

    /// What a call computes for data of these types, which are in the order of the data parameters.
    ///
    /// # Errors
    /// Sizes that the declaration does not take.
    pub fn trace(
        &self,
        call: &Call,
        inputs: &[trace::Type],
        ambient: &Ambient,
    ) -> Result<Trace, Vec<Diagnostic>> {
        let Some(decl) = self.callee(call) else {
            let message = format!("`{}` is not declared", call.name);
            return Err(vec![Diagnostic::new(Code::E0202, call.span, message)]);
        };
        let mut config = Vec::new();
        for (name, arg) in &call.args {
            match self.static_value(arg) {
                Some(value) => config.push((name.clone(), value)),
                None => {
                    let message = format!("the value of `{name}` is not known");
                    return Err(vec![Diagnostic::new(Code::E0307, call.span, message)]);
                }
            }
        }
        Tracer::trace(self, decl, config, inputs, *ambient, call.span)
    }

    /// The number of axes that the first data parameter has, where its declaration fixes it.
    pub(crate) fn data_rank(&self, call: &Call) -> Option<usize> {
        let decl = self.callee(call)?;
        data_rank(&self.spec(decl), self.decl(decl))
    }

    /// Whether the first data parameter may have any shape.
    pub(crate) fn is_of_any_shape(&self, call: &Call) -> bool {
        let decl = self.callee(call);
        decl.is_some_and(|decl| is_of_any_shape(&self.spec(decl), self.decl(decl)))
    }

    /// The declaration a call was bound to: of one name and with these arguments.
    fn callee(&self, call: &Call) -> Option<usize> {
        let takes_all = |&i: &usize| {
            let params = &self.decl(i).params;
            call.args.iter().all(|(name, _)| params.iter().any(|p| p.name.text == *name))
                && (self.decl(i).kind == DeclKind::Fn
                    || params.iter().all(|p| call.args.iter().any(|(n, _)| *n == p.name.text)))
        };
        self.candidates(&call.name, Provenance::User).find(takes_all)
    }

    /// Declarations of a name as seen from one side, the preferred first.
    fn candidates<'l>(&'l self, name: &'l str, by: Provenance) -> impl Iterator<Item = usize> + 'l {
        let sides = match by {
            Provenance::User => &[Provenance::User, Provenance::Std][..],
            Provenance::Std => &[Provenance::Std][..],
        };
        let kinds = [DeclKind::Layer, DeclKind::Fn, DeclKind::Rule];
        sides.iter().flat_map(move |&side| {
            kinds.into_iter().flat_map(move |kind| {
                (0..self.entries.len()).filter(move |&i| {
                    let e = &self.entries[i];
                    e.by == side && e.decl.kind == kind && e.decl.name.text == name
                })
            })
        })
    }

    /// The declaration a name stands for in code of that side.
    pub(crate) fn resolve(&self, name: &str, by: Provenance) -> Option<usize> {
        self.candidates(name, by).next()
    }

    /// A declaration.
    pub(crate) fn decl(&self, i: usize) -> &ast::Decl {
        &self.entries[i].decl
    }

    /// The tree a declaration stands in.
    pub(crate) fn spec(&self, i: usize) -> Arc<ast::Spec> {
        self.entries[i].spec.clone()
    }

    /// A frame to walk a declaration in, without names yet.
    pub(crate) fn frame(&self, i: usize) -> Frame {
        let Entry { spec, decl, by } = &self.entries[i];
        Frame {
            spec: spec.clone(),
            by: *by,
            kind: Some(decl.kind),
            layer: decl.name.text.clone(),
            env: vec![],
            path: String::new(),
            suffix: String::new(),
            unnamed: 0,
            states: vec![],
            declared: vec![],
            in_signature: false,
            unread: false,
        }
    }

    /// Everything that can be called, for suggestions.
    pub(crate) fn callable_names(&self) -> impl Iterator<Item = &str> {
        let declared = self.entries.iter().map(|e| e.decl.name.text.as_str());
        declared.chain(builtin_names().iter().copied())
    }

    /// Whether a layer, or one that it builds, has parameters of its own.
    pub(crate) fn has_params(&self, i: usize) -> bool {
        let entry = &self.entries[i];
        let body = entry.decl.body.span;
        entry.spec.exprs.iter().any(|expr| {
            let inside = body.start <= expr.span.start && expr.span.end <= body.end;
            let ExprKind::Name(name) = &expr.kind else { return false };
            let is_layer = || {
                let callee = self.resolve(name, entry.by);
                callee.is_some_and(|c| c != i && self.decl(c).kind == DeclKind::Layer)
            };
            inside && (name == "param" || is_layer())
        })
    }
}
