//! Random graphs through all passes: scheduled kernels give what the graphs mean.

#[path = "scheduled/random.rs"]
mod random;

use std::collections::BTreeMap;

use ir::builder::Builder;
use ir::eval::graph::{Precision, eval_graph};
use ir::eval::schedule::{eval_schedule, memory};
use ir::eval::tensor::{Data, Tensor};
use ir::graph::{Graph, Module, Role, State};
use ir::kernel::Inst;
use ir::schedule::{Buffer, Schedule, Target, Task};
use ir::types::{Dtype, Type};
use passes::pipeline::{self, Scheduled, Stage};
use random::{Rng, Rounds, fill, inputs, random_module};

fn run_case(seed: u64) {
    let module = random_module(seed, Rounds::Exact);
    ir::verify::verify(&module).expect("random modules are sound");
    let mut rng = Rng(seed ^ 0xabcd);
    let before: BTreeMap<String, Tensor> =
        module.states.iter().map(|s| (s.name.clone(), fill(s, &mut rng))).collect();
    let mut target = pipeline::cpu();
    (target.column_block, target.epilogue_cols) = (3, [2, 4]);
    target.score_tile = [16, 16];
    // Which roundings there are is settled by a pass; what is left is what the graph means.
    let mut meant = None;
    let mut observe = |name: &str, stage: Stage<'_>| {
        if let (Stage::Graph(module), "round_once") = (stage, name) {
            meant = Some(module.clone());
        }
    };
    let Scheduled { schedule, memory: arena, .. } =
        pipeline::schedule(module, &target, &mut observe);
    let meant = meant.expect("the pass is observed");
    let mut wanted = before.clone();
    eval_graph(&meant, "f", &mut wanted, Precision::AsTyped).expect("all states are there");
    let mut held = memory(&schedule);
    for (buffer, data) in schedule.buffers.iter().zip(&mut held.0) {
        if buffer.role.is_some() {
            *data = before[&buffer.name].data.clone();
        }
    }
    assert!(eval_schedule(&schedule, &target, "f", &mut held));
    for (buffer, data) in schedule.buffers.iter().zip(&held.0) {
        if buffer.role.is_some() {
            close(seed, &buffer.name, &data.numbers(), &wanted[&buffer.name].numbers());
        }
    }
    assert!(arena.bytes > 0);
}

fn close(seed: u64, name: &str, got: &[f64], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len());
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        let both_odd = !g.is_finite() && (g.to_bits() == w.to_bits() || (g.is_nan() && w.is_nan()));
        let near = (g - w).abs() <= 2e-4 * w.abs().max(1.0);
        assert!(both_odd || near, "seed {seed}: {name}[{i}] is {g}, the graph means {w}");
    }
}

/// How many random modules a test takes: as many as `LLMC_CASES` says.
fn n_cases(usual: u64) -> u64 {
    std::env::var("LLMC_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[test]
fn scheduled_kernels_mean_what_the_graph_means() {
    for seed in 0..n_cases(400) {
        run_case(seed);
    }
}

/// What a schedule leaves in each state, from states that the seed fills.
fn left(schedule: &Schedule, target: &Target, states: &[State], seed: u64) -> Vec<Data> {
    let mut held = memory(schedule);
    let mut rng = Rng(seed ^ 0xabcd);
    for (state, data) in states.iter().zip(&mut held.0) {
        *data = fill(state, &mut rng).data;
    }
    assert!(eval_schedule(schedule, target, "f", &mut held));
    held.0.truncate(states.len());
    held.0
}

/// Bits, so that -0 is not 0 and a NaN equals itself.
fn bits(data: &Data) -> Vec<u64> {
    (0..data.len()).map(|at| data.bits(at)).collect()
}

/// What there was to fuse.
#[derive(Default)]
struct Fused {
    /// Modules with an epilogue, with one that reduces, with one beside a stored result.
    modules: [u64; 3],
    tasks: [usize; 2],
}

impl Fused {
    fn count(&mut self, fused: &Schedule, apart: &Schedule) {
        let all = || {
            fused.functions[0].tasks.iter().filter_map(|task| match task {
                Task::Product { product, .. } => product.epilogue.as_ref().map(|e| (product, e)),
                Task::Kernel { .. }
                | Task::Sort { .. }
                | Task::Attention { .. }
                | Task::Tiles { .. } => None,
            })
        };
        let reduces = |kernel: usize| {
            fused.kernels[kernel].body.iter().any(|inst| matches!(inst, Inst::Reduce { .. }))
        };
        let found = [
            all().next().is_some(),
            all().any(|(_, epilogue)| reduces(epilogue.kernel)),
            all().any(|(product, _)| product.c.is_some()),
        ];
        for (n, found) in self.modules.iter_mut().zip(found) {
            *n += u64::from(found);
        }
        for (n, schedule) in self.tasks.iter_mut().zip([fused, apart]) {
            *n += schedule.functions[0].tasks.len();
        }
    }
}

/// The same module with every node in a kernel of its own, and nothing behind a product.
#[test]
fn fusion_changes_no_bit() {
    let n = n_cases(2000);
    let mut found = Fused::default();
    for seed in 0..n {
        let module = random_module(seed, Rounds::Any);
        let states = module.states.clone();
        let mut target = pipeline::cpu();
        (target.column_block, target.product_k_slice, target.epilogue_cols) = (3, 4, [2, 4]);
        let apart = Target { kernel_nodes: 1, epilogue_cols: [1, 0], ..target.clone() };
        let [fused, apart] = [target, apart].map(|target| {
            let scheduled = pipeline::schedule(module.clone(), &target, &mut |_, _| {});
            (left(&scheduled.schedule, &target, &states, seed), scheduled.schedule)
        });
        for ((state, fused), apart) in states.iter().zip(&fused.0).zip(&apart.0) {
            assert!(bits(fused) == bits(apart), "seed {seed}: {}", state.name);
        }
        found.count(&fused.1, &apart.1);
    }
    let [fused, apart] = found.tasks;
    assert!(3 * fused < 2 * apart, "{fused} of {apart} tasks are left");
    for n_modules in found.modules {
        assert!(n_modules >= n / 20, "{:?} of {n}", found.modules);
    }
}

/// A stored value that replaces a state must not be seen by readers of the old one.
#[test]
fn a_swap_of_states_reads_the_old_values() {
    let mut b = Builder::new("f");
    let ty = Type::new(Dtype::F32, [3, 4, 6]);
    let x = b.state("x", ty.clone());
    let y = b.state("y", ty);
    let neg = b.neg(x);
    b.store("y", neg);
    b.store("x", y);
    let graph: Graph = b.finish();
    let module = Module { states: inputs(), functions: vec![graph], origins: vec![String::new()] };
    let target = pipeline::cpu();
    let Scheduled { schedule, .. } = pipeline::schedule(module, &target, &mut |_, _| {});
    let mut held = memory(&schedule);
    let fill = |held: &mut ir::eval::kernel::Memory, at: usize, value: f64| {
        let ty = Type::new(Dtype::F32, [3, 4, 6]);
        held.0[at] = Tensor::from_numbers(ty, &[value; 72]).data;
    };
    fill(&mut held, 0, 1.0);
    fill(&mut held, 1, 2.0);
    assert!(eval_schedule(&schedule, &target, "f", &mut held));
    assert_eq!((held.0[0].number(5), held.0[1].number(5)), (2.0, -1.0));
}

/// A function and what its gradient reads of it, with products between them.
#[test]
fn what_is_cheap_is_computed_again_and_what_is_long_is_kept() {
    let mut b = Builder::new("f");
    let ty = Type::new(Dtype::F32, [8, 8]);
    let (x, w) = (b.state("x", ty.clone()), b.state("w", ty.clone()));
    let h = b.dot(x, w);
    let half = b.full_like(0.5, h);
    let (scaled, t) = (b.mul(h, half), b.tanh(h));
    let one = b.full_like(1.0, t);
    let raised = b.add(one, t);
    let out = b.mul(scaled, raised);
    let g = b.dot(out, w);
    let square = b.mul(t, t);
    let slope = b.sub(one, square);
    let (left, right) = (b.mul(g, raised), b.mul(g, scaled));
    let right = b.mul(right, slope);
    let back = b.add(left, right);
    b.store("x", back);
    let state = |name: &str| State {
        name: name.to_owned(),
        ty: ty.clone(),
        role: Role::Param,
        within: None,
    };
    let states = vec![state("x"), state("w")];
    let module = Module { states, functions: vec![b.finish()], origins: vec![String::new()] };
    let target = pipeline::cpu();
    let Scheduled { schedule, module, .. } = pipeline::schedule(module, &target, &mut |_, _| {});
    let name = |b: &Buffer| b.name.strip_prefix("f.v").and_then(|v| v.parse::<usize>().ok());
    let kept = schedule.buffers.iter().filter_map(name);
    let kept: Vec<&str> = kept.map(|at| module.functions[0].nodes[at].op.name()).collect();
    assert_eq!(kept, ["mul", "tanh", "mul"]);
}

/// `out = cast.f16(x . y)`, and the product itself when it is kept.
fn rounded_product(keeps: bool) -> Module {
    let (x, y) = (Type::new(Dtype::Bf16, [2, 9, 40]), Type::new(Dtype::Bf16, [2, 40, 7]));
    let mut b = Builder::new("f");
    let (left, right) = (b.state("x", x.clone()), b.state("y", y.clone()));
    let product = b.dot(left, right);
    let rounded = b.cast(product, Dtype::F16);
    b.store("out", rounded);
    let result = |dtype| Type::new(dtype, [2, 9, 7]);
    let mut states = vec![("x", x), ("y", y), ("out", result(Dtype::F16))];
    if keeps {
        b.store("sum", product);
        states.push(("sum", result(Dtype::F32)));
    }
    let state = |(name, ty): (&str, Type)| State {
        name: name.to_owned(),
        ty,
        role: Role::Param,
        within: None,
    };
    let states = states.into_iter().map(state).collect();
    Module { states, functions: vec![b.finish()], origins: vec![String::new()] }
}

/// Integers whose sums f32 holds and f16 does not, so that graph and schedule agree to the bit.
#[test]
fn a_product_that_only_a_cast_reads_is_rounded_where_it_is_written() {
    for keeps in [false, true] {
        let module = rounded_product(keeps);
        ir::verify::verify(&module).expect("the module is sound");
        let mut rng = Rng(7);
        let whole = |s: &State, rng: &mut Rng| {
            let numbers: Vec<f64> = (0..s.ty.len()).map(|_| rng.below(99) as f64 - 49.0).collect();
            (s.name.clone(), Tensor::from_numbers(s.ty.clone(), &numbers))
        };
        let mut wanted: BTreeMap<String, Tensor> =
            module.states.iter().map(|s| whole(s, &mut rng)).collect();
        let target = pipeline::cpu();
        let Scheduled { schedule, .. } =
            pipeline::schedule(module.clone(), &target, &mut |_, _| {});
        let tasks = &schedule.functions[0].tasks;
        let [Task::Product { product, .. }] = &tasks[..] else { panic!("{tasks:#?}") };
        assert_eq!(product.epilogue.is_some(), keeps);
        let mut held = memory(&schedule);
        for (buffer, data) in schedule.buffers.iter().zip(&mut held.0) {
            if buffer.role.is_some() {
                *data = wanted[&buffer.name].data.clone();
            }
        }
        assert!(eval_schedule(&schedule, &target, "f", &mut held));
        eval_graph(&module, "f", &mut wanted, Precision::AsTyped).expect("all states are there");
        for (buffer, data) in schedule.buffers.iter().zip(&held.0) {
            if buffer.role.is_some() {
                assert_eq!(*data, wanted[&buffer.name].data, "{}", buffer.name);
            }
        }
        let sums = wanted.get("sum").map_or(vec![], Tensor::numbers);
        assert!(!keeps || sums.iter().any(|x| x.abs() > 2048.0 && x % 2.0 != 0.0));
    }
}
