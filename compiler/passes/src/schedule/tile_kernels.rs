//! The kernels between the products of an attention's tiles.
//!
//! They run on the rows of one tile: what is masked, scaled, normalized and dropped is settled here,
//! from the tile's place. Dao 2023, arXiv:2307.08691, algorithms 1 and 2.

use ir::body::Body;
use ir::kernel::{Kernel, Operand, Reduction, Reg, Scalar, Skeleton};
use ir::ops::attend::{Attend, Sizes};
use ir::schedule::Arg;
use ir::schedule::attention::{Scratch, TileArg};
use ir::types::Dtype;

/// A tensor in memory, and its elements from one sequence, head, row and column to the next; none
/// moves with the keys of a tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) arg: Arg,
    pub(super) dtype: Dtype,
    pub(super) strides: [i64; 4],
}

/// Who attends to whom, and the tensors that say so.
#[derive(Debug)]
pub(super) struct Mask {
    pub(super) attend: Attend,
    pub(super) sizes: Sizes,
    /// Rows and keys of a tile.
    pub(super) tile: [u64; 2],
    /// Of rows and of keys.
    pub(super) segments: Option<[Source; 2]>,
    pub(super) offset: Option<Source>,
    /// Stream, seed, step and first row.
    pub(super) draw: Option<[Source; 4]>,
}

/// A kernel of a tile and its operands.
pub(super) type Drafted = (Kernel, Vec<TileArg>);

/// Scores to weights; the running maximum and sum of each row, and the factor between them.
pub(super) fn score(mask: &Mask) -> Drafted {
    let mut t = Draft::new(mask.tile);
    let is_seen = mask.is_seen(&mut t);
    let scaled = t.scaled(mask.attend.scale);
    let hidden = t.body.constant(Dtype::F32, f64::NEG_INFINITY);
    let score = t.select(is_seen, scaled, hidden);
    let row_top = t.body.reduce(Reduction::Max, score);
    let (top, sum) = (t.row_value(Scratch::Top), t.row_value(Scratch::Sum));
    let new_top = t.body.apply(Scalar::Max, &[top, row_top]);
    // A row that has seen no key yet would give -inf - -inf.
    let is_empty = t.body.apply(Scalar::Eq, &[new_top, hidden]);
    let zero = t.body.constant(Dtype::F32, 0.0);
    let shift = t.select(is_empty, zero, new_top);
    let weight = t.exp_below(score, shift);
    let factor = t.exp_below(top, shift);
    let row_sum = t.body.reduce(Reduction::Sum, weight);
    let old_sum = t.body.apply(Scalar::Mul, &[sum, factor]);
    let new_sum = t.body.apply(Scalar::Add, &[old_sum, row_sum]);
    let kept = mask.dropped(&mut t, weight);
    t.store_square(Scratch::Scores, kept);
    t.store_row(Scratch::Top, new_top);
    t.store_row(Scratch::Sum, new_sum);
    t.store_row(Scratch::Factor, factor);
    t.finish("attention_score")
}

/// The result of each row, or 0 where it has seen no key, and the logarithm of its sum.
pub(super) fn finish(tile: [u64; 2], out: Option<Source>, lse: Option<Source>) -> Drafted {
    let mut t = Draft::new(tile);
    let sum = t.row_value(Scratch::Sum);
    if let Some(out) = out {
        let acc = t.load_square(Scratch::Acc);
        let zero = t.body.constant(Dtype::F32, 0.0);
        let is_empty = t.body.apply(Scalar::Eq, &[sum, zero]);
        let mean = t.body.apply(Scalar::Div, &[acc, sum]);
        let result = t.select(is_empty, zero, mean);
        let rounded = if out.dtype == Dtype::F32 {
            result
        } else {
            t.body.apply(Scalar::Cast(out.dtype), &[result])
        };
        t.store(out, rounded);
    }
    if let Some(lse) = lse {
        let top = t.row_value(Scratch::Top);
        let log = t.body.apply(Scalar::Log, &[sum]);
        let total = t.body.apply(Scalar::Add, &[top, log]);
        t.store(lse, total);
    }
    t.finish("attention_finish")
}

/// Scores to weights, and gradients of the weights to those of the scores.
pub(super) fn weights(mask: &Mask, lse: Source, delta: Source) -> Drafted {
    let mut t = Draft::new(mask.tile);
    let is_seen = mask.is_seen(&mut t);
    let scaled = t.scaled(mask.attend.scale);
    let (lse, delta) = (t.load(lse), t.load(delta));
    let weight = t.exp_below(scaled, lse);
    let zero = t.body.constant(Dtype::F32, 0.0);
    let weight = t.select(is_seen, weight, zero);
    let grad = t.load_square(Scratch::Grads);
    let is_kept = mask.is_kept(&mut t);
    let kept = t.kept(is_kept, mask.attend.drop, weight);
    let grad = t.kept(is_kept, mask.attend.drop, grad);
    let rest = t.body.apply(Scalar::Sub, &[grad, delta]);
    let product = t.body.apply(Scalar::Mul, &[weight, rest]);
    let scale = t.body.constant(Dtype::F32, mask.attend.scale);
    let grad = t.body.apply(Scalar::Mul, &[product, scale]);
    // A row that is not finite spoils no key that it does not see.
    let grad = t.select(is_seen, grad, zero);
    t.store_square(Scratch::Scores, kept);
    t.store_square(Scratch::Grads, grad);
    t.finish("attention_weights")
}

impl Mask {
    /// Whether the row attends to the key.
    fn is_seen(&self, t: &mut Draft) -> Reg {
        let key = t.key();
        let keys = t.body.int(i32::try_from(self.sizes.keys).expect("dimensions fit i32"));
        let mut seen = t.body.apply(Scalar::Lt, &[key, keys]);
        if self.attend.is_causal || self.attend.window.is_some() {
            let mut place = t.row();
            if let Some(offset) = self.offset {
                let offset = t.load(offset);
                place = t.body.apply(Scalar::Add, &[place, offset]);
            }
            let is_before = t.body.apply(Scalar::Le, &[key, place]);
            seen = t.body.apply(Scalar::And, &[seen, is_before]);
            if let Some(window) = self.attend.window {
                let distance = t.body.apply(Scalar::Sub, &[place, key]);
                // Larger windows see as much as the largest place.
                let window = t.body.int(i32::try_from(window).unwrap_or(i32::MAX));
                let is_near = t.body.apply(Scalar::Lt, &[distance, window]);
                seen = t.body.apply(Scalar::And, &[seen, is_near]);
            }
        }
        if let Some([of_rows, of_keys]) = self.segments {
            let row = t.load(of_rows);
            let key = t.load_at(of_keys, key, self.sizes.keys);
            let is_same = t.body.apply(Scalar::Eq, &[row, key]);
            seen = t.body.apply(Scalar::And, &[seen, is_same]);
        }
        seen
    }

    /// Whether dropout keeps the weight; none without dropout.
    ///
    /// The numbers are those of a dropout over `[b,h,t,s]`.
    fn is_kept(&self, t: &mut Draft) -> Option<Reg> {
        let draw = self.draw?;
        let [stream, seed, step, first] = draw.map(|source| t.load(source));
        let [batch, head, row, first_key] = [t.origin(0), t.origin(1), t.row(), t.origin(3)];
        let fits = |size| i32::try_from(size).expect("dimensions fit i32");
        let (rows, keys) = (t.body.int(fits(self.sizes.rows)), t.body.int(fits(self.sizes.keys)));
        let front = t.body.apply(Scalar::Mul, &[head, rows]);
        let front = t.body.apply(Scalar::Add, &[front, row]);
        let front = t.body.apply(Scalar::Mul, &[front, keys]);
        let start = t.body.apply(Scalar::Add, &[front, first_key]);
        let col = t.body.col();
        let element = t.body.apply(Scalar::Add, &[start, col]);
        let sequence = t.body.apply(Scalar::Add, &[first, batch]);
        let bits = t.body.apply(Scalar::Philox, &[seed, stream, step, sequence, element]);
        let eight = t.body.int(8);
        let upper = t.body.apply(Scalar::ShrLogical, &[bits, eight]);
        let number = t.body.apply(Scalar::Cast(Dtype::F32), &[upper]);
        let unit = t.body.constant(Dtype::F32, 1.0 / 16_777_216.0);
        let number = t.body.apply(Scalar::Mul, &[number, unit]);
        let drop = t.body.constant(Dtype::F32, self.attend.drop);
        Some(t.body.apply(Scalar::Le, &[drop, number]))
    }

    fn dropped(&self, t: &mut Draft, weight: Reg) -> Reg {
        let is_kept = self.is_kept(t);
        t.kept(is_kept, self.attend.drop, weight)
    }
}

/// A kernel under construction.
struct Draft {
    /// Rows and columns of a tile.
    tile: [u64; 2],
    body: Body,
    operands: Vec<Operand>,
    args: Vec<TileArg>,
    stores: Vec<(usize, Reg)>,
}

impl Draft {
    fn new(tile: [u64; 2]) -> Self {
        Self { tile, body: Body::new(), operands: vec![], args: vec![], stores: vec![] }
    }

    /// The kernel with its stores at the end.
    fn finish(mut self, name: &str) -> Drafted {
        for (operand, value) in self.stores {
            self.body.store(operand, value);
        }
        let kernel = Kernel {
            name: name.to_owned(),
            skeleton: Skeleton::Rows,
            outer: vec![self.tile[0]],
            cols: self.tile[1],
            operands: self.operands,
            body: self.body.finish(),
        };
        (kernel, self.args)
    }

    fn operand(&mut self, arg: TileArg, operand: Operand) -> usize {
        let mut both = self.args.iter().zip(&self.operands);
        let found = both.position(|(a, o)| *a == arg && *o == operand);
        found.unwrap_or_else(|| {
            self.args.push(arg);
            self.operands.push(operand);
            self.args.len() - 1
        })
    }

    fn scratch(&mut self, scratch: Scratch, is_output: bool, strides: [i64; 2]) -> usize {
        let [outer, col] = strides;
        let operand = Operand { dtype: Dtype::F32, is_output, outer: vec![outer], row: 0, col };
        self.operand(TileArg::Scratch(scratch), operand)
    }

    fn global(&mut self, x: Source, is_output: bool) -> usize {
        let [batch, head, row, col] = x.strides;
        let operand = Operand { dtype: x.dtype, is_output, outer: vec![row], row: 0, col };
        let strides = [batch, head, row, 0];
        self.operand(TileArg::Global { arg: x.arg, strides }, operand)
    }

    fn load(&mut self, x: Source) -> Reg {
        let operand = self.global(x, false);
        self.body.load(operand, x.dtype)
    }

    /// The element for a key of a tensor that has one for each.
    ///
    /// The index is the key's own, not its place in the tile: behind the last key nothing is read.
    fn load_at(&mut self, x: Source, key: Reg, keys: u64) -> Reg {
        let [batch, head, row, stride] = x.strides;
        let operand = self.global(Source { strides: [batch, head, row, 0], ..x }, false);
        self.body.load_at(operand, x.dtype, key, stride, keys)
    }

    fn store(&mut self, x: Source, value: Reg) {
        let operand = self.global(x, true);
        self.stores.push((operand, value));
    }

    /// Strides of what has an element for each place of the tile.
    fn square(&self) -> [i64; 2] {
        [self.tile[1].cast_signed(), 1]
    }

    fn load_square(&mut self, scratch: Scratch) -> Reg {
        let operand = self.scratch(scratch, false, self.square());
        self.body.load(operand, Dtype::F32)
    }

    fn store_square(&mut self, scratch: Scratch, value: Reg) {
        let operand = self.scratch(scratch, true, self.square());
        self.stores.push((operand, value));
    }

    fn row_value(&mut self, scratch: Scratch) -> Reg {
        let operand = self.scratch(scratch, false, [1, 0]);
        self.body.load(operand, Dtype::F32)
    }

    fn store_row(&mut self, scratch: Scratch, value: Reg) {
        let operand = self.scratch(scratch, true, [1, 0]);
        self.stores.push((operand, value));
    }

    /// Sequence, head, first row or first key of the tile.
    fn origin(&mut self, which: i32) -> Reg {
        let operand =
            Operand { dtype: Dtype::I32, is_output: false, outer: vec![0], row: 0, col: 0 };
        let operand = self.operand(TileArg::Origin, operand);
        let index = self.body.int(which);
        self.body.load_at(operand, Dtype::I32, index, 1, 4)
    }

    fn row(&mut self) -> Reg {
        let (first, row) = (self.origin(2), self.body.outer(0));
        self.body.apply(Scalar::Add, &[first, row])
    }

    fn key(&mut self) -> Reg {
        let (first, col) = (self.origin(3), self.body.col());
        self.body.apply(Scalar::Add, &[first, col])
    }

    fn scaled(&mut self, scale: f64) -> Reg {
        let score = self.load_square(Scratch::Scores);
        let scale = self.body.constant(Dtype::F32, scale);
        self.body.apply(Scalar::Mul, &[score, scale])
    }

    fn select(&mut self, condition: Reg, x: Reg, y: Reg) -> Reg {
        self.body.apply(Scalar::Select, &[condition, x, y])
    }

    fn exp_below(&mut self, x: Reg, top: Reg) -> Reg {
        let below = self.body.apply(Scalar::Sub, &[x, top]);
        self.body.apply(Scalar::Exp, &[below])
    }

    /// What dropout leaves of a number: 0, or the number scaled up.
    fn kept(&mut self, is_kept: Option<Reg>, drop: f64, x: Reg) -> Reg {
        let Some(is_kept) = is_kept else { return x };
        let scale = self.body.constant(Dtype::F32, 1.0 / (1.0 - drop));
        let zero = self.body.constant(Dtype::F32, 0.0);
        let scaled = self.body.apply(Scalar::Mul, &[x, scale]);
        self.select(is_kept, scaled, zero)
    }
}
