//! Gives every reduction one of the two forms that have kernels.
//!
//! Out: a reduction is along the last axis alone (rows), or along one run of neighbouring axes with
//! axes of more than one element behind it (columns). A run at the end is reduced an axis at a
//! time, last first, so that the other axes are parallel work.

use ir::builder::Builder;
use ir::graph::{Graph, Value};
use ir::kernel::Reduction;
use ir::ops::Lowering;

use crate::rewrite::rewrite;

/// In: any graph. Out: the same reductions in the two forms.
pub(crate) fn split_reductions(graph: &Graph) -> Graph {
    rewrite(graph, |b, node, args| match node.op.lowering() {
        Lowering::Reduce { kind, axes } => split(b, kind, &axes, args[0]),
        Lowering::Leaf
        | Lowering::Pointwise(_)
        | Lowering::View(_)
        | Lowering::Dot
        | Lowering::Gather
        | Lowering::Scatter { .. }
        | Lowering::Concat { .. }
        | Lowering::Pad { .. }
        | Lowering::Attention(..) => b.push(node.op.clone(), args),
    })
}

fn split(b: &mut Builder, kind: Reduction, axes: &[usize], x: Value) -> Value {
    let mut result = x;
    for run in runs(&b.shape(x), axes).into_iter().rev() {
        let shape = b.shape(result);
        let last = *run.last().expect("a run has an axis");
        let behind: u64 = shape[last + 1..].iter().product();
        if behind == 1 {
            for &axis in run.iter().rev() {
                result = reduce_last(b, kind, axis, result);
            }
        } else {
            result = reduce(b, kind, &run, result);
        }
    }
    result
}

/// Neighbouring axes, those of size 1 left out where others remain.
fn runs(shape: &[u64], axes: &[usize]) -> Vec<Vec<usize>> {
    let long: Vec<usize> = axes.iter().copied().filter(|&a| shape[a] != 1).collect();
    let kept = if long.is_empty() { axes.iter().copied().take(1).collect() } else { long };
    let mut runs: Vec<Vec<usize>> = vec![];
    for axis in kept {
        match runs.last_mut() {
            Some(run) if shape[run[run.len() - 1] + 1..axis].iter().all(|&n| n == 1) => {
                run.push(axis);
            }
            Some(_) | None => runs.push(vec![axis]),
        }
    }
    runs
}

/// Reduces an axis behind which all sizes are 1.
fn reduce_last(b: &mut Builder, kind: Reduction, axis: usize, x: Value) -> Value {
    let shape = b.shape(x);
    let flat = b.reshape(x, &shape[..=axis]);
    let reduced = reduce(b, kind, &[axis], flat);
    let mut kept = shape;
    kept[axis] = 1;
    b.reshape(reduced, &kept)
}

fn reduce(b: &mut Builder, kind: Reduction, axes: &[usize], x: Value) -> Value {
    match kind {
        Reduction::Sum => b.sum(x, axes),
        Reduction::Max => b.max_reduce(x, axes),
        Reduction::Min => {
            let negative = b.neg(x);
            let top = b.max_reduce(negative, axes);
            b.neg(top)
        }
    }
}

/// Whether a reduction along `axes` of `shape` is a row reduction.
pub(crate) fn is_row_reduction(shape: &[u64], axes: &[usize]) -> bool {
    axes == [shape.len() - 1]
}
