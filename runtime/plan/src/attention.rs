//! Attention as one step: scores a tile at a time, never stored as a whole.
//!
//! `heads` heads of queries share `groups` groups of keys and values; head `i` reads group
//! `i / (heads / groups)`. The device computes the products of a tile, and compiled kernels what is
//! between them, over `0..rows` of the tile. Dao 2023, arXiv:2307.08691.
//!
//! # Note: the order of additions
//!
//! A *chain* is a sequential FMA from +0. Forward, for each row tile: top = −∞, sum = 0, acc = 0;
//! for each key tile that the band touches, ascending: scores = chains over `width` of q·k, 0 beyond
//! the last key; the kernel `score` turns them into weights and sets top, sum and factor;
//! acc = acc * factor; acc += chains over the keys of the tile of weight·v. Then `finish` runs.
//!
//! Backward, for each group and key tile, ascending: for each head of the group and row tile that
//! the band joins to it, ascending: scores as above; grads = chains over `value_width` of dout·v,
//! 0 beyond the last key; the kernel `weights` leaves the weights in scores and the gradients of
//! the scores in grads; then dq += chains over keys of grads·k, dk += chains over rows of grads·q,
//! dv += chains over rows of scores·dout. The results start from 0.

use crate::Arg;

/// An attention step. Operands are f32, or all of one 16-bit type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Sequences.
    pub batch: u64,
    /// Heads of the queries.
    pub heads: u64,
    /// Heads of keys and values; divides `heads`.
    pub groups: u64,
    /// Queries of a sequence.
    pub rows: u64,
    /// Keys of a sequence.
    pub keys: u64,
    /// Elements of a query or key, at most [`Attention::MOST`].
    pub width: u64,
    /// Elements of a value, at most [`Attention::MOST`].
    pub value_width: u64,
    /// Rows of a tile, at most [`Attention::MOST`].
    pub row_tile: u64,
    /// Keys of a tile, at most [`Attention::MOST`].
    pub key_tile: u64,
    /// Keys that a row may see by their places.
    pub band: Band,
    /// Queries.
    pub q: Strided,
    /// Keys.
    pub k: Strided,
    /// Values.
    pub v: Strided,
    /// Forward or backward.
    pub pass: Pass,
}

/// Keys that a row may see: tiles outside are skipped. The kernels mask inside of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Band {
    /// None behind `row + offset`.
    pub causal: bool,
    /// Those of `row + offset - window + 1 ..= row + offset` only.
    pub window: Option<u64>,
    /// An i32: the place of row 0 among the keys; 0 without.
    pub offset: Option<Arg>,
}

/// A tensor of four axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Strided {
    /// Its first element.
    pub arg: Arg,
    /// Elements from sequence to sequence, head (or group) to head, row to row, column to column.
    pub strides: [i64; 4],
}

/// What is computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The result, and the logarithm of each row's sum, which `finish` writes.
    Forward {
        /// Scores to weights.
        score: TileKernel,
        /// From acc, top and sum to the results.
        finish: TileKernel,
    },
    /// The gradients of the operands.
    Backward {
        /// The gradient of the result, in the type of the operands.
        dout: Strided,
        /// That of the queries, f32.
        dq: Strided,
        /// That of the keys, f32.
        dk: Strided,
        /// That of the values, f32.
        dv: Strided,
        /// Scores to weights, gradients of the weights to those of the scores.
        weights: TileKernel,
    },
}

/// A kernel that runs on a tile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TileKernel {
    /// Index into [`Plan::code`](crate::Plan::code).
    pub code: u32,
    /// One for each operand.
    pub args: Vec<TileArg>,
}

/// An operand of a kernel that runs on a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileArg {
    /// Memory of the tile.
    Scratch(Scratch),
    /// Four i32: sequence, head, first row and first key of the tile; a key of 0 in `finish`.
    Origin,
    /// A buffer.
    Global {
        /// Where it is for the first tile.
        arg: Arg,
        /// Elements that it moves on for each sequence, head, row and key before the tile.
        strides: [i64; 4],
    },
}

/// Memory of a tile, f32; rows follow each other closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scratch {
    /// `row_tile` × `key_tile`: scores, then weights.
    Scores,
    /// `row_tile` × `key_tile`: gradients of the weights, then of the scores. Backward only.
    Grads,
    /// `row_tile`: each row's largest score so far. Forward only.
    Top,
    /// `row_tile`: each row's sum of weights so far. Forward only.
    Sum,
    /// `row_tile`: what each row's acc is multiplied by. Forward only.
    Factor,
    /// `row_tile` × `value_width`: each row's sum of weighted values. Forward only.
    Acc,
}

impl Attention {
    /// The largest width and tile: what a chain sums at most.
    pub const MOST: u64 = 512;

    /// Multiplications and additions of the keys that rows see, with row 0 at place 0.
    pub fn flops(&self) -> u64 {
        let is_bounded = self.band.causal || self.band.window.is_some();
        let seen = |row: u64| {
            let end = if is_bounded { self.keys.min(row + 1) } else { self.keys };
            let start = self.band.window.map_or(0, |window| (row + 1).saturating_sub(window));
            end.saturating_sub(start)
        };
        let pairs: u64 = self.batch * self.heads * (0..self.rows).map(seen).sum::<u64>();
        let a_pair = match self.pass {
            Pass::Forward { .. } => self.width + self.value_width,
            Pass::Backward { .. } => 3 * self.width + 2 * self.value_width,
        };
        2 * pairs * a_pair
    }

    /// Every place that the step names.
    pub fn args(&self) -> impl Iterator<Item = Arg> {
        let operands = [self.q, self.k, self.v].into_iter().chain(self.pass.operands());
        let globals = self.pass.kernels().flat_map(|kernel| &kernel.args);
        let globals = globals.filter_map(|arg| match arg {
            TileArg::Global { arg, strides: _ } => Some(*arg),
            TileArg::Scratch(_) | TileArg::Origin => None,
        });
        operands.map(|operand| operand.arg).chain(globals).chain(self.band.offset)
    }
}

impl Pass {
    /// The kernels, in the order of their fields.
    pub fn kernels(&self) -> impl Iterator<Item = &TileKernel> {
        let (first, second) = match self {
            Self::Forward { score, finish } => (score, Some(finish)),
            Self::Backward { weights, .. } => (weights, None),
        };
        std::iter::once(first).chain(second)
    }

    /// The tensors of the pass alone, in the order of their fields.
    pub fn operands(&self) -> impl Iterator<Item = Strided> {
        let all = match self {
            Self::Forward { .. } => None,
            Self::Backward { dout, dq, dk, dv, weights: _ } => Some([*dout, *dq, *dk, *dv]),
        };
        all.into_iter().flatten()
    }
}

impl Scratch {
    /// All of them.
    pub const ALL: [Scratch; 6] =
        [Self::Scores, Self::Grads, Self::Top, Self::Sum, Self::Factor, Self::Acc];
}
