//! Kernel IR: an iteration space, affine operands, a skeleton, one scalar body.
//!
//! The body is straight-line SSA over scalars. Where an instruction is evaluated (per element, or
//! once a row) follows from what it reads. Both back ends and the interpreter run the same bodies
//! in the same order, so maps and reductions agree bit for bit.

use crate::types::Dtype;

/// How the iteration space is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skeleton {
    /// For each outer index: reductions over the columns and maps over the columns.
    ///
    /// Without a reduction it is a map. A [`Inst::Reduce`] runs in [`LANES`] lanes (lane `c % LANES`
    /// takes column `c`, ascending), then a tree (lane `i` takes `i + 8`, then `+4`, `+2`, `+1`).
    Rows,
    /// For each outer index, block of rows and column: a reduction down the rows of the block.
    ///
    /// [`Inst::Reduce`] is sequential in the rows, from the first row of the block. What follows
    /// a reduce is evaluated once for each (outer, block, column).
    Columns {
        /// Rows in all.
        rows: u64,
        /// Rows a block; the last may be short. The number of threads has no part in it.
        block: u64,
    },
    /// For each outer index `v` and column: a reduction over `i` in `starts[v] .. starts[v + 1]`.
    ///
    /// Sequential in `i`. [`Inst::Row`] gives `order[i]`. Rows of a sorted scatter.
    Segments {
        /// Operand (i32, one more than the outer indices) of the bounds.
        starts: usize,
        /// Operand (i32) of the sorted positions.
        order: usize,
    },
}

/// Lanes of a row reduction; part of the numerics, equal on every back end.
pub const LANES: u64 = 16;
/// Columns that one unit of parallel work takes in [`Skeleton::Columns`] and `Segments`.
pub const COLUMN_TILE: u64 = 64;

/// A tensor that the kernel reads or writes, as strides in elements.
///
/// The address of an element is `base + sum(outer[i] * o[i]) + row * r + col * c`; the base, with
/// any constant offset, is an argument, so equal kernels share code.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Operand {
    /// Its elements.
    pub dtype: Dtype,
    /// Whether it is written.
    pub is_output: bool,
    /// Stride of each outer axis.
    pub outer: Vec<i64>,
    /// Stride of the reduced row (`Columns`: the row; stored results: the block). Else 0.
    pub row: i64,
    /// Stride of the column.
    pub col: i64,
}

/// A register: the result of the instruction at that index of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(pub u32);

/// A fused loop nest.
///
/// Parallel work is a range over [`Kernel::extent`]; any split gives the same bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Short and human: the ops it fuses, `sub_exp_sum`. No part of its identity.
    pub name: String,
    /// How the space is walked.
    pub skeleton: Skeleton,
    /// Sizes of the outer axes, slowest first. Empty: `Rows` is split over the columns themselves
    /// (then the body has no reduction).
    pub outer: Vec<u64>,
    /// Size of the inner axis.
    pub cols: u64,
    /// What it reads and writes.
    pub operands: Vec<Operand>,
    /// The body.
    pub body: Vec<Inst>,
}

impl Kernel {
    /// The number of units of parallel work.
    ///
    /// `Rows`: outer indices, or columns when there is no outer axis. `Columns`: outer × blocks ×
    /// column tiles, tiles fastest. `Segments`: outer × column tiles, tiles fastest.
    pub fn extent(&self) -> u64 {
        let outer: u64 = self.outer.iter().product();
        match self.skeleton {
            Skeleton::Rows if self.outer.is_empty() => self.cols,
            Skeleton::Rows => outer,
            Skeleton::Columns { rows, block } => {
                outer * rows.div_ceil(block).max(1) * self.cols.div_ceil(COLUMN_TILE)
            }
            Skeleton::Segments { .. } => outer * self.cols.div_ceil(COLUMN_TILE),
        }
    }
}

/// How a reduction combines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// From +0.
    Sum,
    /// From -inf; NaN wins.
    Max,
    /// From +inf; NaN wins.
    Min,
}

/// One instruction of a body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Inst {
    /// A constant; the bits of its value in `dtype` (f32: low 32 bits; a narrow float: those of
    /// the f32 it equals).
    Const {
        /// Its type.
        dtype: Dtype,
        /// Its bits.
        bits: u64,
    },
    /// The element of an operand at the current place.
    Load {
        /// Index into the operands.
        operand: usize,
    },
    /// The element at the current place plus `index * stride` elements (a gather).
    ///
    /// The index is an i32; outside `0 .. bound` the result is 0 and nothing is read.
    LoadAt {
        /// Index into the operands.
        operand: usize,
        /// The i32 index.
        index: Reg,
        /// Elements from one index to the next.
        stride: i64,
        /// One more than the largest valid index.
        bound: u64,
    },
    /// The current index of an outer axis, as i32.
    Outer {
        /// Which axis.
        axis: usize,
    },
    /// The current row (`Columns`) or `order[i]` (`Segments`), as i32.
    Row,
    /// The current column, as i32.
    Col,
    /// A scalar operation; the operands have the types that [`Scalar`] asks for.
    Apply {
        /// What is computed.
        op: Scalar,
        /// From what.
        args: Vec<Reg>,
    },
    /// A reduction over the columns (`Rows`) or down the rows (`Columns`, `Segments`).
    Reduce {
        /// How to combine.
        kind: Reduction,
        /// What is reduced.
        value: Reg,
    },
    /// Writes a register to an output at the current place; has no result.
    ///
    /// A row value goes to an operand with column stride 0, once a row.
    Store {
        /// Index into the operands.
        operand: usize,
        /// What is written.
        value: Reg,
    },
}

/// A scalar operation. No arithmetic takes narrow floats. Floats are IEEE, round to nearest even; NaN results are canonical.
///
/// Primitive ones are single instructions everywhere. The others (`is_primitive` is false) have one
/// canonical expansion into primitive ones, see [`crate::expand`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named after what they compute")]
pub enum Scalar {
    // Two operands of one type.
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    /// `a * b + c` with one rounding.
    Fma,
    // One float operand.
    Neg,
    Abs,
    Sqrt,
    Floor,
    /// To the nearest integer, ties to even.
    Nearest,
    // Comparisons of one type, giving a bool.
    Lt,
    Le,
    Eq,
    // Bools, and bitwise on i32.
    And,
    Or,
    Xor,
    Not,
    /// `cond ? a : b`.
    Select,
    /// i32 shifts; the amount is the second operand, in 0..32.
    Shl,
    ShrLogical,
    /// The high 32 bits of the product of two i32 taken as unsigned.
    MulHi,
    /// To another type: float to i32 truncates and saturates (NaN to 0), bool is 0 or 1,
    /// anything to bool is `!= 0`, f64 to f32 rounds to nearest even; to a narrow float goes through
    /// f32, see [`crate::narrow`].
    Cast(Dtype),
    /// The same bits: f32 to i32 and back.
    Bitcast(Dtype),
    // Expanded ones, f32 and f64.
    Exp,
    Log,
    Tanh,
    Erf,
    Cos,
    Rsqrt,
    Pow,
    /// `(seed, stream, step, hi, lo)`, all i32 taken as 32 bits, to 32 random bits: word `lo % 4`
    /// of Philox4x32-10 with counter `(lo / 4, hi, step, 0)` and key `(seed, stream)`.
    Philox,
}
