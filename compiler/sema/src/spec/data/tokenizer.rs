//! `tokenizer bpe(8k)`: how text becomes ids.

#![allow(clippy::wildcard_enum_match_arm, reason = "what is no word or call is refused alike")]

use std::sync::Arc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{Arg, ExprId, ExprKind, Spec};

use super::super::Checker;
use super::super::args::{Given, Reader};
use super::super::lines::{self, Line, Lines};
use super::super::words::{describe, did_you_mean, thousands, word};
use crate::program::{Format, Source, Tokenizer};
use crate::schema::{Home, Kind};

/// Ids of a tokenizer that learns them: at least the bytes, at most what 24 bits count.
const LEARNED: (u64, u64) = (2, 1 << 24);

/// Merges of bytes start from all of them.
const LEAST_BPE: u64 = 257;

/// The tokenizer of a block: that of its line, else of its source, else bytes.
pub(super) fn resolve(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    in_head: Option<&(Tokenizer, Span)>,
) -> Tokenizer {
    let line = lines.get("tokenizer");
    if let (Some(line), Some((_, at))) = (line, in_head)
        && line.origin == lines::Origin::Spec
    {
        cx.report(
            Diagnostic::new(Code::E0205, line.span, "`tokenizer` is set twice in `data`")
                .label(*at, "set here first")
                .help("remove one"),
        );
    }
    let inner = || in_head.map_or(Tokenizer::Bytes, |(t, _)| t.clone());
    match line.and_then(|line| Some((line, line.value().and_then(Given::call)?))) {
        Some((line, expr)) => of_line(cx, line, expr).unwrap_or_else(inner),
        None => inner(),
    }
}

/// E0706 where files of ids would have to teach a tokenizer, which `at` names.
pub(super) fn of_ids(cx: &mut Checker<'_>, tokenizer: &Tokenizer, at: Span, sources: &[Source]) {
    let is_learned = match tokenizer {
        Tokenizer::Gpt2 | Tokenizer::Bytes | Tokenizer::File(_) | Tokenizer::Ids(_) => false,
        Tokenizer::Chars | Tokenizer::Words(_) | Tokenizer::Bpe(_) | Tokenizer::Wordpiece(_) => {
            true
        }
    };
    let Some(ids) = sources.iter().find(|s| is_learned && s.format == Format::Tokens) else {
        return;
    };
    let wrong = format!("`{}` would be learned from text", tokenizer.text());
    cx.report(
        Diagnostic::new(Code::E0706, at, wrong)
            .primary("the files hold ids")
            .label(ids.span, "these files")
            .help("name the tokenizer that made them: `gpt2` or a file"),
    );
}

pub(super) fn of_line(cx: &mut Checker<'_>, line: &Line<'_>, expr: ExprId) -> Option<Tokenizer> {
    arguments(cx, line.spec, expr)
}

/// A tokenizer among the arguments of a source.
pub(super) fn of_expr(cx: &mut Checker<'_>, spec: &Arc<Spec>, expr: ExprId) -> Option<Tokenizer> {
    let directive = Home::Data.find("tokenizer").expect("a row of the schema");
    let kind = directive.forms.first().and_then(|f| f.value).unwrap_or(Kind::Any);
    let mut reader = Reader { cx, spec, home: Home::Data, directive, swallowed: vec![] };
    reader.value(kind, expr, &[], "tokenizer")?;
    arguments(cx, spec, expr)
}

/// A word that the schema has, and what stands in its brackets.
fn arguments(cx: &mut Checker<'_>, spec: &Arc<Spec>, expr: ExprId) -> Option<Tokenizer> {
    let at = spec[expr].span;
    if let ExprKind::Str(text) = &spec[expr].kind {
        let path = super::super::settings::interpolate(cx, text, None)?;
        let head = path.split('(').next().unwrap_or_default();
        let words = ["bytes", "chars", "words", "bpe", "wordpiece", "gpt2"];
        if words.contains(&head) {
            let wrong = Diagnostic::new(Code::E0301, at, "a string names the file of a tokenizer");
            cx.report(wrong.fix(format!("write `{path}` without quotes"), at, path.clone()));
            return None;
        }
        if path.is_empty() {
            cx.report(Diagnostic::new(Code::E0302, at, "the path of a file is empty"));
            return None;
        }
        return Some(Tokenizer::File(cx.placed(path, at.file)));
    }
    let (head, args) = match &spec[expr].kind {
        ExprKind::Call { callee, args } => (word(spec, *callee)?, args.as_slice()),
        _ => (word(spec, expr)?, [].as_slice()),
    };
    let of: fn(u64) -> Tokenizer = match head {
        "words" => Tokenizer::Words,
        "bpe" => Tokenizer::Bpe,
        "wordpiece" => Tokenizer::Wordpiece,
        fixed => {
            if !args.is_empty() {
                let wrong = format!("`{fixed}` takes no arguments");
                let wrong = Diagnostic::new(Code::E0305, at, wrong);
                cx.report(wrong.fix(format!("write `{fixed}`"), at, fixed));
                return None;
            }
            return Some(match fixed {
                "chars" => Tokenizer::Chars,
                "gpt2" => Tokenizer::Gpt2,
                _ => Tokenizer::Bytes,
            });
        }
    };
    let least = if head == "bpe" { LEAST_BPE } else { LEARNED.0 };
    learned(cx, spec, head, args, at, least).map(of)
}

/// How many ids a tokenizer learns: `bpe(8k)`, `bpe(8k, train: true)`.
fn learned(
    cx: &mut Checker<'_>,
    spec: &Arc<Spec>,
    head: &str,
    args: &[Arg],
    at: Span,
    least: u64,
) -> Option<u64> {
    let values: Vec<ExprId> =
        args.iter().take_while(|arg| arg.name.is_none()).map(|arg| arg.value).collect();
    // `bpe(32,000)`
    if let Some((number, at)) = thousands(cx.map, spec, &values) {
        let wrong = Diagnostic::new(Code::E0305, at, "a number has no commas");
        cx.report(wrong.fix(format!("write `{number}`"), at, number));
        return None;
    }
    let mut size = None;
    for arg in args {
        let span = spec[arg.value].span;
        match arg.name.as_ref().map(|n| (n.text.as_str(), n.span)) {
            None | Some(("vocab", _)) if size.is_none() => {
                let directive = Home::Data.find("tokenizer").expect("a row of the schema");
                let kind = Kind::Count { min: least, max: LEARNED.1 };
                let mut reader =
                    Reader { cx, spec, home: Home::Data, directive, swallowed: vec![] };
                let (given, _) = reader.value(kind, arg.value, &[], head)?;
                size = given.count();
            }
            None | Some(("vocab", _)) => {
                let wrong = format!("`{head}` takes one size");
                cx.report(Diagnostic::new(Code::E0305, span, wrong).primary("one value too many"));
                return None;
            }
            Some(("train", _)) => trains(cx, spec, head, arg.value)?,
            Some((name, span)) => {
                let wrong = format!("`{head}` has no argument `{name}`");
                let wrong = Diagnostic::new(Code::E0305, span, wrong);
                cx.report(did_you_mean(wrong, name, span, &["vocab", "train"]));
                return None;
            }
        }
    }
    if size.is_none() {
        let wrong = format!("`{head}` needs the number of its ids");
        cx.report(
            Diagnostic::new(Code::E0305, at, wrong)
                .primary("it learns them from the training split")
                .help(format!("write `{head}(8k)`")),
        );
    }
    size
}

/// `train: true` says what holds anyway.
fn trains(cx: &mut Checker<'_>, spec: &Arc<Spec>, head: &str, expr: ExprId) -> Option<()> {
    let at = spec[expr].span;
    match spec[expr].kind {
        ExprKind::Bool(true) => return Some(()),
        ExprKind::Bool(false) => cx.report(
            Diagnostic::new(Code::E0302, at, format!("`{head}` has no ids before it learns them"))
                .primary("`train: false` leaves it without a vocabulary")
                .help("name a file that has one: `tokenizer \"tokenizer.json\"`"),
        ),
        _ => {
            let found = describe(spec, cx.map, expr);
            let wrong = format!("`train` takes `true` or `false`, found {found}");
            cx.report(Diagnostic::new(Code::E0301, at, wrong));
        }
    }
    None
}
