//! The directives of a `train` block.

use super::{
    ALLOW, Directive, Form, Kind, Word, built, directive, flagged, form_later, later, lead, opt,
    opt_later, value, word,
};
use crate::SettingClass::{Identity, Observation, Trajectory};

const SCALES: &[Word] = &[built("sqrt"), built("linear")];

const METRICS: &[Word] = &[
    built("loss"),
    built("perplexity"),
    built("grad_norms"),
    built("noise_scale"),
    built("accuracy"),
    later("f1"),
    later("bits_per_byte"),
];

/// The words of dtypes.
pub(crate) const DTYPES: &[Word] =
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

const ON_SPIKES: &[Word] = &[built("skip"), built("rollback"), built("stop")];

const SHARDS: &[Word] = &[built("optimizer"), built("gradients"), built("parameters")];

const OFFLOADS: &[Word] = &[built("optimizer"), built("activations")];

const LORAS: &[Form] = &[word("none"), lead("rank", Kind::Count { min: 1, max: 1 << 20 })];

const LOGS: &[Form] =
    &[word("console"), lead("jsonl", Kind::Str), lead("csv", Kind::Str), form_later("tensorboard")];

const CLIPS: &[Form] = &[
    word("none"),
    lead("value", Kind::Positive),
    flagged(Kind::Positive, &[built("l2"), built("linf")]),
];

const STOPS: &[Form] = &[lead("when", Kind::Cond), lead("after", Kind::Time)];

const DEVICES: &[Word] = &[built("auto"), built("cpu"), built("cuda"), built("emulated")];

const NUMERICS: &[Word] = &[built("exact"), built("fast")];

const RESUMES: &[Word] = &[built("auto"), built("exact"), built("never")];

/// All of them, in the order of the reference.
pub(super) const TRAIN: &[Directive] = &[
    directive("model", &[value(Kind::Call)], "the only one", Identity, "What is trained.")
        .rule("names a `model`, or calls a layer of ids `[b, t]` and numbers `[b, t, vocab]`")
        .meets(&["data", "context"])
        .example("model gpt(layers: 2, width: 128, heads: 4)"),
    directive("data", &[value(Kind::Name)], "the only one", Trajectory, "What it is trained on.")
        .rule("names a `data`")
        .meets(&["model", "loss"])
        .example("data shakespeare"),
    directive(
        "loss",
        &[value(Kind::Call)],
        "cross_entropy",
        Trajectory,
        "What is made small: the mean over target tokens.",
    )
    .rule("a `fn` of logits and targets")
    .meets(&["data", "label_smoothing"])
    .example("loss cross_entropy"),
    directive(
        "context",
        &[value(Kind::Count { min: 1, max: 1 << 20 })],
        "the model's, else 1024",
        Identity,
        "Tokens in a sequence.",
    )
    .with(&[
        opt_later("from", Kind::Count { min: 1, max: 1 << 20 }),
        opt_later("over", Kind::Span),
    ])
    .rule("at most the positions that the model has")
    .meets(&["model", "batch", "memory"])
    .example("context 2Ki"),
    directive(
        "batch",
        &[flagged(Kind::Count { min: 1, max: 1 << 31 }, &[built("tokens")])],
        "32",
        Trajectory,
        "Sequences, or tokens, of one optimizer step.",
    )
    .rule("batch = micro_batch * accumulate, and * context in tokens")
    .meets(&["micro_batch", "accumulate", "context"])
    .example("batch 512Ki tokens"),
    directive(
        "micro_batch",
        &[value(Kind::Count { min: 1, max: 1 << 16 })],
        "the largest divisor of `batch` with at most 8192 tokens",
        Trajectory,
        "Sequences computed at once.",
    )
    .rule("divides `batch`; a run that goes on keeps the one it has")
    .meets(&["batch", "accumulate", "memory"])
    .example("micro_batch 8"),
    directive(
        "accumulate",
        &[value(Kind::Count { min: 1, max: 1 << 16 })],
        "derived",
        Trajectory,
        "Micro-batches whose gradients are added up for one optimizer step.",
    )
    .rule("divides `batch`; alone it does not make the batch larger")
    .meets(&["batch", "micro_batch", "clip", "loss_scale"])
    .example("accumulate 8"),
    directive(
        "data_parallel",
        &[value(Kind::Count { min: 1, max: 1 << 16 })],
        "devices at launch",
        Trajectory,
        "Devices that share a batch.",
    )
    .rule("divides `batch`")
    .meets(&["batch", "shard"])
    .example("data_parallel 8")
    .not_yet(),
    directive(
        "shard",
        &[word("none"), value(Kind::Choice(SHARDS))],
        "none",
        Trajectory,
        "What each device holds only a part of.",
    )
    .listed()
    .rule("more than one device")
    .meets(&["data_parallel", "memory", "checkpoint"])
    .example("shard optimizer, gradients")
    .not_yet(),
    directive(
        "steps",
        &[value(Kind::Span)],
        "required",
        Trajectory,
        "How long the run is.",
    )
    .rule("above 0, and no percentage; required, for the schedule has to know")
    .meets(&["warmup", "schedule", "stop"])
    .example("steps 3 epochs"),
    directive(
        "lr",
        &[value(Kind::Positive)],
        "the rule's usual value",
        Trajectory,
        "The peak learning rate.",
    )
    .with(&[
        opt_later("layer_decay", Kind::Prob),
        opt("at", Kind::Batch),
        opt("scale", Kind::Choice(SCALES)),
    ])
    .rule("above 0; `at batch n` and `scale` stand together")
    .meets(&["schedule", "warmup", "batch", "optimizer"])
    .example("lr 3e-4 at batch 256 scale sqrt"),
    directive(
        "schedule",
        &[value(Kind::Call)],
        "cosine(to: 10%)",
        Trajectory,
        "The factor of `lr` over the steps after the warm-up.",
    )
    .rule("a `fn` of the step and the total, or `plateau`, which needs evaluations")
    .meets(&["lr", "warmup", "steps", "eval"])
    .example("schedule cosine(to: 10%)"),
    directive(
        "warmup",
        &[flagged(Kind::Span, &[built("linear"), built("exp")])],
        "1%",
        Trajectory,
        "How long the learning rate rises at the start.",
    )
    .rule("shorter than the run; counts optimizer steps, not micro-batches")
    .meets(&["steps", "schedule", "lr"])
    .example("warmup 5%"),
    directive(
        "optimizer",
        &[value(Kind::Call)],
        "adamw(beta1: 0.9, beta2: 0.95)",
        Trajectory,
        "The rules that update the weights, each on its part of them.",
    )
    .with(&[opt("on", Kind::Set)])
    .listed()
    .rule("a `rule` for every weight; the first set that holds a weight counts")
    .meets(&["lr", "weight_decay", "memory"])
    .example("optimizer muon() on matrices, adamw() on rest"),
    directive(
        "weight_decay",
        &[value(Kind::NonNegative), word("none")],
        "0.1 on matrices",
        Trajectory,
        "Pulls weights toward 0, apart from the gradient.",
    )
    .with(&[opt("on", Kind::Set)])
    .rule("0 or more; the rule takes it and does not say it itself")
    .meets(&["optimizer"])
    .example("weight_decay 0.1 on matrices"),
    directive("clip", CLIPS, "1.0 l2", Trajectory, "Limits the gradient.")
        .rule("above 0; after unscaling and accumulation, before the rule")
        .meets(&["accumulate", "loss_scale", "optimizer"])
        .example("clip 1.0 l2"),
    directive(
        "precision",
        &[value(Kind::Choice(DTYPES))],
        "fp32",
        Trajectory,
        "The dtypes of what is computed, of the weights and of what gradients are handed over in.",
    )
    .with(&[opt("master", Kind::Choice(DTYPES)), opt("reduce", Kind::Choice(DTYPES))])
    .rule("norms, softmax, losses and sums are fp32 whatever it is")
    .meets(&["loss_scale", "numerics", "device"])
    .example("precision fp16 master fp32 reduce fp32"),
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
    ])
    .rule("powers of two; fp16 needs one")
    .meets(&["precision", "on_nan"])
    .example("loss_scale dynamic from 64Ki growth 2000 min 1"),
    directive(
        "on_nan",
        ON_NANS,
        "stop; with a dynamic loss scale: skip limit 20",
        Trajectory,
        "What a loss or gradient that is not finite does.",
    )
    .with(&[opt("limit", Kind::Count { min: 1, max: 1 << 31 })])
    .rule("what no loss scale can mend ends the run")
    .meets(&["loss_scale", "checkpoint"])
    .example("on_nan skip limit 10"),
    directive(
        "on_spike",
        &[value(Kind::Choice(ON_SPIKES))],
        "none",
        Trajectory,
        "What a sudden rise of the loss does.",
    )
    .with(&[opt("above", Kind::Positive)])
    .meets(&["checkpoint"])
    .example("on_spike rollback above 3")
    .not_yet(),
    directive(
        "recompute",
        RECOMPUTES,
        "auto: as much as `memory` asks for",
        Observation,
        "Which activations are computed again in the backward pass instead of being kept.",
    )
    .rule("changes no bit of a run")
    .meets(&["memory"])
    .example("recompute every 2 blocks"),
    directive(
        "memory",
        &[value(Kind::Bytes)],
        "60% of RAM",
        Observation,
        "How much memory the process may take; `micro_batch` and `recompute` follow from it.",
    )
    .rule("at least what the smallest micro-batch takes")
    .meets(&["micro_batch", "recompute"])
    .example("memory 8GiB"),
    directive(
        "offload",
        &[word("none"), value(Kind::Choice(OFFLOADS))],
        "none",
        Observation,
        "What is kept in the memory of the host.",
    )
    .rule("a GPU")
    .meets(&["memory"])
    .example("offload optimizer")
    .not_yet(),
    directive(
        "dropout",
        &[value(Kind::Prob)],
        "the model's",
        Trajectory,
        "The share of activations set to 0: the argument `drop` of the model.",
    )
    .rule("below 1; off in evaluations and samples")
    .meets(&["model", "seed"])
    .example("dropout 10%"),
    directive(
        "label_smoothing",
        &[value(Kind::Prob)],
        "0",
        Trajectory,
        "Spreads a share of each target over all ids.",
    )
    .rule("below 1; the loss takes it and does not say it itself")
    .meets(&["loss"])
    .example("label_smoothing 0.05"),
    directive(
        "ema",
        &[word("none"), value(Kind::Prob)],
        "none",
        Trajectory,
        "Keeps a moving average of the weights, which evaluations and samples read.",
    )
    .rule("below 1")
    .meets(&["memory", "eval", "sample"])
    .example("ema 0.999"),
    directive("freeze", &[value(Kind::Set)], "none", Trajectory, "Weights that are not updated.")
        .with(&[opt_later("until", Kind::Span)])
        .rule("leaves at least one weight to train")
        .meets(&["optimizer", "weight_decay", "memory"])
        .example("freeze embeddings"),
    directive("lora", LORAS, "none", Identity, "Trains low-rank adapters instead of weights.")
        .with(&[
            opt("alpha", Kind::Positive),
            opt("on", Kind::Set),
            opt("dropout", Kind::Prob),
        ])
        .rule("a rank of at most the smaller side of each matrix")
        .meets(&["freeze", "memory"])
        .example("lora rank 16 alpha 32 on matrices dropout 5%")
        .not_yet(),
    directive(
        "carry",
        &[value(Kind::Choice(&[built("state")]))],
        "none",
        Trajectory,
        "Keeps recurrent state from batch to batch.",
    )
    .rule("a recurrent model, and data that is not shuffled")
    .meets(&["model", "data", "context"])
    .example("carry state")
    .not_yet(),
    directive(
        "seed",
        &[value(Kind::Count { min: 0, max: i32::MAX as u64 })],
        "0",
        Trajectory,
        "Starts the random numbers of weights, dropout and data order.",
    )
    .meets(&["dropout", "checkpoint"])
    .example("seed 1337"),
    directive(
        "numerics",
        &[value(Kind::Choice(NUMERICS))],
        "exact",
        Trajectory,
        "Whether sums keep one order everywhere, or work in 16 bits may use tensor cores and orders of its own: what GPUs do unless told otherwise.",
    )
    .rule("both give the same bits from run to run; a CPU is exact")
    .meets(&["precision", "device"])
    .example("numerics exact"),
    directive(
        "resume",
        &[value(Kind::Choice(RESUMES))],
        "auto",
        Observation,
        "What a second run of the same spec does.",
    )
    .rule(
        "`exact` refuses to go on where the bits could be others than those of a run without a break; `never` starts anew beside",
    )
    .meets(&["checkpoint", "stop"])
    .example("resume exact"),
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
    .may_be_bare()
    .rule("`best` needs evaluations")
    .meets(&["eval", "resume", "seed"])
    .example("checkpoint \"runs/{name}\" every 500 keep 3 best val.loss"),
    directive("eval", &[], "every 5%", Observation, "Measures the loss on the validation split.")
        .with(&[opt("every", Kind::Span), opt("batches", Kind::Count { min: 1, max: 1 << 31 })])
        .may_be_bare()
        .repeated()
        .rule("needs a `val` split; takes all of it at the end")
        .meets(&["stop", "early_stop", "schedule", "checkpoint"])
        .example("eval every 250 batches 20"),
    directive(
        "metric",
        &[value(Kind::Choice(METRICS))],
        "loss, perplexity",
        Observation,
        "What is measured.",
    )
    .repeated()
    .listed()
    .rule("`noise_scale` needs two micro-batches")
    .meets(&["eval", "batch"])
    .example("metric grad_norms, noise_scale"),
    directive("stop", STOPS, "after `steps`", Trajectory, "Ends the run early.")
        .repeated()
        .rule("a condition needs evaluations")
        .meets(&["steps", "eval"])
        .example("stop when val.loss < 2.85"),
    directive(
        "early_stop",
        &[word("none"), value(Kind::Metric)],
        "none",
        Trajectory,
        "Ends the run when a metric has not become better for so long.",
    )
    .with(&[opt("patience", Kind::Span), opt("min_delta", Kind::NonNegative)])
    .rule("needs evaluations, and a patience that fits in the run")
    .meets(&["eval", "warmup", "steps"])
    .example("early_stop val.loss patience 20% min_delta 0.01"),
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
    .repeated()
    .meets(&["ema"])
    .example("sample \"CAESAR.\" every 1k length 200 temperature 0.8"),
    directive(
        "log",
        LOGS,
        "console; every step in metrics.jsonl of the run",
        Observation,
        "Where the numbers of the run go beside its folder.",
    )
    .with(&[opt("every", Kind::Span)])
    .repeated()
    .rule("a path is relative to the working directory and takes names as strings do")
    .meets(&["metric", "eval"])
    .example("log csv \"out/{run}.csv\" every 10"),
    directive(
        "profile",
        &[lead("steps", Kind::Steps)],
        "none",
        Observation,
        "Times each kernel of some steps.",
    )
    .example("profile steps 10..20 \"profile.json\"")
    .not_yet(),
    directive("device", &[value(Kind::Choice(DEVICES))], "auto", Observation, "What computes.")
        .rule("the command line has the last word")
        .meets(&["precision", "numerics"])
        .example("device cpu"),
    directive("budget", &[value(Kind::Time)], "none", Observation, "The time the run may take.")
        .rule("a warning says when the measured speed leads beyond it")
        .meets(&["steps", "stop"])
        .example("budget 12h"),
    directive(
        "set",
        &[value(Kind::Metric)],
        "none",
        Trajectory,
        "Takes the settings that a sweep found best.",
    )
    .example("set search.best")
    .not_yet(),
    ALLOW,
];
