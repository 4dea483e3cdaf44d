//! Tasks on chunks of rows: against the whole tasks of the same graphs.

#[path = "tiled/apart.rs"]
mod apart;
#[path = "tiled/heads.rs"]
mod heads;
#[path = "scheduled/random.rs"]
#[allow(dead_code, reason = "only its generator of numbers is used here")]
mod random;

use std::collections::BTreeMap;

use diag::SourceMap;
use heads::random_head;
use ir::eval::kernel::Memory;
use ir::eval::schedule::{eval_schedule, memory};
use ir::eval::tensor::{Data, Tensor};
use ir::graph::Module;
use ir::schedule::{Pitch, Schedule, Target, Task, Tiling};
use ir::types::Dtype;
use passes::Training;
use passes::pipeline::{self, Scheduled};
use random::Rng;
use sema::Facts;

/// A GPT of 2 x 9 tokens over 11 ids.
const GPT: &str = "model gpt(layers: 1, width: 8, heads: 2)";

/// A head of its own with a bias, behind one layer.
const OWN_HEAD: &str = "\
layer own(vocab: int = data.vocab)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  emb  = embedding(vocab, 8)
  norm = layernorm(8)
  head = linear(8, vocab, bias: true)
  head(norm(emb(ids)))
}
model own()";

fn spec(model: &str, lines: &str) -> String {
    let data = "data text(\"text.txt\", tokenizer: chars)";
    format!("{model}\n{data}\ntrain {{\ncontext 9\nlr 0.5\nsteps 20\n{lines}\n}}\n")
}

/// Small pieces, so that small tensors are cut; chunks of so many bytes.
fn target(rows: u64, bytes: u64) -> Target {
    let tiling = Tiling { rows, bytes, above: 0 };
    let epilogue_cols = [2, 4];
    Target { column_block: 2, product_k_slice: 4, epilogue_cols, tiling, ..pipeline::cpu() }
}

/// A target that cuts nothing.
fn whole() -> Target {
    target(u64::MAX, u64::MAX)
}

fn compiled(text: &str, target: &Target) -> Scheduled {
    let mut map = SourceMap::new();
    let file = map.add("model.lt", text);
    let (spec, faults) = syntax::parse(&map, file);
    assert!(faults.is_empty(), "{faults:?}");
    let mut std = vec![];
    for source in stdlib::SOURCES {
        let file = map.add(source.name, source.text);
        std.push(syntax::parse(&map, file).0);
    }
    let std: Vec<_> = std.iter().collect();
    let facts = Facts { vocab: Some(11), ..Facts::default() };
    let (program, faults) =
        sema::check(&sema::Input::new("model", &spec, &std, &map), Some(&facts));
    let Some(program) = program else { panic!("{faults:?}") };
    let training = Training { program: &program, map: &map };
    pipeline::run(&training, target, &mut |_, _| {}).expect("the spec compiles")
}

/// The loops of a function.
fn loops<'s>(schedule: &'s Schedule, function: &str) -> Vec<&'s Task> {
    let function = schedule.functions.iter().find(|f| f.name == function);
    let function = function.expect("the function is there");
    function.tasks.iter().filter(|task| matches!(task, Task::Tiles { .. })).collect()
}

/// States by name after some functions, from the same random ones; temporaries hold odd numbers.
fn run(schedule: &Schedule, target: &Target, functions: &[&str]) -> BTreeMap<String, Data> {
    let mut held = start(schedule);
    for function in functions {
        assert!(eval_schedule(schedule, target, function, &mut held), "no function {function}");
    }
    let states = schedule.buffers.iter().zip(held.0).filter(|(b, _)| b.role.is_some());
    states.map(|(buffer, data)| (buffer.name.clone(), data)).collect()
}

fn start(schedule: &Schedule) -> Memory {
    let mut held = memory(schedule);
    for (buffer, data) in schedule.buffers.iter().zip(&mut held.0) {
        let seed = buffer.name.bytes().fold(7, |n: u64, b| n.wrapping_mul(31) + u64::from(b));
        let mut rng = Rng(seed);
        let n = buffer.shape.iter().product::<u64>();
        let number = |_| match (buffer.role, buffer.dtype) {
            (None, _) => f64::NAN,
            (_, Dtype::I32) => rng.below(12) as f64 - 1.0,
            _ => rng.below(2001) as f64 / 1000.0 - 1.0,
        };
        let numbers: Vec<f64> = (0..n).map(number).collect();
        let ty = ir::types::Type::new(buffer.dtype, buffer.shape.clone());
        *data = Tensor::from_numbers(ty, &numbers).data;
    }
    held
}

const FUNCTIONS: [&str; 3] = ["refresh", "micro", "eval"];

fn functions(schedule: &Schedule) -> Vec<&'static str> {
    let is_there = |f: &&str| schedule.functions.iter().any(|function| function.name == *f);
    FUNCTIONS.into_iter().filter(is_there).collect()
}

/// The specs whose heads are cut.
fn specs() -> Vec<String> {
    let more = [
        "batch 2",
        "batch 2\nlabel_smoothing 0.1",
        "batch 2\nprecision bf16",
        "batch 2\nprecision fp16",
        "batch 4\naccumulate 2",
    ];
    let mut all: Vec<String> = more.map(|lines| spec(GPT, lines)).into();
    all.extend(
        ["batch 2", "batch 2\nlabel_smoothing 0.2\nprecision bf16"]
            .map(|lines| spec(OWN_HEAD, lines)),
    );
    all
}

#[test]
fn chunks_of_whole_slices_have_the_bits_of_whole_tasks() {
    for text in specs() {
        let plain = compiled(&text, &whole());
        assert!(loops(&plain.schedule, "micro").is_empty());
        let functions = functions(&plain.schedule);
        let wanted = run(&plain.schedule, &whole(), &functions);
        // 18 rows: with a rest, without one, and once.
        for rows in [4, 8, 12, 16] {
            let target = target(rows, u64::MAX);
            let tiled = compiled(&text, &target);
            for function in ["micro", "eval"] {
                let n = loops(&tiled.schedule, function).len();
                assert_eq!(n, 1, "{text}\n{function}: {:?}", tiled.notes);
            }
            let got = run(&tiled.schedule, &target, &functions);
            for (name, data) in &wanted {
                assert_eq!(got[name], *data, "{name}, chunks of {rows}:\n{text}");
            }
        }
    }
}

#[test]
fn random_functions_have_the_bits_of_whole_tasks() {
    let n = std::env::var("LLMC_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let (mut n_tiled, mut n_mixed) = (0, 0);
    for seed in 0..n {
        let module = random_head(seed);
        ir::verify::verify(&module).expect("random heads are sound");
        let schedule = |target: &Target| pipeline::schedule(module.clone(), target, &mut |_, _| {});
        let plain = schedule(&whole()).schedule;
        let wanted = run(&plain, &whole(), &["f"]);
        for rows in [4, 8] {
            let target = target(rows, u64::MAX);
            let tiled = schedule(&target);
            let n_loops = loops(&tiled.schedule, "f").len();
            n_tiled += n_loops;
            n_mixed += tiled.notes.len() - n_loops;
            let got = run(&tiled.schedule, &target, &["f"]);
            for (name, data) in &wanted {
                assert_eq!(got[name], *data, "{name}, seed {seed}, chunks of {rows}");
            }
        }
    }
    assert!(n_tiled as u64 > n, "{n_tiled} loops in {n} functions, twice each");
    assert!(n_mixed > 0, "some functions mix rows");
}

#[test]
fn longer_rows_of_temporaries_change_no_bit() {
    let pitch = Pitch { bytes: 16, above: 0 };
    let mut n_longer = 0;
    let mut check = |about: &str, schedule: &dyn Fn(&Target) -> Schedule, functions: &[&str]| {
        for target in [whole(), target(4, u64::MAX), target(8, 99)] {
            let plain = schedule(&target);
            let wanted = run(&plain, &target, functions);
            let longer = schedule(&Target { pitch, ..target.clone() });
            n_longer += u64::from(longer.buffers != plain.buffers);
            let got = run(&longer, &target, functions);
            for (name, data) in &wanted {
                assert_eq!(got[name], *data, "{name}, {about}");
            }
        }
    };
    for text in specs() {
        let schedule = |target: &Target| compiled(&text, target).schedule;
        check(&text, &schedule, &functions(&schedule(&whole())));
    }
    for seed in 0..100 {
        let module = random_head(seed);
        let schedule =
            |target: &Target| pipeline::schedule(module.clone(), target, &mut |_, _| {}).schedule;
        check(&format!("seed {seed}"), &schedule, &["f"]);
    }
    assert!(n_longer > 200, "{n_longer} of 321 schedules have longer rows");
}

#[test]
fn products_for_gpus_read_rows_that_start_at_16_bytes() {
    let model = "model gpt(layers: 1, width: 64, heads: 2, vocab: 50257)";
    let text = spec(model, "batch 2\nprecision bf16").replace("context 9", "context 2048");
    let schedule = compiled(&text, &pipeline::gpu("sm_90")).schedule;
    let [Task::Tiles { body, .. }] = loops(&schedule, "micro")[..] else { panic!("one loop") };
    let products = body.iter().filter_map(|task| match task {
        Task::Product { product, .. } => Some(product),
        Task::Kernel { .. } | Task::Attention { .. } | Task::Sort { .. } | Task::Tiles { .. } => {
            None
        }
    });
    let strides: Vec<_> = products.flat_map(|p| [p.a_strides, p.b_strides, p.c_strides]).collect();
    assert!(strides.as_flattened().contains(&50264), "{strides:?}");
    assert!(!strides.as_flattened().contains(&50257), "{strides:?}");
}

/// Checks that a function has the bits of whole tasks; what was done in chunks of 4 and of 8 rows.
fn has_the_bits_of_whole_tasks(about: &str, module: &Module) -> Vec<String> {
    ir::verify::verify(module).expect("the function is sound");
    let schedule = |target: &Target| pipeline::schedule(module.clone(), target, &mut |_, _| {});
    let wanted = run(&schedule(&whole()).schedule, &whole(), &["f"]);
    let mut notes = vec![];
    for rows in [4, 8] {
        let target = target(rows, u64::MAX);
        let tiled = schedule(&target);
        let got = run(&tiled.schedule, &target, &["f"]);
        for (name, data) in &wanted {
            assert_eq!(got[name], *data, "{about}, {name}, chunks of {rows}: {:?}", tiled.notes);
        }
        notes.extend(tiled.notes);
    }
    assert!(notes.len() >= 2, "{about}: rows were worth cutting, {notes:?}");
    notes
}

#[test]
fn a_product_of_rows_with_all_rows_stays_whole() {
    let notes = has_the_bits_of_whole_tasks("rows by rows", &apart::rows_by_rows());
    assert!(notes.iter().all(|note| note.contains("stays whole")), "{notes:?}");
}

#[test]
fn what_two_tasks_walk_apart_is_not_cut_for_both() {
    has_the_bits_of_whole_tasks("rows and columns", &apart::rows_and_columns());
}

#[test]
fn a_sum_over_the_rows_is_complete_before_it_is_read() {
    has_the_bits_of_whole_tasks("a sum", &apart::sum_read_by_row());
}

#[test]
fn rows_in_a_chunk_keep_their_numbers() {
    for (about, module) in apart::numbered_rows() {
        has_the_bits_of_whole_tasks(about, &module);
    }
}

#[test]
fn shorter_chunks_change_the_order_of_sums_only() {
    for text in specs() {
        let plain = compiled(&text, &whole());
        let functions = functions(&plain.schedule);
        let wanted = run(&plain.schedule, &whole(), &functions);
        // Two rows of 11 numbers; the slices of products are four.
        let target = target(8, 99);
        let tiled = compiled(&text, &target);
        let [Task::Tiles { count: 9, .. }] = loops(&tiled.schedule, "micro")[..] else {
            panic!("{:?}", tiled.notes)
        };
        let got = run(&tiled.schedule, &target, &functions);
        let mut n_other = 0;
        for (name, data) in &wanted {
            let (wanted, got) = (data.numbers(), got[name].numbers());
            n_other += usize::from(wanted != got);
            let top = wanted.iter().fold(0f64, |top, x| top.max(x.abs()));
            for (w, g) in wanted.iter().zip(&got) {
                assert!((w - g).abs() <= 1e-5 * top, "{name} is {g}, not {w}:\n{text}");
            }
            assert!(wanted == got || name.contains("grad"), "{name}:\n{text}");
        }
        // Few products of 16 bits add up in f32 without being rounded.
        let is_exact = text.contains("precision");
        assert!(n_other > 0 || is_exact, "the sums of the head's gradient are cut elsewhere");
    }
}

#[test]
fn what_is_small_or_reduced_by_nobody_stays_whole() {
    let text = spec(GPT, "batch 2");
    let tiling = Tiling { rows: 4, bytes: u64::MAX, above: 18 * 11 * 4 };
    let tiled = compiled(&text, &Target { tiling, ..whole() });
    // The products of attention and of the MLP are above the bound of the next case.
    assert!(loops(&tiled.schedule, "micro").is_empty() && tiled.notes.is_empty());
    let tiling = Tiling { above: 18 * 11 * 4 - 1, ..tiling };
    let tiled = compiled(&text, &Target { tiling, ..whole() });
    assert_eq!(loops(&tiled.schedule, "micro").len(), 1, "{:?}", tiled.notes);
}

#[test]
fn the_arena_is_smaller_by_the_logits_and_their_gradient() {
    let model = "model gpt(layers: 1, width: 32, heads: 2, vocab: 50257)";
    let text = spec(model, "batch 2").replace("context 9", "context 1024");
    let tiling = Tiling { above: u64::MAX, ..Tiling::default() };
    let whole = compiled(&text, &Target { tiling, ..pipeline::cpu() });
    let tiled = compiled(&text, &pipeline::cpu());
    let logits = 2048 * 50257 * 4;
    let saved = whole.memory.bytes - tiled.memory.bytes;
    // Of both, and of what is between them, one chunk of 128 rows is left.
    assert!(saved > 2 * logits - 4 * logits / 16, "{saved} bytes");
}

#[test]
fn the_logits_that_prefill_leaves_are_one_row() {
    for text in [spec(GPT, "batch 2"), spec(OWN_HEAD, "batch 2\nprecision bf16")] {
        let prefill = &compiled(&text, &whole());
        let products = prefill.schedule.functions.iter().filter(|f| f.name == "prefill");
        let rows: Vec<u64> = products
            .flat_map(|f| &f.tasks)
            .filter_map(|task| match task {
                Task::Product { product, .. } if product.n == 11 => Some(product.m),
                Task::Kernel { .. }
                | Task::Product { .. }
                | Task::Attention { .. }
                | Task::Sort { .. }
                | Task::Tiles { .. } => None,
            })
            .collect();
        assert_eq!(rows, [1], "{text}");
    }
}
