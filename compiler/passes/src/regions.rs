//! The regions that `recompute` names: parts that are computed again as a whole.
//!
//! In: the scope of every origin and the weights. Out: for each origin the region it lies in, if
//! any. A block is one copy of a `repeat`, the first that a path names: `blocks.3` of
//! `blocks.3.attn.qkv`.

use indexmap::{IndexMap, IndexSet};
use ir::graph::Origin;
use sema::trace::Param;
use sema::{ParamSet, Recompute};

use crate::recompute_blocks::Region;

/// For each origin its region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Regions(Vec<Option<Region>>);

impl Regions {
    /// None when nothing is computed again.
    pub(crate) fn of(policy: &Recompute, scopes: &[String], params: &[Param]) -> Option<Self> {
        let name = |scope: &String| match policy {
            Recompute::Auto | Recompute::None => None,
            Recompute::All => segment(scope, 1),
            Recompute::Every(n) => segment(scope, *n),
            Recompute::Only(set) => module_in(scope, set, params),
        };
        let mut names = IndexSet::new();
        let regions: Vec<Option<Region>> =
            scopes.iter().map(|scope| name(scope).map(|n| names.insert_full(n).0)).collect();
        (!names.is_empty()).then_some(Self(regions))
    }

    /// The region of an origin.
    pub(crate) fn region(&self, origin: Origin) -> Option<Region> {
        self.0.get(origin.0 as usize).copied().flatten()
    }
}

/// The paths of all `repeat`s and how many copies each has, in order of the first.
pub(crate) fn blocks(scopes: &[String]) -> Vec<(String, u64)> {
    let mut found: IndexMap<&str, u64> = IndexMap::new();
    for (path, index) in scopes.iter().filter_map(|scope| block(scope)) {
        let n = found.entry(path.trim_end_matches('.')).or_default();
        *n = (*n).max(index + 1);
    }
    found.into_iter().map(|(path, n)| (path.to_owned(), n)).collect()
}

/// The block around a scope: the path of its `repeat` and which copy.
fn block(scope: &str) -> Option<(&str, u64)> {
    let mut end = 0;
    for part in scope.split('.') {
        if let Ok(index) = part.parse() {
            return Some((&scope[..end], index));
        }
        end += part.len() + 1;
    }
    None
}

/// The segment of `n` blocks around a scope.
fn segment(scope: &str, n: u64) -> Option<String> {
    let (of, index) = block(scope)?;
    Some(format!("{of}{}", index / n))
}

/// The outermost module around a scope whose weights are all in the set; what holds blocks is none.
fn module_in(scope: &str, set: &ParamSet, params: &[Param]) -> Option<String> {
    let ends = scope.match_indices('.').map(|(at, _)| at).chain([scope.len()]);
    let modules = ends.map(|end| &scope[..end]).filter(|module| !module.is_empty());
    let is_in = |module: &&str| {
        let rest = |p: &Param| Some(p.path.strip_prefix(module)?.strip_prefix('.')?.to_owned());
        let mut held = params.iter().filter_map(|p| Some((p, rest(p)?))).peekable();
        let has_weights = held.peek().is_some();
        let is_one = |rest: &str| block(module).is_some() || block(rest).is_none();
        has_weights && held.all(|(p, rest)| set.contains(p) && is_one(&rest))
    };
    modules.into_iter().find(is_in).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_the_first_copy_that_a_path_names() {
        assert_eq!(block("net.blocks.12.mlp.3.up"), Some(("net.blocks.", 12)));
        assert_eq!(block("blocks.0"), Some(("blocks.", 0)));
        assert_eq!((block("head"), block("")), (None, None));
    }

    #[test]
    fn segments_hold_neighbours_of_one_repeat() {
        let of = |scope| segment(scope, 2);
        assert_eq!(of("blocks.2.attn"), of("blocks.3"));
        assert_ne!(of("blocks.1"), of("blocks.2"));
        assert_ne!(of("encoder.0"), of("decoder.0"));
        assert_eq!(of("tok"), None);
    }
}
