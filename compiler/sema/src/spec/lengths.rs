//! Stretches of the run in optimizer steps.

use super::args::Stretch;

/// What a stretch is measured against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Sequences an optimizer step.
    pub(super) batch: u64,
    /// Tokens a sequence.
    pub(super) context: u64,
    /// Tokens of the training split, once known.
    pub(super) train_tokens: Option<u64>,
    /// Steps of the run, once known.
    pub(super) steps: Option<u64>,
}

impl Scale {
    /// Optimizer steps, rounded up; none where they depend on what is not known.
    pub(super) fn steps_of(&self, stretch: Stretch) -> Option<u64> {
        let (batch, context) = (self.batch as f64, self.context as f64);
        let steps = match stretch {
            Stretch::Steps(n) => return Some(n),
            Stretch::Epochs(n) => n * sequences(self.train_tokens?, self.context) as f64 / batch,
            Stretch::Tokens(n) => n / (batch * context),
            Stretch::Samples(n) => n / batch,
            Stretch::Share(share) => share * self.steps? as f64,
            Stretch::Seconds(_) => return None,
        };
        Some(round_up(steps))
    }
}

/// Whole sequences in a text; the last token of each has its target in the next.
pub(super) fn sequences(tokens: u64, context: u64) -> u64 {
    tokens.saturating_sub(1) / context
}

/// Up to the next whole number, unless it is one but for the rounding of a percentage.
fn round_up(steps: f64) -> u64 {
    let near = steps.round();
    let slack = 1e-9 * near.max(1.0);
    if (steps - near).abs() <= slack { near as u64 } else { steps.ceil() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_rounded_up_to_whole_steps() {
        let scale = Scale { batch: 2, context: 3, train_tokens: Some(31), steps: Some(1000) };
        assert_eq!(scale.steps_of(Stretch::Share(0.05)), Some(50));
        assert_eq!(scale.steps_of(Stretch::Share(0.0001)), Some(1));
        assert_eq!(scale.steps_of(Stretch::Epochs(1.0)), Some(5));
        assert_eq!(scale.steps_of(Stretch::Epochs(1.5)), Some(8));
        assert_eq!(scale.steps_of(Stretch::Tokens(7.0)), Some(2));
        assert_eq!(scale.steps_of(Stretch::Samples(3.0)), Some(2));
    }
}
