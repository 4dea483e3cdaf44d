//! One batch cut into micro-batches of any size: the same gradient, the same dropout masks.
//!
//! Targets are masked in ragged rows, so that a mean of the means of micro-batches would differ.

use std::collections::BTreeMap;

use exec::executor::{Executor, Options};
use ir::eval::graph::{Precision, eval_graph};
use ir::eval::tensor::Tensor;
use ir::types::Type;
use llmc::compile::Compiled;
use plan::Role;

use crate::backend::Silent;
use crate::plans::compiled;

const BATCH: usize = 32;
const CONTEXT: usize = 12;

/// How far a gradient may be from that of the whole batch: ‖Δ‖ / ‖g‖ of a tensor.
const FP32: f64 = 2e-6;
const FP64: f64 = 1e-12;

fn split(micro_batch: usize) -> Compiled {
    compiled(&format!(
        "model gpt(layers: 2, width: 16, heads: 2, drop: 10%)\n\
         data text(\"text.txt\", tokenizer: bytes)\n\
         train {{\nbatch {BATCH}\nmicro_batch {micro_batch}\ncontext {CONTEXT}\nsteps 9\n}}\n"
    ))
}

/// A batch of ids and of targets; row `r` has its first `r % (CONTEXT + 1)` targets alone.
fn batch() -> [Vec<i32>; 2] {
    let id = |i: usize| (data::rng::mix(i as u64) % 256) as i32;
    let ids = (0..BATCH * CONTEXT).map(id).collect();
    let target = |i: usize| {
        let is_target = i % CONTEXT < i / CONTEXT % (CONTEXT + 1);
        if is_target { id(i + 7) } else { -1 }
    };
    [ids, (0..BATCH * CONTEXT).map(target).collect()]
}

/// The sums after all micro-batches, by name, through compiled code.
fn in_compiled_code(micro_batch: usize, seed: i32) -> BTreeMap<String, Vec<f64>> {
    let plan = split(micro_batch).plan;
    let mut executor = Executor::load(plan.clone(), &Options::threads(2)).unwrap();
    let id = |name: &str| plan.buffer(name).unwrap();
    let function = |name: &str| plan.function(name).unwrap();
    executor.memory_mut().i32_mut(id("seed"))[0] = seed;
    executor.call(function("init"), &mut Silent).unwrap();
    let [ids, targets] = batch();
    let tokens = micro_batch * CONTEXT;
    for (n, (ids, targets)) in ids.chunks(tokens).zip(targets.chunks(tokens)).enumerate() {
        let memory = executor.memory_mut();
        memory.i32_mut(id("ids")).copy_from_slice(ids);
        memory.i32_mut(id("targets")).copy_from_slice(targets);
        memory.i32_mut(id("row"))[0] = (n * micro_batch) as i32;
        executor.call(function("micro"), &mut Silent).unwrap();
    }
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect();
    let grads = plan.buffers.iter().filter(|b| b.role == Role::Grad && b.name.starts_with("grad."));
    let mut sums: BTreeMap<_, Vec<f64>> =
        grads.map(|b| (b.name.clone(), wide(executor.memory().f32(id(&b.name))))).collect();
    for name in ["loss_sum", "token_sum"] {
        sums.insert(name.to_owned(), executor.memory().f64(id(name)).to_vec());
    }
    sums
}

/// The same in the interpreter, all of it in f64.
fn in_f64(micro_batch: usize, seed: i32) -> BTreeMap<String, Vec<f64>> {
    let module = split(micro_batch).scheduled.module;
    let mut states: BTreeMap<String, Tensor> = BTreeMap::new();
    for state in &module.states {
        let n = state.ty.shape.iter().product::<u64>() as usize;
        states.insert(state.name.clone(), numbers(&state.ty, &vec![0.0; n]));
    }
    let set = |states: &mut BTreeMap<String, Tensor>, name: &str, values: &[i32]| {
        let ty = states[name].ty.clone();
        let values: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        states.insert(name.to_owned(), numbers(&ty, &values));
    };
    set(&mut states, "seed", &[seed]);
    eval_graph(&module, "init", &mut states, Precision::F64).unwrap();
    let [ids, targets] = batch();
    let tokens = micro_batch * CONTEXT;
    for (n, (ids, targets)) in ids.chunks(tokens).zip(targets.chunks(tokens)).enumerate() {
        set(&mut states, "ids", ids);
        set(&mut states, "targets", targets);
        set(&mut states, "row", &[(n * micro_batch) as i32]);
        eval_graph(&module, "micro", &mut states, Precision::F64).unwrap();
    }
    let is_sum = |name: &str| name.starts_with("grad.") || name.ends_with("_sum");
    states.into_iter().filter(|(n, _)| is_sum(n)).map(|(n, t)| (n, t.data.numbers())).collect()
}

fn numbers(ty: &Type, values: &[f64]) -> Tensor {
    Tensor::from_numbers(ty.clone(), values)
}

fn norm(x: impl Iterator<Item = f64>) -> f64 {
    x.map(|x| x * x).sum::<f64>().sqrt()
}

/// The largest relative distance of a tensor, and its name.
fn distance(whole: &BTreeMap<String, Vec<f64>>, cut: &BTreeMap<String, Vec<f64>>) -> (f64, String) {
    assert!(whole.len() > 20 && whole.keys().eq(cut.keys()), "the same sums");
    let far = |(name, g): (&String, &Vec<f64>)| {
        let difference = norm(g.iter().zip(&cut[name]).map(|(a, b)| a - b));
        (difference / norm(g.iter().copied()), name.clone())
    };
    whole.iter().map(far).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn micro_batches_of_any_size_sum_to_one_gradient() {
    let whole = in_compiled_code(BATCH, 3);
    let [_, targets] = batch();
    let n = targets.iter().filter(|&&t| t >= 0).count();
    assert_eq!(whole["token_sum"], [n as f64]);
    for micro_batch in [8, 1] {
        let cut = in_compiled_code(micro_batch, 3);
        let (far, name) = distance(&whole, &cut);
        assert!(far <= FP32, "micro_batch {micro_batch}: {name} is {far:e} off");
        assert_eq!(cut["token_sum"], whole["token_sum"]);
    }
    // Another seed draws other weights and masks: the comparison can fail.
    assert!(distance(&whole, &in_compiled_code(8, 4)).0 > 1e-2);
}

#[test]
fn in_f64_only_the_order_of_sums_differs() {
    let whole = in_f64(BATCH, 3);
    for micro_batch in [8, 1] {
        let (far, name) = distance(&whole, &in_f64(micro_batch, 3));
        assert!(far <= FP64, "micro_batch {micro_batch}: {name} is {far:e} off");
    }
}
