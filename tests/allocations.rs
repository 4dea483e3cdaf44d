//! A step of training allocates nothing, on any thread.
//!
//! A binary of its own: the allocator that counts is the whole process's. A step is all that the
//! loop does between two reports: batches, `micro`, `update`, metrics, the line of the log, and
//! looking what is due; here also an evaluation. The first step is not counted, nor are saves;
//! norms of single tensors, where a spec measures them, come with their names and are not free.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::alloc::System;
use std::fs;
use std::path::{Path, PathBuf};

use data::Corpus;
use exec::executor::Options;
use exec::signal::Stop;
use exec::train::{Event, train};
use llmc::compile::{Compiled, compile};
use llmc::front::Front;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Steps of each run.
const STEPS: usize = 6;

/// Models and settings whose steps take different ways.
const CASES: [(&str, &str); 4] = [
    ("gpt(layers: 2, width: 64, heads: 4, drop: 10%)", "accumulate 2\nclip 1.0\nprecision fp32"),
    ("gpt(layers: 1, width: 32, heads: 2)", "precision bf16"),
    ("gpt(layers: 1, width: 32, heads: 2)", "precision fp16\noptimizer muon()"),
    ("gpt(layers: 2, width: 64, heads: 4)", "sample \"a\" every 100"),
];

/// The compiled spec and its data.
fn compiled(folder: &Path, model: &str, lines: &str) -> (Compiled, Corpus) {
    let text = format!(
        "model {model}\ndata text(\"text.txt\", tokenizer: bytes)\n\
         train {{\nbatch 8\ncontext 32\nlr 1e-3\nsteps {STEPS}\n{lines}\n}}\n"
    );
    let front = Front::parse("a.lt", &text, &[]);
    let (checked, data) = front.check_with_data(folder).unwrap();
    let program = checked.program.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    let (facts, corpus) = data.unwrap();
    (compile(&program, &front.map, Some(&facts)).unwrap(), corpus)
}

/// Allocations of each step but the first.
fn allocations(model: &str, lines: &str, threads: usize) -> Vec<usize> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("allocations");
    let run = folder.join("run");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&run).unwrap();
    let play = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/shakespeare.txt");
    fs::write(folder.join("text.txt"), &fs::read(play).unwrap()[..4096]).unwrap();
    let (mut compiled, corpus) = compiled(&folder, model, lines);
    compiled.plan.run.checkpoint = None;
    let mut totals = Vec::with_capacity(2 * STEPS);
    let mut report = |event: Event| {
        if matches!(event, Event::Step(_)) {
            let now = ALLOCATOR.stats();
            totals.push(now.allocations + now.reallocations);
        }
    };
    let options = Options::threads(threads);
    train(compiled.plan, &corpus, &run, &options, &Stop::default(), &mut report).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(totals.len(), STEPS);
    totals.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn steps_of_training_allocate_nothing() {
    for (model, lines) in CASES {
        for threads in [1, 3] {
            let counts = allocations(model, lines, threads);
            assert_eq!(counts, [0; STEPS - 1], "{model} {lines}, {threads} threads");
        }
    }
}
