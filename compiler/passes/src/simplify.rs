//! Local rewrites that keep every bit.
//!
//! Only exact ones: `x * 1`, `x / 1`, `x - 0`, double negation, casts of casts that lost nothing,
//! views of views, constants seen through views, permutations ahead of concatenations. `x + 0`
//! stays, because -0 + 0 is +0.

use ir::builder::Builder;
use ir::graph::{Graph, Node, Value};
use ir::ops::Op;
use ir::types::Dtype;

use crate::rewrite::rewrite;

/// In: any graph. Out: the same values from fewer nodes.
pub(crate) fn simplify(graph: &Graph) -> Graph {
    let readers = readers(graph);
    rewrite(graph, |b, node, args| {
        simpler(b, node, args)
            .or_else(|| permuted_parts(b, &readers, node, args))
            .unwrap_or_else(|| b.push(node.op.clone(), args))
    })
}

/// How often each value is read or stored.
fn readers(graph: &Graph) -> Vec<u32> {
    let mut readers = vec![0; graph.nodes.len()];
    let read = graph.nodes.iter().flat_map(|n| &n.args);
    for value in read.chain(graph.stores.iter().map(|(_, value)| value)) {
        readers[value.index()] += 1;
    }
    readers
}

/// A permutation of a concatenation that nobody else reads: its parts are permuted.
///
/// They are copied all the same, and what follows may be a view of the result.
fn permuted_parts(b: &mut Builder, readers: &[u32], node: &Node, args: &[Value]) -> Option<Value> {
    let Op::Permute(outer) = &node.op else { return None };
    let Op::Concat(concat) = &b.graph()[args[0]].op else { return None };
    let axis = outer.axes.iter().position(|&axis| axis == concat.axis)?;
    if readers[node.args[0].index()] > 1 {
        return None;
    }
    let parts = b.graph()[args[0]].args.clone();
    let parts: Vec<Value> = parts.iter().map(|&x| b.permute(x, &outer.axes)).collect();
    Some(b.concat(axis, &parts))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an op needs a rule here only if it has one")]
fn simpler(b: &mut Builder, node: &Node, args: &[Value]) -> Option<Value> {
    let keeps_type = |b: &Builder, v: Value| (b.ty(v) == &node.ty).then_some(v);
    match &node.op {
        Op::Mul(_) if is_constant(b, args[1], 1.0) => keeps_type(b, args[0]),
        Op::Mul(_) if is_constant(b, args[0], 1.0) => keeps_type(b, args[1]),
        Op::Div(_) if is_constant(b, args[1], 1.0) => keeps_type(b, args[0]),
        Op::Sub(_) if is_constant(b, args[1], 0.0) => keeps_type(b, args[0]),
        Op::Neg(_) => match &b.graph()[args[0]].op {
            Op::Neg(_) => keeps_type(b, b.graph()[args[0]].args[0]),
            _ => None,
        },
        Op::Cast(cast) => match constant(b, args[0]) {
            Some(value) => {
                let held = rounded(value, b.dtype(args[0]));
                Some(b.full(rounded(held, cast.to), cast.to, &node.ty.shape))
            }
            None => keeps_type(b, args[0]).or_else(|| simpler_cast(b, cast.to, args[0])),
        },
        Op::Broadcast(_) | Op::Reshape(_) | Op::Permute(_) => simpler_view(b, node, args[0]),
        _ => None,
    }
}

/// A cast of a cast: what a value is cast to depends on its number alone.
fn simpler_cast(b: &mut Builder, to: Dtype, x: Value) -> Option<Value> {
    let inner = &b.graph()[x];
    let Op::Cast(_) = inner.op else { return None };
    let (from, middle) = (inner.args[0], inner.ty.dtype);
    holds(middle, b.dtype(from)).then(|| b.cast(from, to))
}

/// Whether every number of type `other` is one of type `dtype`.
fn holds(dtype: Dtype, other: Dtype) -> bool {
    match other {
        Dtype::Bool => true,
        Dtype::F16 | Dtype::Bf16 => dtype == other || dtype.is_wide(),
        Dtype::F32 => dtype.is_wide(),
        Dtype::F64 => dtype == Dtype::F64,
        Dtype::I32 => matches!(dtype, Dtype::I32 | Dtype::F64),
    }
}

fn simpler_view(b: &mut Builder, node: &Node, x: Value) -> Option<Value> {
    if let Some(value) = constant(b, x) {
        return Some(b.full(value, node.ty.dtype, &node.ty.shape));
    }
    let inner = b.graph()[x].clone();
    match (&node.op, &inner.op) {
        (Op::Reshape(reshape), Op::Reshape(_)) => Some(b.reshape(inner.args[0], &reshape.shape)),
        (Op::Broadcast(wide), Op::Broadcast(_)) => Some(b.broadcast(inner.args[0], &wide.shape)),
        (Op::Permute(outer), Op::Permute(first)) => {
            let axes: Vec<usize> = outer.axes.iter().map(|&a| first.axes[a]).collect();
            Some(permute(b, inner.args[0], &axes))
        }
        (Op::Permute(outer), _) if is_identity(&outer.axes) => Some(x),
        (Op::Reshape(_) | Op::Broadcast(_), _) if inner.ty == node.ty => Some(x),
        _ => None,
    }
}

fn permute(b: &mut Builder, x: Value, axes: &[usize]) -> Value {
    if is_identity(axes) { x } else { b.permute(x, axes) }
}

fn is_identity(axes: &[usize]) -> bool {
    axes.iter().enumerate().all(|(i, &a)| i == a)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an op needs a rule here only if it has one")]
fn constant(b: &Builder, value: Value) -> Option<f64> {
    match &b.graph()[value].op {
        Op::Constant(constant) => Some(constant.value),
        _ => None,
    }
}

/// Whether a value is this constant, sign of zero included.
fn is_constant(b: &Builder, value: Value, wanted: f64) -> bool {
    constant(b, value).is_some_and(|c| c.to_bits() == wanted.to_bits())
}

/// A constant as a type holds it.
fn rounded(value: f64, to: Dtype) -> f64 {
    match to {
        Dtype::F64 => value,
        Dtype::F32 => f64::from(value as f32),
        Dtype::F16 | Dtype::Bf16 => f64::from(ir::narrow::round(to, value as f32)),
        Dtype::I32 => f64::from(value as i32),
        Dtype::Bool => f64::from(u8::from(value != 0.0)),
    }
}
