//! Random modules: every kind of graph op, in chains, with updates in place.

use ir::builder::Builder;
use ir::eval::tensor::Tensor;
use ir::graph::{Module, Role, State, Value};
use ir::ops::attend::Attend;
use ir::ops::attention::Attention;
use ir::ops::{Lowering, OpDef};
use ir::types::{Dtype, Type};

/// A small generator of numbers (Steele et al. 2014, SplitMix).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn real(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    }
}

/// The states that every module reads.
pub(crate) fn inputs() -> Vec<State> {
    let state = |name: &str, dtype, shape: &[u64], role| State {
        name: name.to_owned(),
        ty: Type::new(dtype, shape),
        role,
        within: None,
    };
    vec![
        state("x", Dtype::F32, &[3, 4, 6], Role::Param),
        state("y", Dtype::F32, &[3, 4, 6], Role::Param),
        state("w", Dtype::F32, &[6, 5], Role::Param),
        state("v", Dtype::F32, &[5], Role::Param),
        state("table", Dtype::F32, &[7, 6], Role::Param),
        state("weights", Dtype::F32, &[8, 8], Role::Param),
        state("s", Dtype::F32, &[], Role::Param),
        state("d", Dtype::F64, &[70, 3], Role::Param),
        state("h", Dtype::F16, &[3, 4, 6], Role::Param),
        state("half_table", Dtype::Bf16, &[7, 6], Role::Param),
        state("ids", Dtype::I32, &[3, 4], Role::Input),
    ]
}

/// Which values are rounded to 16 bits.
#[derive(Clone, Copy, PartialEq)]
#[allow(dead_code, reason = "each test that includes this file has its own")]
pub(crate) enum Rounds {
    /// Those that have the same bits in the graph and in a schedule: no sum is behind them.
    Exact,
    /// All.
    Any,
    /// All, and the operands of every product are of this type.
    Products(Dtype),
}

struct Gen {
    rounds: Rounds,
    rng: Rng,
    b: Builder,
    pool: Vec<Value>,
}

impl Gen {
    fn pick(&mut self) -> Value {
        // Late values are likelier, so that chains get long.
        let n = self.pool.len();
        let at = self.rng.below(n).max(self.rng.below(n));
        self.pool[at]
    }

    /// A float of any type.
    fn moved(&mut self) -> Value {
        loop {
            let v = self.pick();
            if self.b.dtype(v).is_float() {
                return v;
            }
        }
    }

    /// A float that arithmetic takes.
    fn float(&mut self) -> Value {
        let v = self.moved();
        let dtype = self.b.dtype(v).held();
        self.b.cast(v, dtype)
    }

    /// Whether a value may be rounded.
    fn rounds(&self, value: Value) -> bool {
        self.rounds != Rounds::Exact || self.is_exact(value)
    }

    fn is_exact(&self, value: Value) -> bool {
        let node = &self.b.graph()[value];
        let adds = matches!(
            node.op.lowering(),
            Lowering::Reduce { .. }
                | Lowering::Dot
                | Lowering::Scatter { .. }
                | Lowering::Attention(..)
        );
        !adds && node.args.iter().all(|&arg| self.is_exact(arg))
    }

    /// A value of 16 bits, if it may be rounded.
    fn narrow(&mut self) -> Value {
        let x = self.moved();
        if self.b.dtype(x).is_narrow() || !self.rounds(x) {
            return x;
        }
        let dtype = [Dtype::F16, Dtype::Bf16][self.rng.below(2)];
        self.b.cast(x, dtype)
    }

    fn step(&mut self) {
        let value = match self.rng.below(23) {
            0..=2 => self.unary(),
            3..=5 => self.binary(),
            6 | 7 => self.reduce(),
            8 => self.broadcast_back(),
            9 => self.reshape(),
            10 => self.permute(),
            11 => self.slice(),
            12 => self.concat(),
            13 => self.dot(),
            14 => self.gather_scatter(),
            15..=17 => self.narrow(),
            18 => self.attention(),
            19..=21 => self.behind_product(),
            _ => self.select(),
        };
        let is_small = self.b.ty(value).len() <= 4000 && self.b.ty(value).shape.len() <= 5;
        if is_small {
            self.pool.push(value);
        }
    }

    fn unary(&mut self) -> Value {
        let x = self.float();
        match self.rng.below(5) {
            0 => self.b.tanh(x),
            1 => self.b.neg(x),
            2 => self.b.abs(x),
            3 => {
                let t = self.b.tanh(x);
                self.b.exp(t)
            }
            _ => {
                let one = self.b.full_like(1.0, x);
                self.b.mul(x, one)
            }
        }
    }

    fn binary(&mut self) -> Value {
        let x = self.float();
        let y = self.float();
        let y = if self.b.ty(x) == self.b.ty(y) { y } else { self.b.tanh(x) };
        match self.rng.below(4) {
            0 => self.b.add(x, y),
            1 => self.b.sub(x, y),
            2 => {
                let (x, y) = (self.b.tanh(x), self.b.tanh(y));
                self.b.mul(x, y)
            }
            _ => self.b.max(x, y),
        }
    }

    fn reduce(&mut self) -> Value {
        let x = self.float();
        let rank = self.b.shape(x).len();
        let axes: Vec<usize> = (0..rank).filter(|_| self.rng.below(2) == 0).collect();
        if axes.is_empty() || self.b.ty(x).is_empty() {
            return x;
        }
        if self.rng.below(2) == 0 { self.b.sum(x, &axes) } else { self.b.max_reduce(x, &axes) }
    }

    /// What norms and softmax do: reduce and combine with the operand.
    fn broadcast_back(&mut self) -> Value {
        let x = self.float();
        let shape = self.b.shape(x);
        if shape.is_empty() || self.b.ty(x).is_empty() {
            return x;
        }
        let axis =
            if self.rng.below(3) > 0 { shape.len() - 1 } else { self.rng.below(shape.len()) };
        let reduced = self.b.max_reduce(x, &[axis]);
        let wide = self.b.broadcast(reduced, &shape);
        let centred = self.b.sub(x, wide);
        let e = self.b.exp(centred);
        let sum = self.b.sum(e, &[axis]);
        let sum = self.b.broadcast(sum, &shape);
        self.b.div(e, sum)
    }

    fn reshape(&mut self) -> Value {
        let x = self.pick();
        let mut shape = self.b.shape(x);
        match self.rng.below(3) {
            0 if shape.len() >= 2 => {
                let at = self.rng.below(shape.len() - 1);
                let size = shape.remove(at);
                shape[at] *= size;
            }
            1 if shape.iter().any(|&n| n % 2 == 0 && n > 0) => {
                let at = shape.iter().position(|&n| n % 2 == 0 && n > 0).expect("checked");
                shape[at] /= 2;
                shape.insert(at + self.rng.below(2), 2);
            }
            _ => {
                let at = self.rng.below(shape.len() + 1);
                shape.insert(at, 1);
            }
        }
        self.b.reshape(x, &shape)
    }

    fn permute(&mut self) -> Value {
        let x = self.pick();
        let mut axes: Vec<usize> = (0..self.b.shape(x).len()).collect();
        for i in (1..axes.len()).rev() {
            axes.swap(i, self.rng.below(i + 1));
        }
        if axes.is_empty() { x } else { self.b.permute(x, &axes) }
    }

    fn slice(&mut self) -> Value {
        let x = self.pick();
        let shape = self.b.shape(x);
        if shape.is_empty() {
            return x;
        }
        let axis = self.rng.below(shape.len());
        let start = self.rng.below(shape[axis] as usize + 1) as u64;
        let len = self.rng.below((shape[axis] - start) as usize + 1) as u64;
        self.b.slice(x, axis, start, len)
    }

    fn concat(&mut self) -> Value {
        let x = self.moved();
        let shape = self.b.shape(x);
        if shape.is_empty() {
            return x;
        }
        let axis = self.rng.below(shape.len());
        if self.rng.below(2) == 0 {
            return self.b.pad(x, axis, self.rng.below(3) as u64, self.rng.below(3) as u64);
        }
        let ones = self.b.full_like(1.0, x);
        let y = if self.b.dtype(x).is_narrow() { ones } else { self.b.tanh(x) };
        self.b.concat(axis, &[x, y, ones, x])
    }

    /// What a product may read.
    fn operand(&mut self, x: Value) -> Value {
        match self.rounds {
            Rounds::Products(dtype) => self.b.cast(x, dtype),
            Rounds::Exact | Rounds::Any if self.b.dtype(x) == Dtype::F64 => {
                self.b.cast(x, Dtype::F32)
            }
            Rounds::Exact | Rounds::Any => x,
        }
    }

    /// A product of parts of two large states, whose rows start anywhere.
    fn large_dot(&mut self, dtype: Dtype) -> Value {
        let mut part = |name: &str, shape: [u64; 2], axis: usize| {
            let x = self.b.state(name, Type::new(dtype, shape));
            let start = self.rng.below(9) as u64;
            self.b.slice(x, axis, start, 1 + self.rng.below((shape[axis] - start) as usize) as u64)
        };
        let (x, y) = (part("left", LARGE[0], 0), part("right", LARGE[1], 1));
        let start = self.rng.below(12) as u64;
        let len = 1 + self.rng.below((LARGE[0][1] - start) as usize) as u64;
        let (x, y) = (self.b.slice(x, 1, start, len), self.b.slice(y, 0, start, len));
        self.b.dot(x, y)
    }

    fn dot(&mut self) -> Value {
        if let Rounds::Products(dtype) = self.rounds
            && self.rng.below(2) == 0
        {
            return self.large_dot(dtype);
        }
        let x = self.moved();
        let x = self.operand(x);
        let dtype = self.b.dtype(x);
        let shape = self.b.shape(x);
        if shape.len() < 2 {
            return x;
        }
        let t = self.b.transpose(x);
        let y = self.b.cast(t, Dtype::F32);
        let y = self.b.tanh(y);
        let y = if dtype == Dtype::F32 || self.rounds(y) { self.b.cast(y, dtype) } else { t };
        let right = if self.rng.below(2) == 0 { t } else { y };
        let product = self.b.dot(x, right);
        if self.rounds != Rounds::Exact && self.rng.below(3) == 0 {
            return self.b.cast(product, Dtype::Bf16);
        }
        self.b.tanh(product)
    }

    /// Attention of a value to itself, or a gradient of it.
    fn attention(&mut self) -> Value {
        let x = self.float();
        let shape = self.b.shape(x);
        if shape.len() < 2 || self.b.ty(x).is_empty() {
            return x;
        }
        let x = self.b.cast(x, Dtype::F32);
        let x = self.b.tanh(x);
        let (front, [n, width]) = shape.split_at(shape.len() - 2) else { unreachable!("two axes") };
        let lead: u64 = front.iter().product();
        let heads = if lead.is_multiple_of(2) { 2 } else { 1 };
        let batch = lead / heads;
        let q = self.b.reshape(x, &[batch, heads, *n, *width]);
        let dtype = [Dtype::F32, Dtype::Bf16][self.rng.below(2)];
        let dtype = if let Rounds::Products(dtype) = self.rounds { dtype } else { dtype };
        let q = if self.rounds(q) { self.b.cast(q, dtype) } else { q };
        let groups = if self.rng.below(2) == 0 { 1 } else { heads };
        let (k, v) = (self.b.slice(q, 1, 0, groups), self.b.slice(q, 1, heads - groups, groups));
        let flag = |rng: &mut Rng| rng.below(2) == 0;
        let attend = Attend {
            scale: 0.7,
            is_causal: flag(&mut self.rng),
            window: flag(&mut self.rng).then_some(2),
            has_segments: flag(&mut self.rng),
            has_offset: flag(&mut self.rng),
            drop: if flag(&mut self.rng) { 0.25 } else { 0.0 },
        };
        let mut args = vec![q, k, v];
        if attend.has_segments {
            let segments = self.b.iota(0, &[batch, *n]);
            args.extend([segments, segments]);
        }
        let n_scalars = usize::from(attend.has_offset) + if attend.drop > 0.0 { 4 } else { 0 };
        args.extend((0..n_scalars).map(|i| self.b.scalar_i32(i as i32)));
        let op = Attention(attend);
        let out = self.b.push(op.clone(), &args);
        match self.rng.below(4) {
            0 => out,
            which => {
                let grad = self.b.tanh(out);
                let grads = op.vjp(&mut self.b, &args, out, grad);
                grads[which - 1].expect("a gradient flows to each tensor")
            }
        }
    }

    /// A product and what may run behind it: biases, residuals, gates, roundings, norms, also
    /// through a reshape; its result may have other readers.
    fn behind_product(&mut self) -> Value {
        let x = self.float();
        let x = if self.b.dtype(x) == Dtype::F64 { self.b.cast(x, Dtype::F32) } else { x };
        let shape = self.b.shape(x);
        let [.., _, k] = shape[..] else { return x };
        let small = self.b.tanh(x);
        let small = self.operand(small);
        let n = [2, 3, 4, 6][self.rng.below(4)];
        let product = if shape.len() == 2 || self.rng.below(2) == 0 {
            let w = self.b.state("weights", Type::new(Dtype::F32, [8, 8]));
            let w = if k <= 8 { w } else { return x };
            let w = self.b.slice(w, 0, 0, k);
            let w = self.b.slice(w, 1, 8 - n, n);
            let w = self.operand(w);
            let rows: u64 = shape[..shape.len() - 1].iter().product();
            let flat = self.b.reshape(small, &[rows, k]);
            let product = self.b.dot(flat, w);
            let mut back = shape.clone();
            back[shape.len() - 1] = n;
            if self.rng.below(3) == 0 { product } else { self.b.reshape(product, &back) }
        } else {
            let t = self.b.transpose(small);
            self.b.dot(small, t)
        };
        if self.rng.below(4) == 0 {
            self.pool.push(product);
        }
        let mut y = product;
        for _ in 0..1 + self.rng.below(4) {
            y = self.map_of(y, product);
        }
        y
    }

    /// One more step behind a product.
    fn map_of(&mut self, y: Value, product: Value) -> Value {
        let shape = self.b.shape(y);
        let last = shape[shape.len() - 1];
        match self.rng.below(8) {
            0 => {
                let bias = self.b.state("weights", Type::new(Dtype::F32, [8, 8]));
                let bias = self.b.slice(bias, 0, 2, 1);
                if last > 8 {
                    return y;
                }
                let bias = self.b.slice(bias, 1, 0, last);
                let bias = self.b.reshape(bias, &[last]);
                let bias = self.b.broadcast(bias, &shape);
                self.b.add(y, bias)
            }
            1 => {
                let t = self.b.tanh(y);
                self.b.mul(t, y)
            }
            2 => self.b.mul(y, product),
            3 if self.rounds != Rounds::Exact => {
                let narrow = self.b.cast(y, [Dtype::F16, Dtype::Bf16][self.rng.below(2)]);
                self.b.cast(narrow, Dtype::F32)
            }
            4 => {
                let column = self.b.iota(shape.len() - 1, &shape);
                let column = self.b.cast(column, Dtype::F32);
                self.b.mul(y, column)
            }
            5 => {
                let same = |v: &&Value| self.b.ty(**v) == self.b.ty(y);
                let other = self.pool.iter().rev().find(same).copied().unwrap_or(product);
                self.b.sub(y, other)
            }
            6 if !self.b.ty(y).is_empty() => {
                let top = self.b.max_reduce(y, &[shape.len() - 1]);
                let sum = self.b.sum(y, &[shape.len() - 1]);
                let both = self.b.add(top, sum);
                let both = self.b.broadcast(both, &shape);
                self.b.sub(y, both)
            }
            _ => self.b.neg(y),
        }
    }

    fn gather_scatter(&mut self) -> Value {
        let ids = self.b.state("ids", Type::new(Dtype::I32, [3, 4]));
        let (name, dtype) = [("table", Dtype::F32), ("half_table", Dtype::Bf16)][self.rng.below(2)];
        let table = self.b.state(name, Type::new(dtype, [7, 6]));
        if self.rng.below(2) == 0 {
            return self.b.gather(table, ids);
        }
        let x = self
            .pool
            .iter()
            .copied()
            .find(|&v| self.b.ty(v) == &Type::new(Dtype::F32, [3, 4, 6]) && v.index() > 20);
        let x = x.unwrap_or(self.pool[0]);
        self.b.scatter_add(7, ids, x)
    }

    fn select(&mut self) -> Value {
        let x = self.moved();
        let shape = self.b.shape(x);
        if shape.is_empty() {
            return x;
        }
        let axis = self.rng.below(shape.len());
        let index = self.b.iota(axis, &shape);
        let cut = self.b.full(1.0, Dtype::I32, &shape);
        let is_low = self.b.lt(index, cut);
        let is_narrow = self.b.dtype(x).is_narrow();
        let other = if is_narrow { self.b.full_like(0.3, x) } else { self.b.neg(x) };
        self.b.select(is_low, x, other)
    }
}

/// Sizes of the large states, which are there for products of 16 bits.
const LARGE: [[u64; 2]; 2] = [[37, 80], [80, 41]];

/// A module with one random function that also updates states in place.
pub(crate) fn random_module(seed: u64, rounds: Rounds) -> Module {
    let mut b = Builder::new("f");
    let mut states = inputs();
    if let Rounds::Products(dtype) = rounds {
        for (name, shape) in ["left", "right"].into_iter().zip(LARGE) {
            let (name, ty) = (name.to_owned(), Type::new(dtype, shape));
            states.push(State { name, ty, role: Role::Input, within: None });
        }
    }
    let pool: Vec<Value> = states
        .iter()
        .filter(|s| s.role == Role::Param)
        .map(|s| b.state(&s.name, s.ty.clone()))
        .collect();
    let (x, y) = (pool[0], pool[1]);
    let mut gen_ = Gen { rounds, rng: Rng(seed), b, pool };
    for _ in 0..30 {
        gen_.step();
    }
    let Gen { mut rng, mut b, pool, .. } = gen_;
    for (i, &value) in pool.iter().rev().take(5).enumerate() {
        let name = format!("out{i}");
        let ty = b.ty(value).clone();
        states.push(State { name: name.clone(), ty, role: Role::Output, within: None });
        b.store(&name, value);
    }
    if rng.below(2) == 0 {
        let h = b.state("h", Type::new(Dtype::F16, [3, 4, 6]));
        let wide = b.cast(h, Dtype::F32);
        let moved = b.tanh(wide);
        let moved = b.cast(moved, Dtype::F16);
        b.store("h", moved);
    }
    match rng.below(3) {
        0 => {
            b.store("x", y);
            b.store("y", x);
        }
        1 => {
            let moved = b.tanh(x);
            let sum = b.add(moved, y);
            b.store("x", sum);
        }
        _ => {
            let same = |v: &&Value| b.ty(**v) == &Type::new(Dtype::F32, [3, 4, 6]);
            let found = pool.iter().rev().find(same).copied();
            b.store("x", found.expect("x itself has the type"));
        }
    }
    Module { states, functions: vec![b.finish()], origins: vec![String::new()] }
}

/// Random elements of a state; ids may lie outside their table.
pub(crate) fn fill(state: &State, rng: &mut Rng) -> Tensor {
    let n = state.ty.len() as usize;
    let number = |rng: &mut Rng| match state.ty.dtype {
        Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => rng.real(),
        Dtype::I32 | Dtype::Bool => rng.below(9) as f64 - 1.0,
    };
    let numbers: Vec<f64> = (0..n).map(|_| number(rng)).collect();
    Tensor::from_numbers(state.ty.clone(), &numbers)
}
