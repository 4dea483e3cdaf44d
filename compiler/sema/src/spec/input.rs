//! What a check reads: texts as trees, and what was said on the command line.
//!
//! All of it is values: the driver has read the files and the environment.

use std::sync::Arc;

use diag::{Code, Diagnostic, SourceMap, Span};
use syntax::ast::{ExprId, ExprKind, Ident, Node, Spec, StmtKind, StrPart};

use super::Checker;
use super::overrides::{Override, masked_line};

/// Everything that a check needs but the data.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The file's stem.
    pub name: &'a str,
    /// The spec.
    pub spec: &'a Arc<Spec>,
    /// The standard library.
    pub std: &'a [&'a Arc<Spec>],
    /// All texts that spans point into.
    pub map: &'a SourceMap,
    /// The texts of `--set`.
    pub overrides: &'a [Override],
    /// Values of the spec's arguments: `--peak 1e-3`.
    pub options: &'a [CliOption],
    /// Variables of the environment that strings of the spec ask for, see [`variables`].
    pub environment: &'a [(String, String)],
    /// What the lines `use` name.
    pub imports: &'a [Import],
    /// The job to run; the last one of the file without.
    pub job: Option<&'a Ident>,
}

impl<'a> Input<'a> {
    /// A spec alone.
    pub fn new(
        name: &'a str,
        spec: &'a Arc<Spec>,
        std: &'a [&'a Arc<Spec>],
        map: &'a SourceMap,
    ) -> Self {
        let (overrides, options, environment, imports) = (&[], &[], &[], &[]);
        Self { name, spec, std, map, overrides, options, environment, imports, job: None }
    }

    /// With the texts of `--set`.
    pub fn with_overrides(self, overrides: &'a [Override]) -> Self {
        Self { overrides, ..self }
    }
}

/// A file that a line `use` names.
#[derive(Debug, Clone)]
pub struct Import {
    /// The path in that line.
    pub at: Span,
    /// Its folder, as seen from that of the spec: empty, or `lib`.
    pub folder: String,
    /// Its tree, which two lines may share; none where it could not be read, which is reported.
    pub spec: Option<Arc<Spec>>,
}

/// `--peak 1e-3`: a value for an argument of the spec.
#[derive(Debug, Clone)]
pub struct CliOption {
    /// The argument, with underscores: `data_dir`, `base.peak`.
    pub name: Ident,
    /// The value as it was given; none for a flag alone.
    pub value: Option<Ident>,
    /// The value, parsed as a line that starts with a word.
    pub(super) spec: Arc<Spec>,
    /// What the parser said of it, which does not matter to an argument that is a text.
    pub(super) faults: Vec<Diagnostic>,
}

impl CliOption {
    /// Parses a value and adds it to the map as a file of its own.
    pub fn parse(map: &mut SourceMap, name: &str, value: Option<&str>) -> Self {
        let name = name.replace('-', "_");
        let clean = value.map(|v| v.replace(['\n', '\r'], " "));
        let text = match &clean {
            Some(value) => format!("--{name} {value}"),
            None => format!("--{name}"),
        };
        let id = map.add(format!("<command line: --{name}>"), text.clone());
        let place = |byte: usize| u32::try_from(byte).expect("the command line is below 4 GiB");
        let word = 2..2 + name.len();
        let span = Span::new(id, place(word.start), place(word.end));
        let value = clean.map(|value| {
            let start = word.end + 1;
            let span = Span::new(id, place(start), place(start + value.len()));
            Ident { text: value, span }
        });
        // The last part of the name is a word of the language.
        let start = text[..word.end].rfind(['.', '-']).map_or(word.start, |i| i + 1);
        let (spec, faults) = masked_line(map, id, start..word.end, word.end);
        Self { name: Ident { text: name, span }, value, spec, faults }
    }

    /// The parsed line.
    pub(super) fn node(&self) -> Option<&Node> {
        node_of(&self.spec)
    }
}

/// The only line of a text, when it is one of words.
pub(super) fn node_of(spec: &Spec) -> Option<&Node> {
    match &spec[*spec.body.first()?].kind {
        StmtKind::Node(node) => Some(node),
        StmtKind::Use { .. } | StmtKind::Decl(_) | StmtKind::For { .. } | StmtKind::Error => None,
    }
}

/// The words after the first one of a line of the command line; what else stands there, a second
/// value or a block, is reported at the place given.
pub(super) fn words_of<'s>(
    cx: &mut Checker<'_>,
    spec: &'s Spec,
    (called, at): (&str, Span),
) -> Option<&'s [ExprId]> {
    let node = node_of(spec).filter(|_| spec.body.len() == 1);
    let is_plain = |node: &&Node| node.ty.or(node.value).is_none() && node.block.is_none();
    let Some(node) = node.filter(is_plain) else {
        let wrong = format!("`{called}` takes a value and nothing else");
        let wrong = Diagnostic::new(Code::E0301, at, wrong);
        cx.report(wrong.help("write it without `:`, `=` and braces"));
        return None;
    };
    Some(&node.groups[0][1..])
}

/// Variables of the environment that strings of a spec name, each once.
pub fn variables(spec: &Spec) -> Vec<&str> {
    let strings = spec.exprs.iter().filter_map(|e| match &e.kind {
        ExprKind::Str(text) => Some(text),
        ExprKind::Name(_)
        | ExprKind::Number(_)
        | ExprKind::Bool(_)
        | ExprKind::None
        | ExprKind::Tuple(_)
        | ExprKind::List(_)
        | ExprKind::If { .. }
        | ExprKind::Call { .. }
        | ExprKind::Index { .. }
        | ExprKind::Field { .. }
        | ExprKind::Unary { .. }
        | ExprKind::Binary { .. } => None,
    });
    let mut found: Vec<&str> = strings
        .flat_map(|text| &text.parts)
        .filter_map(|part| match part {
            StrPart::Name { path, .. } => match path.as_slice() {
                [env, name] if env == "env" => Some(name.as_str()),
                _ => None,
            },
            StrPart::Text(_) => None,
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
