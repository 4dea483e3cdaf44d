//! Evaluates attention by its plain definition, row by row, in f64.

use super::reference::philox4x32;
use super::tensor::Tensor;
use crate::ops::attend::{Attend, Extras, Part, Sizes};
use crate::types::Type;

/// The elements of a result of an attention.
pub(super) fn eval_attention(attend: &Attend, part: Part, args: &[&Tensor]) -> Vec<f64> {
    let types: Vec<Type> = args.iter().map(|x| x.ty.clone()).collect();
    let sizes = attend.sizes(part, &types).expect("the verifier knows the shapes");
    let extras = attend.extras(part.n_tensors());
    let numbers = args[..part.n_tensors()].iter().map(|x| x.numbers()).collect();
    let plain = Plain { attend, sizes, extras, args, numbers };
    match part {
        Part::Out => plain.out(),
        Part::Lse => plain.lse(),
        Part::Dq | Part::Dk | Part::Dv => plain.gradient(part),
    }
}

/// One attention and its operands.
struct Plain<'a> {
    attend: &'a Attend,
    sizes: Sizes,
    extras: Extras,
    args: &'a [&'a Tensor],
    /// The elements of queries, keys and so on.
    numbers: Vec<Vec<f64>>,
}

/// A row of a head of a sequence.
#[derive(Clone, Copy)]
struct Row {
    batch: u64,
    head: u64,
    row: u64,
}

impl Plain<'_> {
    fn rows(&self) -> impl Iterator<Item = Row> {
        let Sizes { batch, heads, rows, .. } = self.sizes;
        (0..batch * heads * rows).map(move |i| Row {
            batch: i / (heads * rows),
            head: i / rows % heads,
            row: i % rows,
        })
    }

    /// The first element of a query.
    fn query(&self, at: Row) -> usize {
        let s = &self.sizes;
        (((at.batch * s.heads + at.head) * s.rows + at.row) * s.width) as usize
    }

    /// How many keys of the sequence's groups come before one.
    fn key(&self, at: Row, key: u64) -> usize {
        let s = &self.sizes;
        let group = at.head / (s.heads / s.groups);
        ((at.batch * s.groups + group) * s.keys + key) as usize
    }

    /// The first element of a row's result.
    fn result(&self, at: Row) -> usize {
        let s = &self.sizes;
        (((at.batch * s.rows + at.row) * s.heads + at.head) * s.value_width) as usize
    }

    fn scalar(&self, arg: usize, at: u64) -> i64 {
        self.args[arg].data.number(at as usize) as i64
    }

    /// The scaled product of a row and a key that it attends to.
    fn score(&self, at: Row, key: u64) -> Option<f64> {
        let s = &self.sizes;
        let offset = self.extras.offset.map_or(0, |arg| self.scalar(arg, 0));
        let is_seen = self.attend.sees(at.row as i64 + offset, key as i64);
        let is_same = self.extras.segments.is_none_or(|[rows, keys]| {
            self.scalar(rows, at.batch * s.rows + at.row)
                == self.scalar(keys, at.batch * s.keys + key)
        });
        (is_seen && is_same).then(|| {
            let (q, k) = (self.query(at), self.key(at, key) * s.width as usize);
            let each =
                (0..s.width as usize).map(|i| self.numbers[0][q + i] * self.numbers[1][k + i]);
            each.sum::<f64>() * self.attend.scale
        })
    }

    fn scores(&self, at: Row) -> Vec<Option<f64>> {
        (0..self.sizes.keys).map(|key| self.score(at, key)).collect()
    }

    /// 0 where dropout leaves a weight out, what it is scaled by elsewhere.
    fn factor(&self, at: Row, key: u64) -> f64 {
        let Some(draw) = self.extras.draw else { return 1.0 };
        let [stream, seed, step, row] = draw.map(|arg| self.scalar(arg, 0) as u32);
        let element = (at.head * self.sizes.rows + at.row) * self.sizes.keys + key;
        let (low, row) = (element as u32, row.wrapping_add(at.batch as u32));
        let bits = philox4x32([low / 4, row, step, 0], [seed, stream])[low as usize % 4];
        let number = f64::from(bits >> 8) / f64::from(1 << 24);
        let is_kept = f64::from(self.attend.drop as f32) <= number;
        if is_kept { 1.0 / (1.0 - self.attend.drop) } else { 0.0 }
    }

    fn out(&self) -> Vec<f64> {
        let s = &self.sizes;
        let width = s.value_width as usize;
        let mut out = vec![0.0; (s.batch * s.rows * s.heads) as usize * width];
        for at in self.rows() {
            let scores = self.scores(at);
            let lse = log_sum_exp(&scores);
            let to = self.result(at);
            for (key, score) in (0..).zip(scores) {
                let Some(score) = score else { continue };
                let weight = (score - lse).exp() * self.factor(at, key);
                let value = self.key(at, key) * width;
                for i in 0..width {
                    out[to + i] += weight * self.numbers[2][value + i];
                }
            }
        }
        out
    }

    fn lse(&self) -> Vec<f64> {
        self.rows().map(|at| log_sum_exp(&self.scores(at))).collect()
    }

    fn gradient(&self, part: Part) -> Vec<f64> {
        let s = &self.sizes;
        let (width, value_width) = (s.width as usize, s.value_width as usize);
        let len = match part {
            Part::Dq => s.batch * s.rows * s.heads * s.width,
            Part::Dk => s.batch * s.keys * s.groups * s.width,
            Part::Dv => s.batch * s.keys * s.groups * s.value_width,
            Part::Out | Part::Lse => unreachable!("not a gradient"),
        };
        let mut sums = vec![0.0; len as usize];
        let mut add = |to: usize, x: f64, ys: &[f64]| {
            ys.iter().enumerate().for_each(|(i, y)| sums[to * ys.len() + i] += x * y);
        };
        let [q, k, v, dout, lse, delta] = &self.numbers[..] else {
            unreachable!("a gradient has six tensors")
        };
        for at in self.rows() {
            let row = self.query(at) / width.max(1);
            let to_row = ((at.batch * s.rows + at.row) * s.heads + at.head) as usize;
            let row_lse = ((at.batch * s.heads + at.head) * s.rows + at.row) as usize;
            let dout = &dout[self.result(at)..][..value_width];
            for key in 0..s.keys {
                let Some(score) = self.score(at, key) else { continue };
                let (weight, factor) = ((score - lse[row_lse]).exp(), self.factor(at, key));
                let from = self.key(at, key);
                let group = at.head / (s.heads / s.groups);
                let to_key = ((at.batch * s.keys + key) * s.groups + group) as usize;
                let value = &v[from * value_width..][..value_width];
                let flow: f64 = dout.iter().zip(value).map(|(x, y)| x * y).sum();
                let dscore = weight * (flow * factor - delta[row_lse]) * self.attend.scale;
                match part {
                    Part::Dq => add(to_row, dscore, &k[from * width..][..width]),
                    Part::Dk => add(to_key, dscore, &q[row * width..][..width]),
                    Part::Dv => add(to_key, weight * factor, dout),
                    Part::Out | Part::Lse => unreachable!("not a gradient"),
                }
            }
        }
        sums
    }
}

/// -inf of nothing.
fn log_sum_exp(scores: &[Option<f64>]) -> f64 {
    let top = scores.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + scores.iter().flatten().map(|x| (x - top).exp()).sum::<f64>().ln()
}
