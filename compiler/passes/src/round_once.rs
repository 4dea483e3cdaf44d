//! Takes out roundings to 16 bits that nobody needs.
//!
//! In: a lowered graph, in which every real number is rounded after each instruction and every
//! reader widens it for itself. Out: a graph in which a value is rounded to 16 bits where memory
//! may hold it (more than one reads it) or where a product or another op that reads 16 bits does.
//! What is read once, by arithmetic, goes on in f32. The result is the definition of the program:
//! interpreter and back ends agree on it bit for bit.
//!
//! The rules, in this order; *moves* are reshape, permute, broadcast, slice and pad:
//!
//! 1. `cast.16(moves(cast.f32(y)))` is `moves(y)` when y has these 16 bits: nothing was computed.
//! 2. Equal roundings of one value are one: all who read it rounded read the same.
//! 3. `cast.f32(moves(cast.16(x)))` is `moves(x)` in f32 when the rounding and each of the moves has
//!    one reader. It is so for any number of readers when x is a state or a constant: weights enter
//!    arithmetic as they are kept, and numbers of the spec as they are written.
//!
//! One reader is one cast: an instruction that widens an operand and reads it twice reads it once,
//! and a gradient rule that needs it again is another reader.

use std::collections::BTreeMap;

use ir::builder::Builder;
use ir::graph::{Graph, Node, Value};
use ir::ops::Op;
use ir::types::Dtype;

use crate::dce::dce;
use crate::rewrite::rewrite;

/// In: any graph. Out: the same with fewer roundings; see the module for which.
pub(crate) fn round_once(graph: &Graph) -> Graph {
    let live = dce(graph);
    // What was taken out may leave another value with one reader.
    let joined = dce(&join(&live));
    dce(&widen(&joined))
}

/// Rules 1 and 2.
fn join(graph: &Graph) -> Graph {
    let mut seen: BTreeMap<(Value, Dtype), Value> = BTreeMap::new();
    let mut values: Vec<Value> = vec![];
    rewrite(graph, |b, node, args| {
        let value = match narrowed(node) {
            Some(to) => {
                let (moves, from) = moved(graph, node.args[0]);
                match widened(&graph[from]) {
                    Some(y) if graph[y].ty.dtype == to => again(b, &moves, values[y.index()]),
                    Some(_) | None => {
                        let push = || b.push(node.op.clone(), args);
                        *seen.entry((args[0], to)).or_insert_with(push)
                    }
                }
            }
            None => b.push(node.op.clone(), args),
        };
        values.push(value);
        value
    })
}

/// Rule 3.
fn widen(graph: &Graph) -> Graph {
    let readers = readers(graph);
    let mut values: Vec<Value> = vec![];
    rewrite(graph, |b, node, args| {
        let value = match unrounded(graph, &readers, node) {
            Some((moves, x)) => {
                let x = b.cast(values[x.index()], Dtype::F32);
                again(b, &moves, x)
            }
            None => b.push(node.op.clone(), args),
        };
        values.push(value);
        value
    })
}

/// The moves and the operand of the first of them that stand for a value without its rounding.
fn unrounded(graph: &Graph, readers: &[u32], node: &Node) -> Option<(Vec<Op>, Value)> {
    widened(node)?;
    let (moves, from) = moved(graph, node.args[0]);
    narrowed(&graph[from])?;
    let x = graph[from].args[0];
    (is_exact(graph, x) || has_one_reader(graph, readers, node.args[0], from)).then_some((moves, x))
}

/// Whether a value is kept, or written, in a wider type than a rounding leaves.
fn is_exact(graph: &Graph, x: Value) -> bool {
    let (_, from) = moved(graph, x);
    matches!(graph[from].op, Op::State(_) | Op::Constant(_))
}

/// Whether `from` and all moves of it up to `last` have one reader each.
fn has_one_reader(graph: &Graph, readers: &[u32], last: Value, from: Value) -> bool {
    readers[last.index()] == 1
        && (last == from || has_one_reader(graph, readers, graph[last].args[0], from))
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

/// The type of 16 bits that a node rounds to.
fn narrowed(node: &Node) -> Option<Dtype> {
    let to = node.ty.dtype;
    (matches!(node.op, Op::Cast(_)) && to.is_narrow()).then_some(to)
}

/// What a node casts to f32.
fn widened(node: &Node) -> Option<Value> {
    (matches!(node.op, Op::Cast(_)) && node.ty.dtype == Dtype::F32).then(|| node.args[0])
}

/// The moves that lead to a value, last first, and what they move.
fn moved(graph: &Graph, value: Value) -> (Vec<Op>, Value) {
    let mut moves = vec![];
    let mut from = value;
    while is_move(&graph[from].op) {
        moves.push(graph[from].op.clone());
        from = graph[from].args[0];
    }
    (moves, from)
}

/// The moves of another value.
fn again(b: &mut Builder, moves: &[Op], x: Value) -> Value {
    moves.iter().rev().fold(x, |x, op| b.push(op.clone(), &[x]))
}

fn is_move(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Permute(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Pad(_))
}
