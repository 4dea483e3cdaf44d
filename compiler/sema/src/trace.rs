//! Traces: what a layer, fn or rule computes once every size is known.
//!
//! A trace is straight-line: names are resolved, calls inlined, `repeat` and `for` unrolled, static
//! `if`s decided, broadcasts written out. `passes::lower` turns it into IR one instruction at a time.
//! Shapes were proved for all sizes before, so a trace never holds a shape error.

pub mod attention;
mod head;
mod scalar;

use diag::Span;

/// What the elements of a value are, as the language sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Elem {
    /// A real number under the precision policy of the run.
    Real,
    /// Pinned single precision.
    Fp32,
    /// A run-time scalar (`lr`, `t`, `step`): double precision.
    Scalar,
    /// A 32-bit integer.
    Int,
    /// A truth value.
    Bool,
    /// Ids below a bound: `tok(v)`, `class(n)`.
    Ids(u64),
}

/// The type of a traced value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Type {
    /// Of its elements.
    pub elem: Elem,
    /// Of its axes.
    pub shape: Vec<u64>,
}

/// A value of a trace: the result of the instruction at that index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u32);

/// What one declaration computes for given sizes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// In the order of the data parameters.
    pub inputs: Vec<Input>,
    /// Every parameter, in order of first appearance; a shared one appears once.
    pub params: Vec<Param>,
    /// State of a rule.
    pub states: Vec<StateVar>,
    /// Operands precede users.
    pub instrs: Vec<Instr>,
    /// The results, a tuple flattened.
    pub outputs: Vec<Id>,
    /// Where a state goes from place to place, if anywhere.
    pub recurrence: Option<Span>,
}

/// A data parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

/// A weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its path, the name in checkpoints: `blocks.0.qkv.weight`.
    pub path: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its start.
    pub init: Init,
    /// The layer that declares it, such as `embedding` or `linear`.
    pub layer: String,
    /// The layers around that one, the outermost first.
    pub around: Vec<String>,
    /// Whether it makes the output of a model and is no embedding: the class `head`.
    pub is_head: bool,
    /// Where it is declared.
    pub span: Span,
}

/// How a weight starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All this.
    Constant(f64),
    /// Normal around 0 with this standard deviation.
    Normal(f64),
    /// Uniform in `-x..x`.
    Uniform(f64),
}

/// State of a rule, one for each parameter it updates.
#[derive(Debug, Clone, PartialEq)]
pub struct StateVar {
    /// Its name in the rule: `m`.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Its start.
    pub init: Init,
    /// Its value after the update.
    pub next: Id,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Instr {
    /// What.
    pub prim: Prim,
    /// From what.
    pub args: Vec<Id>,
    /// The type of the result.
    pub ty: Type,
    /// The expression it came from.
    pub span: Span,
    /// The module it belongs to, `blocks.0.norm`; empty at the top.
    pub scope: String,
}

/// A function of one operand, elementwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after what they compute")]
pub enum Unary {
    Neg,
    Abs,
    Exp,
    Log,
    Tanh,
    Erf,
    Sigmoid,
    Sqrt,
    Rsqrt,
    Cos,
    Sin,
    Floor,
    Not,
}

/// A function of two operands of one shape, elementwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after what they compute")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    And,
    Or,
}

/// How a reduction combines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after what they compute")]
pub enum Reduce {
    Sum,
    Mean,
    Max,
    /// `log(sum(exp(x)))`, over one axis.
    LogSumExp,
}

/// What an instruction computes.
///
/// Elementwise ones take operands of equal shape and element type (`select`: its last two): the
/// tracer writes [`Prim::Broadcast`] and [`Prim::Cast`] out. A scalar `Scalar` operand of a tensor
/// operation is cast to the tensor's element type, then broadcast.
#[derive(Debug, Clone, PartialEq)]
pub enum Prim {
    /// The input at that index.
    Input(usize),
    /// The parameter at that index.
    Param(usize),
    /// The state at that index, as before the update.
    State(usize),
    /// A number in every element.
    Const(f64),
    /// Elementwise.
    Unary(Unary),
    /// Elementwise.
    Binary(Binary),
    /// `x ^ n` for a small whole number: repeated multiplication.
    PowInt(u32),
    /// `cond, a, b`.
    Select,
    /// To the element type of the result.
    Cast,
    /// To the shape of the result: axes line up from the right, size 1 stretches.
    Broadcast,
    /// The same elements in another shape.
    Reshape,
    /// Axis `i` of the result is axis `perm[i]` of the operand.
    Permute(Vec<usize>),
    /// `len` elements from `start` on one axis.
    Slice {
        /// Which axis.
        axis: usize,
        /// First element.
        start: u64,
        /// How many.
        len: u64,
    },
    /// Operands joined along an axis.
    Concat {
        /// Which axis.
        axis: usize,
    },
    /// A reduction; the axes stay with size 1.
    Reduce {
        /// How.
        kind: Reduce,
        /// Ascending.
        axes: Vec<usize>,
    },
    /// Softmax over one axis.
    Softmax {
        /// Which axis.
        axis: usize,
    },
    /// `[.., m, k] x [.., k, n] -> [.., m, n]`, leading axes equal.
    Dot,
    /// Rows of a table: `[V, d], ids[..] -> [.., d]`.
    Gather,
    /// The element at an index along the last axis: `x[.., v], ids[..] -> [..]`; 0 where the id
    /// is outside.
    Pick,
    /// The index along an axis, as `Int`.
    Iota {
        /// Which axis.
        axis: usize,
    },
    /// Zero with this probability, else scaled by `1 / (1 - p)`; the identity outside training.
    ///
    /// Axis 0 of the operand is the batch.
    Dropout(f64),
}
