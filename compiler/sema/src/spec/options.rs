//! `arg peak: real = 6e-4 in 1e-5..1e-2`: what the command line gives a spec.
//!
//! Arguments are read in the order of the file, so that a default may use those above it. Their
//! values are names of the file from then on: what is written with a name follows it.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what is neither a range nor a list is refused alike"
)]

use std::sync::Arc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{BinaryOp, Elem, ExprId, ExprKind, Node, Spec};

use super::Checker;
use super::args::{Reader, Stretch};
use super::input::{CliOption, words_of};
use super::quantity::{Amount, Of};
use super::settings::interpolate;
use super::words::{alternatives, clipped, did_you_mean, word};
use crate::schema::{ARG, DTYPES, Home, Kind, SPAN_UNITS, nearest};
use crate::value::StaticArg;

/// The types of arguments, in the order of the reference.
pub(crate) const TYPES: [&str; 12] = [
    "int", "real", "prob", "bool", "string", "path", "count", "bytes", "time", "span", "dim",
    "dtype",
];

/// Types of other languages.
const FOREIGN: &[(&str, &str)] = &[
    ("float", "real"),
    ("double", "real"),
    ("number", "real"),
    ("f32", "real"),
    ("integer", "int"),
    ("i64", "int"),
    ("u64", "count"),
    ("usize", "count"),
    ("str", "string"),
    ("text", "string"),
    ("boolean", "bool"),
    ("flag", "bool"),
    ("file", "path"),
    ("duration", "time"),
    ("size", "bytes"),
];

/// The greatest whole number of an argument: exact as a real number too.
const MOST: i64 = 1 << 53;

/// An `arg` line.
#[derive(Debug, Clone)]
pub(super) struct ArgDecl {
    pub(super) name: String,
    /// Where its name stands.
    pub(super) at: Span,
    /// One of [`TYPES`].
    pub(super) ty: &'static str,
    pub(super) default: Option<ExprId>,
    pub(super) range: Option<ExprId>,
    pub(super) doc: Option<String>,
    /// The whole line.
    pub(super) span: Span,
}

/// An argument with its value.
#[derive(Debug, Clone)]
pub(super) struct Arg {
    pub(super) name: String,
    pub(super) known: Known,
    /// As it would be written.
    pub(super) text: String,
    /// Where the value stands: the default, or the command line.
    pub(super) at: Span,
    /// Whether the command line gives it.
    pub(super) is_given: bool,
}

/// What is known of the value of an argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Known {
    /// It is a name of the environment of expressions.
    Static,
    /// Bytes or a time.
    Amount(Amount),
    /// A stretch of the run.
    Stretch(Stretch),
    /// A dtype.
    Word(&'static str),
    /// It has none, which is reported.
    Missing,
}

/// A value of an argument, before it has a name.
#[derive(Debug, Clone)]
struct Read {
    known: Known,
    value: Option<StaticArg>,
    text: String,
}

/// Reads an `arg` line; none where it is wrong, which is then reported.
pub(super) fn declare(
    cx: &mut Checker<'_>,
    node: &Node,
    span: Span,
    doc: Option<&String>,
) -> Option<ArgDecl> {
    let spec = cx.spec;
    let words = &node.groups[0];
    let head = spec[words[0]].span;
    let Some((name, at)) = words.get(1).and_then(|&e| Some((word(spec, e)?, spec[e].span))) else {
        let wrong = Diagnostic::new(Code::E0301, head, "`arg` needs a name");
        cx.report(wrong.help("write `arg peak: real = 6e-4`"));
        return None;
    };
    let extra = words.get(2).copied().or(node.groups.get(1).map(|group| group[0]));
    if let Some(extra) = extra {
        let text = clipped(cx.map.text(spec[extra].span));
        let wrong = format!("`arg` does not take `{text}` here");
        let wrong = Diagnostic::new(Code::E0301, spec[extra].span, wrong);
        cx.report(wrong.help(format!("write `arg {name}: real = 6e-4 in 1e-5..1e-2`")));
        return None;
    }
    if let Some(block) = &node.block {
        cx.report(Diagnostic::new(Code::E0210, block.span, "`arg` takes no block"));
    }
    let (ty, after_type) = node.ty.map_or((None, None), |ty| ranged(spec, ty));
    let (default, after_default) = node.value.map_or((None, None), |value| ranged(spec, value));
    let ty = type_of(cx, name, at, ty)?;
    let range = after_default.or(after_type);
    Some(ArgDecl { name: name.to_owned(), at, ty, default, range, doc: doc.cloned(), span })
}

/// `6e-4 in 1e-5..1e-2` as its two sides.
fn ranged(spec: &Spec, expr: ExprId) -> (Option<ExprId>, Option<ExprId>) {
    match spec[expr].kind {
        ExprKind::Binary { op: BinaryOp::In, left, right, .. } => (Some(left), Some(right)),
        _ => (Some(expr), None),
    }
}

fn type_of(cx: &mut Checker<'_>, name: &str, at: Span, ty: Option<ExprId>) -> Option<&'static str> {
    let Some(ty) = ty else {
        cx.report(
            Diagnostic::new(Code::E0301, at, format!("`arg {name}` needs a type"))
                .primary(format!("one of {}", alternatives(TYPES)))
                .help(format!("write `arg {name}: real = ..`")),
        );
        return None;
    };
    let span = cx.spec[ty].span;
    let text = word(cx.spec, ty).unwrap_or_default();
    if let Some(ty) = TYPES.iter().find(|t| **t == text) {
        return Some(ty);
    }
    let shown = clipped(cx.map.text(span));
    let wrong = Diagnostic::new(Code::E0301, span, format!("`{shown}` is no type of an argument"))
        .primary(format!("one of {}", alternatives(TYPES)));
    let ours = FOREIGN.iter().find(|(theirs, _)| *theirs == text).map(|&(_, ours)| ours);
    cx.report(match ours {
        Some(ours) => wrong.fix(format!("it is called `{ours}` here"), span, ours),
        None => did_you_mean(wrong, text, span, &TYPES),
    });
    None
}

/// Gives every argument of the file its value; `prefix` is how the command line calls them.
pub(super) fn resolve(cx: &mut Checker<'_>, decls: &[ArgDecl], prefix: &str) {
    for decl in decls {
        let called = format!("{prefix}{}", decl.name);
        let arg = value_of(cx, decl, &called);
        let arg = arg.unwrap_or_else(|| {
            cx.env.set_unknown(&decl.name);
            let (name, text) = (decl.name.clone(), "?".to_owned());
            Arg { name, known: Known::Missing, text, at: decl.at, is_given: false }
        });
        let unit = cx.unit;
        cx.units[unit].args.push(arg);
    }
}

fn value_of(cx: &mut Checker<'_>, decl: &ArgDecl, called: &str) -> Option<Arg> {
    let spec = cx.spec;
    let default = decl.default.and_then(|expr| {
        let read = read(cx, spec, decl, (expr, &[]))?;
        within(cx, decl, &read, spec[expr].span)?;
        Some((read, spec[expr].span))
    });
    let mut given = cx.input.options.iter().filter(|o| o.name.text == called);
    let option = given.next();
    if let (Some(first), Some(second)) = (option, given.next()) {
        let wrong = format!("`--{called}` is given twice");
        let wrong = Diagnostic::new(Code::E0205, second.name.span, wrong);
        cx.report(wrong.label(first.name.span, "given here first").help("remove one"));
    }
    let (read, at) = match option {
        Some(option) => read_option(cx, decl, option)?,
        None if decl.default.is_some() => default?,
        None => {
            let wrong = format!("the argument `{called}` has no value");
            cx.report(
                Diagnostic::new(Code::E0209, decl.at, wrong)
                    .primary(format!("`{}`, without a default", decl.ty))
                    .help(format!("add `--{called} ..` to the command, or a default")),
            );
            return None;
        }
    };
    if let Some(value) = read.value {
        cx.env.set(&decl.name, value);
    }
    let (name, is_given) = (decl.name.clone(), option.is_some());
    Some(Arg { name, known: read.known, text: read.text, at, is_given })
}

/// The value that the command line gives.
fn read_option<'a>(
    cx: &mut Checker<'a>,
    decl: &ArgDecl,
    option: &'a CliOption,
) -> Option<(Read, Span)> {
    let at = option.value.as_ref().map_or(option.name.span, |value| value.span);
    let read = match (&option.value, decl.ty) {
        (None, "bool") => of_static(StaticArg::Bool(true)),
        (None, ty) => {
            let wrong = format!("`--{}` needs a value", option.name.text);
            let wrong = Diagnostic::new(Code::E0301, option.name.span, wrong);
            cx.report(wrong.primary(format!("expected a {ty} after it")));
            return None;
        }
        // What a shell passes is the text itself.
        (Some(value), "string" | "path") => of_static(StaticArg::Str(value.text.clone())),
        (Some(_), _) => {
            if !option.faults.is_empty() {
                cx.diagnostics.extend(option.faults.iter().cloned());
                return None;
            }
            let called = format!("--{}", option.name.text);
            let words = words_of(cx, &option.spec, (&called, at))?;
            let node = option.node()?;
            let [first, rest @ ..] = words else {
                let wrong = format!("`{called}` needs a value");
                let wrong = Diagnostic::new(Code::E0301, option.name.span, wrong);
                cx.report(wrong.primary(format!("expected a {} after it", decl.ty)));
                return None;
            };
            if let Some(more) = node.groups.get(1).map(|group| group[0]) {
                let wrong = format!("`--{}` takes one value", option.name.text);
                cx.report(Diagnostic::new(Code::E0301, option.spec[more].span, wrong));
                return None;
            }
            read(cx, &option.spec, decl, (*first, rest))?
        }
    };
    within(cx, decl, &read, at)?;
    Some((read, at))
}

fn of_static(value: StaticArg) -> Read {
    Read { known: Known::Static, text: value.text(), value: Some(value) }
}

/// A value of the type of the argument.
fn read(
    cx: &mut Checker<'_>,
    spec: &Arc<Spec>,
    decl: &ArgDecl,
    (expr, rest): (ExprId, &[ExprId]),
) -> Option<Read> {
    let called = decl.name.as_str();
    let takes_unit = decl.ty == "span" && rest.len() == 1;
    let extra = if takes_unit { None } else { rest.first() };
    if let Some(&extra) = extra {
        let wrong = format!("`{called}` takes one value");
        cx.report(Diagnostic::new(Code::E0301, spec[extra].span, wrong).primary("one too many"));
        return None;
    }
    let mut reader = Reader { cx, spec, home: Home::Train, directive: &ARG, swallowed: vec![] };
    let least = match decl.ty {
        "int" => -MOST,
        "dim" => 1,
        _ => 0,
    };
    let amount =
        |known: Amount| Read { text: known.text(), known: Known::Amount(known), value: None };
    Some(match decl.ty {
        "int" | "count" | "dim" => {
            of_static(StaticArg::Int(reader.whole(expr, called, (least, MOST))?))
        }
        "real" => {
            of_static(StaticArg::Real(reader.real(Kind::NonNegative, expr, called, |_| true)?))
        }
        "prob" => of_static(StaticArg::Real(reader.prob(expr, called)?)),
        "bool" => of_static(StaticArg::Bool(reader.truth(expr, called)?)),
        "bytes" => {
            let n = reader.with_unit(Kind::Bytes, expr, called, Of::Bytes, "80GiB")?;
            amount(Amount { of: Of::Bytes, ..Amount::plain(n) })
        }
        "time" => {
            let s = reader.with_unit(Kind::Time, expr, called, Of::Time, "30min")?;
            amount(Amount { of: Of::Time, ..Amount::plain(s) })
        }
        "span" => {
            let unit = rest.first().and_then(|&e| word(spec, e));
            if let Some(&wrong) =
                rest.first().filter(|_| unit.is_none_or(|u| !SPAN_UNITS.contains(&u)))
            {
                return reader.wrong_kind(Kind::Span, wrong, called);
            }
            let stretch = reader.stretch(Kind::SpanOrTime, expr, unit, called)?;
            let text = stretch.amount().text();
            Read { known: Known::Stretch(stretch), value: None, text }
        }
        "dtype" => {
            let word = reader.choice(DTYPES, expr, called)?;
            Read { known: Known::Word(word), value: None, text: word.to_owned() }
        }
        _ => {
            let text = reader.string(expr, called)?;
            of_static(StaticArg::Str(interpolate(cx, &text, None)?))
        }
    })
}

/// Whether a value is among those that the declaration allows; E0304 where it is not.
fn within(cx: &mut Checker<'_>, decl: &ArgDecl, found: &Read, at: Span) -> Option<()> {
    let Some(range) = decl.range else { return Some(()) };
    let spec = cx.spec;
    let allowed = clipped(cx.map.text(spec[range].span));
    let wrong = match &spec[range].kind {
        ExprKind::Binary { op: BinaryOp::Range, left, right, .. } => {
            let (low, high) = (*left, *right);
            let (low, high) = (bound(cx, decl, low)?, bound(cx, decl, high)?);
            let (x, unit) = number(found)?;
            if (low.1, high.1) != (unit, unit) {
                let wrong = format!("`{}` and its range have different units", decl.name);
                cx.report(
                    Diagnostic::new(Code::E0303, at, wrong).label(spec[range].span, "the range"),
                );
                return None;
            }
            if low.0 > high.0 {
                let wrong = format!("the range `{allowed}` holds nothing");
                cx.report(Diagnostic::new(Code::E0302, spec[range].span, wrong));
                return None;
            }
            (x < low.0 || x > high.0).then_some("is outside")
        }
        ExprKind::List(elems) => {
            let mut texts = vec![];
            for elem in elems {
                let Elem::Arg(one) = elem else { continue };
                texts.push(read(cx, spec, decl, (one.value, &[]))?.text);
            }
            (!texts.contains(&found.text)).then_some("is not one of")
        }
        _ => {
            let wrong = format!("`in` takes a range or a list, found `{allowed}`");
            let wrong = Diagnostic::new(Code::E0301, spec[range].span, wrong);
            cx.report(wrong.help("write `in 1..8`, or `in [1, 2, 4]`"));
            return None;
        }
    };
    let Some(wrong) = wrong else { return Some(()) };
    let text = clipped(cx.map.text(at));
    let text = if found.value == Some(StaticArg::Bool(true)) { "true".to_owned() } else { text };
    cx.report(
        Diagnostic::new(Code::E0304, at, format!("`{}` {text} {wrong} {allowed}", decl.name))
            .label(spec[range].span, "the values that it may have"),
    );
    None
}

/// One end of a range.
fn bound(cx: &mut Checker<'_>, decl: &ArgDecl, expr: ExprId) -> Option<(f64, Of)> {
    let spec = cx.spec;
    if matches!(decl.ty, "string" | "path" | "bool" | "dtype") {
        let wrong = format!("a value of type `{}` has no range", decl.ty);
        let wrong = Diagnostic::new(Code::E0301, spec[expr].span, wrong);
        cx.report(wrong.help("list its values: `in [.., ..]`"));
        return None;
    }
    number(&read(cx, spec, decl, (expr, &[]))?)
}

/// A value as a number and what it counts.
fn number(read: &Read) -> Option<(f64, Of)> {
    match (&read.known, &read.value) {
        (Known::Amount(amount), _) => Some((amount.value, amount.of)),
        (Known::Stretch(stretch), _) => Some((stretch.amount().value, stretch.amount().of)),
        (_, Some(StaticArg::Int(n))) => Some((*n as f64, Of::Plain)),
        (_, Some(StaticArg::Real(x))) => Some((*x, Of::Plain)),
        _ => None,
    }
}

/// Reports values of the command line for arguments that no file declares.
pub(super) fn check_names(cx: &mut Checker<'_>, known: &[String]) {
    for option in cx.input.options {
        let name = &option.name;
        if known.contains(&name.text) {
            continue;
        }
        let wrong = format!("the spec has no argument `{}`", name.text);
        let wrong = Diagnostic::new(Code::E0202, name.span, wrong);
        let all: Vec<&str> = known.iter().map(String::as_str).collect();
        let near = nearest(&name.text, all.iter().copied());
        let home = [Home::Train, Home::Data].into_iter().find(|h| h.find(&name.text).is_some());
        if let Some(home) = home.filter(|_| near.is_none()) {
            let (block, name) = (home.word(), &name.text);
            let value = option.value.as_ref().map_or("..", |value| value.text.as_str());
            let help = format!("a line of `{block}` is set with `--set {block}.{name}={value}`");
            cx.report(wrong.help(help));
            continue;
        }
        cx.report(match all.as_slice() {
            [] => wrong.help(format!("declare it: `arg {}: real = ..`", name.text)),
            all => did_you_mean(wrong, &name.text, name.span, all),
        });
    }
}
