//! Lints of `early_stop`.

use diag::{Code, Diagnostic};

use super::super::Checker;
use crate::program::Train;

/// W0517: the run is over before it could stop early. W0515: it stops before a second evaluation.
pub(super) fn check(cx: &mut Checker<'_>, train: &Train) {
    let Some(stop) = train.early_stop else { return };
    let left = train.steps.saturating_sub(train.warmup);
    if stop.patience >= left {
        let wrong = format!("`early_stop` waits {} steps and cannot end the run", stop.patience);
        cx.report(
            Diagnostic::new(Code::W0517, stop.span, wrong)
                .primary(format!("{left} of {} steps are left after the warm-up", train.steps))
                .help("`patience 20%` scales with `steps`"),
        );
    } else if let Some(every) = train.eval.as_ref().map(|e| e.every).filter(|e| stop.patience < *e)
    {
        let wrong =
            format!("patience of {} steps is over before the next evaluation", stop.patience);
        cx.report(
            Diagnostic::new(Code::W0515, stop.span, wrong)
                .primary(format!("one evaluation every {every} steps"))
                .help(format!("use `patience {}` or more", 2 * every)),
        );
    }
}
