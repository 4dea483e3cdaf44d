//! Update rules against models of them in f64, through compiled code and the interpreter.
//!
//! Weights of every rank get planted gradients for ten steps. A model is the rule's paper written
//! down once more, over plain vectors.

use std::collections::BTreeMap;

use exec::executor::{Executor, Options};
use ir::eval::graph::{Precision, eval_graph};
use ir::eval::tensor::Tensor;
use ir::graph::Role;
use llmc::compile::Compiled;

use crate::backend::Silent;
use crate::plans::compiled;

const STEPS: usize = 10;
const LR: f64 = 0.02;
const DECAY: f64 = 0.1;

/// How far a weight of about 1 may be from its model after ten steps. In f64 what is left is that a
/// constant of a rule is an f32.
const FP32: f64 = 2e-5;
const FP64: f64 = 1e-7;

/// Weights that every rule meets, and what rules of matrices take them for.
const WEIGHTS: [(&str, usize, usize); 6] = [
    ("wide", 3, 5),
    ("tall", 5, 3),
    ("cube", 6, 4),
    ("vector", 1, 7),
    ("nothing", 1, 4),
    ("scalar", 1, 1),
];

fn spec(optimizer: &str) -> String {
    format!(
        "layer odd(vocab: int = data.vocab)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {{
  param table: [vocab, 2] = normal(0.02)
  param head: [2, vocab] = normal(0.02)
  param wide: [3, 5] = ones
  param tall: [5, 3] = ones
  param cube: [2, 3, 4] = ones
  param vector: [7] = ones
  param nothing: [4] = zeros
  param scalar: [] = ones
  all = sum(wide) + sum(tall) + sum(cube) + sum(vector) + sum(nothing) + scalar
  table[ids] @ head * all
}}
model odd()
data text(\"text.txt\", tokenizer: bytes)
train {{
batch 4
context 16
steps 20
warmup 0
lr {LR}
schedule constant
clip none
weight_decay {DECAY} on all
optimizer {optimizer}
}}
"
    )
}

/// A made-up number around 0, exact in f32; some gradients are 0 as a whole.
fn number(weight: usize, step: usize, at: usize) -> f64 {
    let bits = data::rng::mix((weight * 7919 + step * 104_729 + at) as u64) % 4097;
    (bits as f64 - 2048.0) / 2048.0
}

fn weight(which: usize, at: usize) -> f64 {
    let is_zero = WEIGHTS[which].0 == "nothing";
    if is_zero { 0.0 } else { number(which, 100, at) }
}

fn gradient(which: usize, step: usize, at: usize) -> f64 {
    if step == 3 && which % 2 == 1 { 0.0 } else { number(which, step, at) / 4.0 }
}

/// A weight as a model sees it.
#[derive(Debug, Clone)]
struct Matrix {
    rows: usize,
    cols: usize,
    x: Vec<f64>,
}

impl Matrix {
    fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let x = self.x.iter().zip(&other.x).map(|(&a, &b)| f(a, b)).collect();
        Self { x, ..*self }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        self.zip(self, |a, _| f(a))
    }

    fn zeros(&self) -> Self {
        self.map(|_| 0.0)
    }

    fn norm(&self) -> f64 {
        self.x.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    fn transposed(&self) -> Self {
        let (rows, cols) = (self.cols, self.rows);
        let x = (0..rows * cols).map(|i| self.x[i % cols * self.cols + i / cols]).collect();
        Self { rows, cols, x }
    }

    fn times(&self, other: &Self) -> Self {
        let (rows, cols) = (self.rows, other.cols);
        let row = |r: usize, c: usize| {
            (0..self.cols).map(|k| self.x[r * self.cols + k] * other.x[k * cols + c]).sum()
        };
        let x = (0..rows * cols).map(|i| row(i / cols, i % cols)).collect();
        Self { rows, cols, x }
    }

    fn row_means(&self) -> Vec<f64> {
        self.x.chunks(self.cols).map(mean).collect()
    }
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// What a model remembers of one weight.
#[derive(Debug, Clone)]
struct Memory {
    m: Matrix,
    v: Matrix,
    rows: Vec<f64>,
    cols: Vec<f64>,
}

/// The new weight from the old one, its gradient and the number of the step, from 1.
type Model = fn(&Matrix, &Matrix, i32, &mut Memory) -> Matrix;

fn average(m: &mut Matrix, beta: f64, x: &Matrix) {
    *m = m.zip(x, |m, x| beta * m + (1.0 - beta) * x);
}

/// `m` and `v` renewed, and `m̂ / (√v̂ + ε)`.
fn adam_step(g: &Matrix, t: i32, s: &mut Memory, (b1, b2, eps): (f64, f64, f64)) -> Matrix {
    average(&mut s.m, b1, g);
    average(&mut s.v, b2, &g.map(|g| g * g));
    let (c1, c2) = (1.0 - b1.powi(t), 1.0 - b2.powi(t));
    s.m.zip(&s.v, |m, v| m / c1 / ((v / c2).sqrt() + eps))
}

fn sgd(w: &Matrix, g: &Matrix, _: i32, s: &mut Memory) -> Matrix {
    let d = w.zip(g, |w, g| g + 0.01 * w);
    s.m = s.m.zip(&d, |m, d| 0.9 * m + d);
    let ahead = d.zip(&s.m, |d, m| d + 0.9 * m);
    w.zip(&ahead, |w, u| w - LR * u)
}

fn adam(w: &Matrix, g: &Matrix, t: i32, s: &mut Memory) -> Matrix {
    let u = adam_step(g, t, s, (0.9, 0.999, 1e-8));
    w.zip(&u, |w, u| w - LR * u)
}

fn adamw(w: &Matrix, g: &Matrix, t: i32, s: &mut Memory) -> Matrix {
    let u = adam_step(g, t, s, (0.9, 0.95, 1e-8));
    w.zip(&u, |w, u| w - LR * (u + DECAY * w))
}

fn lion(w: &Matrix, g: &Matrix, _: i32, s: &mut Memory) -> Matrix {
    let sign = |c: f64| if c == 0.0 { 0.0 } else { c.signum() };
    let c = s.m.zip(g, |m, g| 0.9 * m + (1.0 - 0.9) * g);
    average(&mut s.m, 0.99, g);
    w.zip(&c, |w, c| w - LR * (sign(c) + DECAY * w))
}

fn lamb(w: &Matrix, g: &Matrix, t: i32, s: &mut Memory) -> Matrix {
    let u = adam_step(g, t, s, (0.9, 0.999, 1e-6)).zip(w, |u, w| u + DECAY * w);
    let (wn, un) = (w.norm(), u.norm());
    let trust = if wn > 0.0 && un > 0.0 { wn / un } else { 1.0 };
    w.zip(&u, |w, u| w - LR * trust * u)
}

fn lars(w: &Matrix, g: &Matrix, _: i32, s: &mut Memory) -> Matrix {
    let (wn, gn) = (w.norm(), g.norm());
    let local = if wn > 0.0 && gn > 0.0 { 0.001 * wn / (gn + DECAY * wn + 1e-9) } else { 1.0 };
    let d = w.zip(g, |w, g| g + DECAY * w);
    s.m = s.m.zip(&d, |m, d| 0.9 * m + local * LR * d);
    w.zip(&s.m, |w, m| w - m)
}

fn adafactor(w: &Matrix, g: &Matrix, t: i32, s: &mut Memory) -> Matrix {
    let beta = 1.0 - f64::from(t).powf(-0.8);
    let square = g.map(|g| g * g + 1e-30);
    let renew = |old: &mut Vec<f64>, new: Vec<f64>| {
        old.iter_mut().zip(new).for_each(|(old, new)| *old = beta * *old + (1.0 - beta) * new);
    };
    renew(&mut s.rows, square.row_means());
    renew(&mut s.cols, square.transposed().row_means());
    let whole = mean(&s.rows);
    let v = (0..g.x.len()).map(|i| s.rows[i / g.cols] * s.cols[i % g.cols] / whole);
    let v = Matrix { x: v.collect(), ..*g };
    let u = g.zip(&v, |g, v| g / v.sqrt());
    let rms = mean(&u.map(|u| u * u).x).sqrt();
    w.zip(&u, |w, u| w - LR * (u / rms.max(1.0) + DECAY * w))
}

fn muon(w: &Matrix, g: &Matrix, _: i32, s: &mut Memory) -> Matrix {
    s.m = s.m.zip(g, |m, g| 0.95 * m + g);
    let u = g.zip(&s.m, |g, m| g + 0.95 * m);
    let norm = u.norm() + 1e-7;
    let mut x = u.map(|u| u / norm);
    let is_tall = w.rows > w.cols;
    if is_tall {
        x = x.transposed();
    }
    for _ in 0..5 {
        let a = x.times(&x.transposed());
        let b = a.zip(&a.times(&a), |a, aa| -4.7750 * a + 2.0315 * aa);
        x = x.zip(&b.times(&x), |x, bx| 3.4445 * x + bx);
    }
    if is_tall {
        x = x.transposed();
    }
    let scale = 0.2 * (w.rows.max(w.cols) as f64).sqrt();
    w.zip(&x, |w, o| w - LR * (scale * o + DECAY * w))
}

fn modelled(model: Model) -> Vec<Vec<f64>> {
    let one = |(which, &(_, rows, cols)): (usize, &(&str, usize, usize))| {
        let filled =
            |f: &dyn Fn(usize) -> f64| Matrix { rows, cols, x: (0..rows * cols).map(f).collect() };
        let mut w = filled(&|at| weight(which, at));
        let mut memory =
            Memory { m: w.zeros(), v: w.zeros(), rows: vec![0.0; rows], cols: vec![0.0; cols] };
        for step in 0..STEPS {
            let g = filled(&|at| gradient(which, step, at));
            let t = i32::try_from(step).unwrap() + 1;
            w = model(&w, &g, t, &mut memory);
        }
        w.x
    };
    WEIGHTS.iter().enumerate().map(one).collect()
}

/// The weights after ten steps of compiled code.
fn in_compiled_code(compiled: &Compiled) -> Vec<Vec<f64>> {
    let plan = &compiled.plan;
    let mut executor = Executor::load(plan.clone(), &Options::threads(1)).unwrap();
    let id = |name: &str| plan.buffer(name).unwrap();
    let function = |name: &str| plan.function(name).unwrap();
    executor.call(function("init"), &mut Silent).unwrap();
    let fill = |x: &mut [f32], f: &dyn Fn(usize) -> f64| {
        x.iter_mut().enumerate().for_each(|(at, x)| *x = f(at) as f32);
    };
    for (which, (name, _, _)) in WEIGHTS.iter().enumerate() {
        fill(executor.memory_mut().f32_mut(id(name)), &|at| weight(which, at));
    }
    for step in 0..STEPS {
        let memory = executor.memory_mut();
        // The planned number of tokens, a power of two: nothing is left to unscale.
        memory.f64_mut(id("token_sum"))[0] = (plan.run.batch * plan.run.context) as f64;
        for (which, (name, _, _)) in WEIGHTS.iter().enumerate() {
            let grad = memory.f32_mut(id(&format!("grad.{name}")));
            fill(grad, &|at| gradient(which, step, at));
        }
        executor.call(function("update"), &mut Silent).unwrap();
        assert_eq!(executor.memory().f64(id("finite"))[0], 1.0);
    }
    let wide = |name: &str| executor.memory().f32(id(name)).iter().map(|&x| f64::from(x)).collect();
    WEIGHTS.iter().map(|(name, _, _)| wide(name)).collect()
}

/// The same in the interpreter.
fn interpreted(compiled: &Compiled, precision: Precision) -> Vec<Vec<f64>> {
    let module = &compiled.scheduled.module;
    let zeros = |s: &ir::graph::State| (s.name.clone(), Tensor::zeros(s.ty.clone()));
    let mut states: BTreeMap<String, Tensor> = module.states.iter().map(zeros).collect();
    let is_input = |role: Role| matches!(role, Role::Input | Role::Output);
    assert!(module.states.iter().any(|s| is_input(s.role)));
    eval_graph(module, "init", &mut states, precision).unwrap();
    let set = |states: &mut BTreeMap<String, Tensor>, name: &str, f: &dyn Fn(usize) -> f64| {
        let ty = states[name].ty.clone();
        let numbers: Vec<f64> = (0..ty.len() as usize).map(f).collect();
        states.insert(name.to_owned(), Tensor::from_numbers(ty, &numbers));
    };
    for (which, (name, _, _)) in WEIGHTS.iter().enumerate() {
        set(&mut states, name, &|at| weight(which, at));
    }
    let run = &compiled.plan.run;
    for step in 0..STEPS {
        set(&mut states, "token_sum", &|_| (run.batch * run.context) as f64);
        for (which, (name, _, _)) in WEIGHTS.iter().enumerate() {
            set(&mut states, &format!("grad.{name}"), &|at| gradient(which, step, at));
        }
        eval_graph(module, "update", &mut states, precision).unwrap();
    }
    WEIGHTS.iter().map(|(name, _, _)| states[*name].numbers()).collect()
}

#[track_caller]
fn agree(rule: &str, way: &str, got: &[Vec<f64>], wanted: &[Vec<f64>], tolerance: f64) {
    for ((name, _, _), (got, wanted)) in WEIGHTS.iter().zip(got.iter().zip(wanted)) {
        let far = got.iter().zip(wanted).map(|(a, b)| (a - b).abs());
        let far = far.fold(0.0, |top: f64, d| if d.is_nan() { d } else { top.max(d) });
        assert!(far <= tolerance, "{rule}, {name}, {way}: off by {far:e}\n{got:?}\n{wanted:?}");
    }
}

#[track_caller]
fn follows(rule: &str, model: Model) {
    let compiled = compiled(&spec(rule));
    let wanted = modelled(model);
    agree(rule, "compiled", &in_compiled_code(&compiled), &wanted, FP32);
    agree(rule, "interpreted", &interpreted(&compiled, Precision::AsTyped), &wanted, FP32);
    agree(rule, "interpreted in f64", &interpreted(&compiled, Precision::F64), &wanted, FP64);
}

#[test]
fn elementwise_rules_follow_their_models() {
    let sgd_spec = "sgd(momentum: 0.9, nesterov: true, l2: 0.01)";
    let spec_of = |rule: &str| spec(rule).replace(&format!("weight_decay {DECAY} on all\n"), "");
    for (rule, model) in [(sgd_spec, sgd as Model), ("adam", adam)] {
        let compiled = compiled(&spec_of(rule));
        agree(rule, "compiled", &in_compiled_code(&compiled), &modelled(model), FP32);
        let exact = interpreted(&compiled, Precision::F64);
        agree(rule, "interpreted in f64", &exact, &modelled(model), FP64);
    }
    follows("adamw", adamw);
    follows("lion", lion);
}

#[test]
fn rules_with_norms_of_weights_follow_their_models() {
    follows("lamb", lamb);
    follows("lars", lars);
}

#[test]
fn rules_of_matrices_follow_their_models() {
    follows("adafactor", adafactor);
    follows("muon", muon);
}
