//! How kinds of values are called: in the reference and in messages.

use super::words::alternatives;
use crate::schema::{Kind, Status, Word};

impl Kind {
    /// How it is written, in a few words: `count`, `none | l2`; a word that is not built has a `*`.
    pub fn form(self) -> String {
        let words = |words: &[Word]| {
            let mark = |w: &Word| if w.status == Status::Built { "" } else { "*" };
            let all: Vec<String> = words.iter().map(|w| format!("{}{}", w.word, mark(w))).collect();
            all.join(" | ")
        };
        match self {
            Self::Count { .. } => "COUNT".to_owned(),
            Self::Positive | Self::NonNegative => "REAL".to_owned(),
            Self::Prob => "PROB".to_owned(),
            Self::Bytes => "BYTES".to_owned(),
            Self::Time => "TIME".to_owned(),
            Self::Span => "SPAN".to_owned(),
            Self::SpanOrTime => "SPAN | TIME".to_owned(),
            Self::Str => "STRING".to_owned(),
            Self::Name => "NAME".to_owned(),
            Self::Metric => "METRIC".to_owned(),
            Self::Choice(all) => words(all),
            Self::Head(all) => format!("{} | WORD(..)", words(all)),
            Self::Call => "CALL".to_owned(),
            Self::Set => "SET".to_owned(),
            Self::Batch => "batch COUNT".to_owned(),
            Self::Cond => "METRIC < REAL".to_owned(),
            Self::Steps => "FIRST..LAST [STRING]".to_owned(),
            Self::Words(all) => format!("{} ..", words(all)),
            Self::Mix => "NAME PROB".to_owned(),
            Self::Flag => String::new(),
            Self::Any => "..".to_owned(),
        }
    }

    /// What it is, in words.
    pub fn wants(self) -> String {
        let words = match self {
            Self::Count { .. } => "a whole number",
            Self::Positive | Self::NonNegative => "a number",
            Self::Prob => "a number within 0..1",
            Self::Bytes => "a number of bytes",
            Self::Time => "a time",
            Self::Span => "a number of steps, epochs or tokens, or a percentage",
            Self::SpanOrTime => "steps, epochs, tokens, a percentage or a time",
            Self::Str => "a string",
            Self::Name => "a name",
            Self::Metric => "a metric such as `val.loss`",
            Self::Choice(words) | Self::Words(words) => {
                return alternatives(words.iter().map(|w| w.word));
            }
            Self::Head(words) => {
                let words = alternatives(words.iter().map(|w| w.word));
                return format!("{words}, or a file");
            }
            Self::Mix => "the name of a data block and its share, such as `web 70%`",
            Self::Flag => "nothing",
            Self::Call => "a name or a call",
            Self::Set => "a set of weights such as `matrices`",
            Self::Batch => "a batch such as `batch 256`",
            Self::Cond => "a condition such as `val.loss < 2`",
            Self::Steps => "steps such as `10..20`",
            Self::Any => "a value",
        };
        words.to_owned()
    }

    /// The values it may have, for a message.
    pub(super) fn range(self) -> &'static str {
        match self {
            Self::Positive => "above 0",
            Self::NonNegative => "0 or more",
            Self::Count { .. }
            | Self::Prob
            | Self::Bytes
            | Self::Time
            | Self::Span
            | Self::SpanOrTime
            | Self::Str
            | Self::Name
            | Self::Metric
            | Self::Choice(_)
            | Self::Head(_)
            | Self::Words(_)
            | Self::Mix
            | Self::Flag
            | Self::Call
            | Self::Set
            | Self::Batch
            | Self::Cond
            | Self::Steps
            | Self::Any => "",
        }
    }

    /// What it is and which values it may have.
    pub(super) fn wants_within(self) -> String {
        let wants = self.wants();
        match (self, self.range()) {
            // Bounds that are looked at elsewhere.
            (Self::Count { max: 0, .. }, _) => wants,
            (Self::Count { min, max }, _) => format!("{wants} within {min}..{max}"),
            (_, "") => wants,
            (_, range) => format!("{wants} {range}"),
        }
    }
}
