//! Lints: what is allowed but hardly meant.

mod attention;
mod precision;
mod stopping;

use diag::{Code, Diagnostic};
use syntax::ast::{ExprKind, Unit};

use super::Checker;
use super::args::Value;
use super::lines::{Line, Lines};
use super::rules::usual;
use crate::program::{Call, Clip, Float, Program, Schedule, Train};
use crate::trace::{Param, Trace};

/// How far outside the usual range a learning rate is worth a word.
const FAR: f64 = 10.0;

/// All lints that need the resolved run.
pub(super) fn check(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train) {
    lr_scale(cx, lines, train);
    warmup_ends(cx, lines, train);
    fires(cx, lines, train);
    schedule_end(cx, lines, train);
    patience(cx, lines, train);
    precision::check_lines(cx, lines, train);
    stopping::check(cx, train);
}

/// All lints that need what the model and the schedule compute.
pub(super) fn check_traces(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    program: &Program,
    model: &Trace,
    schedule: Option<&Trace>,
) {
    precision::check_model(cx, &program.train, model);
    attention::check_model(cx, model);
    padded_vocab(cx, program, model);
    unclipped(cx, lines, &program.train, model);
    schedule_fits(cx, lines, &program.train, schedule);
}

/// A gradient through many places of a recurrence, and nothing that bounds it.
fn unclipped(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train, model: &Trace) {
    let (Some(recurrence), Clip::None, Some(line)) =
        (model.recurrence, train.clip, lines.get("clip"))
    else {
        return;
    };
    let wrong =
        format!("gradients flow through {} places of a recurrence unclipped", train.context);
    cx.report(
        Diagnostic::new(Code::W0506, line.span, wrong)
            .label(recurrence, "the state goes along this axis")
            .note("they can grow with every place, and one such step undoes many")
            .offer("write `clip 1.0`", line.span, "clip 1.0"),
    );
}

/// W0608: rows of weights that are kept in 16 bits lie as they are; all other rows that a GPU reads
/// in 16 bits are temporaries, which the compiler lengthens itself.
fn padded_vocab(cx: &mut Checker<'_>, program: &Program, model: &Trace) {
    /// Of what begins at a multiple of it a GPU copies 16 bytes at once: 8 elements of 16 bits.
    const ALIGNED: u64 = 8;
    let (master, ids) = (program.train.precision.master, program.vocab);
    let is_odd = |param: &&Param| {
        param.shape.last().is_some_and(|&n| n >= ids && n < ids + ALIGNED && n % ALIGNED != 0)
    };
    let head = model.params.iter().filter(|param| param.shape.len() > 1).find(is_odd);
    let (Some(head), true) = (head, master != Float::Fp32) else { return };
    let rows = head.shape.last().copied().unwrap_or_default();
    let shape: Vec<String> = head.shape.iter().map(u64::to_string).collect();
    let wrong = format!("vocabulary {rows} is not a multiple of {ALIGNED}");
    cx.report(
        Diagnostic::new(Code::W0608, program.data.span, wrong)
            .label(program.model.span, format!("`{}` is [{}]", head.path, shape.join(", ")))
            .note(format!(
                "its rows in {} do not start at multiples of 16 bytes, so GPUs copy them element by element",
                master.name()
            ))
            .help(format!(
                "add `pad_vocab 64` to the data, which makes it {}",
                ids.next_multiple_of(64)
            )),
    );
}

/// W0311, which needs no more than the line.
pub(super) fn decimal_k(cx: &mut Checker<'_>, line: &Line<'_>, expr: syntax::ast::ExprId) {
    let is_size = match line.directive.name {
        "context" => true,
        "batch" => line.flag() == Some("tokens"),
        _ => false,
    };
    let ExprKind::Number(n) = &line.spec[expr].kind else { return };
    let Some(digits) = n.text.strip_suffix(['k', 'M']) else { return };
    let Some(int) = n.int.filter(|_| is_size && n.unit == Unit::Count) else { return };
    let span = line.spec[expr].span;
    let suffix = if n.text.ends_with('k') { "Ki" } else { "Mi" };
    let binary = digits.parse::<i64>().ok().map(|d| d << if suffix == "Ki" { 10 } else { 20 });
    let Some(binary) = binary else { return };
    cx.report(
        Diagnostic::new(Code::W0311, span, format!("`{}` is {int}, not {binary}", n.text)).offer(
            format!("write `{digits}{suffix}`"),
            span,
            format!("{digits}{suffix}"),
        ),
    );
}

fn lr_scale(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train) {
    let Some(line) = lines.get("lr") else { return };
    let lr = train.lr;
    let far = train.groups.iter().find_map(|group| {
        let (low, high) = usual(&group.rule.name)?.range;
        let (times, side) = if lr > high { (lr / high, "above") } else { (low / lr, "below") };
        (times >= FAR * (1.0 - 1e-9)).then_some((&group.rule.name, low, high, times, side))
    });
    let Some((rule, low, high, times, side)) = far else { return };
    let times = times.round();
    let wrong = format!("lr {lr} is {times}x {side} the usual range for {rule}");
    cx.report(
        Diagnostic::new(Code::W0511, line.span, wrong)
            .note(format!("{rule} usually runs with {low:e}..{high:e}"))
            .help(match side {
                "above" => format!("lower it to {high:e} or less"),
                _ => format!("raise it to {low:e} or more"),
            }),
    );
}

fn warmup_ends(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train) {
    let (Some(line), Some(steps)) = (lines.get("warmup"), lines.get("steps")) else {
        return;
    };
    let (warmup, total) = (train.warmup, train.steps);
    if warmup >= total {
        cx.report(
            Diagnostic::new(Code::W0512, line.span, "warmup never ends")
                .primary(format!("{warmup} steps of warmup"))
                .label(steps.span, format!("the run has only {total} steps"))
                .offer("`warmup 10%` scales with `steps`", line.span, "warmup 10%"),
        );
    }
}

fn fires(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train) {
    let total = train.steps;
    let mut late: Vec<(&Line<'_>, u64)> = vec![];
    if let (Some(line), Some(eval)) = (lines.get("eval"), &train.eval) {
        late.push((line, eval.every));
    }
    if let (Some(line), Some(checkpoint)) = (lines.get("checkpoint"), &train.checkpoint) {
        late.push((line, checkpoint.every));
    }
    let samples = lines.all("sample").zip(&train.samples);
    late.extend(samples.filter_map(|(line, sample)| Some((line, sample.every?))));
    for (line, every) in late.into_iter().filter(|&(_, every)| every > total) {
        let name = line.directive.name;
        let wrong = format!("`{name} every {every}` never runs in {total} steps");
        let wrong = Diagnostic::new(Code::W0513, line.span, wrong);
        let help = format!("`{name} every 10%` scales with `steps`");
        cx.report(match line.option("every") {
            Some(given) => wrong.offer(help, given.span, "10%"),
            None => wrong.help(help),
        });
    }
}

/// The line and the call of a schedule that is a `fn`.
fn schedule<'a>(lines: &'a Lines<'_>, train: &'a Train) -> Option<(&'a Line<'a>, &'a Call)> {
    match &train.schedule {
        Schedule::Fn(call) => Some((lines.get("schedule")?, call)),
        Schedule::Plateau { .. } => None,
    }
}

/// W0516: a schedule of steps of its own, which the run does not reach.
fn schedule_fits(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train, factor: Option<&Trace>) {
    let Some((line, schedule)) = schedule(lines, train) else { return };
    let Some(end) = schedule.count("steps") else { return };
    let (name, total) = (&schedule.name, train.steps);
    if end > total {
        let at = [total as f64, total as f64];
        let last = factor.and_then(|f| f.eval_scalar(&at)).map(|f| f * train.lr);
        let last = last.map_or_else(String::new, |lr| format!(": final lr {lr:.1e}"));
        let wrong = format!("`{name}` ends at {end}, run stops at {total}{last}");
        cx.report(
            Diagnostic::new(Code::W0516, line.span, wrong)
                .help(format!("use `steps: {total}`, or `steps {end}` for the run")),
        );
    }
}

/// A plateau is looked at when the validation loss is measured, and not in between.
fn patience(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train) {
    let Schedule::Plateau { patience, .. } = &train.schedule else { return };
    let (Some(given), Some(eval)) = (lines.get("schedule").and_then(Line::value), &train.eval)
    else {
        return;
    };
    let every = eval.every;
    if *patience >= every {
        return;
    }
    let wrong =
        format!("`patience` {patience} is shorter than the {every} steps between evaluations");
    let wrong = Diagnostic::new(Code::W0515, given.span, wrong)
        .primary("each evaluation that is no better lowers the rate");
    let wrong = match lines.get("eval") {
        Some(line) => wrong.label(line.span, format!("every {every} steps")),
        None => wrong.note(format!("without a line the loss is measured every {every} steps")),
    };
    let twice = 2 * every;
    cx.report(wrong.help(format!("use `patience: {twice}`, or `eval every {patience}`")));
}

/// `to: 6e-5` where a ratio is meant.
fn schedule_end(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train) {
    let Some((line, schedule)) = schedule(lines, train) else { return };
    let Some(to) = schedule.number("to") else { return };
    if !schedule.written.iter().any(|w| w == "to") || to <= 0.0 || to > train.lr.min(0.01) {
        return;
    }
    let (end, share) = (to * train.lr, to / train.lr * 100.0);
    let wrong = Diagnostic::new(Code::W0518, line.span, format!("`to: {to:e}` ends at {end:.1e}"))
        .primary("`to` is a factor of `lr`");
    cx.report(wrong.help(format!("did you mean `min_lr: {to:e}`, which is `to: {share:.0}%`?")));
}

/// The lints and rules of single lines, checked before anything is resolved.
pub(super) fn check_lines(cx: &mut Checker<'_>, lines: &Lines<'_>) {
    for line in &lines.lines {
        if let Some(given) = line.value()
            && let Value::Count(_) = given.value
            && let Some(expr) = position(line, given.span)
        {
            decimal_k(cx, line, expr);
        }
    }
}

/// The expression at a place.
fn position(line: &Line<'_>, span: diag::Span) -> Option<syntax::ast::ExprId> {
    let found = line.spec.exprs.iter().position(|e| e.span == span)?;
    u32::try_from(found).ok().map(syntax::ast::ExprId)
}

/// `3.1 GiB`, or in MiB below one.
fn in_bytes(n: u64) -> String {
    let mib = n as f64 / f64::from(1 << 20);
    if mib >= 1024.0 { format!("{:.1} GiB", mib / 1024.0) } else { format!("{mib:.0} MiB") }
}
