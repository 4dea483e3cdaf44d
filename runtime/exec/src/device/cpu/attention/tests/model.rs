//! What attention computes: in f32 in the promised order, and in f64.

use plan::Attention;

use super::kernels::{Params, Row, SCALE, finish};

/// Numbers of a tensor by sequence, head, row and column.
pub(super) struct Numbers {
    pub(super) sizes: [u64; 4],
    pub(super) numbers: Vec<f32>,
}

impl Numbers {
    pub(super) fn zeros(sizes: [u64; 4]) -> Self {
        Self { sizes, numbers: vec![0.0; sizes.iter().product::<u64>() as usize] }
    }

    fn row(&self, [batch, head, row]: [u64; 3]) -> &[f32] {
        let [_, heads, rows, cols] = self.sizes;
        let at = ((batch * heads + head) * rows + row) * cols;
        &self.numbers[at as usize..][..cols as usize]
    }

    fn row_mut(&mut self, [batch, head, row]: [u64; 3]) -> &mut [f32] {
        let [_, heads, rows, cols] = self.sizes;
        let at = ((batch * heads + head) * rows + row) * cols;
        &mut self.numbers[at as usize..][..cols as usize]
    }
}

/// What both passes read.
pub(super) struct Model<'m> {
    pub(super) a: &'m Attention,
    pub(super) params: Params,
    pub(super) q: Numbers,
    pub(super) k: Numbers,
    pub(super) v: Numbers,
    pub(super) dout: Numbers,
    /// By sequence and row, by sequence and key.
    pub(super) segments: [Vec<i32>; 2],
}

/// Result and logarithms of the sums.
pub(super) struct Result {
    pub(super) out: Numbers,
    pub(super) lse: Numbers,
}

fn chain<'x>(pairs: impl Iterator<Item = (&'x f32, &'x f32)>) -> f32 {
    pairs.fold(0.0, |sum, (x, y)| x.mul_add(*y, sum))
}

impl Model<'_> {
    fn row_of(&self, [batch, head, row, key]: [u64; 4]) -> Row<'_> {
        let [rows, keys] = &self.segments;
        let first = (batch * self.a.keys + key) as usize;
        Row {
            params: &self.params,
            at: [batch, head, row, key].map(|x| x as i32),
            segment: rows[(batch * self.a.rows + row) as usize],
            segments: &keys[first..][..self.n_keys(key)],
        }
    }

    fn n_keys(&self, key: u64) -> usize {
        self.a.key_tile.min(self.a.keys - key) as usize
    }

    fn group(&self, head: u64) -> u64 {
        head / (self.a.heads / self.a.groups)
    }

    /// Whether some row of a tile may see some key of a tile by its place.
    fn joins(&self, row: u64, key: u64) -> bool {
        let rows = row..self.a.rows.min(row + self.a.row_tile);
        let keys = key..key + self.n_keys(key) as u64;
        let see = |row, key| self.params.sees(row as i32, key as i32, [0, 0]);
        rows.into_iter().any(|row| keys.clone().any(|key| see(row, key)))
    }

    fn tile_of(&self, row: u64) -> u64 {
        row / self.a.row_tile * self.a.row_tile
    }

    fn scores(&self, left: &[f32], right: &Numbers, [batch, group, key]: [u64; 3]) -> Vec<f32> {
        let keys = key..key + self.n_keys(key) as u64;
        keys.map(|key| chain(left.iter().zip(right.row([batch, group, key])))).collect()
    }

    fn rows(&self) -> impl Iterator<Item = [u64; 3]> {
        let Attention { batch, heads, rows, .. } = *self.a;
        (0..batch * heads * rows).map(move |i| [i / rows / heads, i / rows % heads, i % rows])
    }

    pub(super) fn forward(&self) -> Result {
        let a = self.a;
        let mut out = Numbers::zeros([a.batch, a.heads, a.rows, a.value_width]);
        let mut lse = Numbers::zeros([a.batch, a.heads, a.rows, 1]);
        for [batch, head, row] in self.rows() {
            let group = self.group(head);
            let (mut top, mut sum, mut factor) = (f32::NEG_INFINITY, 0.0, 0.0);
            let mut acc = vec![0f32; a.value_width as usize];
            for key in (0..a.keys).step_by(a.key_tile as usize) {
                if !self.joins(self.tile_of(row), key) {
                    continue;
                }
                let q = self.q.row([batch, head, row]);
                let mut scores = self.scores(q, &self.k, [batch, group, key]);
                let place = self.row_of([batch, head, row, key]);
                place.score(&mut scores, [&mut top, &mut sum, &mut factor]);
                for (col, acc) in acc.iter_mut().enumerate() {
                    let values = (key..).map(|key| &self.v.row([batch, group, key])[col]);
                    *acc = *acc * factor + chain(scores.iter().zip(values));
                }
            }
            let to = out.row_mut([batch, head, row]);
            lse.row_mut([batch, head, row])[0] = finish(&acc, top, sum, to);
        }
        Result { out, lse }
    }

    /// Gradients of queries, keys and values.
    pub(super) fn backward(&self, lse: &Numbers, delta: &Numbers) -> [Numbers; 3] {
        let a = self.a;
        let mut result = [&self.q, &self.k, &self.v].map(|x| Numbers::zeros(x.sizes));
        for key in (0..a.keys).step_by(a.key_tile as usize) {
            for (batch, head) in (0..a.batch * a.heads).map(|i| (i / a.heads, i % a.heads)) {
                for row in (0..a.rows).step_by(a.row_tile as usize) {
                    if self.joins(row, key) {
                        self.tile([batch, head, row, key], lse, delta, &mut result);
                    }
                }
            }
        }
        result
    }

    fn tile(
        &self,
        [batch, head, row, key]: [u64; 4],
        lse: &Numbers,
        delta: &Numbers,
        [dq, dk, dv]: &mut [Numbers; 3],
    ) {
        let group = self.group(head);
        let (mut all_weights, mut all_grads) = (vec![], vec![]);
        let rows = row..self.a.rows.min(row + self.a.row_tile);
        for row in rows.clone() {
            let at = [batch, head, row];
            let mut scores = self.scores(self.q.row(at), &self.k, [batch, group, key]);
            let mut grads = self.scores(self.dout.row(at), &self.v, [batch, group, key]);
            let place = self.row_of([batch, head, row, key]);
            place.weights(&mut scores, &mut grads, lse.row(at)[0], delta.row(at)[0]);
            for (col, sum) in dq.row_mut(at).iter_mut().enumerate() {
                *sum +=
                    chain(grads.iter().zip((key..).map(|k| &self.k.row([batch, group, k])[col])));
            }
            all_weights.push(scores);
            all_grads.push(grads);
        }
        for idx in 0..self.n_keys(key) {
            let add = |to: &mut Numbers, weights: &[Vec<f32>], of: &Numbers| {
                let to = to.row_mut([batch, group, key + idx as u64]);
                for (col, sum) in to.iter_mut().enumerate() {
                    let of = rows.clone().map(|row| &of.row([batch, head, row])[col]);
                    *sum += chain(weights.iter().map(|row| &row[idx]).zip(of));
                }
            };
            add(dk, &all_grads, &self.q);
            add(dv, &all_weights, &self.dout);
        }
    }

    /// The result by definition, and for each row the weights before keys were dropped.
    fn plain(&self) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let (mut all, mut out) = (vec![], vec![]);
        for [batch, head, row] in self.rows() {
            let group = self.group(head);
            let score = |key: u64| {
                let pairs =
                    self.q.row([batch, head, row]).iter().zip(self.k.row([batch, group, key]));
                let dot: f64 = pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                if self.sees([batch, row, key]) {
                    dot * f64::from(SCALE)
                } else {
                    f64::NEG_INFINITY
                }
            };
            let scores: Vec<f64> = (0..self.a.keys).map(score).collect();
            let sum: f64 = scores.iter().map(|s| s.exp()).sum();
            let weigh = |s: &f64| if sum == 0.0 { 0.0 } else { s.exp() / sum };
            let weights: Vec<f64> = scores.iter().map(weigh).collect();
            let value = |col: usize| {
                let weigh = |(key, p): (usize, &f64)| {
                    let v = self.v.row([batch, group, key as u64])[col];
                    p * self.drop([batch, head, row, key as u64]) * f64::from(v)
                };
                weights.iter().enumerate().map(weigh).sum()
            };
            out.push((0..self.a.value_width as usize).map(value).collect());
            all.push(weights);
        }
        (out, all)
    }

    fn sees(&self, [batch, row, key]: [u64; 3]) -> bool {
        let [rows, keys] = &self.segments;
        let row_segment = rows[(batch * self.a.rows + row) as usize];
        let key_segment = keys[(batch * self.a.keys + key) as usize];
        self.params.sees(row as i32, key as i32, [row_segment, key_segment])
    }

    fn drop(&self, place: [u64; 4]) -> f64 {
        f64::from(self.params.drop(place.map(|x| x as i32)))
    }

    /// The result by definition.
    pub(super) fn plain_forward(&self) -> Vec<f64> {
        self.plain().0.concat()
    }

    /// The gradients by definition.
    pub(super) fn plain_backward(&self) -> [Vec<f64>; 3] {
        let (out, weights) = self.plain();
        let mut result = [&self.q, &self.k, &self.v].map(|x| vec![0f64; x.numbers.len()]);
        for (i, [batch, head, row]) in self.rows().enumerate() {
            let dout = self.dout.row([batch, head, row]);
            let delta: f64 = out[i].iter().zip(dout).map(|(x, y)| x * f64::from(*y)).sum();
            for (key, p) in weights[i].iter().enumerate() {
                let at = [batch, self.group(head), key as u64];
                let pairs = self.v.row(at).iter().zip(dout);
                let dp: f64 = pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                let drop = self.drop([batch, head, row, key as u64]);
                let ds = p * (dp * drop - delta) * f64::from(SCALE);
                self.add(&mut result[0], &self.q, [batch, head, row], ds, self.k.row(at));
                self.add(&mut result[1], &self.k, at, ds, self.q.row([batch, head, row]));
                self.add(&mut result[2], &self.v, at, p * drop, dout);
            }
        }
        result
    }

    fn add(&self, to: &mut [f64], like: &Numbers, [x, y, z]: [u64; 3], by: f64, of: &[f32]) {
        let at = ((x * like.sizes[1] + y) * like.sizes[2] + z) * like.sizes[3];
        for (to, of) in to[at as usize..].iter_mut().zip(of) {
            *to += by * f64::from(*of);
        }
    }
}
