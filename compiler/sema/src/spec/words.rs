//! How expressions are called in messages, and the words read out of them.

use diag::{Code, Diagnostic, SourceMap, Span};
use syntax::ast::{BinaryOp, ExprId, ExprKind, Spec};

use crate::schema::nearest;

/// The word of a name; `none` and `true` are words too.
pub(super) fn word(spec: &Spec, expr: ExprId) -> Option<&str> {
    match &spec[expr].kind {
        ExprKind::Name(name) => Some(name),
        ExprKind::None => Some("none"),
        ExprKind::Bool(true) => Some("true"),
        ExprKind::Bool(false) => Some("false"),
        ExprKind::Number(_)
        | ExprKind::Str(_)
        | ExprKind::Tuple(_)
        | ExprKind::List(_)
        | ExprKind::If { .. }
        | ExprKind::Call { .. }
        | ExprKind::Index { .. }
        | ExprKind::Field { .. }
        | ExprKind::Unary { .. }
        | ExprKind::Binary { .. } => None,
    }
}

/// A name or a chain of members: `val.loss`.
pub(super) fn dotted(spec: &Spec, expr: ExprId) -> Option<String> {
    match &spec[expr].kind {
        ExprKind::Name(name) => Some(name.clone()),
        ExprKind::Field { base, name } => Some(format!("{}.{}", dotted(spec, *base)?, name.text)),
        ExprKind::None
        | ExprKind::Bool(_)
        | ExprKind::Number(_)
        | ExprKind::Str(_)
        | ExprKind::Tuple(_)
        | ExprKind::List(_)
        | ExprKind::If { .. }
        | ExprKind::Call { .. }
        | ExprKind::Index { .. }
        | ExprKind::Unary { .. }
        | ExprKind::Binary { .. } => None,
    }
}

/// A call whose bracket does not touch the name before it: `gpt (layers: 2)`.
pub(super) fn spaced_call(spec: &Spec, map: &SourceMap, words: &[ExprId]) -> Option<Diagnostic> {
    words.windows(2).find_map(|pair| {
        let (callee, args) = (&spec[pair[0]], &spec[pair[1]]);
        let (ExprKind::Name(name), ExprKind::Tuple(_)) = (&callee.kind, &args.kind) else {
            return None;
        };
        let gap = Span { start: callee.span.end, end: args.span.start, ..args.span };
        let bracket = Span { end: args.span.start + 1, ..args.span };
        // Brackets around a single value are no part of its span.
        (map.text(bracket) == "(").then(|| {
            Diagnostic::new(Code::E0104, bracket, format!("unexpected `(` after `{name}`"))
                .primary("here it starts a new value")
                .fix("the `(` of a call must touch what it calls", gap, "")
        })
    })
}

/// A word that was written with hyphens, which are minus signs here: `weight-decay`.
pub(super) fn hyphenated(spec: &Spec, expr: ExprId) -> Option<String> {
    if let ExprKind::Binary { op: BinaryOp::Sub, left, right, .. } = &spec[expr].kind {
        let left = hyphenated(spec, *left).or_else(|| word(spec, *left).map(str::to_owned))?;
        return Some(format!("{left}-{}", word(spec, *right)?));
    }
    None
}

/// What an expression is, with its text: the name `eight`.
pub(super) fn describe(spec: &Spec, map: &SourceMap, expr: ExprId) -> String {
    let text = clipped(map.text(spec[expr].span));
    match &spec[expr].kind {
        ExprKind::Name(_) => format!("the name `{text}`"),
        ExprKind::Number(_) => format!("`{text}`"),
        ExprKind::Str(_) => format!("the string `{text}`"),
        ExprKind::Call { .. } => format!("the call `{text}`"),
        ExprKind::List(_) => "a list".to_owned(),
        ExprKind::Tuple(_)
        | ExprKind::None
        | ExprKind::Bool(_)
        | ExprKind::If { .. }
        | ExprKind::Index { .. }
        | ExprKind::Field { .. }
        | ExprKind::Unary { .. }
        | ExprKind::Binary { .. } => format!("`{text}`"),
    }
}

/// The first line of a text, at most 40 characters of it.
pub(super) fn clipped(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(40).collect();
    if short.len() < text.len() { format!("{short}..") } else { short }
}

/// The number that groups of three digits, with commas between them, are meant for, and its place.
pub(super) fn thousands(map: &SourceMap, spec: &Spec, parts: &[ExprId]) -> Option<(String, Span)> {
    let (first, more) = parts.split_first()?;
    let text = |e: &ExprId| map.text(spec[*e].span);
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let starts = is_number(text(first)) && text(first).len() <= 3 && !text(first).starts_with('0');
    let goes_on = |e: &ExprId| text(e).len() == 3 && is_number(text(e));
    let span = spec[*first].span.to(spec[*more.last()?].span);
    let number = parts.iter().map(text).collect();
    (starts && more.iter().all(goes_on)).then_some((number, span))
}

/// Whether an edit of all of it would lose a comment.
pub(super) fn has_comment(map: &SourceMap, span: Span) -> bool {
    map.text(span).contains('#')
}

/// Part of the language that this version only names.
pub(crate) fn not_built(what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::E0213, span, format!("`{what}` is not built yet"))
        .primary("part of the language, but not of this version")
}

/// A measure other than `val.loss`, which is the only one that `called` waits for: a slip of it, or
/// one that is not built yet. `metric` is its name, or starts what stands at `at`.
pub(super) fn other_metric(called: &str, metric: &str, at: Span) -> Diagnostic {
    const OURS: &str = "val.loss";
    let at = Span { end: at.start + metric.len() as u32, ..at };
    let theirs = ["val_loss", "eval_loss", "eval.loss", "validation_loss", "valid_loss"];
    if theirs.contains(&metric) || nearest(metric, [OURS]).is_some() {
        let wrong = Diagnostic::new(Code::E0302, at, format!("nothing measures `{metric}`"));
        return wrong.fix(format!("did you mean `{OURS}`?"), at, OURS);
    }
    not_built(&format!("{called} {metric}"), at)
        .help(format!("this version knows `{called} {OURS}`"))
}

/// One of the blocks that a job may mean.
pub(super) fn one_of(word: &str, name: Option<&str>) -> String {
    name.map_or_else(|| format!("a `{word}` without a name"), |name| format!("`{name}`"))
}

/// Which of two blocks to name; those without a name need one first.
pub(super) fn name_one(word: &str, one: Option<&str>, other: Option<&str>) -> String {
    match (one, other) {
        (Some(one), Some(other)) => format!("add `{word} {one}` or `{word} {other}`"),
        (Some(name), None) | (None, Some(name)) => format!("add `{word} {name}`"),
        (None, None) => format!("give each a name, `{word} a = ..`, and add `{word} a`"),
    }
}

/// `a`, `b` or `c`.
pub(super) fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| format!("`{w}`")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// Adds the candidate that was probably meant, with its edit, or all of them when they are few.
pub(super) fn did_you_mean(
    diagnostic: Diagnostic,
    word: &str,
    span: Span,
    candidates: &[&str],
) -> Diagnostic {
    match nearest(word, candidates.iter().copied()) {
        Some(near) => diagnostic.fix(format!("did you mean `{near}`?"), span, near),
        None if candidates.is_empty() || candidates.len() > 12 => diagnostic,
        None => diagnostic.help(format!("it may be {}", alternatives(candidates.iter().copied()))),
    }
}
