//! Attention as one task: scores a tile at a time, never stored as a whole.
//!
//! `heads` heads of queries share `groups` groups of keys and values; head `i` reads group
//! `i / (heads / groups)`. Products of a tile are part of the task; what is between them are
//! kernels of the schedule that run on the rows of a tile. Dao 2023, arXiv:2307.08691.
//!
//! # Note: the order of additions
//! A *chain* is a sequential fma from +0. Forward, for each row tile: top = -inf, sum = 0, acc = 0;
//! for each key tile that the band touches, ascending: scores = chains over `width` of q·k, 0
//! beyond the last key; the kernel `score` turns them into weights and sets top, sum and factor;
//! acc = acc * factor; acc += chains over the keys of the tile of weight·v. Then `finish` runs.
//!
//! Backward, for each group and key tile, ascending: for each head of the group and row tile that
//! the band joins to it, ascending: scores as above; grads = chains over `value_width` of dout·v,
//! 0 beyond the last key; the kernel `weights` leaves the weights in scores and the gradients of
//! the scores in grads; then dq += chains over keys of grads·k, dk += chains over rows of grads·q,
//! dv += chains over rows of scores·dout. The results start from 0.

use super::Arg;
use crate::kernel::Kernel;

/// An attention. Operands are f32, or all of one 16-bit type.
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
    /// Elements of a query or key.
    pub width: u64,
    /// Elements of a value.
    pub value_width: u64,
    /// Rows of a tile.
    pub row_tile: u64,
    /// Keys of a tile.
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

impl Band {
    /// Whether a row of `rows` sees a key of `keys`, when row 0 is at `offset`; neither is empty.
    pub fn touches(&self, offset: i64, rows: [u64; 2], keys: [u64; 2]) -> bool {
        let [first, end] = rows.map(|row| row.cast_signed() + offset);
        let is_bounded = self.causal || self.window.is_some();
        let is_behind = is_bounded && keys[0].cast_signed() > end - 1;
        let is_before = self
            .window
            .is_some_and(|window| keys[1].cast_signed() <= first + 1 - window.cast_signed());
        !is_behind && !is_before
    }
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

/// A kernel that runs on the rows of a tile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TileKernel {
    /// Index into [`super::Schedule::kernels`].
    pub kernel: usize,
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

impl Scratch {
    /// All of them.
    pub const ALL: [Scratch; 6] =
        [Self::Scores, Self::Grads, Self::Top, Self::Sum, Self::Factor, Self::Acc];
}

impl Attention {
    /// The largest width and tile: what a chain sums at most.
    pub const MOST: u64 = 512;

    /// Every place that the task names.
    pub fn args(&self) -> Vec<Arg> {
        let mut args = vec![self.q.arg, self.k.arg, self.v.arg];
        if let Pass::Backward { dout, dq, dk, dv, weights: _ } = &self.pass {
            args.extend([dout.arg, dq.arg, dk.arg, dv.arg]);
        }
        args.extend(self.band.offset);
        let globals = self.pass.kernels().into_iter().flat_map(|kernel| &kernel.args);
        args.extend(globals.filter_map(|arg| match arg {
            TileArg::Global { arg, strides: _ } => Some(*arg),
            TileArg::Scratch(_) | TileArg::Origin => None,
        }));
        args
    }
}

impl Attention {
    /// Every place that the task names, to be changed; in another order.
    pub fn args_mut(&mut self) -> Vec<&mut Arg> {
        let mut args = vec![&mut self.q.arg, &mut self.k.arg, &mut self.v.arg];
        args.extend(self.band.offset.as_mut());
        let kernels = match &mut self.pass {
            Pass::Forward { score, finish } => vec![score, finish],
            Pass::Backward { dout, dq, dk, dv, weights } => {
                args.extend([dout, dq, dk, dv].map(|strided| &mut strided.arg));
                vec![weights]
            }
        };
        let globals = kernels.into_iter().flat_map(|kernel| &mut kernel.args);
        args.extend(globals.filter_map(|arg| match arg {
            TileArg::Global { arg, strides: _ } => Some(arg),
            TileArg::Scratch(_) | TileArg::Origin => None,
        }));
        args
    }

    /// The places that the task writes; `kernels` are those of its schedule.
    pub fn results(&self, kernels: &[Kernel]) -> Vec<Arg> {
        let mut results = vec![];
        if let Pass::Backward { dq, dk, dv, .. } = &self.pass {
            results.extend([dq.arg, dk.arg, dv.arg]);
        }
        for tile in self.pass.kernels() {
            let operands = &kernels[tile.kernel].operands;
            let written = tile.args.iter().zip(operands).filter(|(_, operand)| operand.is_output);
            results.extend(written.filter_map(|(arg, _)| match arg {
                TileArg::Global { arg, strides: _ } => Some(*arg),
                TileArg::Scratch(_) | TileArg::Origin => None,
            }));
        }
        results
    }
}

impl Pass {
    /// The kernels, to be changed.
    pub fn kernels_mut(&mut self) -> Vec<&mut TileKernel> {
        match self {
            Self::Forward { score, finish } => vec![score, finish],
            Self::Backward { weights, .. } => vec![weights],
        }
    }

    /// The kernels, in the order of their fields.
    pub fn kernels(&self) -> Vec<&TileKernel> {
        match self {
            Self::Forward { score, finish } => vec![score, finish],
            Self::Backward { weights, .. } => vec![weights],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::attend::Attend;

    /// Also where one row alone sees a tile, by its first or last key.
    #[test]
    fn a_band_touches_the_tiles_with_a_key_that_is_seen() {
        let windows = [None, Some(1), Some(2), Some(5), Some(40)];
        for (is_causal, window) in [false, true].into_iter().flat_map(|c| windows.map(|w| (c, w))) {
            let band = Band { causal: is_causal, window, offset: None };
            let attend = Attend { is_causal, window, ..Attend::all(1.0) };
            for offset in [-9, -1, 0, 3, 40] {
                let sees =
                    |row: u64, key: u64| attend.sees(row.cast_signed() + offset, key.cast_signed());
                for (row, key) in tiles() {
                    let (rows, keys) = ([row, 13.min(row + 4)], [key, 22.min(key + 3)]);
                    let is_seen =
                        (rows[0]..rows[1]).any(|r| (keys[0]..keys[1]).any(|k| sees(r, k)));
                    let about = format!("{band:?}, rows {rows:?} from {offset}, keys {keys:?}");
                    assert_eq!(band.touches(offset, rows, keys), is_seen, "{about}");
                }
            }
        }
    }

    /// The first row and key of tiles of 4 by 3 over 13 by 22.
    fn tiles() -> impl Iterator<Item = (u64, u64)> {
        (0..13).step_by(4).flat_map(|row| (0..22).step_by(3).map(move |key| (row, key)))
    }
}
