//! The list of ops. One file and one line make an op exist.
//!
//! A file holds the documentation, samples, shape rule, gradient rule and lowering of its op.
//! Pointwise operands have equal shapes, or are scalars that every element reads.

use std::fmt::Debug;
use std::rc::Rc;

use crate::attr::{AttrError, Attrs};
use crate::body::{Body, ElementIndex};
use crate::builder::Builder;
use crate::graph::Value;
use crate::kernel::{Reduction, Reg, Scalar};
use crate::sample::Sample;
use crate::types::{Shape, Type};

pub mod attend;
pub mod rules;

use attend::{Attend, Part};
pub use rules::ShapeError;

/// What every op says of itself.
pub trait OpDef: Clone + PartialEq + Debug {
    /// Its name in text.
    const NAME: &'static str;
    /// What it computes, in a sentence or two.
    const DOC: &'static str;

    /// Its attributes in the order of the text form.
    fn attrs(&self) -> Attrs;

    /// The op with these attributes.
    fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError>;

    /// The shape rule: the type of the result.
    fn infer(&self, args: &[Type]) -> Result<Type, ShapeError>;

    /// Whether it has a gradient rule. What belongs to a backward pass has none.
    const IS_DIFFERENTIABLE: bool = true;

    /// The gradient rule: for each operand its gradient, or none where nothing flows.
    ///
    /// `out` is the op's own result, so that a rule can use it again.
    fn vjp(&self, b: &mut Builder, args: &[Value], out: Value, grad: Value) -> Vec<Option<Value>>;

    /// What becomes of it.
    fn lowering(&self) -> Lowering;

    /// At least 40 operand shapes.
    fn samples() -> Vec<Sample>;
}

/// What an op becomes below the graph.
#[derive(Debug, Clone)]
pub enum Lowering {
    /// Memory that is there: a state.
    Leaf,
    /// A scalar body for each element. Operands of shape `[]` are read by every element.
    Pointwise(PointwiseFn),
    /// A reduction along axes, which keep size 1.
    Reduce {
        /// How to combine.
        kind: Reduction,
        /// Ascending.
        axes: Vec<usize>,
    },
    /// No computation: another way to index the operand.
    View(View),
    /// `[.., m, k] x [.., k, n]`.
    Dot,
    /// Operands table and ids.
    Gather,
    /// Operands ids and values; the result has this many rows.
    Scatter {
        /// Rows of the result.
        rows: u64,
    },
    /// Operands one after the other.
    Concat {
        /// Along this axis.
        axis: usize,
    },
    /// Zeros around the operand.
    Pad {
        /// Along this axis.
        axis: usize,
        /// Zeros in front.
        before: u64,
        /// Zeros behind.
        after: u64,
    },
    /// A result of an attention.
    Attention(Attend, Part),
}

/// Another way to index an operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// The same elements in row-major order.
    Reshape(Shape),
    /// Axis `i` of the result is this axis of the operand.
    Permute(Vec<usize>),
    /// Axes aligned at the right; those of size 1 or absent repeat.
    Broadcast(Shape),
    /// A range of one axis.
    Slice {
        /// Which axis.
        axis: usize,
        /// The first index.
        start: u64,
        /// How many.
        len: u64,
    },
}

type Emit = dyn Fn(&mut Body, &[Reg], &mut dyn ElementIndex) -> Reg;

/// Emits the scalar instructions of one element.
#[derive(Clone)]
pub struct PointwiseFn(Rc<Emit>);

impl PointwiseFn {
    /// From a closure over the body, the operands' registers and the element's indices.
    pub fn new(emit: impl Fn(&mut Body, &[Reg], &mut dyn ElementIndex) -> Reg + 'static) -> Self {
        Self(Rc::new(emit))
    }

    /// Appends the instructions to `body` and gives the result's register.
    pub fn emit(&self, body: &mut Body, args: &[Reg], index: &mut dyn ElementIndex) -> Reg {
        (self.0)(body, args, index)
    }
}

impl Debug for PointwiseFn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PointwiseFn")
    }
}

impl Lowering {
    /// One scalar operation on the operands.
    pub fn scalar(op: Scalar) -> Self {
        Self::Pointwise(PointwiseFn::new(move |body, args, _| body.apply(op, args)))
    }
}

macro_rules! ops {
    ($($module:ident: $name:ident,)*) => {
        $(pub mod $module;)*

        /// Any op.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($module), "`].")] $name($module::$name),)*
        }

        $(impl From<$module::$name> for Op {
            fn from(op: $module::$name) -> Op {
                Op::$name(op)
            }
        })*

        impl Op {
            /// The names of all ops, in the order of the list.
            pub const ALL_NAMES: &'static [&'static str] = &[$($module::$name::NAME,)*];

            /// The op of this name with these attributes.
            pub fn parse(name: &str, attrs: &Attrs) -> Result<Op, AttrError> {
                match name {
                    $($module::$name::NAME => $module::$name::from_attrs(attrs).map(Op::$name),)*
                    _ => Err(AttrError::Op { name: name.to_owned() }),
                }
            }

            /// The documentation of the op of this name.
            pub fn doc(name: &str) -> Option<&'static str> {
                match name {
                    $($module::$name::NAME => Some($module::$name::DOC),)*
                    _ => None,
                }
            }

            /// The samples of the op of this name; none for an unknown one.
            pub fn samples(name: &str) -> Vec<Sample> {
                match name {
                    $($module::$name::NAME => $module::$name::samples(),)*
                    _ => vec![],
                }
            }

            /// Whether the op of this name has a gradient rule.
            pub fn is_differentiable(name: &str) -> bool {
                match name {
                    $($module::$name::NAME => $module::$name::IS_DIFFERENTIABLE,)*
                    _ => false,
                }
            }

            /// Its name in text.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Op::$name(_) => $module::$name::NAME,)*
                }
            }

            /// See [`OpDef::attrs`].
            pub fn attrs(&self) -> Attrs {
                match self {
                    $(Op::$name(op) => op.attrs(),)*
                }
            }

            /// See [`OpDef::infer`].
            pub fn infer(&self, args: &[Type]) -> Result<Type, ShapeError> {
                match self {
                    $(Op::$name(op) => op.infer(args),)*
                }
            }

            /// See [`OpDef::vjp`].
            pub fn vjp(
                &self,
                b: &mut Builder,
                args: &[Value],
                out: Value,
                grad: Value,
            ) -> Vec<Option<Value>> {
                match self {
                    $(Op::$name(op) => op.vjp(b, args, out, grad),)*
                }
            }

            /// See [`OpDef::lowering`].
            pub fn lowering(&self) -> Lowering {
                match self {
                    $(Op::$name(op) => op.lowering(),)*
                }
            }
        }
    };
}

ops! {
    state: State,
    constant: Constant,
    iota: Iota,
    neg: Neg,
    abs: Abs,
    exp: Exp,
    log: Log,
    tanh: Tanh,
    erf: Erf,
    sqrt: Sqrt,
    rsqrt: Rsqrt,
    sigmoid: Sigmoid,
    cos: Cos,
    floor: Floor,
    not: Not,
    cast: Cast,
    round: Round,
    add: Add,
    sub: Sub,
    mul: Mul,
    div: Div,
    min: Min,
    max: Max,
    pow: Pow,
    lt: Lt,
    le: Le,
    eq: Eq,
    and: And,
    or: Or,
    select: Select,
    stage: Stage,
    barrier: Barrier,
    random: Random,
    reshape: Reshape,
    permute: Permute,
    broadcast: Broadcast,
    slice: Slice,
    concat: Concat,
    pad: Pad,
    sum: Sum,
    max_reduce: MaxReduce,
    dot: Dot,
    gather: Gather,
    scatter_add: ScatterAdd,
    attention: Attention,
    attention_lse: AttentionLse,
    attention_dq: AttentionDq,
    attention_dk: AttentionDk,
    attention_dv: AttentionDv,
}
