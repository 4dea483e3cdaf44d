//! `numerics`, `resume` and `budget`: what a run holds to, and what cannot be held.

use diag::{Code, Diagnostic};

use super::Checker;
use super::allow::whole_lines;
use super::args::{Given, Value};
use super::lines::{Line, Lines};
use crate::program::{Budget, Float, Numerics, NumericsLine, Resume};

/// What the line says; without one it depends on the device.
pub(super) fn numerics(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    compute: Float,
) -> Option<NumericsLine> {
    let line = lines.get("numerics")?;
    let word = line.value().and_then(Given::word)?;
    if word != "fast" {
        return Some(NumericsLine { numerics: Numerics::Exact, span: line.span });
    }
    if compute == Float::Fp32 {
        no_tensor_cores(cx, lines, line);
    }
    Some(NumericsLine { numerics: Numerics::Fast, span: line.span })
}

/// E0606: tensor cores take 16 bits.
fn no_tensor_cores(cx: &mut Checker<'_>, lines: &Lines<'_>, line: &Line<'_>) {
    let wrong = Diagnostic::new(Code::E0606, line.span, "`numerics fast` needs 16 bits")
        .primary("sums in the order of tensor cores")
        .note("tensor cores multiply bf16 and fp16; fp32 is computed exactly everywhere");
    let wrong = match lines.get("precision") {
        Some(precision) => wrong.label(precision.span, "computes in fp32"),
        None => wrong.note("`precision` is not stated: fp32"),
    };
    cx.report(
        wrong
            .fix("remove `numerics fast`", whole_lines(cx.map, line.span), "")
            .help("or compute in 16 bits: `precision bf16`"),
    );
}

/// What a second run does, and E0905 where a run that goes on could end in other bits.
pub(super) fn resume(cx: &mut Checker<'_>, lines: &Lines<'_>) -> Resume {
    let Some(line) = lines.get("resume") else { return Resume::Auto };
    match line.value().and_then(Given::word) {
        Some("exact") => {
            ends_by_the_clock(cx, lines, line);
            Resume::Exact
        }
        Some("never") => Resume::Never,
        Some(_) | None => Resume::Auto,
    }
}

fn ends_by_the_clock(cx: &mut Checker<'_>, lines: &Lines<'_>, exact: &Line<'_>) {
    let by_clock =
        |line: &&Line<'_>| matches!(line.value().map(|g| &g.value), Some(Value::Time(_)));
    let Some(stop) = lines.all("stop").find(by_clock) else { return };
    let text = cx.map.text(stop.span);
    let wrong = format!("`resume exact` cannot hold with `{text}`");
    cx.report(
        Diagnostic::new(Code::E0905, stop.span, wrong)
            .primary("the clock decides at which step the run ends")
            .label(exact.span, "every run of the spec shall end in the same bits")
            .fix("remove the line: `steps` ends the run", whole_lines(cx.map, stop.span), "")
            .help("or write `resume auto`"),
    );
}

/// The time that the run may take.
pub(super) fn budget(lines: &Lines<'_>) -> Option<Budget> {
    let line = lines.get("budget")?;
    let Value::Time(seconds) = line.value()?.value else { return None };
    let steps = lines.get("steps")?.span;
    Some(Budget { seconds, span: line.span, steps })
}
