//! The directives of a `data` block, and what its sources take.

use super::{
    ALLOW, Directive, Form, Kind, Opt, Word, built, directive, flagged, form_later, lead, opt,
    value, word,
};
use crate::SettingClass::{Identity, Observation, Trajectory};
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
    .listed()
    .rule("the shares add up to 100%; the parts share one tokenizer")
    .meets(&["tokenizer", "split"])
    .example("mix web 70%, books 30%"),
    directive(
        "tokenizer",
        &[value(Kind::Head(TOKENIZERS))],
        "bytes",
        Trajectory,
        "How text becomes ids.",
    )
    .rule("one for the whole data; the head of a call or the path of a file")
    .meets(&["pad_vocab", "normalize", "model"])
    .example("tokenizer gpt2"),
    directive(
        "split",
        &[flagged(Kind::Prob, SPLITS)],
        "90% train, 10% val",
        Trajectory,
        "Shares of the text, in order from its start; never shuffled across the border.",
    )
    .with(&[opt("stratified", Kind::Flag)])
    .listed()
    .rule("the shares add up to 100%, and one is `train`; `stratified` needs labels")
    .meets(&["shuffle", "limit", "eval"])
    .example("split 90% train, 5% val, 5% test"),
    directive(
        "shuffle",
        SHUFFLES,
        "full",
        Trajectory,
        "Whether the order of the sequences is permuted in every epoch.",
    )
    .rule("the order follows from `seed`")
    .meets(&["seed", "split", "pack"])
    .example("shuffle window 10k"),
    directive(
        "pack",
        PACKS,
        "documents",
        Trajectory,
        "How documents fill sequences: end to end, or each a row of its own, cut or padded.",
    )
    .rule("labels have a row for each document")
    .meets(&["context", "batch", "shuffle"])
    .example("pack none"),
    directive(
        "mask",
        &[value(Kind::Prob)],
        "none",
        Trajectory,
        "Hides tokens for the loss `mlm` to predict; `keep` and `random` are shares of these.",
    )
    .with(&[opt("keep", Kind::Prob), opt("random", Kind::Prob)])
    .rule("`keep` and `random` add up to at most 100%; the model sees both sides of a token")
    .meets(&["loss", "model"])
    .example("mask 15% keep 10% random 10%"),
    later_directive(
        "pair",
        &[lead("next_sentence", Kind::Prob)],
        "none",
        "Pairs each sequence with its next or a random one.",
    )
    .rule("a share of the sequences")
    .meets(&["mask", "loss"])
    .example("pair next_sentence 50%"),
    later_directive("augment", AUGMENTS, "none", "Changes words at random.")
        .repeated()
        .listed()
        .rule("a share of the words")
        .meets(&["seed", "dedup"])
        .example("augment synonym 10%, swap 5%"),
    directive(
        "loss_on",
        &[value(Kind::Choice(LOSS_ON))],
        "everything",
        Trajectory,
        "Which tokens count in the loss.",
    )
    .rule("`completion` needs a source that says what a completion is")
    .meets(&["mask", "loss"])
    .example("loss_on completion"),
    directive(
        "pad_vocab",
        &[value(Kind::Count { min: 2, max: 1 << 16 })],
        "none",
        Identity,
        "Rounds `data.vocab` up to a multiple; no text has the ids that this adds.",
    )
    .rule("text is never written with them")
    .meets(&["tokenizer", "model", "precision"])
    .example("pad_vocab 64"),
    directive(
        "classes",
        &[value(Kind::Count { min: 2, max: 1 << 20 })],
        "as many as the data has",
        Trajectory,
        "How many labels there are.",
    )
    .rule("at least as many as the data has; needs a source that names a label")
    .meets(&["model", "split"])
    .example("classes 5"),
    directive(
        "limit",
        &[flagged(COUNT, &[built("documents"), built("tokens")])],
        "none",
        Trajectory,
        "Reads only so much of the data, from its start.",
    )
    .rule("documents need a source that has them; text without a mark counts in tokens")
    .meets(&["split", "filter"])
    .example("limit 10k tokens"),
    directive(
        "dedup",
        &[value(Kind::Choice(&[built("exact")])), word("none")],
        "none",
        Trajectory,
        "Drops documents that came before.",
    )
    .rule("the first of equal documents stays, before the data is split")
    .meets(&["normalize", "filter", "split"])
    .example("dedup exact"),
    directive(
        "normalize",
        &[value(Kind::Words(NORMALS))],
        "none",
        Trajectory,
        "Changes text before anything else reads it, in this order.",
    )
    .rule("each at most once")
    .meets(&["filter", "dedup", "tokenizer"])
    .example("normalize nfc whitespace"),
    directive("filter", &[], "none", Trajectory, "Keeps only documents that fit.")
        .with(FILTERS)
        .may_be_bare()
        .repeated()
        .rule("a document stays that meets all of them")
        .meets(&["normalize", "dedup", "limit"])
        .example("filter min_chars 20 without \"lorem ipsum\""),
    Directive {
        status: Status::NotYet,
        ..directive(
            "prefetch",
            &[value(Kind::Count { min: 0, max: 1 << 10 })],
            "the first micro-batch of a step",
            Observation,
            "How many batches are read ahead while a device computes.",
        )
        .rule("0 reads nothing ahead")
        .meets(&["micro_batch", "device"])
        .example("prefetch 2")
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
