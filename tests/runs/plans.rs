//! Plans of whole specs: every function against the interpreter, and no value over another.

use std::collections::BTreeMap;

use exec::executor::{Executor, Options};
use llmc::Front;
use llmc::compile::{BackEnd, Compiled, compile_within};
use passes::fit::Room;
use passes::pipeline;
use plan::{Arg, Plan, Role, Step};
use sema::Facts;

use crate::backend::{Pair, Silent, written};
use crate::folder::{dropout, gpt, own};

/// The plan of a spec for data of bytes, of which nothing is read.
pub(crate) fn compiled(text: &str) -> Compiled {
    compiled_for(text, 256)
}

/// The plan of a spec for data of so many ids, of which nothing is read.
pub(crate) fn compiled_for(text: &str, vocab: u64) -> Compiled {
    with(text, vocab, BackEnd::Cpu)
}

/// The plan for a GPU.
pub(crate) fn compiled_on(text: &str, vocab: u64, target: ptx_builder::Target) -> Compiled {
    with(text, vocab, BackEnd::Gpu(target))
}

fn with(text: &str, vocab: u64, back_end: BackEnd) -> Compiled {
    let front = Front::parse("spec.lt", text, &[]);
    let tokens = ["train", "val"].map(|split| (split.to_owned(), 1 << 16)).to_vec();
    let facts = Facts { vocab: Some(vocab), tokens, ..Facts::default() };
    let checked = front.check(Some(&facts));
    let program = checked.program.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    let (facts, room) = (Some(&facts), Room::UNBOUNDED);
    compile_within(&program, &front.map, facts, room, back_end).unwrap_or_else(|d| panic!("{d:?}"))
}

/// The spec of the examples at a size that the interpreter is done with soon.
fn hello() -> String {
    include_str!("../../examples/hello.lt")
        .replace("layers: 2, width: 128, heads: 4", "layers: 2, width: 12, heads: 3")
        .replace("batch   16", "batch 3")
        .replace("context 64", "context 7")
}

/// A rate that evaluations lower, and all that can be measured.
const MEASURED: &str = "steps 9\nschedule plateau(factor: 0.5, patience: 1)\nmetric grad_norms, noise_scale\neval every 3";

fn specs() -> [(&'static str, String); 4] {
    let small = |spec: String| spec.replace("context 16", "context 6");
    [
        ("hello", hello()),
        ("gpt", small(gpt("steps 9\nclip 0.1 linf\nema 0.9"))),
        ("dropout", small(dropout(MEASURED))),
        ("own", small(own("steps 9"))),
    ]
}

/// Every spec in every precision.
fn specs_in_all_precisions() -> Vec<(String, String)> {
    let lines =
        ["precision fp32", "precision bf16", "precision fp16", "precision bf16 master bf16"];
    let specs = specs();
    let each = specs.iter().flat_map(|(name, text)| {
        lines.map(|line| {
            let text = text.replace("train {", &format!("train {{\n{line}"));
            (format!("{name} with {line}"), text)
        })
    });
    each.collect()
}

/// A made-up id, at times none.
fn token(seed: usize, i: usize, below: i32) -> u64 {
    let bits = data::rng::mix((seed * 1000 + i) as u64) as i32;
    let id = bits.rem_euclid(256 - below) + below;
    u64::from(id as u32)
}

/// Sets every input that a function reads.
fn feed(pair: &mut Pair<'_>, plan: &Plan, round: usize) {
    for (at, buffer) in plan.buffers.iter().enumerate() {
        match buffer.name.as_str() {
            "ids" | "eval.ids" | "prefill.ids" | "decode.id" => {
                pair.set(at, |i| token(round, i, 0))
            }
            "targets" | "eval.targets" => pair.set(at, |i| token(round, i, -1)),
            "row" => pair.set(at, |_| round as u64),
            "prefill.last" => pair.set(at, |_| 2),
            "decode.position" => pair.set(at, |_| 3),
            "seed" => pair.set(at, |_| 5),
            "val_loss" => pair.set(at, |_| 2.5f64.to_bits()),
            _ => {}
        }
    }
}

/// Loads the plan as it is and copies the states of the other side into it.
fn whole(pair: &Pair<'_>, plan: &Plan) -> Executor {
    let mut whole = Executor::load(plan.clone(), &Options::threads(2)).unwrap();
    for (at, buffer) in (0u32..).zip(&plan.buffers) {
        let id = plan::BufferId(at);
        if buffer.role != Role::Temp {
            let bytes = pair.executor.memory().bytes(id).to_vec();
            whole.memory_mut().bytes_mut(id).copy_from_slice(&bytes);
        }
    }
    whole
}

#[test]
fn every_function_agrees_with_the_interpreter() {
    let target = pipeline::cpu();
    for (name, text) in specs_in_all_precisions() {
        let compiled = compiled(&text);
        let (schedule, plan) = (&compiled.scheduled.schedule, &compiled.plan);
        let mut pair = Pair::new(schedule, &target, plan.clone(), 2);
        // The second plateau is an evaluation without an improvement.
        let functions = [
            "init", "refresh", "micro", "micro", "update", "eval", "plateau", "micro", "micro",
            "update", "plateau", "prefill", "decode",
        ];
        let is_there = |f: &&str| compiled.plan.function(f).is_some();
        for (round, function) in functions.into_iter().filter(is_there).enumerate() {
            match function {
                "decode" => pair.spoil_temporaries_but_caches(),
                _ => pair.spoil_temporaries(),
            }
            feed(&mut pair, plan, round);
            let mut whole = whole(&pair, plan);
            pair.run(function);
            pair.states_are_equal(&format!("{function} of {name}"));
            whole.call(plan.function(function).unwrap(), &mut Silent).unwrap();
            let has_caches = takes_tokens_one_by_one(function);
            if has_caches {
                pair.caches_are_equal(&format!("{function} of {name}"));
            }
            let stays =
                |b: &plan::Buffer| b.role != Role::Temp && (has_caches || b.role != Role::Cache);
            for (at, buffer) in (0u32..).zip(&plan.buffers).filter(|(_, b)| stays(b)) {
                let id = plan::BufferId(at);
                let equal = whole.memory().bytes(id) == pair.executor.memory().bytes(id);
                assert!(equal, "{} after {function} of {name} as a whole", buffer.name);
            }
        }
    }
}

/// A buffer and the steps of a function between which its content is needed.
#[derive(Debug, Clone, Copy)]
struct Life {
    buffer: usize,
    first: usize,
    last: usize,
}

/// The steps of a function as the executor meets them, without what it calls.
fn touched(steps: &[Step]) -> Vec<Vec<Arg>> {
    let mut all = vec![];
    for step in steps {
        match step {
            Step::Kernel { args, .. } => all.push(args.clone()),
            Step::Product { product: p, .. } => all.push(p.args().collect()),
            Step::Attention { attention, .. } => all.push(attention.args().collect()),
            Step::Launch { launch, .. } => all.push(launch.places().collect()),
            Step::Sort { ids, order, starts, .. } => all.push(vec![*ids, *order, *starts]),
            Step::Loop { body, .. } | Step::Tiles { body, .. } => all.extend(touched(body)),
            Step::Call(_) | Step::Yield(_) => all.push(vec![]),
        }
    }
    all
}

fn lives(plan: &Plan, steps: &[Step]) -> Vec<Life> {
    let mut lives: BTreeMap<usize, Life> = BTreeMap::new();
    for (at, args) in touched(steps).iter().enumerate() {
        for arg in args {
            let buffer = arg.buffer.0 as usize;
            if plan.buffers[buffer].role == Role::Temp {
                let new = Life { buffer, first: at, last: at };
                lives.entry(buffer).or_insert(new).last = at;
            }
        }
    }
    lives.into_values().collect()
}

fn overlap(plan: &Plan, a: usize, b: usize) -> bool {
    let (a, b) = (&plan.buffers[a], &plan.buffers[b]);
    a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes
}

fn takes_tokens_one_by_one(function: &str) -> bool {
    matches!(function, "prefill" | "decode")
}

#[test]
fn no_two_values_share_a_place_while_both_are_needed() {
    let large = gpt("steps 9\naccumulate 2").replace("layers: 1", "layers: 3");
    for (name, text) in specs().into_iter().chain([("large", large)]) {
        let plan = compiled(&text).plan;
        let is_state =
            |&b: &usize| plan.buffers[b].role != Role::Temp && plan.buffers[b].within.is_none();
        let states: Vec<usize> = (0..plan.buffers.len()).filter(is_state).collect();
        for (i, &a) in states.iter().enumerate() {
            let free = states[..i].iter().all(|&b| !overlap(&plan, a, b));
            assert!(free, "{name}: {} lies over another state", plan.buffers[a].name);
        }
        let mut shared = 0;
        for function in &plan.functions {
            let lives = lives(&plan, &function.steps);
            // Where a function has no caches, their place is that of its temporaries.
            let has_caches = takes_tokens_one_by_one(&function.name);
            let is_kept = |&&b: &&usize| has_caches || plan.buffers[b].role != Role::Cache;
            let kept: Vec<usize> = states.iter().filter(is_kept).copied().collect();
            for (i, a) in lives.iter().enumerate() {
                let over_state = kept.iter().find(|&&b| overlap(&plan, a.buffer, b));
                assert_eq!(over_state, None, "{name}: {}", plan.buffers[a.buffer].name);
                for b in &lives[..i] {
                    let both = a.first <= b.last && b.first <= a.last;
                    let over = overlap(&plan, a.buffer, b.buffer);
                    assert!(!(both && over), "{name}, {}: {a:?} and {b:?}", function.name);
                    shared += u64::from(over);
                }
            }
        }
        assert!(shared > 0, "{name}: the arena is shared at all");
    }
}

#[test]
fn a_temporary_is_written_before_it_is_read() {
    for (name, text) in specs() {
        let compiled = compiled(&text);
        let schedule = &compiled.scheduled.schedule;
        for function in &schedule.functions {
            let plan = &compiled.plan[compiled.plan.function(&function.name).unwrap()];
            for life in lives(&compiled.plan, &plan.steps) {
                let first = written(schedule, &function.tasks[life.first]);
                let buffer = &schedule.buffers[life.buffer].name;
                assert!(first.contains(&life.buffer), "{name}, {}: {buffer}", function.name);
            }
        }
    }
}
