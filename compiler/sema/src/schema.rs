//! The table of block words and directives: what may stand where.
//!
//! Directive names are data. Checking, defaults, `--set`, hover and completion all read this table;
//! nothing else knows which directives exist. Adding one is a row here and a resolver in `spec`.

mod blocks;
mod data;
mod foreign;
mod suggest;
mod train;

pub use blocks::{BLOCKS, Block};
pub use data::{SOURCES, Source, SourceArg, Takes};
pub use foreign::{Means, accumulates, foreign, foreign_value, is_in, near_foreign};
pub use suggest::nearest;
pub(crate) use train::DTYPES;

use crate::SettingClass;

/// Whether a part of the language can be used yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It works.
    Built,
    /// It is part of the language; this version only names it.
    NotYet,
}

/// The block a directive stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// `train`, and the blocks that read its directives.
    Train,
    /// `data`.
    Data,
}

impl Home {
    /// The word that opens it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Data => "data",
        }
    }

    /// Its directives, in the order of the reference.
    pub fn directives(self) -> &'static [Directive] {
        match self {
            Self::Train => train::TRAIN,
            Self::Data => data::DATA,
        }
    }

    /// One of its directives.
    pub fn find(self, name: &str) -> Option<&'static Directive> {
        self.directives().iter().find(|d| d.name == name)
    }

    /// The other block.
    pub fn other(self) -> Home {
        match self {
            Self::Train => Self::Data,
            Self::Data => Self::Train,
        }
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number within these bounds.
    Count {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// A finite number above 0.
    Positive,
    /// A finite number of 0 or more.
    NonNegative,
    /// A number within 0..1, as a ratio or in percent.
    Prob,
    /// An amount of memory.
    Bytes,
    /// An amount of time.
    Time,
    /// A stretch of the run: `2k`, `2k steps`, `3 epochs`, `300B tokens`, `10%`.
    Span,
    /// A stretch of the run, or a time.
    SpanOrTime,
    /// A string.
    Str,
    /// A name of the user's own.
    Name,
    /// A dotted name such as `val.loss`.
    Metric,
    /// One of these words.
    Choice(&'static [Word]),
    /// One of these words, or a call of one, or a file: `bytes`, `bpe(8k)`, `"tokenizer.json"`.
    Head(&'static [Word]),
    /// Some of these words, one after the other: `nfkc lowercase`.
    Words(&'static [Word]),
    /// A name and its share: `web 70%`.
    Mix,
    /// Nothing: of an option that is on where it stands.
    Flag,
    /// A declaration with its configuration: `adamw(beta1: 0.9)`.
    Call,
    /// Weights, by class, layer, binding or path: `matrices except embeddings`.
    Set,
    /// `batch 256`, in sequences.
    Batch,
    /// A condition such as `val.loss < 2`.
    Cond,
    /// Steps from the first to the second: `10..20`.
    Steps,
    /// Anything: of directives that are not built.
    Any,
}

/// A word of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub word: &'static str,
    /// Whether it works.
    pub status: Status,
}

const fn built(word: &'static str) -> Word {
    Word { word, status: Status::Built }
}

const fn later(word: &'static str) -> Word {
    Word { word, status: Status::NotYet }
}

/// One way to write a directive's positional part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Form {
    /// The word that starts it: `value` of `clip value 1.0`, `none` of `clip none`.
    pub lead: Option<&'static str>,
    /// What follows.
    pub value: Option<Kind>,
    /// At most one of these may follow: `l2` of `clip 1.0 l2`.
    pub flags: &'static [Word],
    /// Whether it works.
    pub status: Status,
}

const fn value(kind: Kind) -> Form {
    Form { lead: None, value: Some(kind), flags: &[], status: Status::Built }
}

const fn flagged(kind: Kind, flags: &'static [Word]) -> Form {
    Form { lead: None, value: Some(kind), flags, status: Status::Built }
}

const fn lead(word: &'static str, kind: Kind) -> Form {
    Form { lead: Some(word), value: Some(kind), flags: &[], status: Status::Built }
}

const fn word(word: &'static str) -> Form {
    Form { lead: Some(word), value: None, flags: &[], status: Status::Built }
}

const fn form_later(word: &'static str) -> Form {
    Form { lead: Some(word), value: None, flags: &[], status: Status::NotYet }
}

/// `word value` after the positional part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opt {
    /// The word.
    pub word: &'static str,
    /// Its value.
    pub kind: Kind,
    /// Whether it works.
    pub status: Status,
}

const fn opt(word: &'static str, kind: Kind) -> Opt {
    Opt { word, kind, status: Status::Built }
}

const fn opt_later(word: &'static str, kind: Kind) -> Opt {
    Opt { word, kind, status: Status::NotYet }
}

/// A directive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Directive {
    /// The word.
    pub name: &'static str,
    /// The ways to write its positional part.
    pub forms: &'static [Form],
    /// Whether the positional part may be left out.
    pub bare: bool,
    /// Its options.
    pub options: &'static [Opt],
    /// What holds without it, as text.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// What must hold, beside the kinds of its values; may be empty.
    pub rule: &'static str,
    /// What else of the spec it acts together with: directives, or parts of the language.
    pub meets: &'static [&'static str],
    /// A line of it.
    pub example: &'static str,
    /// Whether it works.
    pub status: Status,
    /// Whether it may stand more than once in a block.
    pub repeats: bool,
    /// Whether groups after a comma are more of the same.
    pub list: bool,
    /// What a change means for a checkpoint.
    pub class: SettingClass,
}

const fn directive(
    name: &'static str,
    forms: &'static [Form],
    default: &'static str,
    class: SettingClass,
    doc: &'static str,
) -> Directive {
    Directive {
        name,
        forms,
        bare: false,
        options: &[],
        default,
        doc,
        rule: "",
        meets: &[],
        example: "",
        status: Status::Built,
        repeats: false,
        list: false,
        class,
    }
}

const ANYTHING: &[Form] = &[value(Kind::Any)];

/// `allow W0512 "reason"`, which is read by itself: it is about messages, not about a run.
const ALLOW: Directive = directive(
    "allow",
    ANYTHING,
    "",
    SettingClass::Observation,
    "Silences lints in this block: their codes, and the reason as a string.",
)
.repeated();

impl Directive {
    const fn with(self, options: &'static [Opt]) -> Self {
        Self { options, ..self }
    }

    /// What must hold.
    const fn rule(self, rule: &'static str) -> Self {
        Self { rule, ..self }
    }

    /// What it acts together with.
    const fn meets(self, meets: &'static [&'static str]) -> Self {
        Self { meets, ..self }
    }

    /// A line of it.
    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    const fn not_yet(self) -> Self {
        Self { status: Status::NotYet, ..self }
    }

    /// Whether what may stand on its line is not written down, as of rows that only name it.
    pub(crate) fn is_open(&self) -> bool {
        self.forms.iter().any(|f| f.value == Some(Kind::Any))
    }

    const fn repeated(self) -> Self {
        Self { repeats: true, ..self }
    }

    const fn listed(self) -> Self {
        Self { list: true, ..self }
    }

    const fn may_be_bare(self) -> Self {
        Self { bare: true, ..self }
    }

    /// The words of its options.
    pub fn option_words(&self) -> impl Iterator<Item = &'static str> {
        self.options.iter().map(|o| o.word)
    }
}

/// The line `arg`, whose value is read as that of a directive is.
pub(crate) static ARG: Directive = directive(
    "arg",
    ANYTHING,
    "required without a default",
    SettingClass::Trajectory,
    "A setting of the command line.",
);

/// Words that may follow a number of a span.
pub const SPAN_UNITS: [&str; 8] =
    ["steps", "epochs", "tokens", "samples", "step", "epoch", "token", "sample"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_words_are_no_options() {
        // `every 1k tokens 200` would read two ways.
        for home in [Home::Train, Home::Data] {
            for d in home.directives() {
                for word in d.option_words() {
                    assert!(!SPAN_UNITS.contains(&word), "`{word}` of `{}`", d.name);
                }
            }
        }
    }

    #[test]
    fn names_are_unique_and_documented() {
        for home in [Home::Train, Home::Data] {
            let names: Vec<_> = home.directives().iter().map(|d| d.name).collect();
            for (i, d) in home.directives().iter().enumerate() {
                assert!(!names[..i].contains(&d.name), "`{}` twice", d.name);
                assert!(d.doc.ends_with('.'), "`{}` has no sentence", d.name);
            }
        }
    }
}
