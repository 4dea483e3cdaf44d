//! `budget`: whether a run ends within its time, at the speed that was measured.

use std::collections::BTreeMap;
use std::path::Path;

use diag::{Code, Diagnostic};
use exec::log::{self, Row};
use exec::progress::span;
use exec::run_dir;
use passes::usage::count;
use sema::Train;

/// Steps that are timed before anything is said.
const TIMED: u64 = 10;

/// Settings that the time of a step depends on.
const OF_A_STEP: [&str; 10] = [
    "model",
    "loss",
    "context",
    "batch",
    "micro_batch",
    "accumulate",
    "precision",
    "optimizer",
    "dropout",
    "numerics",
];

/// How fast a run goes, with all that it does between steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Seconds of an optimizer step.
    pub step_s: f64,
    /// Applied steps so far.
    pub step: u64,
    /// Seconds of training so far.
    pub seconds: f64,
}

impl Pace {
    /// From the first of some rows, which does not count, to the last; none before enough steps.
    fn between(first: &Row, last: &Row) -> Option<Pace> {
        let batches = last.batch.saturating_sub(first.batch);
        let step_s = (last.seconds - first.seconds) / batches as f64;
        (batches >= TIMED).then_some(Pace { step_s, step: last.step, seconds: last.seconds })
    }
}

/// W0903 where a run of this pace takes longer than its budget.
pub fn over(train: &Train, pace: Pace) -> Option<Diagnostic> {
    let budget = train.budget?;
    let left = train.steps.saturating_sub(pace.step);
    let total = pace.seconds + left as f64 * pace.step_s;
    if total <= budget.seconds {
        return None;
    }
    let tokens_s = (train.batch * train.context) as f64 / pace.step_s;
    let wrong = format!(
        "est. {} at the measured {} tokens/s, budget {}",
        span(total),
        count(tokens_s as u64),
        span(budget.seconds)
    );
    let wrong = Diagnostic::new(Code::W0903, budget.span, wrong)
        .label(budget.steps, format!("{} steps of {:.3} s", train.steps, pace.step_s));
    let fitting = pace.step + ((budget.seconds - pace.seconds).max(0.0) / pace.step_s) as u64;
    Some(match fitting > pace.step {
        true => wrong.help(format!("use `steps {fitting}`, which fits")),
        false => wrong.help("give it more time, or stop it: no more steps fit"),
    })
}

/// What the time of a step depends on, as a run keeps it.
pub fn work(train: &Train) -> BTreeMap<String, String> {
    let of_a_step = train.settings.iter().filter(|s| OF_A_STEP.contains(&&*s.name));
    of_a_step.map(|s| (s.name.clone(), s.value.clone())).collect()
}

/// W0903 by an earlier run in this folder whose steps were the same work.
pub fn known(train: &Train, folder: &Path) -> Option<Diagnostic> {
    train.budget?;
    if run_dir::info(folder).ok()?.work != work(train) {
        return None;
    }
    let rows = log::rows(folder).ok()?;
    let pace = Pace::between(rows.first()?, rows.last()?)?;
    // As long as a run from its start takes.
    over(train, Pace { step: 0, seconds: 0.0, ..pace })
}

/// Looks at the steps of a run until enough are timed.
#[derive(Debug, Default)]
pub struct Watch {
    first: Option<Row>,
    has_looked: bool,
}

impl Watch {
    /// W0903, at most once.
    pub fn add(&mut self, train: &Train, row: &Row) -> Option<Diagnostic> {
        if self.has_looked {
            return None;
        }
        let first = self.first.get_or_insert_with(|| row.clone());
        let pace = Pace::between(first, row)?;
        self.has_looked = true;
        over(train, pace)
    }
}
