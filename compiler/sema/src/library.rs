//! All declarations of a compilation: the spec's own and the standard library's.
//!
//! In: syntax trees. Out: declarations by name, checked for all sizes, ready to be bound to a
//! configuration and traced for given sizes.

mod bind;

use std::collections::BTreeMap;
use std::sync::Arc;

use diag::{Code, Diagnostic, FileId, SourceMap, Span, without_repeats};
use syntax::ast::{self, DeclKind, ExprId};

use crate::Call;
use crate::trace::{self, Trace};
use crate::tracer::{Frame, MAX_STEPS, Tracer, builtin_names, data_rank, is_of_any_shape};

/// Who wrote a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// The standard library.
    Std,
    /// The spec.
    User,
    /// A file that it uses, by number.
    Used(u32),
}

/// A file of declarations.
#[derive(Debug, Clone)]
pub struct Declarations<'a> {
    /// Its tree.
    pub spec: &'a Arc<ast::Spec>,
    /// Who wrote it.
    pub by: Provenance,
    /// The files that it uses.
    pub uses: Vec<Used>,
}

impl<'a> From<(&'a Arc<ast::Spec>, Provenance)> for Declarations<'a> {
    fn from((spec, by): (&'a Arc<ast::Spec>, Provenance)) -> Self {
        Self { spec, by, uses: vec![] }
    }
}

/// A file that another one uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The name that its declarations are behind; without one they are names of the file itself.
    pub name: Option<String>,
    /// The file.
    pub by: Provenance,
}

/// What one file sees of others.
#[derive(Debug, Clone)]
struct Scope {
    by: Provenance,
    file: FileId,
    uses: Vec<Used>,
}

/// Files behind one another at most, as in `a.b.c.layer`.
const MAX_USES: usize = 64;

/// Declarations of one file that are checked: what one does not know may be any other.
const MAX_DECLARATIONS: usize = 1024;

/// E0005: a file holds more than a check should have to compare.
pub(crate) fn too_many(at: Span, most: usize, what: &str) -> Diagnostic {
    let wrong = format!("the file holds more than {most} {what}");
    Diagnostic::new(Code::E0005, at, wrong)
        .primary("one too many")
        .help("split it and join the parts with `use`")
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
    by_name: BTreeMap<String, Vec<usize>>,
    scopes: Vec<Scope>,
}

impl Library {
    /// Collects the declarations of the sources and checks the user's own for all sizes.
    ///
    /// A declaration of the user shadows one of the standard library; two of one kind and name by
    /// the same side are an error.
    pub fn load(sources: &[Declarations<'_>], map: &SourceMap) -> (Library, Vec<Diagnostic>) {
        let mut library = Library::default();
        let (mut diags, mut users) = (vec![], vec![]);
        for Declarations { spec, by, uses } in sources {
            assert!((spec.file.0 as usize) < map.iter().count(), "a tree of this source map");
            library.scopes.push(Scope { by: *by, file: spec.file, uses: uses.clone() });
            let first = library.entries.len();
            for &id in &spec.body {
                let ast::StmtKind::Decl(decl) = &spec[id].kind else { continue };
                let n = library.entries.len();
                if n - first == MAX_DECLARATIONS {
                    diags.push(too_many(decl.name.span, MAX_DECLARATIONS, "declarations"));
                } else if n - first < MAX_DECLARATIONS && *by != Provenance::Std {
                    users.push(n);
                }
                diags.extend(library.declared_twice(decl, *by));
                library.by_name.entry(decl.name.text.clone()).or_default().push(n);
                library.entries.push(Entry { spec: Arc::clone(spec), decl: decl.clone(), by: *by });
            }
        }
        diags.extend(library.opened_twice());
        diags.extend(library.check(users.into_iter()));
        // A signature is read again wherever it is called.
        (library, without_repeats(diags))
    }

    fn declared_twice(&self, decl: &ast::Decl, by: Provenance) -> Option<Diagnostic> {
        let clash = |e: &&Entry| {
            let same_kind = e.decl.kind == decl.kind || by != Provenance::Std;
            e.by == by && same_kind
        };
        let first = self.all_named(&decl.name.text).map(|i| &self.entries[i]).find(clash)?;
        let name = &decl.name;
        Some(
            Diagnostic::new(Code::E0205, name.span, format!("`{}` is declared twice", name.text))
                .label(first.decl.name.span, "first declared here")
                .help("give one of them another name"),
        )
    }

    /// Declarations that a file has twice: of its own, or of files whose names are its own.
    fn opened_twice(&self) -> Vec<Diagnostic> {
        let mut found = vec![];
        for scope in &self.scopes {
            let opened = scope.uses.iter().filter(|used| used.name.is_none());
            let mut sides: Vec<Provenance> = vec![scope.by];
            for used in opened {
                for e in self.entries.iter().filter(|e| e.by == used.by) {
                    let name = &e.decl.name;
                    let clash = |o: &&Entry| sides.contains(&o.by);
                    let first = self.all_named(&name.text).map(|i| &self.entries[i]).find(clash);
                    let Some(first) = first else { continue };
                    let wrong = format!("`{}` is declared twice", name.text);
                    found.push(
                        Diagnostic::new(Code::E0205, first.decl.name.span, wrong)
                            .label(name.span, "declared here too")
                            .note("a file that is used without `as` gives its names to the other")
                            .help("add `as` and a name to the `use` line"),
                    );
                }
                sides.push(used.by);
            }
        }
        found
    }

    /// Checks every declaration for all sizes, those of the standard library too.
    pub fn check_all(&self) -> Vec<Diagnostic> {
        self.check(0..self.entries.len())
    }

    /// Checks declarations until one is too large: what calls it would be walked as far as it.
    fn check(&self, decls: impl Iterator<Item = usize>) -> Vec<Diagnostic> {
        let (mut found, mut steps) = (vec![], 0);
        for decl in decls {
            found.extend(Tracer::check(self, decl, &mut steps));
            if steps > MAX_STEPS {
                break;
            }
        }
        found
    }

    /// What a name declares; a layer before a function of the same name.
    pub fn kind(&self, name: &str) -> Option<DeclKind> {
        self.resolve(name, Provenance::User).map(|i| self.decl(i).kind)
    }

    /// What a name declares in a file.
    pub(crate) fn kind_in(&self, file: FileId, name: &str) -> Option<DeclKind> {
        self.resolve(name, self.side_of(file)).map(|i| self.decl(i).kind)
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
                    let wrong = Diagnostic::new(Code::E0307, call.span, message);
                    return Err(vec![match name.as_str() {
                        "classes" => wrong
                            .note("it comes from the labels of the data")
                            .help("name them: `table(\"..\", text: .., label: ..)`"),
                        _ => wrong,
                    }]);
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

    /// Declarations of a name as seen from one side, the preferred first; `base.block` is one of
    /// a file that is used there.
    fn candidates<'l>(&'l self, name: &'l str, by: Provenance) -> impl Iterator<Item = usize> + 'l {
        let (side, name) = self.behind(name, by);
        let mut sides = vec![side];
        sides.extend(self.uses_of(side).iter().filter(|u| u.name.is_none()).map(|u| u.by));
        if side == by && by != Provenance::Std {
            sides.push(Provenance::Std);
        }
        let kinds = [DeclKind::Layer, DeclKind::Fn, DeclKind::Rule];
        sides.into_iter().flat_map(move |side| {
            kinds.into_iter().flat_map(move |kind| {
                self.all_named(name).filter(move |&i| {
                    let e = &self.entries[i];
                    e.by == side && e.decl.kind == kind
                })
            })
        })
    }

    /// The declarations of a name, of all files, in order.
    fn all_named<'l>(&'l self, name: &str) -> impl Iterator<Item = usize> + use<'l> {
        self.by_name.get(name).map_or(&[][..], Vec::as_slice).iter().copied()
    }

    fn uses_of(&self, by: Provenance) -> &[Used] {
        // The standard library is many files, none of which uses another.
        self.scopes.iter().find(|s| s.by == by).map_or(&[], |scope| &scope.uses)
    }

    /// The file that the words before the last one lead to.
    fn behind<'n>(&self, name: &'n str, by: Provenance) -> (Provenance, &'n str) {
        let (mut by, mut rest) = (by, name);
        for _ in 0..MAX_USES {
            let Some((first, after)) = rest.split_once('.') else { break };
            let used = self.uses_of(by).iter().find(|u| u.name.as_deref() == Some(first));
            let Some(used) = used else { break };
            (by, rest) = (used.by, after);
        }
        (by, rest)
    }

    /// Whether a name is that of a used file.
    pub(crate) fn is_use(&self, name: &str, by: Provenance) -> bool {
        self.uses_of(by).iter().any(|u| u.name.as_deref() == Some(name))
    }

    /// Who wrote the file of a tree; what the command line says is the user's.
    pub(crate) fn side_of(&self, file: FileId) -> Provenance {
        self.scopes.iter().find(|s| s.file == file).map_or(Provenance::User, |scope| scope.by)
    }

    /// A declaration as the spec itself calls it.
    pub(crate) fn called(&self, i: usize) -> String {
        let Entry { decl, by, .. } = &self.entries[i];
        let mut prefix = String::new();
        let mut at = *by;
        for _ in 0..MAX_USES {
            let uses = |s: &&Scope| s.by != at && s.uses.iter().any(|u| u.by == at);
            let Some(scope) = self.scopes.iter().find(uses).filter(|_| at != Provenance::User)
            else {
                break;
            };
            let used = scope.uses.iter().find(|u| u.by == at).and_then(|u| u.name.as_deref());
            prefix = used.map_or(prefix.clone(), |name| format!("{name}.{prefix}"));
            at = scope.by;
        }
        format!("{prefix}{}", decl.name.text)
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
        (0u32..).zip(&entry.spec.exprs).any(|(id, expr)| {
            let inside = body.start <= expr.span.start && expr.span.end <= body.end;
            let Some(name) = bind::dotted(&entry.spec, ExprId(id)) else { return false };
            let is_layer = || {
                let callee = self.resolve(&name, entry.by);
                callee.is_some_and(|c| c != i && self.decl(c).kind == DeclKind::Layer)
            };
            inside && (name == "param" || is_layer())
        })
    }
}
