//! What one row of a result takes of its operands.
//!
//! A *row* is what has one index along an axis; it keeps the axis, with size 1.

use ir::graph::{Graph, Node, Value};
use ir::ops::attend::{Attend, Part};
use ir::ops::{Lowering, Op, View};

use super::{IDS, Why};

/// What a row is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Places {
    /// It is a token of the text.
    Text,
    /// It is a piece of a state, a constant or an index.
    Leaf,
    /// Of each operand this, and by the same op.
    Each(Vec<Operand>),
    /// One row of queries, all keys and values up to its place.
    Attention,
    /// All rows of some operand.
    Joined(Why),
}

/// What a row takes of an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// The row of the same index along this axis.
    Row(usize),
    /// All of it.
    Whole,
}

use Operand::{Row, Whole};

/// What the row of `value` along `axis` is made of.
pub(super) fn places(graph: &Graph, value: Value, axis: usize) -> Places {
    let node = &graph[value];
    let shape_of = |arg: usize| graph[node.args[arg]].ty.shape.as_slice();
    let rank = node.ty.shape.len();
    let each = |operand: Operand| Places::Each(vec![operand; node.args.len()]);
    match node.op.lowering() {
        Lowering::Leaf if !is_text(node) => Places::Leaf,
        Lowering::Leaf if axis == 1 => Places::Text,
        Lowering::Leaf => Places::Joined(Why::Joins),
        // The index of an element has a part in its number.
        Lowering::Pointwise(_) if matches!(node.op, Op::Random(_)) => Places::Joined(Why::Joins),
        Lowering::Pointwise(_) if node.args.is_empty() => Places::Leaf,
        Lowering::Pointwise(_) => {
            let operand = |arg| if shape_of(arg).is_empty() { Whole } else { Row(axis) };
            Places::Each((0..node.args.len()).map(operand).collect())
        }
        Lowering::Reduce { axes, .. } if axes.contains(&axis) => Places::Joined(Why::Joins),
        Lowering::Reduce { .. } => each(Row(axis)),
        Lowering::View(view) => {
            let operand = viewed(&view, shape_of(0), &node.ty.shape, axis);
            operand.map_or(Places::Joined(Why::Joins), each)
        }
        Lowering::Dot if axis + 2 == rank => Places::Each(vec![Row(axis), Whole]),
        Lowering::Dot if axis + 1 == rank => Places::Each(vec![Whole, Row(axis)]),
        Lowering::Dot => each(Row(axis)),
        Lowering::Gather if axis + 1 == rank => Places::Each(vec![Row(1), Whole]),
        Lowering::Gather => Places::Each(vec![Whole, Row(axis)]),
        Lowering::Concat { axis: along } if along == axis => Places::Joined(Why::Joins),
        Lowering::Pad { axis: along, .. } if along == axis => Places::Joined(Why::Joins),
        Lowering::Concat { .. } | Lowering::Pad { .. } => each(Row(axis)),
        Lowering::Attention(attend, Part::Out) if axis == 1 => attended(&attend),
        Lowering::Attention(..) | Lowering::Scatter { .. } => Places::Joined(Why::Joins),
    }
}

/// Whether it is the input that holds a text.
pub(super) fn is_text(node: &Node) -> bool {
    matches!(&node.op, Op::State(state) if state.name == IDS)
}

fn attended(attend: &Attend) -> Places {
    if !attend.is_causal && attend.window.is_none() {
        return Places::Joined(Why::LooksAhead);
    }
    if attend.has_segments || attend.has_offset || attend.drop > 0.0 {
        return Places::Joined(Why::Joins);
    }
    Places::Attention
}

/// What a row of a view is of its operand; none when it is no row of it.
fn viewed(view: &View, from: &[u64], to: &[u64], axis: usize) -> Option<Operand> {
    match view {
        View::Permute(axes) => Some(Row(axes[axis])),
        View::Broadcast(_) => {
            let inner = (axis + from.len()).checked_sub(to.len());
            Some(inner.filter(|&inner| from[inner] == to[axis]).map_or(Whole, Row))
        }
        View::Slice { axis: along, .. } if *along != axis => Some(Row(axis)),
        // Row i is row i of the operand when the first rows are taken.
        View::Slice { start: 0, .. } => Some(Row(axis)),
        View::Slice { .. } => None,
        View::Reshape(_) => {
            let inner = |shape: &[u64], at: usize| shape[at + 1..].iter().product::<u64>();
            let is_same = |&at: &usize| from[at] == to[axis] && inner(from, at) == inner(to, axis);
            (0..from.len()).find(is_same).map(Row)
        }
    }
}

/// Whether an op changes numbers one by one, or only where they are.
pub(super) fn is_elementwise(node: &Node) -> bool {
    match node.op.lowering() {
        Lowering::Pointwise(_)
        | Lowering::View(_)
        | Lowering::Concat { .. }
        | Lowering::Pad { .. }
        | Lowering::Leaf => true,
        Lowering::Reduce { .. }
        | Lowering::Dot
        | Lowering::Gather
        | Lowering::Scatter { .. }
        | Lowering::Attention(..) => false,
    }
}
