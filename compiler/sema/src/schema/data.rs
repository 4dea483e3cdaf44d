//! The directives of a `data` block.

use super::{
    ALLOW, Directive, Form, Kind, Word, built, directive, flagged, later, opt_later, unbuilt,
    value, word,
};
use crate::SettingClass::{Observation, Trajectory};

const TOKENIZERS: &[Word] = &[
    built("bytes"),
    built("chars"),
    later("words"),
    later("bpe"),
    later("wordpiece"),
    later("gpt2"),
];

const SPLITS: &[Word] = &[built("train"), built("val"), built("test")];

const SHUFFLES: &[Form] = &[word("none"), value(Kind::Choice(&[built("full"), later("window")]))];

const PACKS: &[Form] = &[word("none"), value(Kind::Choice(&[built("documents"), later("bucket")]))];

/// All of them, in the order of the reference.
pub(super) const DATA: &[Directive] = &[
    directive(
        "tokenizer",
        &[value(Kind::Head(TOKENIZERS))],
        "bytes",
        Trajectory,
        "How text becomes ids.",
    ),
    directive(
        "split",
        &[flagged(Kind::Prob, SPLITS)],
        "90% train, 10% val",
        Trajectory,
        "Shares of the text, in order from its start; never shuffled across the border.",
    )
    .with(&[opt_later("stratified")])
    .listed(),
    directive(
        "shuffle",
        SHUFFLES,
        "full",
        Trajectory,
        "Whether the order of the sequences is permuted in every epoch.",
    ),
    directive(
        "pack",
        PACKS,
        "documents",
        Trajectory,
        "How documents fill sequences; a `text` source is one document.",
    ),
    unbuilt("mask", "none", Trajectory, "Hides tokens for the loss `mlm` to predict."),
    unbuilt("pair", "none", Trajectory, "Pairs each sequence with its next or a random one."),
    unbuilt("augment", "none", Trajectory, "Changes words at random.").repeated(),
    unbuilt("weight", "by size", Trajectory, "How often each source of a mixture is drawn."),
    unbuilt("loss_on", "everything", Trajectory, "Which tokens count in the loss."),
    unbuilt("classes", "from the data", Trajectory, "How many labels there are."),
    unbuilt("limit", "none", Trajectory, "Reads only so much of the data."),
    unbuilt("dedup", "none", Trajectory, "Drops repeated documents."),
    ALLOW,
    unbuilt("prefetch", "2", Observation, "How many batches are read ahead."),
];
