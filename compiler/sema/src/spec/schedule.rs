//! The schedule: a `fn` of the step, or the plateau of a validation loss.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{Arg, BinaryOp, DeclKind, ExprId, ExprKind};

use super::Checker;
use super::args::{Reader, Stretch};
use super::bind;
use super::lines::{Line, Lines};
use super::train::{Cadence, needs_eval};
use super::words::word;
use crate::program::{Call, Schedule};
use crate::schema::{Home, Kind, SPAN_UNITS};
use crate::value::StaticArg;

/// The factor of a plateau that does not say.
const PLATEAU_FACTOR: f64 = 0.5;

/// The arguments of `plateau`, in order.
const PLATEAU_ARGS: [&str; 3] = ["factor", "patience", "min"];

/// Resolves the schedule for a peak of `lr`; none where it is wrong or not known yet.
pub(super) fn resolve(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    cadence: &Cadence,
    lr: f64,
    word_at: Span,
) -> Option<Schedule> {
    let Some(line) = lines.get("schedule") else {
        let stands = !lines.is_broken("schedule");
        let cosine = stands.then(|| bind::bind_default(cx, "cosine", &[("to", 0.1)], word_at));
        return cosine.flatten().map(Schedule::Fn);
    };
    let expr = line.value()?.call()?;
    let (mut callee, mut args) = (expr, &[][..]);
    if let ExprKind::Call { callee: called, args: given } = &line.spec[expr].kind {
        (callee, args) = (*called, given.as_slice());
    }
    if word(line.spec, callee) == Some("plateau") && cx.library.kind("plateau").is_none() {
        return plateau(cx, line, expr, args, cadence);
    }
    let (mut call, min_lr) = bind::bind_beside(cx, line.spec, expr, DeclKind::Fn, "min_lr")?;
    if let Some(min_lr) = min_lr {
        end_at(cx, line, (&mut call, args), min_lr, lr)?;
    }
    Some(Schedule::Fn(call))
}

/// `min_lr: 6e-5`: the end of the schedule as a learning rate; it becomes `to`.
fn end_at(
    cx: &mut Checker<'_>,
    line: &Line<'_>,
    (call, args): (&mut Call, &[Arg]),
    expr: ExprId,
    lr: f64,
) -> Option<()> {
    let at = line.spec[expr].span;
    let min_lr = reader(cx, line).real(Kind::NonNegative, expr, "min_lr", |x| x >= 0.0)?;
    if call.written.iter().any(|w| w == "to") {
        let wrong = "the end of the schedule is set twice";
        let wrong = Diagnostic::new(Code::E0205, at, wrong);
        let to = args.iter().find(|a| a.name.as_ref().is_some_and(|n| n.text == "to"));
        let wrong = match to {
            Some(to) => wrong.label(line.spec[to.value].span, "set here too"),
            None => wrong,
        };
        cx.report(
            wrong.note("`to` is a factor of `lr`, `min_lr` a learning rate").help("remove one"),
        );
        return None;
    }
    if min_lr > lr {
        let wrong = format!("`min_lr` {min_lr:e} is above `lr` {lr:e}");
        cx.report(Diagnostic::new(Code::E0302, at, wrong).primary("the schedule would rise").fix(
            format!("a tenth of `lr` is `{:e}`", lr / 10.0),
            at,
            format!("{:e}", lr / 10.0),
        ));
        return None;
    }
    if let Some(slot) = call.args.iter_mut().find(|(name, _)| name == "to") {
        slot.1 = StaticArg::Real(min_lr / lr);
    }
    Some(())
}

fn reader<'c, 'a>(cx: &'c mut Checker<'a>, line: &'c Line<'_>) -> Reader<'c, 'a> {
    let (spec, directive) = (line.spec, line.directive);
    Reader { cx, spec, home: Home::Train, directive, swallowed: vec![] }
}

/// `plateau(factor: 0.5, patience: 1 * epoch, min: 0)`.
fn plateau(
    cx: &mut Checker<'_>,
    line: &Line<'_>,
    expr: ExprId,
    args: &[Arg],
    cadence: &Cadence,
) -> Option<Schedule> {
    let at = line.spec[expr].span;
    let given = plateau_args(cx, args, at)?;
    if !cadence.has_val {
        cx.report(needs_eval("schedule plateau", at));
        return None;
    }
    let share = |cx: &mut Checker<'_>, index: usize, default: f64| match given[index] {
        Some(expr) => reader(cx, line).prob(expr, &format!("plateau {}", PLATEAU_ARGS[index])),
        None => Some(default),
    };
    let factor = share(cx, 0, PLATEAU_FACTOR)?;
    let min = share(cx, 2, 0.0)?;
    if factor == 0.0 || factor == 1.0 {
        let at = given[0].map_or(at, |e| line.spec[e].span);
        let wrong = format!("`plateau factor` must be between 0 and 1, found {factor}");
        cx.report(Diagnostic::new(Code::E0302, at, wrong).help("`factor: 0.5` halves the rate"));
        return None;
    }
    let Some(patience) = given[1] else {
        cx.report(
            Diagnostic::new(Code::E0305, at, "`plateau` needs `patience`")
                .note("it takes factor, patience, min")
                .help("write `plateau(factor: 0.5, patience: 1 * epoch)`"),
        );
        return None;
    };
    let stretch = stretch(cx, line, patience)?;
    let patience_at = line.spec[patience].span;
    let patience = cadence.scale.steps_of(stretch)?;
    if patience == 0 {
        let wrong = "`plateau patience` must be above 0";
        cx.report(Diagnostic::new(Code::E0302, patience_at, wrong));
        return None;
    }
    let text = format!("plateau(factor: {factor}, patience: {patience}, min: {min})");
    Some(Schedule::Plateau { factor, patience, min, text })
}

/// The arguments by place or name, in the order of [`PLATEAU_ARGS`].
fn plateau_args(cx: &mut Checker<'_>, args: &[Arg], at: Span) -> Option<[Option<ExprId>; 3]> {
    let mut given = [None; 3];
    for (place, arg) in args.iter().enumerate() {
        let (index, at) = match &arg.name {
            Some(name) => (PLATEAU_ARGS.iter().position(|a| *a == name.text), name.span),
            None => ((place < PLATEAU_ARGS.len()).then_some(place), at),
        };
        let name = arg.name.as_ref().map_or("", |n| n.text.as_str());
        let wrong = match index {
            Some(index) if given[index].is_none() => {
                given[index] = Some(arg.value);
                continue;
            }
            Some(index) => format!("`{}` is given twice to `plateau`", PLATEAU_ARGS[index]),
            None if name.is_empty() => "`plateau` has no fourth argument".to_owned(),
            None => format!("`plateau` has no argument `{name}`"),
        };
        let wrong = Diagnostic::new(Code::E0305, at, wrong);
        cx.report(super::words::did_you_mean(wrong, name, at, &PLATEAU_ARGS));
        return None;
    }
    Some(given)
}

/// `2k`, `10%`, `epoch`, `1 * epoch`.
fn stretch(cx: &mut Checker<'_>, line: &Line<'_>, expr: ExprId) -> Option<Stretch> {
    let unit = |e: ExprId| word(line.spec, e).filter(|w| SPAN_UNITS.contains(w));
    let (mut number, mut times) = (expr, None);
    if let ExprKind::Binary { op: BinaryOp::Mul, left, right, .. } = line.spec[expr].kind {
        match (unit(left), unit(right)) {
            (None, Some(unit)) => (number, times) = (left, Some(unit)),
            (Some(unit), None) => (number, times) = (right, Some(unit)),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    match unit(expr) {
        Some("step" | "steps") => return Some(Stretch::Steps(1)),
        Some("epoch" | "epochs") => return Some(Stretch::Epochs(1.0)),
        Some(_) | None => {}
    }
    reader(cx, line).stretch(Kind::Span, number, times, "plateau patience")
}
