//! What attention is, in double precision, and how far fast mode may be from it.
//!
//! Weights, and gradients of scores, are rounded to 16 bits before they are summed: each result may
//! be off by the unit roundoff times the sum of the magnitudes. To that come what tensor cores lose
//! of a sum, `(n / 16 + 2) * 2^-23` of its magnitudes for n terms, in scores and in results, and
//! some roundings of singles in exponents and factors.

use ir::eval::reference::philox4x32;
use ir::ops::attend::Sizes;
use ir::schedule::Arg;
use ir::schedule::attention::Pass;
use ir::types::Dtype;

use crate::problem::{Problem, Stage, Tensor};

/// A number and how far from it a result may be.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounded {
    pub(crate) number: f64,
    pub(crate) bound: f64,
}

/// A few roundings of singles.
const SINGLES: f64 = 1.0 / (1 << 21) as f64;

/// What a tensor core loses of the magnitudes of a sum of so many terms, over some tiles.
fn lost(n: u64) -> f64 {
    (n as f64 / 8.0 + 8.0) / f64::from(1 << 23)
}

/// The unit roundoff of a type, and half of the distance of its least numbers.
fn roundoff(dtype: Dtype) -> (f64, f64) {
    match dtype {
        Dtype::F16 => ((-11f64).exp2(), (-25f64).exp2()),
        Dtype::Bf16 => ((-8f64).exp2(), (-134f64).exp2()),
        Dtype::F32 => ((-24f64).exp2(), (-150f64).exp2()),
        Dtype::F64 | Dtype::I32 | Dtype::Bool => (0.0, 0.0),
    }
}

/// A row of scores: batch, head, row.
type Row = [u64; 3];

/// The numbers of a stage.
pub(crate) struct Reference<'s> {
    stage: &'s Stage,
    problem: Problem,
    tensors: Vec<Tensor>,
}

impl<'s> Reference<'s> {
    pub(crate) fn new(stage: &'s Stage, problem: &Problem) -> Self {
        let n = if stage.is_forward() { 3 } else { 4 };
        let tensors = (0..n).map(|which| stage.tensor(which)).collect();
        Self { stage, problem: *problem, tensors }
    }

    fn group(&self, head: u64) -> u64 {
        head / (self.problem.sizes.heads / self.problem.sizes.groups)
    }

    /// The product of a row of a tensor and one of another, and that of magnitudes.
    fn product(&self, x: (usize, Row), y: (usize, Row)) -> (f64, f64) {
        let [x, y] = [x, y].map(|(which, row)| self.tensors[which].row(row));
        let each = x.iter().zip(y).map(|(x, y)| x * y);
        each.fold((0.0, 0.0), |(sum, l1), x| (sum + x, l1 + x.abs()))
    }

    fn is_seen(&self, [batch, _, row]: Row, key: u64) -> bool {
        let Problem { attend, sizes, .. } = &self.problem;
        let offset = if attend.has_offset { self.stage.input("offset", 0) } else { 0 };
        let is_same = !attend.has_segments
            || self.stage.input("row_segments", batch * sizes.rows + row)
                == self.stage.input("key_segments", batch * sizes.keys + key);
        attend.sees(row.cast_signed() + offset, key.cast_signed()) && is_same
    }

    /// What dropout multiplies a weight by.
    fn factor(&self, [batch, head, row]: Row, key: u64) -> f64 {
        let Problem { attend, sizes, .. } = &self.problem;
        if attend.drop == 0.0 {
            return 1.0;
        }
        let [stream, seed, step, first] =
            ["stream", "seed", "step", "row"].map(|name| self.stage.input(name, 0) as u32);
        let element = ((head * sizes.rows + row) * sizes.keys + key) as u32;
        let sequence = first.wrapping_add(batch as u32);
        let words = philox4x32([element / 4, sequence, step, 0], [seed, stream]);
        let number = f64::from(words[element as usize % 4] >> 8) / f64::from(1 << 24);
        let is_kept = f64::from(attend.drop as f32) <= number;
        if is_kept { 1.0 / (1.0 - attend.drop) } else { 0.0 }
    }

    /// The scaled score of a key that is seen, and how far it may be off.
    fn score(&self, row: Row, key: u64) -> Option<Bounded> {
        if !self.is_seen(row, key) {
            return None;
        }
        let [batch, head, _] = row;
        let (sum, l1) = self.product((0, row), (1, [batch, self.group(head), key]));
        let scale = self.problem.attend.scale;
        let bound = scale * l1 * lost(self.problem.sizes.width) + SINGLES * (scale * sum).abs();
        Some(Bounded { number: scale * sum, bound })
    }

    fn rows(&self) -> Vec<Row> {
        let Sizes { batch, heads, rows, .. } = self.problem.sizes;
        let all = (0..batch).flat_map(|b| (0..heads).map(move |h| [b, h]));
        all.flat_map(|[b, h]| (0..rows).map(move |t| [b, h, t])).collect()
    }

    /// The result, in the order of rows and columns, and the logarithms of the sums.
    pub(crate) fn forward(&self, rounded_to: Dtype) -> (Vec<Bounded>, Vec<Bounded>) {
        let Sizes { keys, value_width, .. } = self.problem.sizes;
        let (unit, least) = roundoff(self.problem.dtype);
        let (mut out, mut lse) = (vec![], vec![]);
        for row in self.rows() {
            let scores: Vec<_> = (0..keys).map(|key| self.score(row, key)).collect();
            let top = scores.iter().flatten().fold(f64::NEG_INFINITY, |top, s| top.max(s.number));
            let off = scores.iter().flatten().fold(SINGLES, |off, s| off.max(s.bound));
            let weights: Vec<f64> =
                scores.iter().map(|s| s.map_or(0.0, |s| (s.number - top).exp())).collect();
            let sum: f64 = weights.iter().sum();
            let log = top + sum.ln();
            let bound = off + SINGLES * log.abs() + lost(16 * keys);
            lse.push(Bounded { number: log, bound });
            let mut sums = vec![(0.0, 0.0, 0.0); value_width as usize];
            for (key, weight) in (0..).zip(&weights).filter(|_| sum > 0.0) {
                let share = weight * self.factor(row, key);
                let values = self.tensors[2].row([row[0], self.group(row[1]), key]);
                for ((mean, l1, small), value) in sums.iter_mut().zip(values) {
                    let term = share * value / sum;
                    *mean += term;
                    *l1 += term.abs();
                    *small += value.abs() * least / sum;
                }
            }
            for (mean, l1, small) in sums {
                let bound = l1 * (unit + 2.0 * off + 2.0 * lost(16 * keys)) + small;
                let (unit, least) = roundoff(rounded_to);
                out.push(Bounded { number: mean, bound: bound + unit * mean.abs() + least });
            }
        }
        (out, lse)
    }

    /// The numbers that a kernel reads for each row: the logarithms of the sums, and delta.
    fn row_numbers(&self) -> [Tensor; 2] {
        let Pass::Backward { weights, .. } = &self.stage.attention.pass else {
            panic!("a backward pass")
        };
        let globals = self.stage.globals(weights);
        // Others are integers; the logarithms are read first.
        let dtype = |arg: Arg| self.stage.schedule.buffers[arg.buffer.0 as usize].dtype;
        let mut of_rows = globals.into_iter().filter(|(_, arg, _)| dtype(*arg) == Dtype::F32);
        [(); 2].map(|()| {
            let (_, arg, strides) = of_rows.next().expect("a number of each row");
            self.stage.row_numbers(arg, strides)
        })
    }

    /// The gradients of queries, keys and values, in the order of heads, rows and columns.
    pub(crate) fn backward(&self) -> [Vec<Bounded>; 3] {
        let s = self.problem.sizes;
        let (unit, least) = roundoff(self.problem.dtype);
        let scale = self.problem.attend.scale;
        let [lse, delta] = self.row_numbers();
        let n = |which: usize| self.tensors[which].numbers.len();
        let mut grads = [0, 1, 2].map(|which| vec![Bounded::default(); n(which)]);
        let lost_rows = lost(2 * s.rows * s.heads / s.groups);
        for row in self.rows() {
            let [batch, head, t] = row;
            let (lse, delta) = (lse.at([batch, head, t, 0]), delta.at([batch, head, t, 0]));
            for key in 0..s.keys {
                let Some(score) = self.score(row, key) else { continue };
                let other = [batch, self.group(head), key];
                let weight = (score.number - lse).exp();
                let off = score.bound + SINGLES * (1.0 + score.number.abs() + lse.abs());
                let factor = self.factor(row, key);
                let (dweight, l1) = self.product((3, row), (2, other));
                let rest = factor * dweight - delta;
                let dscore = weight * rest * scale;
                let own = factor * l1 * lost(s.value_width)
                    + SINGLES * (factor * dweight.abs() + delta.abs())
                    + rest.abs() * off;
                let dscore_off = scale * (weight * own + least) + dscore.abs() * unit;
                let kept = weight * factor;
                let kept_off = kept * (unit + off) + least;
                let mut add =
                    |grad: usize, to: Row, from: (usize, Row), (x, off, lost): (f64, f64, f64)| {
                        let [b, h, t] = to;
                        let sizes = self.tensors[grad].sizes;
                        let first = ((b * sizes[1] + h) * sizes[2] + t) * sizes[3];
                        let sums = grads[grad][first as usize..].iter_mut();
                        for (sum, y) in sums.zip(self.tensors[from.0].row(from.1)) {
                            sum.number += x * y;
                            sum.bound += y.abs() * (off + lost * x.abs());
                        }
                    };
                add(0, row, (1, other), (dscore, dscore_off, lost(2 * s.keys)));
                add(1, other, (0, row), (dscore, dscore_off, lost_rows));
                add(2, other, (3, row), (kept, kept_off, lost_rows));
            }
        }
        grads
    }
}

/// The first result that is too far off.
pub(crate) fn compare(about: &str, got: &Tensor, wanted: &[Bounded]) -> Result<(), String> {
    assert_eq!(got.numbers.len(), wanted.len(), "{about}");
    for (at, (x, wanted)) in got.numbers.iter().zip(wanted).enumerate() {
        let is_same = *x == wanted.number;
        if !is_same && ((x - wanted.number).abs() > wanted.bound || x.is_nan()) {
            let Bounded { number, bound } = wanted;
            return Err(format!("{about}[{at}]: {x} instead of {number} within {bound:e}"));
        }
    }
    Ok(())
}
