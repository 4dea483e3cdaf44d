//! How numbers are kept and changed: precision, scaling, schedules, rules.

use diag::Span;

use super::{Call, ParamSet};

/// A floating-point type that a directive may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Float {
    /// IEEE single precision.
    Fp32,
    /// The upper half of an fp32.
    Bf16,
    /// IEEE half precision.
    Fp16,
}

impl Float {
    /// As written in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        }
    }
}

/// `precision fp16 master fp32 reduce fp32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Of activations, and of what products read.
    pub compute: Float,
    /// Of the weights that the rule updates.
    pub master: Float,
    /// Of the gradient of a micro-batch when it is handed over; sums are fp32.
    pub reduce: Float,
}

/// What keeps small gradients above 0 in fp16.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossScale {
    /// Nothing: the scale is 1.
    None,
    /// Always this power of two.
    Static(f64),
    /// Halved on overflow, doubled after clean updates.
    Dynamic {
        /// The first scale, a power of two.
        start: f64,
        /// Clean updates before it doubles.
        growth: u64,
        /// It never falls below.
        min: f64,
    },
}

/// What a loss or gradient that is not finite does, beyond what the scaler skips.
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

/// How sums are computed. Both ways give the same bits from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numerics {
    /// In one order everywhere, to the bit.
    Exact,
    /// Products of 16 bits on tensor cores.
    Fast,
}

/// The line `numerics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumericsLine {
    /// What it names.
    pub numerics: Numerics,
    /// Where it stands.
    pub span: Span,
}

/// What a second run of the same spec does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Goes on from the newest checkpoint; what changed since is said.
    Auto,
    /// Goes on only where that gives the bits of a run without a break.
    Exact,
    /// Starts anew in a folder beside.
    Never,
}

/// `budget 12h`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// The time that the run may take.
    pub seconds: f64,
    /// Where the line stands.
    pub span: Span,
    /// The line `steps`.
    pub steps: Span,
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// A GPU, through the CUDA driver.
    Cuda,
    /// A GPU's code on the CPU.
    Emulated,
}

/// The line `device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceLine {
    /// What it names.
    pub device: Device,
    /// Where it stands.
    pub span: Span,
}

/// What the backward pass computes again instead of keeping it; no number depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recompute {
    /// As much as the memory asks for.
    Auto,
    /// Nothing.
    None,
    /// Every block of a `repeat`.
    All,
    /// So many blocks at a time.
    Every(u64),
    /// Modules whose weights are all in the set.
    Only(ParamSet),
}

/// The factor of the learning rate over the run.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// A `fn` of `(step, total)` and its configuration.
    Fn(Call),
    /// Multiplied by `factor` when the validation loss has not improved for `patience` steps.
    Plateau {
        /// Below 1.
        factor: f64,
        /// Steps.
        patience: u64,
        /// The product of factors stops here.
        min: f64,
        /// The directive as it would be written.
        text: String,
    },
}

/// A rule and the weights it updates.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// A `rule` and its configuration.
    pub rule: Call,
    /// On which weights; those of earlier groups are taken.
    pub on: ParamSet,
}

/// What is measured beside the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The l2 norm of each weight's gradient.
    GradNorms,
    /// The gradient-noise scale.
    NoiseScale,
}
