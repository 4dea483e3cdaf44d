//! Evaluates graphs, one op after the other.

use std::collections::BTreeMap;
use std::fmt;

use super::scalar::{eval_scalar, f32_bits, f64_bits, larger, smaller};
use super::tensor::{Data, Tensor, each_index, strides};
use crate::body::{Body, ElementIndex};
use crate::expand::expand_body;
use crate::graph::{Graph, Module, Node, State};
use crate::kernel::{Inst, Reduction, Reg, Scalar};
use crate::ops::{Lowering, Op, PointwiseFn, View};
use crate::types::{Dtype, Type};

/// In which types the arithmetic is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// As the graph says. Pointwise results have the bits of every back end; reductions and
    /// products are summed in f64 and rounded once.
    AsTyped,
    /// Every float op in f64 with the functions of the standard library; no type rounds.
    F64,
}

/// Why a graph was not evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvalError {
    /// The module has no such function.
    Function {
        /// Its name.
        name: String,
    },
    /// A state that is read was not given.
    State {
        /// Its name.
        name: String,
    },
    /// A state was given with another type.
    Type {
        /// Its name.
        name: String,
        /// The type in the graph.
        expected: Type,
        /// The type that was given.
        found: Type,
    },
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function { name } => write!(f, "no function `{name}`"),
            Self::State { name } => write!(f, "no value for state `{name}`"),
            Self::Type { name, expected, found } => {
                write!(f, "state `{name}`: expected {expected}, found {found}")
            }
        }
    }
}

impl std::error::Error for EvalError {}

/// Runs a function: reads `states` and writes what it stores.
pub fn eval_graph(
    module: &Module,
    function: &str,
    states: &mut BTreeMap<String, Tensor>,
    precision: Precision,
) -> Result<(), EvalError> {
    let graph = module.functions.iter().find(|g| g.name == function);
    let graph = graph.ok_or_else(|| EvalError::Function { name: function.to_owned() })?;
    join(module, states);
    let values = eval_values(graph, states, precision)?;
    for (name, value) in &graph.stores {
        let value = &values[value.index()];
        for (piece, offset) in module.pieces(name) {
            states.insert(piece.name.clone(), part(value, &piece.ty, offset));
        }
        states.insert(name.clone(), value.clone());
    }
    join(module, states);
    Ok(())
}

/// Makes every state that holds others what its pieces are.
fn join(module: &Module, states: &mut BTreeMap<String, Tensor>) {
    for state in &module.states {
        if let Some(whole) = joined(module, state, states) {
            states.insert(state.name.clone(), whole);
        }
    }
}

/// A state put together from its pieces, which hold what counts; padding is 0.
fn joined(module: &Module, state: &State, states: &BTreeMap<String, Tensor>) -> Option<Tensor> {
    let held = |(piece, offset): (&State, u64)| Some((states.get(&piece.name)?, offset as usize));
    let pieces: Vec<(&Tensor, usize)> =
        module.pieces(&state.name).map(held).collect::<Option<_>>()?;
    let is_wide = pieces.iter().any(|(piece, _)| matches!(piece.data, Data::F64(_)));
    let widen = |x: Tensor| if is_wide { x.widened() } else { x };
    let mut whole = widen(Tensor::zeros(state.ty.clone()));
    for &(piece, offset) in &pieces {
        let piece = widen(piece.clone()).data;
        (0..piece.len()).for_each(|i| whole.data.set_bits(offset + i, piece.bits(i)));
    }
    (!pieces.is_empty()).then_some(whole)
}

/// The elements of a piece.
fn part(whole: &Tensor, ty: &Type, offset: u64) -> Tensor {
    let mut part = Tensor::zeros(ty.clone());
    if let Data::F64(_) = whole.data {
        part = part.widened();
    }
    (0..part.data.len()).for_each(|i| part.data.set_bits(i, whole.data.bits(offset as usize + i)));
    part
}

/// The value of every node.
pub fn eval_values(
    graph: &Graph,
    states: &BTreeMap<String, Tensor>,
    precision: Precision,
) -> Result<Vec<Tensor>, EvalError> {
    let mut values: Vec<Tensor> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let args: Vec<&Tensor> = node.args.iter().map(|a| &values[a.index()]).collect();
        let value = if let Op::State(read) = &node.op {
            read_state(&read.name, &node.ty, states, precision)?
        } else {
            eval_node(node, &args, precision)
        };
        values.push(value);
    }
    Ok(values)
}

fn read_state(
    name: &str,
    ty: &Type,
    states: &BTreeMap<String, Tensor>,
    precision: Precision,
) -> Result<Tensor, EvalError> {
    let Some(tensor) = states.get(name) else {
        return Err(EvalError::State { name: name.to_owned() });
    };
    if tensor.ty != *ty {
        let (expected, found) = (ty.clone(), tensor.ty.clone());
        return Err(EvalError::Type { name: name.to_owned(), expected, found });
    }
    Ok(match precision {
        Precision::AsTyped => tensor.clone(),
        Precision::F64 => tensor.clone().widened(),
    })
}

fn eval_node(node: &Node, args: &[&Tensor], precision: Precision) -> Tensor {
    let data = match node.op.lowering() {
        Lowering::Leaf => unreachable!("a state is read by name"),
        Lowering::Pointwise(body) => pointwise(&body, &node.ty, args, precision),
        Lowering::Reduce { kind, axes } => reduce(kind, &axes, &node.ty, args[0]),
        Lowering::View(view) => viewed(&view, &node.ty, args[0]),
        Lowering::Dot => dot(&node.ty, args[0], args[1]),
        Lowering::Gather => gather(&node.ty, args[0], args[1]),
        Lowering::Scatter { rows } => scatter(rows, &node.ty, args[0], args[1]),
        Lowering::Concat { axis } => {
            let mut start = 0;
            let mut result = empty_like(args[0], &node.ty);
            for arg in args {
                paste(&mut result, &node.ty, arg, axis, start);
                start += arg.ty.shape[axis];
            }
            result
        }
        Lowering::Pad { axis, before, .. } => {
            let mut result = empty_like(args[0], &node.ty);
            paste(&mut result, &node.ty, args[0], axis, before);
            result
        }
        Lowering::Attention(attend, part) => {
            rounded(args[0], &super::attention::eval_attention(&attend, part, args))
        }
    };
    Tensor { ty: node.ty.clone(), data }
}

/// Zeros of the type of `ty`, held as `like` is held.
fn empty_like(like: &Tensor, ty: &Type) -> Data {
    let len = ty.len() as usize;
    match like.data {
        Data::F32(_) => Data::F32(vec![0.0; len]),
        Data::F64(_) => Data::F64(vec![0.0; len]),
        Data::I32(_) => Data::I32(vec![0; len]),
    }
}

/// Indices of an element become `Outer` instructions.
struct Axes;

impl ElementIndex for Axes {
    fn axis(&mut self, body: &mut Body, axis: usize) -> Reg {
        body.outer(axis)
    }
}

fn held(dtype: Dtype, precision: Precision) -> Dtype {
    match (dtype, precision) {
        (dtype, Precision::F64) if dtype.is_float() => Dtype::F64,
        (dtype, _) => dtype,
    }
}

fn pointwise(emit: &PointwiseFn, ty: &Type, args: &[&Tensor], precision: Precision) -> Data {
    let mut body = Body::new();
    let regs: Vec<Reg> = (0..args.len()).map(|i| body.load(i, args[i].ty.dtype)).collect();
    let result = emit.emit(&mut body, &regs, &mut Axes);
    body.push(Inst::Store { operand: args.len(), value: result }, None);
    let operands: Vec<Dtype> = args.iter().map(|a| a.ty.dtype).chain([ty.dtype]).collect();
    let insts = match precision {
        Precision::AsTyped => expand_body(&body.finish(), &operands),
        Precision::F64 => widened(&body.finish()),
    };
    let program = Program::new(&insts, &operands, precision);
    let mut data = Data::zeros(held(ty.dtype, precision), ty.len() as usize);
    let mut at = 0;
    each_index(&ty.shape, |index| {
        let load = |i: usize| {
            let from = if args[i].ty.shape.is_empty() { 0 } else { at };
            args[i].data.bits(from)
        };
        data.set_bits(at, program.run(load, index));
        at += 1;
    });
    data
}

/// Instructions on floats in f64; what would round does nothing.
fn widened(insts: &[Inst]) -> Vec<Inst> {
    let widen = |inst: &Inst| {
        if let Inst::Const { dtype, bits } = inst
            && dtype.held() == Dtype::F32
        {
            let value = f64::from(f32::from_bits(*bits as u32));
            return Inst::Const { dtype: Dtype::F64, bits: value.to_bits() };
        }
        if let Inst::Apply { op: Scalar::Cast(to), args } = inst
            && to.is_float()
        {
            return Inst::Apply { op: Scalar::Cast(Dtype::F64), args: args.clone() };
        }
        inst.clone()
    };
    insts.iter().map(widen).collect()
}

/// A pointwise body with the types of its registers.
struct Program<'a> {
    insts: &'a [Inst],
    dtypes: Vec<Dtype>,
}

impl<'a> Program<'a> {
    fn new(insts: &'a [Inst], operands: &[Dtype], precision: Precision) -> Self {
        let mut dtypes: Vec<Dtype> = vec![];
        for inst in insts {
            let dtype = match inst {
                Inst::Const { dtype, .. } => *dtype,
                Inst::Load { operand } => held(operands[*operand], precision),
                Inst::Apply { op, args } => {
                    let args: Vec<Dtype> = args.iter().map(|a| dtypes[a.0 as usize]).collect();
                    op.result(&args).expect("a body keeps to the types of scalars")
                }
                Inst::Outer { .. } | Inst::Row | Inst::Col => Dtype::I32,
                Inst::Store { .. } => Dtype::Bool,
                Inst::LoadAt { .. } | Inst::Reduce { .. } => {
                    unreachable!("a pointwise body reads elements")
                }
            };
            dtypes.push(dtype);
        }
        Self { insts, dtypes }
    }

    /// The bits of one element of the result.
    fn run(&self, load: impl Fn(usize) -> u64, index: &[u64]) -> u64 {
        let mut regs: Vec<u64> = Vec::with_capacity(self.insts.len());
        for inst in self.insts {
            let bits = match inst {
                Inst::Const { bits, .. } => *bits,
                Inst::Load { operand } => load(*operand),
                Inst::Outer { axis } => index[*axis],
                Inst::Apply { op, args } => self.apply(*op, args, &regs),
                Inst::Store { value, .. } => return regs[value.0 as usize],
                Inst::Row | Inst::Col | Inst::LoadAt { .. } | Inst::Reduce { .. } => {
                    unreachable!("a pointwise body has one element")
                }
            };
            regs.push(bits);
        }
        unreachable!("a body ends in a store")
    }

    fn apply(&self, op: Scalar, args: &[Reg], regs: &[u64]) -> u64 {
        let mut bits = [0; 5];
        let mut dtypes = [Dtype::I32; 5];
        for (i, arg) in args.iter().enumerate() {
            bits[i] = regs[arg.0 as usize];
            dtypes[i] = self.dtypes[arg.0 as usize];
        }
        eval_scalar(op, &dtypes[..args.len()], &bits[..args.len()])
    }
}

/// Writes numbers into the kind of elements that `like` has.
fn rounded(like: &Tensor, numbers: &[f64]) -> Data {
    match like.data {
        Data::F32(_) => {
            let round = |&x: &f64| f32::from_bits(f32_bits(x as f32) as u32);
            Data::F32(numbers.iter().map(round).collect())
        }
        Data::F64(_) => Data::F64(numbers.iter().map(|&x| f64::from_bits(f64_bits(x))).collect()),
        Data::I32(_) => unreachable!("sums are of floats"),
    }
}

fn reduce(kind: Reduction, axes: &[usize], ty: &Type, x: &Tensor) -> Data {
    let start = match kind {
        Reduction::Sum => 0.0,
        Reduction::Max => f64::NEG_INFINITY,
        Reduction::Min => f64::INFINITY,
    };
    let mut results = vec![start; ty.len() as usize];
    let mut out_strides = strides(&ty.shape);
    for &axis in axes {
        out_strides[axis] = 0;
    }
    let mut at = 0;
    each_index(&x.ty.shape, |index| {
        let to: usize = index.iter().zip(&out_strides).map(|(&i, s)| i as usize * s).sum();
        let number = x.data.number(at);
        results[to] = match kind {
            Reduction::Sum => results[to] + number,
            Reduction::Max => larger(results[to], number),
            Reduction::Min => smaller(results[to], number),
        };
        at += 1;
    });
    rounded(x, &results)
}

fn viewed(view: &View, ty: &Type, x: &Tensor) -> Data {
    if let View::Reshape(_) = view {
        return x.data.clone();
    }
    let from = strides(&x.ty.shape);
    let mut data = empty_like(x, ty);
    let mut to = 0;
    each_index(&ty.shape, |index| {
        let place: usize = match view {
            View::Reshape(_) => to,
            View::Permute(axes) => {
                axes.iter().zip(index).map(|(&axis, &i)| i as usize * from[axis]).sum()
            }
            View::Broadcast(_) => {
                let inner = &index[index.len() - from.len()..];
                let sizes = x.ty.shape.iter().zip(&from);
                let at = |(&i, (&size, &s)): (&u64, (&u64, &usize))| {
                    if size == 1 { 0 } else { i as usize * s }
                };
                inner.iter().zip(sizes).map(at).sum()
            }
            View::Slice { axis, start, .. } => {
                let base: usize = index.iter().zip(&from).map(|(&i, s)| i as usize * s).sum();
                base + *start as usize * from[*axis]
            }
        };
        data.set_bits(to, x.data.bits(place));
        to += 1;
    });
    data
}

/// Copies `x` into `data` from index `start` of an axis.
fn paste(data: &mut Data, ty: &Type, x: &Tensor, axis: usize, start: u64) {
    let to = strides(&ty.shape);
    let mut from = 0;
    each_index(&x.ty.shape, |index| {
        let place: usize = index.iter().zip(&to).map(|(&i, s)| i as usize * s).sum();
        data.set_bits(place + start as usize * to[axis], x.data.bits(from));
        from += 1;
    });
}

fn dot(ty: &Type, x: &Tensor, y: &Tensor) -> Data {
    let rank = ty.shape.len();
    let (m, n) = (ty.shape[rank - 2] as usize, ty.shape[rank - 1] as usize);
    let k = x.ty.shape[rank - 1] as usize;
    let batch: u64 = ty.shape[..rank - 2].iter().product();
    let (xs, ys) = (x.numbers(), y.numbers());
    let mut results = vec![0.0; ty.len() as usize];
    for b in 0..batch as usize {
        for i in 0..m {
            for l in 0..k {
                let left = xs[(b * m + i) * k + l];
                for j in 0..n {
                    results[(b * m + i) * n + j] += left * ys[(b * k + l) * n + j];
                }
            }
        }
    }
    rounded(x, &results)
}

fn gather(ty: &Type, table: &Tensor, ids: &Tensor) -> Data {
    let (rows, d) = (table.ty.shape[0], table.ty.shape[1] as usize);
    let mut data = empty_like(table, ty);
    for (i, id) in ids.numbers().into_iter().enumerate() {
        if id < 0.0 || id as u64 >= rows {
            continue;
        }
        for j in 0..d {
            data.set_bits(i * d + j, table.data.bits(id as usize * d + j));
        }
    }
    data
}

fn scatter(rows: u64, ty: &Type, ids: &Tensor, values: &Tensor) -> Data {
    let d = ty.shape[1] as usize;
    let mut results = vec![0.0; ty.len() as usize];
    for (i, id) in ids.numbers().into_iter().enumerate() {
        if id < 0.0 || id as u64 >= rows {
            continue;
        }
        for j in 0..d {
            results[id as usize * d + j] += values.data.number(i * d + j);
        }
    }
    rounded(values, &results)
}
