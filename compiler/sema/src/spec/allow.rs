//! `allow W0512 "reason"`: the lints that a spec silences, and where.
//!
//! In a `data` block a code holds for what lies there, in `train` for everything that lies in no
//! other block, at file level for all. The reason is required and read by people only.

use diag::lints::{Allow, Scope, lint, near};
use diag::{Code, Diagnostic, SourceMap, Span};
use syntax::ast::{Expr, ExprKind, Node, Spec, Stmt, StmtKind};

use super::file::MAX_BLOCKS;
use super::words::word;
use crate::schema::Home;

/// The word.
pub(super) const ALLOW: &str = "allow";

/// Every `allow` of a spec, and what is wrong with some.
pub fn allows(spec: &Spec, map: &SourceMap) -> (Vec<Allow>, Vec<Diagnostic>) {
    let (mut allows, mut diagnostics) = (vec![], vec![]);
    let blocks = spec.body.iter().filter_map(|id| block(spec, &spec[*id]));
    let blocks: Vec<(Home, &Stmt)> = blocks.take(MAX_BLOCKS).collect();
    for &id in &spec.body {
        let stmt = &spec[id];
        read(spec, map, stmt, &Scope::All, &mut allows, &mut diagnostics);
    }
    for (n, &(home, stmt)) in blocks.iter().enumerate() {
        let scope = match home {
            Home::Data => Scope::Within(stmt.span),
            Home::Train => {
                let others = blocks.iter().enumerate().filter(|(other, _)| *other != n);
                Scope::Outside(others.map(|(_, (_, stmt))| stmt.span).collect())
            }
        };
        let StmtKind::Node(Node { block: Some(block), .. }) = &stmt.kind else { continue };
        for &id in &block.stmts {
            read(spec, map, &spec[id], &scope, &mut allows, &mut diagnostics);
        }
    }
    (allows, diagnostics)
}

/// Whether a line is an `allow`.
pub(super) fn is_allow(spec: &Spec, node: &Node) -> bool {
    node.groups[0].first().and_then(|&e| word(spec, e)) == Some(ALLOW)
}

/// The block that a statement of the file is, where it has directives.
fn block<'s>(spec: &Spec, stmt: &'s Stmt) -> Option<(Home, &'s Stmt)> {
    let StmtKind::Node(node) = &stmt.kind else { return None };
    let first = word(spec, node.groups[0][0])?;
    let home = [Home::Train, Home::Data].into_iter().find(|home| home.word() == first)?;
    Some((home, stmt))
}

/// Adds the codes of a line.
fn read(
    spec: &Spec,
    map: &SourceMap,
    stmt: &Stmt,
    scope: &Scope,
    allows: &mut Vec<Allow>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let StmtKind::Node(node) = &stmt.kind else { return };
    if !is_allow(spec, node) {
        return;
    }
    let (at, line) = (spec[node.groups[0][0]].span, whole_lines(map, stmt.span));
    let words: Vec<&Expr> = node.groups.iter().flatten().skip(1).map(|&e| &spec[e]).collect();
    let is_text = |e: &&&Expr| matches!(e.kind, ExprKind::Str(_));
    let reason = words.last().filter(is_text);
    let codes = &words[..words.len() - usize::from(reason.is_some())];
    if codes.is_empty() {
        let wrong = Diagnostic::new(Code::E0216, at, "`allow` names no lint");
        diagnostics.push(wrong.help("write the code of one: `allow W0512 \"reason\"`"));
        return;
    }
    let n_faults = diagnostics.len();
    for code in codes {
        let text = map.text(code.span);
        match lint(text) {
            Ok(lint) => {
                let (at, scope) = (code.span, scope.clone());
                allows.push(Allow { code: lint, at, line, scope, only_in: None });
            }
            Err(_) => {
                let what = format!("`{text}` cannot be allowed");
                let wrong = Diagnostic::new(Code::E0216, code.span, what);
                let no_lint = "there is no such lint";
                diagnostics.push(match (Code::from_name(text), near(text)) {
                    (Some(error), _) => wrong
                        .primary("an error, with which nothing can run")
                        .help(format!("see `llmc explain {}` and mend it", error.name())),
                    (None, Some(meant)) => wrong.primary(no_lint).fix(
                        format!("did you mean `{}`?", meant.name()),
                        code.span,
                        meant.name(),
                    ),
                    (None, None) => wrong.primary(no_lint).help("write a code such as `W0512`"),
                });
            }
        }
    }
    let is_blank = |e: &&&Expr| map.text(e.span).trim_matches('"').trim().is_empty();
    if reason.is_none_or(|e| is_blank(&e)) && diagnostics.len() == n_faults {
        diagnostics.push(
            Diagnostic::new(Code::E0216, stmt.span, "an `allow` needs a reason")
                .primary("for whoever reads this next")
                .help(format!("write it at the end: `{} \"..\"`", map.text(stmt.span).trim_end())),
        );
    }
}

/// A place widened to whole lines, where nothing else stands on them.
pub(super) fn whole_lines(map: &SourceMap, span: Span) -> Span {
    let text = &map.file(span.file).text;
    let start = text[..span.start as usize].rfind('\n').map_or(0, |newline| newline + 1);
    let rest = &text[span.end as usize..];
    let end = span.end as usize + rest.find('\n').map_or(rest.len(), |newline| newline + 1);
    let is_alone = text[start..span.start as usize].trim().is_empty()
        && text[span.end as usize..end].trim().is_empty();
    let place = |byte| u32::try_from(byte).expect("files are below 4 GiB");
    if is_alone { Span { start: place(start), end: place(end), ..span } } else { span }
}
