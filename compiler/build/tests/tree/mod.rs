//! Trees without their places, and numbers without the way they are written.

use std::sync::Arc;

use diag::SourceMap;
use syntax::ast::ExprKind;

/// Fails where two texts do not have the same tree.
pub(crate) fn same(name: &str, a: &str, b: &str) {
    assert_eq!(tree(name, a), tree(name, b), "{name}");
}

/// Everything that a tree holds, printed in its one form; numbers by their value and unit.
fn tree(name: &str, text: &str) -> String {
    let mut map = SourceMap::new();
    let file = map.add(name, text);
    let (spec, faults) = syntax::parse(&map, file);
    let faults: Vec<_> = faults.iter().map(|d| &d.message).collect();
    assert!(faults.is_empty(), "{name}: {faults:?}\n{text}");
    let mut spec = Arc::unwrap_or_clone(spec);
    for expr in &mut spec.exprs {
        if let ExprKind::Number(n) = &mut expr.kind {
            n.text = format!("<{:?} {:?} {:?}>", n.value, n.int, n.unit);
        }
    }
    syntax::print_spec(&spec)
}
