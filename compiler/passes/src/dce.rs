//! Removes nodes that no store depends on.

use ir::graph::{Graph, Value};

/// In: any graph. Out: the same stores, and only the nodes they need, in the same order.
pub fn dce(graph: &Graph) -> Graph {
    let mut is_live = vec![false; graph.nodes.len()];
    for (_, value) in &graph.stores {
        is_live[value.index()] = true;
    }
    for index in (0..graph.nodes.len()).rev() {
        if is_live[index] {
            for arg in &graph.nodes[index].args {
                is_live[arg.index()] = true;
            }
        }
    }
    let mut renumbered = vec![Value(0); graph.nodes.len()];
    let mut nodes = vec![];
    for (index, node) in graph.nodes.iter().enumerate().filter(|(i, _)| is_live[*i]) {
        renumbered[index] = Value(u32::try_from(nodes.len()).expect("node counts fit"));
        let mut node = node.clone();
        for arg in &mut node.args {
            *arg = renumbered[arg.index()];
        }
        nodes.push(node);
    }
    let stores =
        graph.stores.iter().map(|(name, v)| (name.clone(), renumbered[v.index()])).collect();
    Graph { name: graph.name.clone(), nodes, stores }
}
