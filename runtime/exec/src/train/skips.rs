//! What a step that was skipped means for the run.
//!
//! In: its cause and the skips before it, all from saved counters. Out: whether the run goes on.

use plan::{OnNan, RECENT, Run};

use super::Training;
use crate::{
    error::Error,
    log::{Cause, Row},
};

/// Skips in a row that end a run, where the spec says no other number.
const MAX_IN_ROW: u64 = 20;
/// Most of the last [`RECENT`] steps that a loss scaler may skip.
const MAX_RECENT: u64 = RECENT / 10;

/// A skipped step and those before it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Skip {
    cause: Cause,
    /// Consumed batches with this one.
    batch: u64,
    /// The loss scale that it used.
    scale: Option<f64>,
    in_row: u64,
    /// Of the last [`RECENT`].
    recent: u64,
}

impl Training<'_> {
    /// Why the run must end with this skip; `None` when it goes on.
    pub(super) fn reason_to_stop(&self, row: &Row, cause: Cause) -> Option<String> {
        let memory = self.executor.memory();
        let skip = Skip {
            cause,
            batch: row.batch,
            scale: row.loss_scale,
            in_row: self.names.skips_in_row(memory),
            recent: self.names.recent_skipped(memory),
        };
        skip.stops(&self.executor.plan().run)
    }

    /// The error of a run that ends with this skip.
    pub(super) fn ends_with(&self, row: &Row, cause: Cause, why: &str) -> Error {
        let (batch, step) = (row.batch, row.step + 1);
        let text = format!("step {step}, batch {batch}: {why}; the update was not applied");
        match cause {
            Cause::Empty => Error::BadData(text),
            Cause::Overflow | Cause::Nonfinite => {
                Error::Diverged(text + &self.diagnosis(row, cause))
            }
        }
    }
}

impl Skip {
    fn stops(&self, run: &Run) -> Option<String> {
        let in_row = |limit: u64| {
            let what = self.cause;
            (self.in_row >= limit).then(|| format!("{limit} steps in a row were skipped ({what})"))
        };
        match self.cause {
            Cause::Overflow => {
                self.at_the_smallest_scale(run).or_else(|| in_row(MAX_IN_ROW)).or_else(|| {
                    let many = self.batch >= RECENT && self.recent > MAX_RECENT;
                    many.then(|| format!("{} of the last {RECENT} steps were skipped", self.recent))
                })
            }
            Cause::Nonfinite => match run.on_nan {
                OnNan::Stop => Some("loss, gradient, rate or scale is not finite".to_owned()),
                OnNan::Skip { limit } => in_row(limit),
            },
            Cause::Empty => in_row(MAX_IN_ROW),
        }
    }

    fn at_the_smallest_scale(&self, run: &Run) -> Option<String> {
        let min = run.min_scale?;
        let is_smallest = self.scale.is_some_and(|scale| scale <= min);
        is_smallest.then(|| format!("the gradient overflows at the smallest loss scale, {min}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    fn skip(cause: Cause) -> Skip {
        Skip { cause, batch: 500, scale: Some(64.0), in_row: 1, recent: 1 }
    }

    #[track_caller]
    fn stops(on_nan: OnNan, skip: Skip, why: Option<&str>) {
        let run = Run { on_nan, min_scale: Some(2.0), ..tiny::plan().run };
        match (skip.stops(&run), why) {
            (None, None) => {}
            (Some(text), Some(why)) => assert!(text.contains(why), "{text}"),
            (got, _) => panic!("{skip:?} gives {got:?}"),
        }
    }

    #[test]
    fn an_overflow_stops_at_the_smallest_scale_in_a_row_or_too_often() {
        let on_nan = OnNan::Skip { limit: 20 };
        let one = skip(Cause::Overflow);
        stops(on_nan, one, None);
        stops(OnNan::Stop, one, None);
        stops(on_nan, Skip { scale: Some(4.0), ..one }, None);
        stops(on_nan, Skip { scale: Some(2.0), ..one }, Some("smallest loss scale, 2"));
        stops(on_nan, Skip { in_row: 19, ..one }, None);
        stops(on_nan, Skip { in_row: 20, ..one }, Some("20 steps in a row"));
        stops(on_nan, Skip { recent: 20, ..one }, None);
        stops(on_nan, Skip { recent: 21, ..one }, Some("21 of the last 200"));
        stops(on_nan, Skip { recent: 21, batch: 199, ..one }, None);
        stops(on_nan, Skip { recent: 21, batch: 200, ..one }, Some("21 of the last 200"));
    }

    #[test]
    fn a_loss_that_is_not_finite_does_what_the_spec_says() {
        let one = skip(Cause::Nonfinite);
        stops(OnNan::Stop, one, Some("not finite"));
        stops(OnNan::Skip { limit: 3 }, Skip { in_row: 2, ..one }, None);
        stops(OnNan::Skip { limit: 3 }, Skip { in_row: 3, ..one }, Some("3 steps in a row"));
    }

    #[test]
    fn batches_without_targets_stop_only_in_a_row() {
        let one = skip(Cause::Empty);
        stops(OnNan::Stop, Skip { recent: 200, in_row: 19, ..one }, None);
        stops(OnNan::Stop, Skip { in_row: 20, ..one }, Some("(no target token)"));
    }
}
