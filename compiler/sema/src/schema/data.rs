//! The directives of a `data` block, and what its sources take.

use super::{
    ALLOW, Directive, Form, Kind, Opt, Word, built, directive, flagged, form_later, lead, opt,
    value, word,
};
use crate::SettingClass::{Observation, Trajectory};
use crate::schema::Status;

/// Heads of `tokenizer`; a string names a file.
const TOKENIZERS: &[Word] = &[
    built("bytes"),
    built("chars"),
    built("words"),
    built("bpe"),
    built("wordpiece"),
    built("gpt2"),
];

const SPLITS: &[Word] = &[built("train"), built("val"), built("test")];

const LARGEST: u64 = 1 << 40;

const COUNT: Kind = Kind::Count { min: 1, max: LARGEST };

const SHUFFLES: &[Form] =
    &[word("none"), lead("window", COUNT), value(Kind::Choice(&[built("full")]))];

const PACKS: &[Form] =
    &[word("none"), form_later("bucket"), value(Kind::Choice(&[built("documents")]))];

const LOSS_ON: &[Word] = &[built("everything"), built("completion")];

const NORMALS: &[Word] = &[built("nfc"), built("nfkc"), built("lowercase"), built("whitespace")];

const AUGMENTS: &[Form] = &[
    lead("synonym", Kind::Prob),
    lead("delete", Kind::Prob),
    lead("swap", Kind::Prob),
    lead("insert", Kind::Prob),
    lead("back_translate", Kind::Prob),
];

const FILTERS: &[Opt] = &[
    opt("min_chars", COUNT),
    opt("max_chars", COUNT),
    opt("contains", Kind::Str),
    opt("without", Kind::Str),
];

/// All of them, in the order of the reference.
pub(super) const DATA: &[Directive] = &[
    directive(
        "mix",
        &[value(Kind::Mix)],
        "none",
        Trajectory,
        "Other data blocks and the share of the training tokens that comes from each.",
    )
    .listed(),
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
    .with(&[opt("stratified", Kind::Flag)])
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
        "How documents fill sequences: end to end, or each a row of its own, cut or padded.",
    ),
    directive(
        "mask",
        &[value(Kind::Prob)],
        "none",
        Trajectory,
        "Hides tokens for the loss `mlm` to predict; `keep` and `random` are shares of these.",
    )
    .with(&[opt("keep", Kind::Prob), opt("random", Kind::Prob)]),
    later_directive(
        "pair",
        &[lead("next_sentence", Kind::Prob)],
        "none",
        "Pairs each sequence with its next or a random one.",
    ),
    later_directive("augment", AUGMENTS, "none", "Changes words at random.").repeated().listed(),
    directive(
        "loss_on",
        &[value(Kind::Choice(LOSS_ON))],
        "everything",
        Trajectory,
        "Which tokens count in the loss.",
    ),
    directive(
        "classes",
        &[value(Kind::Count { min: 2, max: 1 << 20 })],
        "as many as the data has",
        Trajectory,
        "How many labels there are.",
    ),
    directive(
        "limit",
        &[flagged(COUNT, &[built("documents"), built("tokens")])],
        "none",
        Trajectory,
        "Reads only so much of the data, from its start.",
    ),
    directive(
        "dedup",
        &[value(Kind::Choice(&[built("exact")])), word("none")],
        "none",
        Trajectory,
        "Drops documents that came before.",
    ),
    directive(
        "normalize",
        &[value(Kind::Words(NORMALS))],
        "none",
        Trajectory,
        "Changes text before anything else reads it, in this order.",
    ),
    directive("filter", &[], "none", Trajectory, "Keeps only documents that fit.")
        .with(FILTERS)
        .may_be_bare()
        .repeated(),
    Directive {
        status: Status::NotYet,
        ..directive(
            "prefetch",
            &[value(Kind::Count { min: 0, max: 1 << 10 })],
            "the first micro-batch of a step",
            Observation,
            "How many batches are read ahead while a device computes.",
        )
    },
    ALLOW,
];

const fn later_directive(
    name: &'static str,
    forms: &'static [Form],
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive { status: Status::NotYet, ..directive(name, forms, default, Trajectory, doc) }
}

/// What an argument of a source may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// How text becomes ids.
    Tokenizer,
    /// The name of a field.
    Field,
    /// The name of a column, or its number from 1.
    Column,
    /// A whole number above 0.
    Count,
    /// `true` or `false`.
    Truth,
}

/// A named argument of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceArg {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub takes: Takes,
}

/// A source of data: `text("a.txt")`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The word.
    pub name: &'static str,
    /// Whether it works.
    pub status: Status,
    /// Its named arguments.
    pub args: &'static [SourceArg],
    /// A call of it.
    pub example: &'static str,
    /// What it reads, in a sentence.
    pub doc: &'static str,
}

const fn arg(name: &'static str, takes: Takes) -> SourceArg {
    SourceArg { name, takes }
}

const TOKENIZER: SourceArg = arg("tokenizer", Takes::Tokenizer);

/// All sources, in the order of the reference.
pub const SOURCES: &[Source] = &[
    Source {
        name: "text",
        status: Status::Built,
        args: &[TOKENIZER],
        example: "text(\"input.txt\")",
        doc: "Files of text, compressed or not.",
    },
    Source {
        name: "jsonl",
        status: Status::Built,
        args: &[
            arg("text", Takes::Field),
            arg("prompt", Takes::Field),
            arg("completion", Takes::Field),
            arg("messages", Takes::Field),
            arg("label", Takes::Field),
            TOKENIZER,
        ],
        example: "jsonl(\"chat.jsonl\", messages: \"turns\")",
        doc: "A JSON object a line; fields are named.",
    },
    Source {
        name: "table",
        status: Status::Built,
        args: &[
            arg("text", Takes::Column),
            arg("label", Takes::Column),
            arg("prompt", Takes::Column),
            arg("completion", Takes::Column),
            arg("header", Takes::Truth),
            TOKENIZER,
        ],
        example: "table(\"reviews.csv\", text: \"body\", label: \"stars\")",
        doc: "Rows of a csv, tsv or parquet file; columns by name or by number from 1.",
    },
    Source {
        name: "tokens",
        status: Status::Built,
        args: &[arg("vocab", Takes::Count), TOKENIZER],
        example: "tokens(\"train.bin\", tokenizer: gpt2)",
        doc: "Ids, as nanoGPT and llm.c write them, of a tokenizer or of so many without text.",
    },
    Source {
        name: "pairs",
        status: Status::NotYet,
        args: &[],
        example: "pairs(\"en.txt\", \"de.txt\")",
        doc: "Two texts, line by line.",
    },
];
