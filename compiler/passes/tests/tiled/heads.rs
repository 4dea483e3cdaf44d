//! Random functions around one wide product: by rows, by columns, in sums.

use ir::builder::Builder;
use ir::graph::{Module, Role, State, Value};
use ir::types::{Dtype, Type};

use super::random::Rng;

struct Gen {
    rng: Rng,
    b: Builder,
    states: Vec<State>,
    /// Values of the shape of the product's result.
    wide: Vec<Value>,
    /// One number a row, the last axis of size 1.
    rows: Vec<Value>,
    x: Value,
    w: Value,
    shape: Vec<u64>,
}

/// A module with the function `f` around a product whose result is wider than its operands.
pub(crate) fn random_head(seed: u64) -> Module {
    let mut rng = Rng(seed);
    let (b, t, d) = (1 + rng.below(2) as u64, 7 + rng.below(6) as u64, 2 + rng.below(3) as u64);
    let v = d + 1 + rng.below(4) as u64;
    let shape = if rng.below(2) == 0 { vec![b * t, v] } else { vec![b, t, v] };
    let mut g = Gen::new(rng, b * t, d, shape);
    for _ in 0..6 {
        g.step();
    }
    for at in 0..4 {
        let (value, name) = (g.sink(), format!("out{at}"));
        let ty = g.b.ty(value).clone();
        g.states.push(State { name: name.clone(), ty, role: Role::Output, within: None });
        g.b.store(&name, value);
    }
    Module { states: g.states, functions: vec![g.b.finish()], origins: vec![String::new()] }
}

impl Gen {
    fn new(rng: Rng, n: u64, d: u64, shape: Vec<u64>) -> Self {
        let mut b = Builder::new("f");
        let mut states = vec![];
        let mut state = |name: &str, dtype, shape: &[u64]| {
            let ty = Type::new(dtype, shape);
            let role = Role::Param;
            states.push(State { name: name.to_owned(), ty: ty.clone(), role, within: None });
            b.state(name, ty)
        };
        let v = shape[shape.len() - 1];
        let front = [&shape[..shape.len() - 1], &[1]].concat();
        let (x, w) = (state("x", Dtype::F32, &[n, d]), state("w", Dtype::F32, &[d, v]));
        let bias = state("bias", Dtype::F32, &[v]);
        let (ids, scale) = (state("ids", Dtype::I32, &front), state("scale", Dtype::F32, &front));
        let mut g = Self { rng, b, states, wide: vec![], rows: vec![scale], x, w, shape };
        let product = g.b.dot(x, w);
        let product = g.b.reshape(product, &g.shape);
        let bias = g.b.broadcast(bias, &g.shape);
        let logits = if g.rng.below(2) == 0 { product } else { g.b.add(product, bias) };
        g.wide.push(logits);
        let at = g.b.iota(g.shape.len() - 1, &g.shape);
        let ids = g.b.broadcast(ids, &g.shape);
        let is_hit = g.b.eq(at, ids);
        let zero = g.b.zeros_like(logits);
        let hit = g.b.select(is_hit, logits, zero);
        g.wide.push(hit);
        g.softmax(logits);
        g
    }

    fn last(&self) -> usize {
        self.shape.len() - 1
    }

    fn pick(&mut self) -> Value {
        self.wide[self.rng.below(self.wide.len())]
    }

    fn row(&mut self) -> Value {
        self.rows[self.rng.below(self.rows.len())]
    }

    fn softmax(&mut self, x: Value) {
        let (last, shape) = (self.last(), self.shape.clone());
        let top = self.b.max_reduce(x, &[last]);
        let top = self.b.broadcast(top, &shape);
        let centred = self.b.sub(x, top);
        let e = self.b.exp(centred);
        let sum = self.b.sum(e, &[last]);
        self.rows.push(sum);
        let sum = self.b.broadcast(sum, &shape);
        let share = self.b.div(e, sum);
        self.wide.push(share);
    }

    fn step(&mut self) {
        let (x, y, row) = (self.pick(), self.pick(), self.row());
        let last = self.last();
        match self.rng.below(12) {
            0 => self.softmax(x),
            1 | 2 => {
                let wide = self.b.broadcast(row, &self.shape);
                let scaled = self.b.mul(x, wide);
                let scaled = self.b.tanh(scaled);
                self.wide.push(scaled);
            }
            3 | 4 => {
                let sum = self.b.add(x, y);
                self.wide.push(sum);
            }
            5 | 6 => {
                let sum = self.b.sum(x, &[last]);
                self.rows.push(sum);
            }
            7 | 8 => {
                let other = self.row();
                let both = self.b.sub(row, other);
                self.rows.push(both);
            }
            9 => {
                let rounded = self.b.cast(x, Dtype::Bf16);
                let rounded = self.b.cast(rounded, Dtype::F32);
                self.wide.push(rounded);
            }
            10 => {
                let of_kind = self.b.neg(x);
                self.wide.push(of_kind);
            }
            _ => self.across(x),
        }
    }

    /// What mixes rows, now and then: nothing that follows can be in the loop.
    fn across(&mut self, x: Value) {
        if self.rng.below(3) > 0 {
            return;
        }
        let front: Vec<usize> = (0..self.last()).collect();
        let sums = self.b.sum(x, &front);
        let sums = self.b.broadcast(sums, &self.shape);
        let mixed = self.b.sub(x, sums);
        self.wide.push(mixed);
    }

    /// Something that leaves the function.
    fn sink(&mut self) -> Value {
        let (x, row) = (self.pick(), self.row());
        let v = self.shape[self.last()];
        let n = self.shape[..self.last()].iter().product();
        let flat = self.b.reshape(x, &[n, v]);
        let front: Vec<usize> = (0..self.last()).collect();
        match self.rng.below(8) {
            0 | 1 => {
                let w = self.b.transpose(self.w);
                self.b.dot(flat, w)
            }
            2 | 3 => {
                let t = self.b.transpose(self.x);
                self.b.dot(t, flat)
            }
            4 => {
                let t = self.b.transpose(flat);
                self.b.dot(t, self.x)
            }
            5 => self.b.sum(x, &front),
            6 => self.b.sum(row, &front),
            _ => self.b.neg(row),
        }
    }
}
