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
            || row.val_loss.is_some()
            || row.skipped;
        if due {
            self.last = Some((row.step, row.seconds));
        }
        due
    }
}

/// The line of a step.
pub fn line(row: &Row, steps: u64) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
    let rate = row.lr.map_or("-".to_owned(), |lr| format!("{lr:.2e}"));
    let width = steps.to_string().len();
    let mut text = format!(
        "step {:>width$}/{steps}  loss {}  lr {rate}  norm {}  {} tok/s",
        row.step,
        number(row.loss),
        number(row.grad_norm),
        row.tokens_per_s.round(),
    );
    if let Some(scale) = row.loss_scale.filter(|scale| *scale != 1.0) {
        text += &format!("  scale {scale}");
    }
    if row.val_loss.is_some() {
        text += &format!("  val {}", number(row.val_loss));
    }
    if let Some(share) = row.val_accuracy {
        text += &format!("  accuracy {:.1}%", share * 100.0);
    }
    text += &skips(row);
    if row.step > 0 && row.step < steps {
        let left = row.seconds / row.step as f64 * (steps - row.step) as f64;
        text += &format!("  {} left", span(left));
    }
    text
}

/// Why this step was skipped, or how many were so far.
fn skips(row: &Row) -> String {
    let n = row.batch - row.step;
    match (row.cause, &row.tensor) {
        (Some(cause), Some(tensor)) => format!("  skipped: {cause}, {tensor} ({n} so far)"),
        (Some(cause), None) => format!("  skipped: {cause} ({n} so far)"),
        (None, _) if n > 0 => format!("  {n} skipped"),
        (None, _) => String::new(),
    }
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::log::Cause;

    fn row(step: u64, batch: u64, cause: Option<Cause>) -> Row {
        Row {
            step,
            batch,
            loss: Some(2.5),
            lr: Some(1e-3),
            grad_norm: cause.is_none().then_some(0.5),
            clip_coef: None,
            loss_scale: Some(if batch > step { 1024.0 } else { 1.0 }),
            skipped: cause.is_some(),
            cause,
            tensor: cause.map(|_| "gradient of w".to_owned()),
            tokens: 64,
            tokens_per_s: 10.0,
            seconds: 4.0,
            val_loss: None,
            val_accuracy: None,
            grad_norms: BTreeMap::new(),
            noise_scale: None,
        }
    }

    #[test]
    fn a_line_shows_skips_and_the_scale_where_there_are_some() {
        let cases = [
            (
                row(2, 2, None),
                "step  2/10  loss 2.5000  lr 1.00e-3  norm 0.5000  10 tok/s  16s left",
            ),
            (
                row(2, 5, None),
                "step  2/10  loss 2.5000  lr 1.00e-3  norm 0.5000  10 tok/s  scale 1024  \
                 3 skipped  16s left",
            ),
            (
                row(0, 1, Some(Cause::Overflow)),
                "step  0/10  loss 2.5000  lr 1.00e-3  norm -  10 tok/s  scale 1024  \
                 skipped: overflow, gradient of w (1 so far)",
            ),
        ];
        for (row, text) in cases {
            assert_eq!(line(&row, 10), text);
        }
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(span(42.4), "42s");
        assert_eq!(span(187.0), "3m07s");
        assert_eq!(span(7500.0), "2h05m");
        assert_eq!(span(f64::NAN), "0s");
    }
}
