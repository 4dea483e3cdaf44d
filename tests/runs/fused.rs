//! What a user writes trains as what the library has: as many kernels, the same bits.

use exec::executor::{Executor, Options};
use ir::graph::Role;
use ir::schedule::Task;
use llmc::compile::Compiled;
use plan::{BufferId, Plan};

use crate::backend::Silent;
use crate::plans::compiled;

/// The example of a rule and a schedule of the user's own.
const OWN: &str = include_str!("../../examples/custom_optimizer.lt");

fn tasks<'c>(compiled: &'c Compiled, function: &str) -> &'c [Task] {
    let schedule = &compiled.scheduled.schedule;
    &schedule.functions.iter().find(|f| f.name == function).unwrap().tasks
}

/// Tasks of `update`, and different kernels of the whole plan.
fn counts(text: &str) -> (usize, usize) {
    let compiled = compiled(text);
    (tasks(&compiled, "update").len(), compiled.scheduled.schedule.kernels.len())
}

#[test]
fn a_rule_and_a_schedule_of_the_user_take_as_many_kernels() {
    let own = counts(OWN);
    let rule = OWN.replace("optimizer sign_momentum(look: 0.9, keep: 0.98)", "optimizer adamw");
    let schedule = OWN.replace("schedule  stairs(fall: 40%)", "schedule  cosine");
    assert!(rule != OWN && schedule != OWN, "the example has both");
    assert_eq!(counts(&rule), own, "adamw");
    assert_eq!(counts(&schedule), own, "cosine");
}

#[test]
fn an_update_is_as_many_kernels_for_any_number_of_weights() {
    let text = |layers: usize, optimizer: &str| {
        OWN.replace("layers: 2", &format!("layers: {layers}"))
            .replace("optimizer sign_momentum(look: 0.9, keep: 0.98)", optimizer)
    };
    for optimizer in ["sign_momentum", "sgd", "lion"] {
        let optimizer = format!("optimizer {optimizer}");
        assert_eq!(counts(&text(1, &optimizer)).0, counts(&text(3, &optimizer)).0, "{optimizer}");
    }
    let lamb = |layers| counts(&text(layers, "optimizer lamb")).0;
    assert!(lamb(1) < lamb(3), "a norm of each weight takes kernels of its own");
}

#[test]
fn products_write_gradients_straight_into_their_flat_state() {
    let compiled = compiled(OWN);
    let (schedule, micro) = (&compiled.scheduled.schedule, tasks(&compiled, "micro"));
    let is_grad = |task: &&Task| match task {
        Task::Product { product, .. } => product
            .c
            .is_some_and(|c| schedule.buffers[c.buffer.0 as usize].role == Some(Role::Grad)),
        Task::Kernel { .. } | Task::Attention { .. } | Task::Sort { .. } | Task::Tiles { .. } => {
            false
        }
    };
    // Queries, keys and values, their projection, and two layers of each MLP; two blocks.
    assert!(micro.iter().filter(is_grad).count() >= 8);
}

/// A loaded plan after `init`.
fn loaded(plan: &Plan) -> Executor {
    let mut executor = Executor::load(plan.clone(), &Options::threads(2)).unwrap();
    executor.call(plan.function("init").unwrap(), &mut Silent).unwrap();
    executor
}

fn id(plan: &Plan, name: &str) -> BufferId {
    plan.buffer(name).unwrap_or_else(|| panic!("no buffer {name}"))
}

/// One step on made-up ids.
fn step(executor: &mut Executor, plan: &Plan, round: usize) {
    for name in ["ids", "targets"] {
        let ids = executor.memory_mut().i32_mut(id(plan, name));
        for (i, x) in ids.iter_mut().enumerate() {
            *x = (data::rng::mix((round * 999 + i) as u64) % 256) as i32;
        }
    }
    for _ in 0..plan.run.accumulate {
        executor.call(plan.function("micro").unwrap(), &mut Silent).unwrap();
    }
    executor.call(plan.function("update").unwrap(), &mut Silent).unwrap();
}

/// Weights and moments after a few steps, by name.
fn trained(text: &str) -> Vec<(String, Vec<u8>)> {
    let plan = compiled(text).plan;
    let mut executor = loaded(&plan);
    (0..5).for_each(|round| step(&mut executor, &plan, round));
    let is_trained = |b: &plan::Buffer| matches!(b.role, plan::Role::Param | plan::Role::OptState);
    let buffers = (0u32..).map(BufferId).zip(&plan.buffers).filter(|(_, b)| is_trained(b));
    buffers.map(|(at, b)| (b.name.clone(), executor.memory().bytes(at).to_vec())).collect()
}

#[test]
fn a_copy_of_adamw_under_another_name_gives_the_same_bits() {
    let optim = stdlib::SOURCES.iter().find(|s| s.text.contains("rule adamw(")).unwrap().text;
    let start = optim.find("rule adamw(").unwrap();
    let end = start + optim[start..].find("\n}\n").unwrap() + 3;
    let mine = optim[start..end].replacen("adamw", "mine", 1);
    let text = |rule: &str| {
        format!(
            "{mine}\nmodel gpt(layers: 1, width: 8, heads: 2)\n\
             data text(\"text.txt\", tokenizer: bytes)\n\
             train {{\nbatch 4\ncontext 6\naccumulate 2\nsteps 20\nema 0.9\noptimizer {rule}\n}}\n"
        )
    };
    let (mine, built_in) =
        (trained(&text("mine(beta2: 0.9)")), trained(&text("adamw(beta2: 0.9)")));
    assert!(mine.iter().any(|(name, _)| name == "optimizer.v.tok_emb.weight"));
    assert!(mine == built_in);
}

/// The gradient and the step of one table, read once as embedding and once as head.
#[test]
fn a_tied_weight_has_one_gradient_and_one_update() {
    let text = |head: &str| {
        format!(
            "layer tied(vocab: int = data.vocab)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {{\n  \
             emb = embedding(vocab, 4)\n  {head}\n}}\nmodel tied()\n\
             data text(\"text.txt\", tokenizer: bytes)\n\
             train {{\nbatch 4\ncontext 8\nsteps 20\nwarmup 0\nlr 0.5\nschedule constant\n\
             clip none\noptimizer sgd\n}}\n"
        )
    };
    let tied = compiled(&text("emb(ids) |> unembed(emb)")).plan;
    let apart = compiled(&text("out = embedding(vocab, 4)\n  emb(ids) |> unembed(out)")).plan;
    let (mut one, mut two) = (loaded(&tied), loaded(&apart));
    let before = one.memory().f32(id(&tied, "emb.weight")).to_vec();
    for name in ["emb.weight", "out.weight"] {
        two.memory_mut().f32_mut(id(&apart, name)).copy_from_slice(&before);
    }
    step(&mut one, &tied, 0);
    step(&mut two, &apart, 0);
    let is_weight = |b: &&plan::Buffer| b.role == plan::Role::Param;
    assert_eq!(tied.buffers.iter().filter(is_weight).count(), 1);
    let grad = one.memory().f32(id(&tied, "grad.emb.weight"));
    let [first, second] =
        ["grad.emb.weight", "grad.out.weight"].map(|name| two.memory().f32(id(&apart, name)));
    let after = one.memory().f32(id(&tied, "emb.weight"));
    // The planned number of tokens is a power of two, so gradients are their sums.
    let near = |a: f32, b: f32| (a - b).abs() <= 1e-6 * (1.0 + a.abs());
    for i in 0..grad.len() {
        let sum = first[i] + second[i];
        assert!(near(grad[i], sum), "{i}: {} is not {} + {}", grad[i], first[i], second[i]);
        assert!(near(after[i], before[i] - 0.5 * sum), "{i}: {} from {}", after[i], before[i]);
    }
    assert!(first.iter().any(|&g| g != 0.0) && second.iter().any(|&g| g != 0.0));
}

/// A row of many weights side by side has a size that none of them has.
#[test]
fn a_rule_that_reads_a_size_gets_that_of_each_weight() {
    let plan = compiled(
        "rule by_size()(w: [..s, n], g: [..s, n], lr: real, t: int) -> [..s, n] {\n  \
         w - lr * n * g\n}\n\
         model gpt(layers: 1, width: 8, heads: 2)\n\
         data text(\"text.txt\", tokenizer: bytes)\n\
         train {\nbatch 4\ncontext 8\nsteps 20\nwarmup 0\nlr 0.5\nschedule constant\n\
         clip none\noptimizer by_size\n}\n",
    )
    .plan;
    let mut executor = loaded(&plan);
    for (name, n) in [("tok_emb.weight", 8.0), ("norm.bias", 8.0), ("blocks.0.mlp.up.bias", 32.0)] {
        let before = executor.memory().f32(id(&plan, name)).to_vec();
        step(&mut executor, &plan, 0);
        let grad = executor.memory().f32(id(&plan, &format!("grad.{name}")));
        let after = executor.memory().f32(id(&plan, name));
        for i in 0..before.len() {
            let wanted = before[i] - 0.5 * n * grad[i];
            assert!((after[i] - wanted).abs() <= 1e-5, "{name}: {} from {}", after[i], before[i]);
        }
        assert!(grad.iter().any(|g| g.abs() > 1e-4), "{name}");
    }
}

/// Attention of the user's own that masks scores by a condition.
fn masked(condition: &str) -> String {
    format!(
        "fn attend(q: [b, h, t, c], k: [b, h, s, c], v: [b, h, s, c]) -> [b, h, t, c] {{
  z = einsum(q, k, [b, h, t, c], [b, h, s, c] -> [b, h, t, s])
  p = softmax(mask(z, {condition}), over: s)
  einsum(p, v, [b, h, t, s], [b, h, s, c] -> [b, h, t, c])
}}
layer net(d: dim)(ids: tok(256)[b, t]) -> [b, t, 256] {{
  emb = embedding(256, d)
  qkv = linear(d, 3 * d)
  q, k, v = rearrange(qkv(emb(ids)), [b, t, 3 * 2 * hd] -> [3, b, 2, t, hd])
  attend(q, k, v) |> rearrange([b, 2, t, hd] -> [b, t, 2 * hd]) |> unembed(emb)
}}
model net(d: 8)
data text(\"text.txt\", tokenizer: bytes)
train {{
  batch 2
  context 8
  steps 4
  lr 1e-3
}}
"
    )
}

#[test]
fn scores_that_are_stored_are_noted_with_the_reason() {
    let stored = |condition: &str| {
        let notes = compiled(&masked(condition)).scheduled.notes;
        notes.into_iter().filter(|note| note.contains("the scores of")).collect::<Vec<_>>()
    };
    assert_eq!(stored("row(s) <= row(t)"), Vec::<String>::new());
    let notes = stored("row(t) != row(s)");
    let [note] = notes.as_slice() else { panic!("{notes:?}") };
    assert!(note.starts_with("model: the scores of "), "{note}");
    assert!(note.ends_with("the mask is more than causal, a window and equal segments"), "{note}");
}
