//! The checked program: directives as values, calls bound to declarations.
//!
//! It answers two kinds of question: what the run does ([`Train`], [`DataSource`]) and what a
//! declaration computes for given sizes ([`Program::trace_model`] and its like).

mod data;
mod origin;
mod policy;
mod sets;
mod text;
mod traces;

use diag::Span;

pub use data::{
    Clean, Column, Columns, DataSource, Facts, Fields, Filter, Format, Limit, LossOn, Normal,
    Overlap, Pack, Shuffle, Source, Task, Tokenizer,
};
pub use origin::{Origin, OriginOf, Weights};
pub use policy::{
    Budget, Device, DeviceLine, Float, Group, LossScale, Measure, Numerics, NumericsLine, OnNan,
    Precision, Recompute, Resume, Schedule,
};
pub use sets::{ParamSet, Step, Term};

use crate::library::Library;
use crate::value::StaticArg;

/// A call of a declaration with its configuration: `adamw(beta1: 0.9)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The declaration's name.
    pub name: String,
    /// Every configuration argument, defaults filled in, by name.
    pub args: Vec<(String, StaticArg)>,
    /// Names of the arguments that the user wrote.
    pub written: Vec<String>,
    /// Where.
    pub span: Span,
}

/// A checked spec with one training job.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file's stem: `hello`.
    pub name: String,
    /// All declarations, of the spec and of the standard library.
    pub library: Library,
    /// The model.
    pub model: Call,
    /// The name the spec gives the model, if any.
    pub model_name: Option<String>,
    /// Size of the vocabulary the data has.
    pub vocab: u64,
    /// How many labels the data has, where it has labels.
    pub classes: Option<u64>,
    /// The data.
    pub data: DataSource,
    /// The training job.
    pub train: Train,
}

/// Gradient clipping.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// None.
    None,
    /// By the global l2 norm.
    L2(f64),
    /// By the largest magnitude of all.
    Linf(f64),
    /// Each element by itself.
    Value(f64),
}

/// `eval every 250 batches 20`.
#[derive(Debug, Clone, PartialEq)]
pub struct Eval {
    /// Optimizer steps between two.
    pub every: u64,
    /// Batches of `batch` sequences each; `None`: the whole split. The last evaluation takes the whole split.
    pub batches: Option<u64>,
}

/// `checkpoint "runs/{name}" every 500 keep 3 best val.loss`.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The folder, when the spec names one; names in it already replaced.
    pub path: Option<String>,
    /// Optimizer steps between two.
    pub every: u64,
    /// Seconds between two.
    pub every_s: Option<f64>,
    /// How many are kept.
    pub keep: Option<u64>,
    /// Whether the best by validation loss is kept.
    pub best_val_loss: bool,
}

/// `early_stop val.loss patience 20% min_delta 0.01`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStop {
    /// Optimizer steps without a better validation loss.
    pub patience: u64,
    /// How much lower it must be to be better.
    pub min_delta: f64,
    /// The line.
    pub span: Span,
}

/// `log csv "out.csv" every 10`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogTo {
    /// The file and its form; the terminal without one.
    pub file: Option<(LogForm, String)>,
    /// Optimizer steps between two lines, where that is stated.
    pub every: Option<u64>,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// A JSON object a line.
    Jsonl,
    /// A table with a heading.
    Csv,
}

/// `sample "CAESAR." every 1k length 200 temperature 0.8`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The prompt; `None`: the first line of the validation text.
    pub prompt: Option<String>,
    /// Optimizer steps between two; `None`: at the end.
    pub every: Option<u64>,
    /// Tokens.
    pub length: u64,
    /// 0 is greedy.
    pub temperature: f64,
    /// Only so many of the likeliest tokens.
    pub top_k: Option<u64>,
    /// Only the fewest likeliest tokens of this probability; 1: all.
    pub top_p: f64,
}

/// A `train` block with every value resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Train {
    /// The name the spec gives it, if any.
    pub name: Option<String>,
    /// Where its first weights come from; `None`: they are made.
    pub from: Option<Origin>,
    /// Tokens a sequence.
    pub context: u64,
    /// Sequences an optimizer step.
    pub batch: u64,
    /// Sequences a micro-batch.
    pub micro_batch: u64,
    /// Micro-batches an optimizer step.
    pub accumulate: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Peak learning rate.
    pub lr: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Shape of the warm-up.
    pub warmup_exponential: bool,
    /// The factor of the learning rate after the warm-up.
    pub schedule: Schedule,
    /// Rules and what they update; a weight belongs to the first group that holds it.
    pub groups: Vec<Group>,
    /// Weight decay of the first rule that takes it; each group's call has its own.
    pub weight_decay: f64,
    /// On which parameters.
    pub weight_decay_on: ParamSet,
    /// Parameters that no rule updates.
    pub freeze: Option<ParamSet>,
    /// Gradient clipping.
    pub clip: Clip,
    /// Types of activations, weights and gradients.
    pub precision: Precision,
    /// How sums are computed, when the spec says.
    pub numerics: Option<NumericsLine>,
    /// What computes, when the spec says.
    pub device: Option<DeviceLine>,
    /// What keeps small gradients above 0.
    pub loss_scale: LossScale,
    /// What a number that is not finite does.
    pub on_nan: OnNan,
    /// What the backward pass computes again.
    pub recompute: Recompute,
    /// Bytes that the process may take, when the spec says.
    pub memory: Option<u64>,
    /// What the spec says of that itself.
    pub stated: Stated,
    /// Share of the old average that an update keeps in the averaged weights.
    pub ema: Option<f64>,
    /// What is measured beside the loss.
    pub measures: Vec<Measure>,
    /// Of weights, dropout and data order.
    pub seed: u64,
    /// A `fn` of `(logits, target)`.
    pub loss: Call,
    /// Evaluation; `None` without a validation split.
    pub eval: Option<Eval>,
    /// Saving.
    pub checkpoint: Option<Checkpoint>,
    /// Samples.
    pub samples: Vec<Sample>,
    /// `stop when val.loss < x`.
    pub stop_below_val_loss: Option<f64>,
    /// `stop after 2h`, in seconds.
    pub stop_after_s: Option<f64>,
    /// `early_stop val.loss patience 20%`.
    pub early_stop: Option<EarlyStop>,
    /// Where numbers go beside the folder of the run.
    pub logs: Vec<LogTo>,
    /// What a second run of the spec does.
    pub resume: Resume,
    /// The time that the run may take.
    pub budget: Option<Budget>,
    /// Every directive's effective value and where it came from, for people.
    pub settings: Vec<Setting>,
    /// The block.
    pub span: Span,
}

/// Where the spec says how memory is used; what it leaves out is derived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stated {
    /// `micro_batch`.
    pub micro_batch: Option<Span>,
    /// `accumulate`.
    pub accumulate: Option<Span>,
    /// `recompute`, other than `auto`.
    pub recompute: Option<Span>,
    /// `memory`.
    pub memory: Option<Span>,
    /// The word `train`.
    pub word: Span,
    /// Whether a run that goes on has a micro-batch already.
    pub goes_on: bool,
}

impl Train {
    /// Whether nothing says how many sequences are computed at once.
    pub fn may_choose_micro_batch(&self) -> bool {
        let Stated { micro_batch, accumulate, goes_on, .. } = &self.stated;
        micro_batch.is_none() && accumulate.is_none() && !goes_on
    }

    /// Whether a run can go on with a micro-batch: one that divides, where nothing says another.
    pub fn may_keep_micro_batch(&self, micro_batch: u64) -> bool {
        let divides = micro_batch > 0 && self.batch.is_multiple_of(micro_batch);
        self.may_choose_micro_batch() && divides
    }

    /// Goes on with the micro-batch of a run, which is part of its numbers; a divisor of the batch.
    pub fn keep_micro_batch(&mut self, micro_batch: u64) {
        self.choose_micro_batch(micro_batch);
        self.stated.goes_on = true;
    }

    /// Computes so many sequences at once; a divisor of the batch.
    pub fn choose_micro_batch(&mut self, micro_batch: u64) {
        (self.micro_batch, self.accumulate) = (micro_batch, self.batch / micro_batch);
        self.derive("micro_batch", self.micro_batch.to_string());
        self.derive("accumulate", self.accumulate.to_string());
    }

    /// Replaces the text of a setting by a value that was derived.
    pub fn derive(&mut self, name: &str, value: String) {
        if let Some(setting) = self.settings.iter_mut().find(|s| s.name == name) {
            let from = (name != "memory").then(|| "from memory".to_owned());
            let (origin, place) = ("derived".to_owned(), from);
            *setting = Setting { value, origin, place, ..setting.clone() };
        }
    }
}

/// An effective value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The directive.
    pub name: String,
    /// As it would be written.
    pub value: String,
    /// `spec`, `default`, `derived`, `command line`.
    pub origin: String,
    /// Where it stands, or from what it follows: `hello.lt:7:3`, `from batch, context`.
    pub place: Option<String>,
    /// Part of what a checkpoint must share, of the numbers, or of neither.
    pub class: SettingClass,
    /// The line that says it, where there is one.
    pub span: Option<Span>,
}

impl Setting {
    /// Who says it and where: `hello.lt:7:3`, `derived from batch, context`, `default`.
    pub fn origin(&self) -> String {
        match (self.origin.as_str(), &self.place) {
            ("spec" | "command line", Some(place)) => place.clone(),
            (origin, Some(place)) => format!("{origin} {place}"),
            (origin, None) => origin.to_owned(),
        }
    }
}

/// What a change of a directive means for a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingClass {
    /// The weights no longer fit.
    Identity,
    /// The numbers change.
    Trajectory,
    /// Only what is watched changes.
    Observation,
}
