//! Sets of weights: what a directive is `on`.

use super::{Group, Train};
use crate::trace::Param;

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
    /// Weights declared in a layer of this name, or inside one.
    Layer(String),
    /// Weights of a binding of the model: `blocks[0..6].attn`.
    Binding(Vec<Step>),
    /// Paths that match a glob: `blocks.*.attn.{wq,wv}.weight`.
    Glob(String),
}

/// A part of the path of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `.attn`.
    Name(String),
    /// `[0..6]`, from the first to before the second.
    Copies(u64, u64),
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

impl Train {
    /// Whether a weight is not updated.
    pub fn is_frozen(&self, param: &Param) -> bool {
        self.freeze.as_ref().is_some_and(|set| set.contains(param))
    }

    /// Whether weight decay is on for a weight: what a rule for a set of weights says itself is for
    /// all of the set.
    pub fn is_decayed(&self, param: &Param) -> bool {
        let says_itself = |g: &Group| g.rule.written.iter().any(|w| w == "weight_decay");
        match self.group_of(param) {
            Some(group) if self.groups.len() > 1 && says_itself(group) => true,
            Some(_) | None => self.weight_decay_on.contains(param),
        }
    }

    /// The group whose rule updates a weight: the first that holds it; none when it is frozen.
    pub fn group_of(&self, param: &Param) -> Option<&Group> {
        let held = |group: &&Group| !self.is_frozen(param) && group.on.contains(param);
        self.groups.iter().find(held)
    }
}

impl Term {
    /// Whether a weight is in it.
    pub fn holds(&self, param: &Param) -> bool {
        let layer = param.layer.as_str();
        match self {
            Self::All => true,
            Self::Matrices => param.shape.len() >= 2,
            Self::Embeddings => matches!(layer, "embedding" | "positions"),
            Self::Norms => matches!(layer, "layernorm" | "rmsnorm"),
            Self::Biases => param.path.rsplit('.').next() == Some("bias"),
            Self::Head => param.is_head,
            Self::Layer(of) => layer == of || param.around.iter().any(|l| l == of),
            Self::Binding(steps) => begins(&param.path, steps),
            Self::Glob(glob) => matches(glob.as_bytes(), param.path.as_bytes()),
        }
    }
}

/// Whether a path is that of the binding, or goes on inside it.
fn begins(path: &str, steps: &[Step]) -> bool {
    let mut parts = path.split('.');
    steps.iter().all(|step| match (step, parts.next()) {
        (Step::Name(name), Some(part)) => part == name,
        (Step::Copies(from, to), Some(part)) => {
            part.parse().is_ok_and(|i: u64| (*from..*to).contains(&i))
        }
        (Step::Name(_) | Step::Copies(..), None) => false,
    })
}

/// Whether a path matches a glob of `*`, `?` and `{a,b}`.
///
/// Walks all ways through the glob at once: `at` holds how much of the path each may have taken.
fn matches(glob: &[u8], path: &[u8]) -> bool {
    let mut at = vec![false; path.len() + 1];
    at[0] = true;
    let mut glob = glob;
    while let Some((&first, rest)) = glob.split_first() {
        let from: Vec<usize> = (0..at.len()).filter(|&i| at[i]).collect();
        let mut next = vec![false; at.len()];
        glob = rest;
        match first {
            b'*' => next[from.first().map_or(at.len(), |&i| i)..].fill(true),
            b'{' => {
                let Some(end) = rest.iter().position(|&b| b == b'}') else { return false };
                glob = &rest[end + 1..];
                for word in rest[..end].split(|&b| b == b',') {
                    let taken = from.iter().filter(|&&i| path[i..].starts_with(word));
                    taken.for_each(|i| next[i + word.len()] = true);
                }
            }
            byte => {
                let taken = from
                    .iter()
                    .filter(|&&i| path.get(i).is_some_and(|&b| byte == b'?' || byte == b));
                taken.for_each(|i| next[i + 1] = true);
            }
        }
        at = next;
    }
    at[path.len()]
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
        assert!(!is("a.{b", "a.b") && !is("", "a") && is("a*", "a") && is("a{,.b}", "a.b"));
        assert!(!is(&"*a".repeat(100), &"a".repeat(99)), "in no long time either");
    }

    #[test]
    fn bindings_match_whole_parts_from_the_top() {
        let blocks = [Step::Name("blocks".to_owned()), Step::Copies(0, 2)];
        assert!(begins("blocks.1.attn.weight", &blocks));
        assert!(!begins("blocks.2.attn.weight", &blocks));
        assert!(!begins("blocks.10.attn.weight", &blocks));
        assert!(!begins("more.blocks.0.weight", &blocks) && !begins("blocks", &blocks));
    }
}
