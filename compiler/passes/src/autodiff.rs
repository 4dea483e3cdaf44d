//! Reverse-mode differentiation: appends the gradients of one value to its graph.
//!
//! In: a graph, a value and its cotangent. Out: for each wanted value its gradient, in the same
//! graph. Every op's own rule says what flows to its operands; this pass only walks and adds up.
//! Griewank and Walther, Evaluating Derivatives, 2008, chapter 3.

use std::collections::BTreeMap;

use ir::builder::Builder;
use ir::graph::{Origin, Value};
use ir::ops::Op;
use ir::types::Dtype;

/// What is particular about values of the differentiated graph.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Nothing flows through these.
    pub stops: &'a [Value],
    /// For values of arithmetic in f32, the 16 bits that stand for them: what is kept for the
    /// backward pass.
    pub narrow: &'a BTreeMap<Value, Value>,
}

/// The gradient of `sum(output * cotangent)` with respect to each of `wanted`; `None` where no
/// path leads from it to the output.
pub fn gradients(
    b: &mut Builder,
    output: Value,
    cotangent: Value,
    wanted: &[Value],
    known: Known<'_>,
) -> Vec<Option<Value>> {
    let Known { stops, narrow } = known;
    let active = active(b, output, wanted, stops);
    let mut pending: Vec<Vec<Value>> = vec![vec![]; output.index() + 1];
    pending[output.index()].push(cotangent);
    let mut done = vec![None; output.index() + 1];
    for index in (0..=output.index()).rev() {
        if !active[index] || pending[index].is_empty() {
            continue;
        }
        let node = b.graph().nodes[index].clone();
        b.origin = node.origin;
        let grad = total(b, &pending[index]);
        done[index] = Some(grad);
        if wanted.iter().any(|w| w.index() == index) {
            continue;
        }
        let out = Value(u32::try_from(index).expect("node counts fit"));
        let args: Vec<Value> = node.args.iter().map(|&x| reread(b, narrow, x)).collect();
        let out = reread(b, narrow, out);
        let flows = node.op.vjp(b, &args, out, grad);
        for (&arg, flow) in node.args.iter().zip(flows) {
            if let Some(flow) = flow
                && active[arg.index()]
            {
                pending[arg.index()].push(flow);
            }
        }
    }
    b.origin = Origin::default();
    wanted.iter().map(|w| done.get(w.index()).copied().flatten()).collect()
}

/// What a rule reads in the backward pass: the 16 bits that stand for a value, widened again.
fn reread(b: &mut Builder, narrow: &BTreeMap<Value, Value>, value: Value) -> Value {
    narrow.get(&value).map_or(value, |&x| b.cast(x, Dtype::F32))
}

/// Values that depend on a wanted one, and on which nothing but floats flows.
fn active(b: &Builder, output: Value, wanted: &[Value], stops: &[Value]) -> Vec<bool> {
    let mut active = vec![false; output.index() + 1];
    for (index, node) in b.graph().nodes[..=output.index()].iter().enumerate() {
        let is_wanted = wanted.iter().any(|w| w.index() == index);
        let depends = node.args.iter().any(|a| active[a.index()]);
        let is_stop = stops.iter().any(|s| s.index() == index);
        active[index] = node.ty.dtype.is_float() && !is_stop && (is_wanted || depends);
    }
    active
}

/// The sum of all contributions, in the order they came.
///
/// Contributions of slices that tile one axis are joined instead of padded and added. Those of 16
/// bits are added in f32 and rounded once.
fn total(b: &mut Builder, flows: &[Value]) -> Value {
    let (joined, rest) = join_slices(b, flows);
    let mut flows = joined.into_iter().chain(rest);
    let first = flows.next().expect("a pending value has a contribution");
    let dtype = b.dtype(first);
    let sum = flows.fold(first, |sum, flow| {
        let [sum, flow] = [sum, flow].map(|x| b.cast(x, dtype.held()));
        b.add(sum, flow)
    });
    b.cast(sum, dtype)
}

fn join_slices(b: &mut Builder, flows: &[Value]) -> (Option<Value>, Vec<Value>) {
    let mut parts: Vec<(u64, u64, Value)> = vec![];
    let mut along = None;
    let mut rest = vec![];
    for &flow in flows {
        let node = &b.graph()[flow];
        if let Op::Pad(pad) = &node.op
            && along.is_none_or(|axis| axis == pad.axis)
        {
            along = Some(pad.axis);
            let size = node.ty.shape[pad.axis];
            parts.push((pad.before, size - pad.after, node.args[0]));
        } else {
            rest.push(flow);
        }
    }
    parts.sort_by_key(|&(start, _, _)| start);
    let is_tiling = parts.windows(2).all(|w| w[0].1 == w[1].0);
    let covers = |axis: usize| {
        let size = b.graph()[flows[0]].ty.shape[axis];
        parts.first().is_some_and(|p| p.0 == 0) && parts.last().is_some_and(|p| p.1 == size)
    };
    match along {
        Some(axis) if is_tiling && covers(axis) => {
            let values: Vec<Value> = parts.iter().map(|&(_, _, v)| v).collect();
            (Some(b.concat(axis, &values)), rest)
        }
        Some(_) | None => (None, flows.to_vec()),
    }
}
