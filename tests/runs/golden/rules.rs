//! Update rules of the standard library against float64, ten steps each.

use super::{FP32_RELATIVE, Golden, are_close, distances, numbers};
use crate::clip::Update;
use crate::plans::compiled_for;

/// A model of small tensors of every rank. What it computes is of no matter: the gradients are
/// planted.
const MODEL: &str = "\
layer small(vocab: int = data.vocab)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  param table: [vocab, 6] = normal(0.02)
  param vector: [6] = zeros
  param scale: [1] = ones
  param wide: [6, 10] = normal(0.02)
  param cube: [2, 5, 10] = normal(0.02)
  param head: [10, vocab] = normal(0.02)
  x = ((table[ids] + vector) * sum(scale, over: 0)) @ wide
  mixed = sum(sum(cube, over: 0), over: 0)
  (x * mixed) @ head
}
model small()
data text(\"text.txt\", tokenizer: chars)
train {
batch 4
context 16
lr 0.0078125
warmup 0
schedule constant
clip none
steps 10
";

/// The parameters and how many elements each has.
const TENSORS: [(&str, usize); 6] =
    [("table", 48), ("vector", 6), ("scale", 1), ("wide", 60), ("cube", 100), ("head", 80)];

/// The first weight of a parameter; the vector starts at zero.
fn weight(name: &str) -> impl Iterator<Item = f32> {
    numbers(name, -1).map(move |x| if name == "vector" { 0.0 } else { x })
}

/// The gradient of a step: some are zero, as those in rows of rare tokens.
fn gradient(name: &str, t: usize) -> impl Iterator<Item = f32> {
    let is_zero = move |i: usize| match name {
        "scale" => t == 1 || t == 5,
        "table" => t <= 3 && i / 6 == 2,
        _ => false,
    };
    let numbers = numbers(&format!("{name}.{t}"), -((t % 4) as i32)).enumerate();
    numbers.map(move |(i, x)| if is_zero(i) { 0.0 } else { x })
}

/// Ten steps of a rule, given by lines of the `train` block. Rules that take weight decay have the
/// usual one, 0.1 on matrices.
#[track_caller]
fn agrees(case: &str, lines: &str, states: &[&str]) {
    let golden = Golden::read("rules.safetensors");
    let mut update = Update::load(compiled_for(&format!("{MODEL}{lines}\n}}\n"), 8).plan);
    for (name, _) in TENSORS {
        update.f32(name).iter_mut().zip(weight(name)).for_each(|(w, x)| *w = x);
    }
    for t in 1..=10 {
        update.plant_sums();
        for (name, n) in TENSORS {
            let grad: Vec<f32> = gradient(name, t).take(n).collect();
            update.f32(&format!("grad.{name}")).copy_from_slice(&grad);
        }
        update.call("update");
        assert_eq!(update.scalar("finite"), 1.0, "step {t} of {case}");
    }
    let weights = distances(&golden.under(&format!("{case}.w.")), |n| update.f32(n).to_vec());
    are_close(&weights, FP32_RELATIVE, &format!("weights of {case}"));
    for state in states {
        let wanted = golden.under(&format!("{case}.{state}."));
        let got = |n: &str| update.f32(&format!("optimizer.{state}.{n}")).to_vec();
        are_close(&distances(&wanted, got), FP32_RELATIVE, &format!("{state} of {case}"));
    }
}

#[test]
fn sgd_takes_the_steps_of_its_formula() {
    agrees("sgd", "optimizer sgd", &[]);
    agrees("momentum", "optimizer sgd(momentum: 0.9)", &["m"]);
    agrees("nesterov", "optimizer sgd(momentum: 0.9, nesterov: true, l2: 0.05)", &["m"]);
}

#[test]
fn adam_takes_the_steps_of_its_paper() {
    agrees("adam", "optimizer adam(l2: 0.05)", &["m", "v"]);
}

#[test]
fn adamw_takes_the_steps_of_its_paper() {
    agrees("adamw", "optimizer adamw", &["m", "v"]);
}

#[test]
fn lion_takes_the_steps_of_its_paper() {
    agrees("lion", "optimizer lion", &["m"]);
}

#[test]
fn lamb_takes_the_steps_of_its_paper() {
    agrees("lamb", "optimizer lamb", &["m", "v"]);
}

#[test]
fn lars_takes_the_steps_of_its_paper() {
    agrees("lars", "optimizer lars", &["m"]);
    // The usual trust moves a weight by too little to tell in ten steps.
    agrees("lars_far", "optimizer lars(trust: 0.5)", &["m"]);
}

/// Factored moments, of a vector as a matrix of one row.
#[test]
fn adafactor_takes_the_steps_of_its_paper() {
    agrees("adafactor", "optimizer adafactor", &["r", "c"]);
}

#[test]
fn muon_takes_the_steps_of_its_source() {
    agrees("muon", "optimizer muon", &["m"]);
}
