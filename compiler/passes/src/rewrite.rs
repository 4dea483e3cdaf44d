//! Rebuilds a graph node by node; what the graph-to-graph passes share.

use ir::builder::Builder;
use ir::graph::{Graph, Node, Origin, Value};

/// Visits the nodes in order and lets `rule` append what stands for each; operands are already
/// those of the new graph.
pub(crate) fn rewrite(
    graph: &Graph,
    mut rule: impl FnMut(&mut Builder, &Node, &[Value]) -> Value,
) -> Graph {
    let mut b = Builder::new(&graph.name);
    let mut values: Vec<Value> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let args: Vec<Value> = node.args.iter().map(|a| values[a.index()]).collect();
        b.origin = node.origin;
        let value = rule(&mut b, node, &args);
        assert_eq!(b.ty(value), &node.ty, "a rewrite keeps the type of {}", node.op.name());
        values.push(value);
    }
    b.origin = Origin::default();
    for (name, value) in &graph.stores {
        b.store(name, values[value.index()]);
    }
    b.finish()
}
