//! Merges nodes that compute the same value.

use std::collections::BTreeMap;

use ir::graph::{Graph, Value};

use crate::rewrite::rewrite;

/// In: any graph. Out: no two nodes with the same op, attributes and operands.
///
/// Every op is a pure function of its operands (random numbers are drawn by counter), so equal
/// nodes are equal values.
pub(crate) fn cse(graph: &Graph) -> Graph {
    let mut seen: BTreeMap<(String, Vec<Value>), Value> = BTreeMap::new();
    rewrite(graph, |b, node, args| {
        let key = (format!("{:?}", node.op), args.to_vec());
        *seen.entry(key).or_insert_with(|| b.push(node.op.clone(), args))
    })
}
