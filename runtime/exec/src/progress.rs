//! One line of progress: where the run is, how it goes, how long it takes.

use std::time::Duration;

use crate::log::Row;

/// Decides when a line is due on something that is no terminal.
#[derive(Debug)]
pub struct Pace {
    every: u64,
    last: Option<(u64, f64)>,
}

impl Pace {
    /// About twenty lines in a run of `steps`, and one at least every half minute.
    pub fn new(steps: u64) -> Pace {
        Pace { every: steps.div_ceil(20).max(1), last: None }
    }

    /// Whether this row is shown.
    pub fn due(&mut self, row: &Row) -> bool {
        let due = self.last.is_none_or(|(_, seconds)| row.seconds - seconds >= 30.0)
            || row.step.is_multiple_of(self.every)
            || row.val_loss.is_some();
        if due {
            self.last = Some((row.step, row.seconds));
        }
        due
    }
}

/// The line of a step.
pub fn line(row: &Row, steps: u64) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
    let width = steps.to_string().len();
    let mut text = format!(
        "step {:>width$}/{steps}  loss {}  lr {:.2e}  norm {}  {} tok/s",
        row.step,
        number(row.loss),
        row.lr,
        number(row.grad_norm),
        row.tokens_per_s.round(),
    );
    if row.val_loss.is_some() {
        text += &format!("  val {}", number(row.val_loss));
    }
    if row.step > 0 && row.step < steps {
        let left = row.seconds / row.step as f64 * (steps - row.step) as f64;
        text += &format!("  {} left", span(left));
    }
    text
}

/// Seconds for people: `42s`, `3m07s`, `2h05m`.
pub fn span(seconds: f64) -> String {
    let s = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        assert_eq!(span(42.4), "42s");
        assert_eq!(span(187.0), "3m07s");
        assert_eq!(span(7500.0), "2h05m");
        assert_eq!(span(f64::NAN), "0s");
    }
}
