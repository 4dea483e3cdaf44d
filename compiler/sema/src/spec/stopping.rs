//! `early_stop` and `log`: what watches the numbers of a run.

use diag::{Code, Diagnostic};

use super::Checker;
use super::args::{Given, Value};
use super::lines::{Line, Lines};
use super::settings::interpolate;
use super::train::{Cadence, needs_eval};
use super::words::other_metric;
use crate::program::{EarlyStop, LogForm, LogTo};

/// None: wrong or not known yet; `Some(None)`: the run goes to its end.
pub(super) fn early_stop(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    cadence: &Cadence,
) -> Option<Option<EarlyStop>> {
    let Some(line) = lines.get("early_stop") else {
        return (!lines.is_broken("early_stop")).then_some(None);
    };
    let Some(given) = line.value() else { return Some(None) };
    let is_val_loss = matches!(&given.value, Value::Metric(name) if name == "val.loss");
    if !is_val_loss {
        cx.report(other_metric("early_stop", cx.map.text(given.span), given.span));
        return None;
    }
    if !cadence.has_val {
        cx.report(needs_eval("early_stop val.loss", given.span));
        return None;
    }
    let Some(patience) = line.option("patience") else {
        cx.report(
            Diagnostic::new(Code::E0209, line.span, "`early_stop` needs `patience`")
                .primary("for how long nothing better may come")
                .help("add `patience 20%`"),
        );
        return None;
    };
    let span = patience.span;
    let patience = cadence.scale.steps_of(patience.stretch()?)?;
    if patience == 0 {
        let wrong = "`early_stop patience` must be above 0";
        cx.report(Diagnostic::new(Code::E0302, span, wrong));
        return None;
    }
    let min_delta = line.option("min_delta").and_then(Given::real).unwrap_or(0.0);
    Some(Some(EarlyStop { patience, min_delta, span: line.span }))
}

/// All `log` lines; none where one is wrong or not known yet.
pub(super) fn logs(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    cadence: &Cadence,
) -> Option<Vec<LogTo>> {
    let all: Vec<Option<LogTo>> =
        lines.all("log").map(|line| log(cx, lines, line, cadence)).collect();
    all.into_iter().collect()
}

fn log(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    line: &Line<'_>,
    cadence: &Cadence,
) -> Option<LogTo> {
    let every = cadence.every(cx, line, &line.items[0])?;
    let form = match line.lead() {
        Some("jsonl") => LogForm::Jsonl,
        Some("csv") => LogForm::Csv,
        Some(_) | None => return Some(LogTo { file: None, every }),
    };
    let given = line.value()?;
    let path = interpolate(cx, given.text()?, Some(lines))?;
    if path.is_empty() {
        cx.report(Diagnostic::new(Code::E0302, given.span, "the path of a file is empty"));
        return None;
    }
    Some(LogTo { file: Some((form, path)), every })
}
