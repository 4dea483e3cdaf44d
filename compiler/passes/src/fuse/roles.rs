//! What becomes of each node: memory, a view, computed once or where it is used.
//!
//! In: a simplified graph. Out: a role for each node, from the kinds of operations and from who
//! reads what; what products, scatters and views of results read is in memory.

use ir::graph::{Graph, Node, Value};
use ir::ops::{Lowering, Op, View};
use ir::types::Dtype;

use crate::access::Access;
use crate::coords::{Coords, through};
use crate::split_reductions::is_row_reduction;

/// What becomes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeRole {
    /// A state: memory that is there.
    Leaf,
    /// Recomputed where it is used.
    Inline,
    /// 16 bits in memory, widened where they are read.
    Widened,
    /// Another way to index its operand.
    View,
    /// Computed by a task.
    Computed,
}

/// The role of each node.
pub(super) fn roles(graph: &Graph) -> Vec<NodeRole> {
    let feeds_columns_only = feeds_columns_only(graph);
    let mut roles: Vec<NodeRole> = Vec::with_capacity(graph.nodes.len());
    let mut views: Vec<Option<Access>> = vec![None; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let is_inline = |v: &Value| roles[v.index()] == NodeRole::Inline;
        let role = match node.op.lowering() {
            Lowering::Leaf => NodeRole::Leaf,
            Lowering::Pointwise(_) if node.args.iter().all(is_inline) => NodeRole::Inline,
            Lowering::Pointwise(_) if feeds_columns_only[index] => NodeRole::Inline,
            Lowering::Pointwise(_) if is_widening(graph, node) => NodeRole::Widened,
            Lowering::View(view) => {
                let x = node.args[0];
                if is_inline(&x) && is_same_sizes(graph, x, &view) {
                    NodeRole::Inline
                } else {
                    let base = views[x.index()].clone();
                    let base = base.unwrap_or_else(|| Access::contiguous(&graph[x].ty.shape));
                    views[index] = base.view(&view);
                    let is_affine = views[index].is_some() && !is_inline(&x);
                    if is_affine { NodeRole::View } else { NodeRole::Computed }
                }
            }
            Lowering::Pointwise(_)
            | Lowering::Reduce { .. }
            | Lowering::Dot
            | Lowering::Gather
            | Lowering::Scatter { .. }
            | Lowering::Concat { .. }
            | Lowering::Pad { .. }
            | Lowering::Attention(..) => NodeRole::Computed,
        };
        if role == NodeRole::Computed {
            views[index] = None;
        }
        roles.push(role);
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        let indexed = if roles[index] == NodeRole::View { &node.args[..] } else { &[] };
        for &arg in needs_memory(graph, node).iter().chain(indexed) {
            if matches!(roles[arg.index()], NodeRole::Inline | NodeRole::Widened) {
                roles[arg.index()] = NodeRole::Computed;
            }
        }
    }
    roles
}

/// Whether a node is an operand of 16 bits as an f32.
fn is_widening(graph: &Graph, node: &Node) -> bool {
    matches!(node.op, Op::Cast(_))
        && node.ty.dtype == Dtype::F32
        && graph[node.args[0]].ty.dtype.is_narrow()
}

/// Operands that are read from memory, never recomputed in place.
///
/// Scalars of a larger pointwise op (the stream of random numbers) are among them: kernels that
/// differ only in these numbers share their code.
fn needs_memory<'a>(graph: &Graph, node: &'a Node) -> &'a [Value] {
    let is_scalar = |v: &Value| graph[*v].ty.shape.is_empty();
    match node.op.lowering() {
        Lowering::Dot | Lowering::Scatter { .. } | Lowering::Attention(..) => &node.args,
        Lowering::Gather => &node.args[..1],
        Lowering::Pointwise(_) if !node.ty.shape.is_empty() && node.args.iter().all(is_scalar) => {
            &node.args
        }
        Lowering::Leaf
        | Lowering::Pointwise(_)
        | Lowering::Reduce { .. }
        | Lowering::View(_)
        | Lowering::Concat { .. }
        | Lowering::Pad { .. } => &[],
    }
}

/// Whether indices pass through a view one by one: all but reshapes that split or merge axes.
fn is_same_sizes(graph: &Graph, x: Value, view: &View) -> bool {
    match view {
        View::Reshape(shape) => {
            through(view, &graph[x].ty.shape, &Coords::identity(shape)).is_some()
        }
        View::Permute(_) | View::Broadcast(_) | View::Slice { .. } => true,
    }
}

/// Pointwise nodes that nothing but column reductions of them read.
fn feeds_columns_only(graph: &Graph) -> Vec<bool> {
    let mut feeds = vec![false; graph.nodes.len()];
    let mut elsewhere = vec![false; graph.nodes.len()];
    for (_, value) in &graph.stores {
        elsewhere[value.index()] = true;
    }
    for node in &graph.nodes {
        for arg in &node.args {
            let lowering = node.op.lowering();
            let is_columns = matches!(&lowering, Lowering::Reduce { axes, .. }
                if !is_row_reduction(&graph[*arg].ty.shape, axes));
            let readers = if is_columns { &mut feeds } else { &mut elsewhere };
            readers[arg.index()] = true;
        }
    }
    feeds.iter().zip(&elsewhere).map(|(&f, &e)| f && !e).collect()
}
