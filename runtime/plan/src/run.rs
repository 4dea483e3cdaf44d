//! What the loop does around the functions: data, steps, evaluation, saves.
//!
//! The state contract between the compiled functions and the executor, by buffer name:
//! inputs `ids`, `targets` (i32 `[micro_batch, context]`, targets -1 = none), `row` (i32, the
//! global row of the micro-batch's first sequence), `eval.ids`, `eval.targets`, `prefill.ids`
//! (i32 `[1, context]`), `prefill.last` (i32: the position whose logits are wanted), `decode.id`
//! (i32 `[1, 1]`: the token behind those in the caches) and `decode.position` (i32: its place);
//! output of both `prefill` and `decode` `prefill.logits` (f32 `[vocab]`); `seed` (i32 counter,
//! set before `init`).
//! Counters (saved; f64 scalars): `applied_updates`, `skipped_updates` and its parts
//! `skipped_overflow`, `skipped_nonfinite`, `skipped_empty`, `skips_in_row`, `consumed_batches`,
//! `loss_scale` (of the next step), `clean_updates`; `recent_skips` (f32 `[RECENT]`, a ring by
//! consumed batches). Metrics (f64 scalars): `loss` (mean over target tokens of the step),
//! `tokens`, `lr`, `grad_norm`, `clip_coef`, `used_scale` (the loss scale of this step), `finite`
//! (1 when the update was applied), `skip_cause` (0 applied, 1 overflow, 2 not finite, 3 no target
//! token), `recent_skipped` (of the last [`RECENT`] steps), `eval.loss_sum` and `eval.tokens` (of one eval
//! call); where they are measured `noise_scale` and, for each parameter, `grad_norm.PATH`.
//! `micro` adds to `loss_sum` and `token_sum`, which `update` sets back; gradients stay as they
//! were, so that the host can look at those of a skipped step and make them again.
//! Optional functions: `decode`, where a model can go on with one token; `refresh` rebuilds what is
//! derived from the weights, after `init` and after they were loaded; `plateau` takes notice of the
//! input `val_loss` (f64) after an evaluation.

use crate::Data;

/// Steps whose skips are remembered one by one.
pub const RECENT: u64 = 200;

/// The training loop's settings, all resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Optimizer steps (applied updates).
    pub steps: u64,
    /// Sequences an optimizer step.
    pub batch: u64,
    /// Sequences a call of `micro`.
    pub micro_batch: u64,
    /// Calls of `micro` an optimizer step.
    pub accumulate: u64,
    /// Tokens a sequence.
    pub context: u64,
    /// Of weights, dropout and the order of the data.
    pub seed: u64,
    /// How many ids the data has; the model has a number for each at least.
    pub vocab: u64,
    /// Where the data is and how it is cut.
    pub data: Data,
    /// Whose weights it starts with; `None`: new ones.
    pub start: Option<Start>,
    /// Evaluation on the validation split.
    pub eval: Option<Eval>,
    /// Saving.
    pub checkpoint: Option<Checkpoint>,
    /// Text samples during the run.
    pub samples: Vec<Sample>,
    /// Hash of what must be equal for a checkpoint to fit (model shapes, vocabulary).
    pub identity: String,
    /// Hash of what changes the numbers (lr, data, steps, batch …).
    pub trajectory: String,
    /// Early end: stop when the validation loss falls below this.
    pub stop_below_val_loss: Option<f64>,
    /// Early end after so many seconds of training.
    pub stop_after_s: Option<f64>,
    /// Early end when the validation loss has not fallen for so long.
    pub early_stop: Option<EarlyStop>,
    /// What a loss or gradient that is not finite does, beyond what a loss scaler skips.
    pub on_nan: OnNan,
    /// Whether a run goes on only where that gives the bits of one without a break.
    pub exact_resume: bool,
    /// The smallest loss scale of a dynamic scaler; an overflow at it ends the run.
    pub min_scale: Option<f64>,
}

/// When a run that no longer gets better ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStop {
    /// Applied optimizer steps without a better validation loss.
    pub patience: u64,
    /// How much lower it must be to be better.
    pub min_delta: f64,
}

/// A checkpoint whose weights a run starts with, where names and shapes are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Its folder.
    pub checkpoint: String,
    /// The hash of its manifest.
    pub sha256: String,
}

/// What a loss or gradient that is not finite does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNan {
    /// Ends the run with a diagnosis.
    Stop,
    /// Skips the step; ends the run when so many are skipped in a row.
    Skip {
        /// In a row.
        limit: u64,
    },
}

/// Evaluation on the validation split.
#[derive(Debug, Clone, PartialEq)]
pub struct Eval {
    /// Optimizer steps between two.
    pub every: u64,
    /// Batches of `batch` sequences each; `None`: the whole split.
    pub batches: Option<u64>,
}

/// Saving of weights and state.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The run's folder when the spec names one.
    pub path: Option<String>,
    /// Optimizer steps between two.
    pub every: u64,
    /// Seconds between two, when given.
    pub every_s: Option<f64>,
    /// How many are kept beside the best.
    pub keep: Option<u64>,
    /// Whether the one with the lowest validation loss is kept.
    pub best_val_loss: bool,
}

/// Generated text during the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The prompt; `None`: the first line of the validation split.
    pub prompt: Option<String>,
    /// Optimizer steps between two; `None`: at the end only.
    pub every: Option<u64>,
    /// Tokens to generate.
    pub length: u64,
    /// 0 is greedy.
    pub temperature: f64,
    /// Only so many of the likeliest tokens.
    pub top_k: Option<u64>,
    /// Only the fewest likeliest tokens of this probability; 1: all.
    pub top_p: f64,
}
