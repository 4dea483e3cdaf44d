//! Blocks computed again in the backward pass: the same bits in less memory.

use exec::executor::{Executor, Options};
use plan::{Plan, Role};

use crate::backend::Silent;
use crate::plans::compiled;

/// A GPT of eight blocks with dropout.
fn spec(lines: &str) -> String {
    format!(
        "model gpt(layers: 8, width: 32, heads: 2, drop: 10%)\n\
         data text(\"text.txt\", tokenizer: bytes)\n\
         train {{\nbatch 4\nmicro_batch 2\ncontext 24\nsteps 9\n{lines}\n}}\n"
    )
}

fn plan(recompute: &str, precision: &str) -> Plan {
    compiled(&spec(&format!("recompute {recompute}\nprecision {precision}"))).plan
}

/// The bytes of all states, by name, after two micro-batches and an update.
fn states_after_a_step(plan: Plan) -> Vec<(String, Vec<u8>)> {
    let mut executor = Executor::load(plan, &Options::threads(2)).unwrap();
    let function = |e: &Executor, name: &str| e.plan().function(name).unwrap();
    let init = function(&executor, "init");
    executor.call(init, &mut Silent).unwrap();
    executor.refresh().unwrap();
    for batch in 0..2 {
        for (name, step) in [("ids", 7), ("targets", 5)] {
            let buffer = executor.plan().buffer(name).unwrap();
            for (i, id) in executor.memory_mut().i32_mut(buffer).iter_mut().enumerate() {
                *id = (i as i32 * step + batch) % 256;
            }
        }
        let micro = function(&executor, "micro");
        executor.call(micro, &mut Silent).unwrap();
    }
    let update = function(&executor, "update");
    executor.call(update, &mut Silent).unwrap();
    let states = executor.plan().buffers.clone();
    let states = states.into_iter().filter(|b| !matches!(b.role, Role::Temp | Role::Cache));
    states
        .map(|b| {
            let id = executor.plan().buffer(&b.name).unwrap();
            (b.name, executor.memory().bytes(id).to_vec())
        })
        .collect()
}

#[test]
fn what_is_computed_again_changes_no_bit() {
    for precision in ["fp32", "bf16", "fp16"] {
        let kept = states_after_a_step(plan("none", precision));
        for recompute in ["all", "every 3 blocks", "only blocks[2..6].attn", "only mlp"] {
            let again = states_after_a_step(plan(recompute, precision));
            for ((name, kept), (_, again)) in kept.iter().zip(&again) {
                assert!(kept == again, "{name} with recompute {recompute} in {precision}");
            }
        }
    }
}

#[test]
fn shorter_segments_take_less_memory() {
    for precision in ["fp32", "bf16"] {
        let policies = ["none", "every 4 blocks", "every 2 blocks", "all"];
        let bytes = policies.map(|policy| plan(policy, precision).arena_bytes);
        assert!(bytes.windows(2).all(|w| w[0] > w[1]), "{bytes:?} in {precision}");
    }
}

#[test]
fn what_is_computed_again_is_the_same_program() {
    let [kept, again] = ["none", "all"].map(|policy| plan(policy, "fp32"));
    assert_ne!(kept.functions, again.functions);
    assert_eq!(kept.run, again.run, "a run goes on with another policy");
}
