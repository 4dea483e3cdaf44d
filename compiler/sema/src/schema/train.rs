//! The directives of a `train` block.

use super::{
    ALLOW, Directive, Form, Kind, Word, built, directive, flagged, form_later, later, lead, opt,
    opt_later, unbuilt, value, word,
};
use crate::SettingClass::{Identity, Observation, Trajectory};

const SCALES: &[Word] = &[built("sqrt"), built("linear")];

const METRICS: &[Word] = &[
    built("loss"),
    built("perplexity"),
    built("grad_norms"),
    built("noise_scale"),
    later("accuracy"),
    later("bits_per_byte"),
];

const DTYPES: &[Word] =
    &[built("fp32"), built("bf16"), built("fp16"), later("fp8"), later("tf32"), later("fp64")];

const LOSS_SCALES: &[Form] = &[word("none"), word("dynamic"), value(Kind::Positive)];

const RECOMPUTES: &[Form] = &[
    word("auto"),
    word("none"),
    word("all"),
    Form {
        flags: &[built("blocks"), built("block")],
        ..lead("every", Kind::Count { min: 1, max: 1 << 16 })
    },
    lead("only", Kind::Set),
];

const ON_NANS: &[Form] = &[word("stop"), word("skip"), form_later("rollback")];

const CLIPS: &[Form] = &[
    word("none"),
    lead("value", Kind::Positive),
    flagged(Kind::Positive, &[built("l2"), built("linf")]),
];

const STOPS: &[Form] = &[lead("when", Kind::Cond), lead("after", Kind::Time)];

const DEVICES: &[Word] = &[built("auto"), built("cpu"), built("cuda"), built("emulated")];

const NUMERICS: &[Word] = &[built("exact"), built("fast")];

const RESUMES: &[Word] = &[built("auto"), later("exact"), later("never")];

/// All of them, in the order of the reference.
pub(super) const TRAIN: &[Directive] = &[
    directive("model", &[value(Kind::Call)], "the only one", Identity, "What is trained."),
    directive("data", &[value(Kind::Name)], "the only one", Trajectory, "What it is trained on."),
    directive(
        "loss",
        &[value(Kind::Call)],
        "cross_entropy",
        Trajectory,
        "What is made small: the mean over target tokens.",
    ),
    directive(
        "context",
        &[value(Kind::Count { min: 1, max: 1 << 20 })],
        "the model's, else 1024",
        Identity,
        "Tokens in a sequence.",
    )
    .with(&[opt_later("from"), opt_later("over")]),
    directive(
        "batch",
        &[flagged(Kind::Count { min: 1, max: 1 << 31 }, &[built("tokens")])],
        "32",
        Trajectory,
        "Sequences, or tokens, of one optimizer step.",
    ),
    directive(
        "micro_batch",
        &[value(Kind::Count { min: 1, max: 1 << 16 })],
        "the largest divisor of `batch` with at most 8192 tokens",
        Trajectory,
        "Sequences computed at once.",
    ),
    directive(
        "accumulate",
        &[value(Kind::Count { min: 1, max: 1 << 16 })],
        "derived",
        Trajectory,
        "Micro-batches whose gradients are added up for one optimizer step.",
    ),
    unbuilt("data_parallel", "devices at launch", Trajectory, "Devices that share a batch."),
    unbuilt("shard", "none", Trajectory, "What devices hold only a part of."),
    directive(
        "steps",
        &[value(Kind::Span)],
        "required unless `stop` is given",
        Trajectory,
        "How long the run is.",
    ),
    directive(
        "lr",
        &[value(Kind::Positive)],
        "the rule's usual value",
        Trajectory,
        "The peak learning rate.",
    )
    .with(&[
        opt_later("layer_decay"),
        opt("at", Kind::Batch),
        opt("scale", Kind::Choice(SCALES)),
    ]),
    directive(
        "schedule",
        &[value(Kind::Call)],
        "cosine(to: 10%)",
        Trajectory,
        "The factor of `lr` over the steps after the warm-up.",
    ),
    directive(
        "warmup",
        &[flagged(Kind::Span, &[built("linear"), built("exp")])],
        "1%",
        Trajectory,
        "How long the learning rate rises at the start.",
    ),
    directive(
        "optimizer",
        &[value(Kind::Call)],
        "adamw(beta1: 0.9, beta2: 0.95)",
        Trajectory,
        "The rules that update the weights, each on its part of them.",
    )
    .with(&[opt("on", Kind::Set)])
    .listed(),
    directive(
        "weight_decay",
        &[value(Kind::NonNegative), word("none")],
        "0.1 on matrices",
        Trajectory,
        "Pulls weights toward 0, apart from the gradient.",
    )
    .with(&[opt("on", Kind::Set)]),
    directive("clip", CLIPS, "1.0 l2", Trajectory, "Limits the gradient."),
    directive(
        "precision",
        &[value(Kind::Choice(DTYPES))],
        "fp32",
        Trajectory,
        "The dtypes of what is computed, of the weights and of what gradients are handed over in.",
    )
    .with(&[opt("master", Kind::Choice(DTYPES)), opt("reduce", Kind::Choice(DTYPES))]),
    directive(
        "loss_scale",
        LOSS_SCALES,
        "dynamic iff fp16",
        Trajectory,
        "Keeps small gradients above 0 in fp16.",
    )
    .with(&[
        opt("from", Kind::Count { min: 1, max: 1 << 40 }),
        opt("growth", Kind::Count { min: 1, max: 1 << 31 }),
        opt("min", Kind::Count { min: 1, max: 1 << 40 }),
    ]),
    directive(
        "on_nan",
        ON_NANS,
        "stop; with a dynamic loss scale: skip limit 20",
        Trajectory,
        "What a loss or gradient that is not finite does.",
    )
    .with(&[opt("limit", Kind::Count { min: 1, max: 1 << 31 })]),
    unbuilt("on_spike", "none", Trajectory, "What a sudden rise of the loss does."),
    directive(
        "recompute",
        RECOMPUTES,
        "auto: as much as `memory` asks for",
        Observation,
        "Which activations are computed again in the backward pass instead of being kept.",
    ),
    directive(
        "memory",
        &[value(Kind::Bytes)],
        "60% of RAM",
        Observation,
        "How much memory the process may take; `micro_batch` and `recompute` follow from it.",
    ),
    unbuilt("offload", "none", Observation, "What is kept in host memory."),
    directive(
        "dropout",
        &[value(Kind::Prob)],
        "the model's",
        Trajectory,
        "The share of activations set to 0: the argument `drop` of the model.",
    ),
    directive(
        "label_smoothing",
        &[value(Kind::Prob)],
        "0",
        Trajectory,
        "Spreads a share of each target over all ids.",
    ),
    directive(
        "ema",
        &[word("none"), value(Kind::Prob)],
        "none",
        Trajectory,
        "Keeps a moving average of the weights, which evaluations and samples read.",
    ),
    directive("freeze", &[value(Kind::Set)], "none", Trajectory, "Weights that are not updated.")
        .with(&[opt_later("until")]),
    unbuilt("lora", "none", Identity, "Trains low-rank adapters instead of weights."),
    unbuilt("carry", "none", Trajectory, "Keeps recurrent state from batch to batch."),
    directive(
        "seed",
        &[value(Kind::Count { min: 0, max: i32::MAX as u64 })],
        "0",
        Trajectory,
        "Starts the random numbers of weights, dropout and data order.",
    ),
    directive(
        "numerics",
        &[value(Kind::Choice(NUMERICS))],
        "exact",
        Trajectory,
        "Whether sums keep one order everywhere, or work in 16 bits may use tensor cores and orders of its own: what GPUs do unless told otherwise.",
    ),
    directive(
        "resume",
        &[value(Kind::Choice(RESUMES))],
        "auto",
        Observation,
        "What a second run of the same spec does.",
    ),
    directive(
        "checkpoint",
        &[value(Kind::Str)],
        "runs/NAME, every 10% and 30min",
        Observation,
        "Saves weights and state.",
    )
    .with(&[
        opt("every", Kind::SpanOrTime),
        opt("keep", Kind::Count { min: 1, max: 1 << 20 }),
        opt("best", Kind::Metric),
    ])
    .may_be_bare(),
    directive("eval", &[], "every 5%", Observation, "Measures the loss on the validation split.")
        .with(&[opt("every", Kind::Span), opt("batches", Kind::Count { min: 1, max: 1 << 31 })])
        .may_be_bare()
        .repeated(),
    directive(
        "metric",
        &[value(Kind::Choice(METRICS))],
        "loss, perplexity",
        Observation,
        "What is measured.",
    )
    .repeated()
    .listed(),
    directive("stop", STOPS, "after `steps`", Trajectory, "Ends the run early.").repeated(),
    unbuilt("early_stop", "none", Trajectory, "Ends the run when it no longer improves."),
    directive(
        "sample",
        &[value(Kind::Str)],
        "200 tokens at the end",
        Observation,
        "Writes text with the model as it is.",
    )
    .with(&[
        opt("every", Kind::Span),
        opt("length", Kind::Count { min: 1, max: 1 << 20 }),
        opt("temperature", Kind::NonNegative),
        opt("top_k", Kind::Count { min: 1, max: 1 << 31 }),
        opt("top_p", Kind::Prob),
    ])
    .repeated(),
    unbuilt("log", "console every 10", Observation, "Where numbers of the run go.").repeated(),
    unbuilt("profile", "none", Observation, "Times each kernel."),
    directive("device", &[value(Kind::Choice(DEVICES))], "auto", Observation, "What computes."),
    unbuilt("budget", "none", Observation, "The time the run may take."),
    ALLOW,
];
