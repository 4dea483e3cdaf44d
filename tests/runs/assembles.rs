//! All code for GPUs assembles, with no register in memory and within shared memory.

#[path = "../../compiler/ptx-builder/tests/instructions/assembler.rs"]
mod assembler;

use std::collections::BTreeMap;

use codegen::ptx::Numerics;
use ir::graph::Module;
use passes::pipeline::{self, Scheduled};
use plan::{Code, Step};
use ptx_builder::{Entry, Target};

use crate::backend::n_cases;
use crate::backend::random::{Rounds, random_module};

/// Entries by their text, so that equal ones are assembled once.
type Entries = BTreeMap<String, Entry>;

fn add(code: &[Code], entries: &mut Entries) {
    for code in code {
        let module =
            ptx_builder::parse(&code.text).unwrap_or_else(|e| panic!("{e}\n{}", code.text));
        for entry in module.entries {
            let name = format!("e{}", entries.len());
            entries.entry(code.text.clone()).or_insert(Entry { name, ..entry });
        }
    }
}

/// Entries of one text: the assembler starts once for all of them.
const ENTRIES_OF_A_TEXT: usize = 100;

/// Assembles entries for a target.
fn assemble(entries: Entries, target: Target) {
    let Some(assembler) = assembler::find() else { return };
    let entries: Vec<Entry> = entries.into_values().collect();
    for entries in entries.chunks(ENTRIES_OF_A_TEXT) {
        let module = ptx_builder::Module { target, entries: entries.to_vec() };
        let said = assembler.assemble(&module.to_string(), target.name());
        said.unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn every_kernel_of_the_examples_is_assembled() {
    let examples = ["hello", "shakespeare", "custom_optimizer"];
    for target in Target::ALL {
        let mut entries = Entries::new();
        for name in examples {
            let path = format!("{}/examples/{name}.lt", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            let plan = crate::plans::compiled_on(&text, 256, target).plan;
            plan.each_step(|step| {
                if let Step::Launch { launch, .. } = step {
                    assert!(launch.shared_bytes <= target.shared_bytes(), "{name}: {launch:?}");
                }
            });
            add(&plan.code, &mut entries);
        }
        assert!(entries.len() > 50, "{} kernels", entries.len());
        assemble(entries, target);
    }
}

/// Each module for one target and in one mode, in turns; as many as `LLMC_CASES` asks for, for all
/// targets.
#[test]
#[allow(clippy::print_stderr, reason = "what was asked for is told how many kernels there were")]
fn kernels_of_random_modules_are_assembled() {
    let is_asked = std::env::var_os("LLMC_CASES").is_some();
    let n = n_cases(100);
    let of_target = |at: u64, target: Target| {
        let mut entries = Entries::new();
        for seed in (0..n).filter(|seed| is_asked || seed % 5 == at) {
            let numerics = if seed / 5 % 2 == 0 { Numerics::Fast } else { Numerics::Exact };
            add(&code(random_module(seed, Rounds::Any), target, numerics), &mut entries);
        }
        eprintln!("{}: {} kernels", target.name(), entries.len());
        assemble(entries, target);
    };
    std::thread::scope(|scope| {
        for (at, target) in (0..).zip(Target::ALL) {
            scope.spawn(move || of_target(at, target));
        }
    });
}

fn code(module: Module, sm: Target, numerics: Numerics) -> Vec<Code> {
    let target = pipeline::gpu(sm.name());
    let Scheduled { schedule, .. } = pipeline::schedule(module, &target, &mut |_, _| {});
    let (code, launches) = codegen::ptx::launches(&schedule, &target, sm, numerics);
    assert!(launches.iter().all(|launch| launch.shared_bytes <= sm.shared_bytes()));
    code
}
