//! Builds a graph node by node, with the shape rules applied.
//!
//! One short method for every op. Used by lowering, gradient rules and passes.

use crate::graph::{Graph, Node, Origin, Value};
use crate::ops::{self, Op, ShapeError};
use crate::types::{Dtype, Shape, Type};

/// A graph under construction.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    /// The origin that new nodes get.
    pub origin: Origin,
    graph: Graph,
}

impl Builder {
    /// An empty function.
    pub fn new(name: &str) -> Self {
        Self::from_graph(Graph { name: name.to_owned(), ..Graph::default() })
    }

    /// Goes on with an existing graph.
    pub fn from_graph(graph: Graph) -> Self {
        Self { origin: Origin::default(), graph }
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &Type {
        &self.graph[value].ty
    }

    /// The element type of a value.
    pub fn dtype(&self, value: Value) -> Dtype {
        self.ty(value).dtype
    }

    /// The shape of a value.
    pub fn shape(&self, value: Value) -> Shape {
        self.ty(value).shape.clone()
    }

    /// Appends a node, or says why the operands do not fit.
    pub fn try_push(&mut self, op: impl Into<Op>, args: &[Value]) -> Result<Value, ShapeError> {
        let op = op.into();
        let types: Vec<Type> = args.iter().map(|&a| self.ty(a).clone()).collect();
        let ty = op.infer(&types)?;
        let node = Node { op, args: args.to_vec(), ty, origin: self.origin };
        self.graph.nodes.push(node);
        Ok(Value(self.graph.nodes.len() as u32 - 1))
    }

    /// Appends a node whose operands fit.
    pub fn push(&mut self, op: impl Into<Op>, args: &[Value]) -> Value {
        let op = op.into();
        let name = op.name();
        match self.try_push(op, args) {
            Ok(value) => value,
            Err(error) => panic!("operands fit the shape rule of {name}: {error}"),
        }
    }

    /// When the function ends, the state `name` gets `value`.
    pub fn store(&mut self, name: &str, value: Value) {
        let is_new = self.graph.stores.iter().all(|(other, _)| other != name);
        assert!(is_new, "a function stores a state once: {name}");
        self.graph.stores.push((name.to_owned(), value));
    }

    /// Reads a state as it was before the call.
    pub fn state(&mut self, name: &str, ty: Type) -> Value {
        self.push(ops::state::State { name: name.to_owned(), ty }, &[])
    }

    /// A tensor of one value.
    pub fn full(&mut self, value: f64, dtype: Dtype, shape: &[u64]) -> Value {
        self.push(ops::constant::Constant { value, ty: Type::new(dtype, shape) }, &[])
    }

    /// A tensor of one value, of the type of another.
    pub fn full_like(&mut self, value: f64, like: Value) -> Value {
        let ty = self.ty(like).clone();
        self.push(ops::constant::Constant { value, ty }, &[])
    }

    /// Zeros of the type of another value.
    pub fn zeros_like(&mut self, like: Value) -> Value {
        self.full_like(0.0, like)
    }

    /// An f32 scalar.
    pub fn scalar_f32(&mut self, value: f32) -> Value {
        self.full(f64::from(value), Dtype::F32, &[])
    }

    /// An f64 scalar.
    pub fn scalar_f64(&mut self, value: f64) -> Value {
        self.full(value, Dtype::F64, &[])
    }

    /// An i32 scalar.
    pub fn scalar_i32(&mut self, value: i32) -> Value {
        self.full(f64::from(value), Dtype::I32, &[])
    }

    /// i32 indices along an axis.
    pub fn iota(&mut self, axis: usize, shape: &[u64]) -> Value {
        self.push(ops::iota::Iota { axis, shape: shape.to_vec() }, &[])
    }

    /// Converts the elements; nothing when they have that type.
    pub fn cast(&mut self, x: Value, to: Dtype) -> Value {
        if self.dtype(x) == to {
            return x;
        }
        self.push(ops::cast::Cast { to }, &[x])
    }

    /// `c ? x : y`.
    pub fn select(&mut self, c: Value, x: Value, y: Value) -> Value {
        self.push(ops::select::Select, &[c, x, y])
    }

    /// Uniform numbers in `0 .. 1` by seed, step and first row.
    pub fn random(
        &mut self,
        stream: u32,
        shape: &[u64],
        seed: Value,
        step: Value,
        row: Value,
    ) -> Value {
        let stream = self.scalar_i32(stream.cast_signed());
        self.push(ops::random::Random { shape: shape.to_vec() }, &[stream, seed, step, row])
    }

    /// The same elements in another shape; nothing when it has that shape.
    pub fn reshape(&mut self, x: Value, shape: &[u64]) -> Value {
        if self.ty(x).shape == shape {
            return x;
        }
        self.push(ops::reshape::Reshape { shape: shape.to_vec() }, &[x])
    }

    /// Axis `i` of the result is axis `axes[i]` of `x`.
    pub fn permute(&mut self, x: Value, axes: &[usize]) -> Value {
        self.push(ops::permute::Permute { axes: axes.to_vec() }, &[x])
    }

    /// Swaps the last two axes.
    pub fn transpose(&mut self, x: Value) -> Value {
        let rank = self.ty(x).shape.len();
        assert!(rank >= 2, "a matrix has two axes");
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.swap(rank - 2, rank - 1);
        self.permute(x, &axes)
    }

    /// Repeats axes of size 1 and adds axes in front; nothing when it has that shape.
    pub fn broadcast(&mut self, x: Value, shape: &[u64]) -> Value {
        if self.ty(x).shape == shape {
            return x;
        }
        self.push(ops::broadcast::Broadcast { shape: shape.to_vec() }, &[x])
    }

    /// `len` indices of an axis from `start`.
    pub fn slice(&mut self, x: Value, axis: usize, start: u64, len: u64) -> Value {
        self.push(ops::slice::Slice { axis, start, len }, &[x])
    }

    /// Operands one after the other along an axis.
    pub fn concat(&mut self, axis: usize, xs: &[Value]) -> Value {
        self.push(ops::concat::Concat { axis }, xs)
    }

    /// Zeros in front of and behind `x` along an axis.
    pub fn pad(&mut self, x: Value, axis: usize, before: u64, after: u64) -> Value {
        self.push(ops::pad::Pad { axis, before, after }, &[x])
    }

    /// The sum over axes, which keep size 1.
    pub fn sum(&mut self, x: Value, axes: &[usize]) -> Value {
        self.push(ops::sum::Sum { axes: axes.to_vec() }, &[x])
    }

    /// The maximum over axes, which keep size 1.
    pub fn max_reduce(&mut self, x: Value, axes: &[usize]) -> Value {
        self.push(ops::max_reduce::MaxReduce { axes: axes.to_vec() }, &[x])
    }

    /// `[.., m, k] x [.., k, n]`.
    pub fn dot(&mut self, x: Value, y: Value) -> Value {
        self.push(ops::dot::Dot, &[x, y])
    }

    /// Rows of a table by id.
    pub fn gather(&mut self, table: Value, ids: Value) -> Value {
        self.push(ops::gather::Gather, &[table, ids])
    }

    /// Adds rows by id into a table of `rows` rows.
    pub fn scatter_add(&mut self, rows: u64, ids: Value, values: Value) -> Value {
        self.push(ops::scatter_add::ScatterAdd { rows }, &[ids, values])
    }
}

macro_rules! plain {
    ($($method:ident($($arg:ident),*) = $op:path;)*) => {
        impl Builder {
            $(#[doc = concat!("Appends `", stringify!($method), "`.")]
            pub fn $method(&mut self, $($arg: Value),*) -> Value {
                self.push($op, &[$($arg),*])
            })*
        }
    };
}

plain! {
    neg(x) = ops::neg::Neg;
    abs(x) = ops::abs::Abs;
    exp(x) = ops::exp::Exp;
    log(x) = ops::log::Log;
    tanh(x) = ops::tanh::Tanh;
    erf(x) = ops::erf::Erf;
    sqrt(x) = ops::sqrt::Sqrt;
    rsqrt(x) = ops::rsqrt::Rsqrt;
    cos(x) = ops::cos::Cos;
    floor(x) = ops::floor::Floor;
    not(x) = ops::not::Not;
    add(x, y) = ops::add::Add;
    sub(x, y) = ops::sub::Sub;
    mul(x, y) = ops::mul::Mul;
    div(x, y) = ops::div::Div;
    min(x, y) = ops::min::Min;
    max(x, y) = ops::max::Max;
    pow(x, y) = ops::pow::Pow;
    lt(x, y) = ops::lt::Lt;
    le(x, y) = ops::le::Le;
    eq(x, y) = ops::eq::Eq;
    and(x, y) = ops::and::And;
    or(x, y) = ops::or::Or;
}
