//! Values of a `train` block that say how numbers are kept: precision, scaling, sets of weights.

use super::Call;
use crate::trace::Param;

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

/// Which weights a directive is `on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSet {
    /// As written.
    pub text: String,
    /// A weight that one of these holds is in, …
    pub terms: Vec<Term>,
    /// … unless one of these holds it.
    pub except: Vec<Term>,
}

/// A part of a [`ParamSet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// Every weight.
    All,
    /// Rank 2 and more.
    Matrices,
    /// Tables of embeddings and positions.
    Embeddings,
    /// Scales and shifts of norms.
    Norms,
    /// Weights called `bias`.
    Biases,
    /// What makes logits, when it is not an embedding.
    Head,
    /// Weights declared in a layer of this name.
    Layer(String),
    /// Paths that match a glob: `blocks.*.attn.{wq,wv}.weight`.
    Glob(String),
}

impl ParamSet {
    /// The set of one term.
    pub fn of(text: &str, term: Term) -> Self {
        Self { text: text.to_owned(), terms: vec![term], except: vec![] }
    }

    /// Every weight.
    pub fn all() -> Self {
        Self::of("all", Term::All)
    }

    /// Rank 2 and more.
    pub fn matrices() -> Self {
        Self::of("matrices", Term::Matrices)
    }

    /// No weight.
    pub fn none() -> Self {
        Self { text: "none".to_owned(), terms: vec![], except: vec![] }
    }

    /// Whether a weight is in it.
    pub fn contains(&self, param: &Param) -> bool {
        let holds = |terms: &[Term]| terms.iter().any(|t| t.holds(param));
        holds(&self.terms) && !holds(&self.except)
    }
}

impl Term {
    fn holds(&self, param: &Param) -> bool {
        let layer = param.layer.as_str();
        let name = param.path.rsplit('.').next().unwrap_or_default();
        match self {
            Self::All => true,
            Self::Matrices => param.shape.len() >= 2,
            Self::Embeddings => matches!(layer, "embedding" | "positions"),
            Self::Norms => matches!(layer, "layernorm" | "rmsnorm"),
            Self::Biases => name == "bias",
            Self::Head => param.path.split('.').next() == Some("head"),
            Self::Layer(of) => layer == of,
            Self::Glob(glob) => matches(glob.as_bytes(), param.path.as_bytes()),
        }
    }
}

/// Whether a path matches a glob of `*`, `?` and `{a,b}`.
fn matches(glob: &[u8], path: &[u8]) -> bool {
    match (glob.first(), path.first()) {
        (None, None) => true,
        (Some(b'*'), _) => (0..=path.len()).any(|n| matches(&glob[1..], &path[n..])),
        (Some(b'{'), _) => {
            let Some(end) = glob.iter().position(|&b| b == b'}') else { return false };
            glob[1..end].split(|&b| b == b',').any(|word| {
                path.strip_prefix(word).is_some_and(|rest| matches(&glob[end + 1..], rest))
            })
        }
        (Some(b'?'), Some(_)) => matches(&glob[1..], &path[1..]),
        (Some(g), Some(p)) => g == p && matches(&glob[1..], &path[1..]),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_paths() {
        let is = |glob: &str, path: &str| matches(glob.as_bytes(), path.as_bytes());
        assert!(is("blocks.*.attn.{wq,wv}.weight", "blocks.11.attn.wv.weight"));
        assert!(!is("blocks.*.attn.{wq,wv}.weight", "blocks.11.attn.wk.weight"));
        assert!(is("*", "a.b") && !is("a", "a.b") && is("a.?", "a.b"));
    }
}
