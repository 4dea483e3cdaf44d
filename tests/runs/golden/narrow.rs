//! The GPT of the standard library in 16 bits: against JAX in float64, and against fp32.

use std::collections::{BTreeMap, BTreeSet};

use ir::eval::graph::{Precision, eval_graph};
use ir::eval::tensor::Tensor;

use plan::Plan;

use super::model::{BATCH, compiled, fill, model, relative, row, step};
use super::{FP32_RELATIVE, Golden, are_close, distances};
use crate::clip::Update;
use crate::plans::compiled_for;

/// The largest distance of a gradient from its golden one; measured are 1.62e-2 and 2.2e-3.
const BF16_RELATIVE: f64 = 2e-2;
const FP16_RELATIVE: f64 = 3e-3;

/// Compiled code may be so many times as far from JAX as the interpreter; measured is 1.04.
const TO_INTERPRETER: f64 = 1.5;

/// How far the last losses of a run may be from those in fp32; measured is 3e-4.
const OF_A_RUN: f64 = 1e-2;

const ONE_STEP: &str = "optimizer show\nclip none\nlr 1\nsteps 9";

/// All gradients as the rule is given them.
type Gradients = BTreeMap<String, Vec<f32>>;

/// The loss and gradients of one step.
fn in_compiled_code(precision: &str) -> (f64, Gradients) {
    let mut model = model(&format!("precision {precision}\n{ONE_STEP}"));
    let loss = step(&mut model, 0);
    let golden = Golden::read("gpt.safetensors");
    let paths = golden.under("grad.").into_keys();
    let seen = paths.map(|p| (p.to_owned(), model.f32(&format!("optimizer.seen.{p}")).to_vec()));
    (loss, seen.collect())
}

/// The same in the interpreter, which sums in f64 and rounds where the graph says.
fn interpreted(precision: &str) -> Gradients {
    let module = compiled(&format!("precision {precision}\n{ONE_STEP}")).scheduled.module;
    let zeros = |s: &ir::graph::State| (s.name.clone(), Tensor::zeros(s.ty.clone()));
    let mut states: BTreeMap<String, Tensor> = module.states.iter().map(zeros).collect();
    let run = |states: &mut _, function: &str| {
        eval_graph(&module, function, states, Precision::AsTyped).unwrap();
    };
    run(&mut states, "init");
    let set = |states: &mut BTreeMap<String, Tensor>, name: &str, numbers: &[f64]| {
        let ty = states[name].ty.clone();
        states.insert(name.to_owned(), Tensor::from_numbers(ty, numbers));
    };
    let golden = Golden::read("gpt.safetensors");
    let paths: Vec<&str> = golden.under("grad.").into_keys().collect();
    for path in &paths {
        let mut weight = vec![0.0; states[*path].ty.len() as usize];
        fill(path, &mut weight);
        set(&mut states, path, &weight.into_iter().map(f64::from).collect::<Vec<f64>>());
    }
    let (ids, targets): (Vec<_>, Vec<_>) = (0..BATCH).map(|r| row(0, r)).unzip();
    for (name, ids) in [("ids", ids), ("targets", targets)] {
        set(&mut states, name, &ids.concat().into_iter().map(f64::from).collect::<Vec<f64>>());
    }
    if module.functions.iter().any(|f| f.name == "refresh") {
        run(&mut states, "refresh");
    }
    run(&mut states, "micro");
    run(&mut states, "update");
    let seen = |path: &&str| states[&format!("optimizer.seen.{path}")].numbers();
    let narrow = |path: &&str| seen(path).into_iter().map(|x| x as f32).collect();
    paths.iter().map(|p| ((*p).to_owned(), narrow(p))).collect()
}

/// The distance of each gradient from JAX, loss included.
#[test]
fn gradients_in_16_bits_are_as_near_to_jax_as_the_type_allows() {
    let golden = Golden::read("gpt.safetensors");
    let wanted = golden.under("grad.");
    for (precision, limit) in [("bf16", BF16_RELATIVE), ("fp16", FP16_RELATIVE)] {
        let (loss, got) = in_compiled_code(precision);
        let gaps = distances(&wanted, |path| got[path].clone());
        are_close(&gaps, limit, precision);
        let gap = relative(loss, golden.get("loss")[0]);
        assert!(gap <= limit, "the loss in {precision} is {gap:.1e} away");
        // A run that ignores its precision would be as near as one in fp32.
        assert!(gaps.values().all(|&gap| gap > 10.0 * FP32_RELATIVE), "{precision} rounds");
        // What is left is the rounding that the graph asks for, not that of the back end.
        let reference = interpreted(precision);
        for (path, gap) in distances(&wanted, |path| reference[path].clone()) {
            let ratio = gaps[path] / gap;
            assert!(ratio <= TO_INTERPRETER, "{path} in {precision}: {ratio} of the interpreter's");
        }
    }
}

/// A character model of a play, trained for 300 steps.
const PLAY: &str = "\
model gpt(layers: 1, width: 32, heads: 2)
data text(\"text.txt\", tokenizer: chars)
train {
batch 4
context 32
optimizer adamw
lr 2e-3
warmup 20
steps 300
";

const PLAY_STEPS: usize = 300;

/// The play as ids in the order of its characters, and how many of them there are.
fn play() -> (Vec<i32>, u64) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/shakespeare.txt");
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.is_ascii());
    let chars: Vec<u8> = bytes.iter().copied().collect::<BTreeSet<u8>>().into_iter().collect();
    let id = |byte| chars.binary_search(byte).unwrap() as i32;
    (bytes.iter().map(id).collect(), chars.len() as u64)
}

/// The mean loss of the last 20 steps.
fn last_losses(plan: &Plan, play: &[i32], seed: usize) -> f64 {
    let mut model = Update::load(plan.clone());
    model.i32("seed")[0] = seed as i32;
    model.call("init");
    model.refresh();
    let context = plan.run.context as usize;
    let mut sum = 0.0;
    for at in 0..PLAY_STEPS {
        let (mut ids, mut targets) = (vec![], vec![]);
        for row in 0..plan.run.batch as usize {
            let draw = data::rng::mix((seed << 32 | at << 8 | row) as u64);
            let start = (draw % (play.len() - context) as u64) as usize;
            ids.extend_from_slice(&play[start..][..context]);
            targets.extend_from_slice(&play[start + 1..][..context]);
        }
        model.i32("ids").copy_from_slice(&ids);
        model.i32("targets").copy_from_slice(&targets);
        model.call("micro");
        model.call("update");
        sum += if at < PLAY_STEPS - 20 { 0.0 } else { model.scalar("loss") };
    }
    sum / 20.0
}

#[test]
fn runs_in_16_bits_end_within_a_percent_of_fp32() {
    let (play, vocab) = play();
    let plan =
        |precision: &str| compiled_for(&format!("{PLAY}precision {precision}\n}}\n"), vocab).plan;
    let plans = ["fp32", "bf16", "fp16"].map(plan);
    for seed in 1..=3 {
        let [fp32, bf16, fp16] = plans.each_ref().map(|plan| last_losses(plan, &play, seed));
        // A guess that knows only how often each character occurs has 3.3.
        assert!(fp32 < 3.0, "seed {seed} learns: {fp32}");
        for (precision, end) in [("bf16", bf16), ("fp16", fp16)] {
            let gap = relative(end, fp32);
            assert!(gap <= OF_A_RUN, "{precision}, seed {seed}: {end} where fp32 has {fp32}");
            assert!(gap > 0.0, "{precision} rounds");
        }
    }
}
