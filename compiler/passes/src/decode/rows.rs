//! Builds `prefill` and `decode` from what is needed for one row of the logits.

use std::collections::BTreeMap;

use ir::builder::Builder;
use ir::graph::{Graph, Value};
use ir::ops::Op;
use ir::ops::attend::Attend;
use ir::ops::attention::Attention;
use ir::ops::{Lowering, View};
use ir::types::{Dtype, Type};

use super::Survey;
use super::places::{Operand, Places, places};

/// What both functions are built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'c> {
    /// The logits after every place.
    pub(super) graph: &'c Graph,
    /// What of it is needed.
    pub(super) survey: &'c Survey,
    /// Keys and values, by the names of their states.
    pub(super) caches: &'c BTreeMap<Value, String>,
}

/// A function under construction.
struct Rows<'c> {
    cx: Context<'c>,
    b: Builder,
    /// The place of the row, an i32 scalar.
    position: Value,
    /// By value of the model's graph, what it is here as it is.
    wholes: Vec<Option<Value>>,
    /// Its row along an axis.
    rows: BTreeMap<(Value, usize), Value>,
    /// Keys and values of all places, the new one among them.
    kept: BTreeMap<Value, Value>,
    /// The new token `[1, 1]`, where the text is not there as a whole.
    token: Option<Value>,
}

/// The logits after the place `prefill.last`; keys and values of all places go into the caches.
pub(super) fn prefill(cx: &Context<'_>) -> Graph {
    let Graph { name, nodes, .. } = cx.graph.clone();
    let all = |i: usize| Some(Value(u32::try_from(i).expect("node counts fit")));
    let wholes = (0..nodes.len()).map(all).collect();
    let mut b = Builder::from_graph(Graph { name, nodes, stores: vec![] });
    let position = b.state("prefill.last", Type::scalar(Dtype::I32));
    let kept = cx.survey.cached.iter().map(|&v| (v, v)).collect();
    let (cx, rows) = (*cx, BTreeMap::new());
    let mut made = Rows { cx, b, position, wholes, rows, kept, token: None };
    let is_there = ancestors(cx.graph, cx.survey.wholes.iter().copied());
    for &(value, axis) in &cx.survey.rows {
        let row =
            if is_there[value.index()] { made.slice(value, axis) } else { made.row(value, axis) };
        made.rows.insert((value, axis), row);
    }
    for (&value, name) in cx.caches {
        made.b.store(name, value);
    }
    made.finish()
}

/// The logits after one more token, out of the caches, which get its key and value.
pub(super) fn decode(cx: &Context<'_>) -> Graph {
    let mut b = Builder::new("decode");
    let token = b.state("decode.id", Type::new(Dtype::I32, [1, 1]));
    let position = b.state("decode.position", Type::scalar(Dtype::I32));
    let wholes = vec![None; cx.graph.nodes.len()];
    let (cx, rows, kept) = (*cx, BTreeMap::new(), BTreeMap::new());
    let mut made = Rows { cx, b, position, wholes, rows, kept, token: Some(token) };
    // Keys and values come out of the caches, all else that is whole does not depend on the text.
    let is_constant = |value: &Value| !cx.survey.reads_ids[value.index()];
    let is_there = ancestors(cx.graph, cx.survey.wholes.iter().copied().filter(is_constant));
    for (value, is_there) in (0..).map(Value).zip(is_there) {
        if is_there {
            made.whole(value);
        }
        for &(_, axis) in cx.survey.rows.range((value, 0)..=(value, usize::MAX)) {
            let row = made.row(value, axis);
            made.rows.insert((value, axis), row);
            if let (Some(name), 2) = (cx.caches.get(&value), axis) {
                made.keep(value, row, name);
            }
        }
    }
    made.finish()
}

/// By value, whether it is one of these or an operand of one, however far.
fn ancestors(graph: &Graph, of: impl Iterator<Item = Value>) -> Vec<bool> {
    let mut found = vec![false; graph.nodes.len()];
    of.for_each(|value| found[value.index()] = true);
    for at in (0..graph.nodes.len()).rev().filter(|&at| !graph.nodes[at].args.is_empty()) {
        if found[at] {
            graph.nodes[at].args.iter().for_each(|arg| found[arg.index()] = true);
        }
    }
    found
}

impl Rows<'_> {
    /// Copies a node as it is.
    fn whole(&mut self, value: Value) {
        let node = &self.cx.graph[value];
        let args: Vec<Value> = node.args.iter().map(|&arg| self.at_whole(arg)).collect();
        self.b.origin = node.origin;
        self.wholes[value.index()] = Some(self.b.push(node.op.clone(), &args));
    }

    fn at_whole(&self, value: Value) -> Value {
        self.wholes[value.index()].expect("what is needed whole was copied before its readers")
    }

    /// The row of a value by the rows of its operands.
    fn row(&mut self, value: Value, axis: usize) -> Value {
        let node = &self.cx.graph[value];
        self.b.origin = node.origin;
        match places(self.cx.graph, value, axis) {
            Places::Text => match self.token {
                Some(token) => token,
                None => self.slice(value, axis),
            },
            Places::Leaf => self.leaf(value, axis),
            Places::Each(operands) => {
                let args = node.args.iter().zip(operands).map(|(&arg, operand)| match operand {
                    Operand::Row(axis) => self.rows[&(arg, axis)],
                    Operand::Whole => self.at_whole(arg),
                });
                let args: Vec<Value> = args.collect();
                self.by_rows(value, axis, &args)
            }
            Places::Attention => {
                let Op::Attention(Attention(attend)) = node.op else {
                    unreachable!("only an attention has such places")
                };
                let [query, key, kept] = [node.args[0], node.args[1], node.args[2]];
                let args = [self.rows[&(query, 2)], self.kept[&key], self.kept[&kept]];
                let attend = Attend { has_offset: true, ..attend };
                self.b.push(Attention(attend), &[args[0], args[1], args[2], self.position])
            }
            Places::Joined(_) => self.slice(value, axis),
        }
    }

    /// The same op on rows of its operands.
    fn by_rows(&mut self, value: Value, axis: usize, args: &[Value]) -> Value {
        let node = &self.cx.graph[value];
        let shape = row_shape(&node.ty.shape, axis);
        match node.op.lowering() {
            Lowering::View(View::Reshape(_)) => self.b.reshape(args[0], &shape),
            Lowering::View(View::Broadcast(_)) => self.b.broadcast(args[0], &shape),
            // The row was found in the operand.
            Lowering::View(View::Slice { axis: along, .. }) if along == axis => args[0],
            Lowering::View(_)
            | Lowering::Leaf
            | Lowering::Pointwise(_)
            | Lowering::Reduce { .. }
            | Lowering::Dot
            | Lowering::Gather
            | Lowering::Scatter { .. }
            | Lowering::Concat { .. }
            | Lowering::Pad { .. }
            | Lowering::Attention(..) => self.b.push(node.op.clone(), args),
        }
    }

    /// A row of what has no operands.
    fn leaf(&mut self, value: Value, axis: usize) -> Value {
        let node = &self.cx.graph[value];
        let shape = row_shape(&node.ty.shape, axis);
        if let Op::Constant(constant) = &node.op {
            return self.b.full(constant.value, node.ty.dtype, &shape);
        }
        if let Op::Iota(iota) = &node.op {
            if iota.axis != axis {
                return self.b.iota(iota.axis, &shape);
            }
            let index = self.b.reshape(self.position, &vec![1; shape.len()]);
            return self.b.broadcast(index, &shape);
        }
        if self.wholes[value.index()].is_none() {
            self.whole(value);
        }
        self.slice(value, axis)
    }

    /// The row of a value that is there as a whole.
    fn slice(&mut self, value: Value, axis: usize) -> Value {
        let x = self.at_whole(value);
        let shape = self.b.shape(x);
        let mut order: Vec<usize> = (0..shape.len()).collect();
        order.remove(axis);
        order.insert(0, axis);
        let is_first = shape[..axis].iter().all(|&n| n == 1);
        let x = if is_first { x } else { self.b.permute(x, &order) };
        let (n, len) = (shape[axis], shape.iter().product::<u64>() / shape[axis]);
        let table = self.b.reshape(x, &[n, len]);
        let row = self.b.gather(table, self.position);
        let row_shape = row_shape(&shape, axis);
        if is_first {
            return self.b.reshape(row, &row_shape);
        }
        let permuted: Vec<u64> = order.iter().map(|&axis| row_shape[axis]).collect();
        let row = self.b.reshape(row, &permuted);
        let back =
            |axis: usize| order.iter().position(|&a| a == axis).expect("an order of all axes");
        self.b.permute(row, &(0..shape.len()).map(back).collect::<Vec<_>>())
    }

    /// Puts a new key or value at its place among those in the cache.
    fn keep(&mut self, value: Value, row: Value, name: &str) {
        let ty = self.cx.graph[value].ty.clone();
        let cache = self.b.state(name, ty.clone());
        let index = self.b.iota(2, &ty.shape);
        let position = self.b.broadcast(self.position, &ty.shape);
        let is_new = self.b.eq(index, position);
        let row = self.b.broadcast(row, &ty.shape);
        let all = self.b.select(is_new, row, cache);
        self.b.store(name, all);
        self.kept.insert(value, all);
    }

    /// Stores the row of the logits.
    fn finish(mut self) -> Graph {
        let (name, logits) = self.cx.graph.stores.first().expect("a model stores its logits");
        let row = self.rows[&(*logits, 1)];
        let vocab = self.cx.graph[*logits].ty.shape[2];
        let row = self.b.reshape(row, &[vocab]);
        self.b.store(name, row);
        self.b.finish()
    }
}

/// `shape` with size 1 at `axis`.
fn row_shape(shape: &[u64], axis: usize) -> Vec<u64> {
    let mut shape = shape.to_vec();
    shape[axis] = 1;
    shape
}
