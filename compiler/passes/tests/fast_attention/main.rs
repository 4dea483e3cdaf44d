//! Attention on tensor cores: assembled, run, and run with planted bugs.

#[path = "../../../ptx-builder/tests/instructions/assembler.rs"]
mod assembler;
mod bugs;
#[path = "../attention/case.rs"]
mod case;
#[path = "../../../codegen/tests/tensor/machine.rs"]
mod machine;
#[path = "../../../codegen/tests/tensor/plant.rs"]
mod plant;
mod problem;
mod reference;
mod shapes;

use codegen::ptx::Launch;
use exec::device::emulated::Report;
use ir::ops::attend::Attend;
use ir::schedule::attention::Pass;
use ir::types::Dtype;
use ptx_builder::{Module, Target, parse, verify};

use problem::{Problem, Stage};
use reference::{Reference, compare};

/// What is wrong with a launch.
#[derive(Debug, PartialEq)]
enum Wrong {
    /// The device says so.
    Report(Report),
    /// What it wrote.
    Results(String),
}

/// Runs a launch and compares.
fn check(stage: &Stage, problem: &Problem, launch: &Launch, target: Target) -> Result<(), Wrong> {
    let after = stage.run(launch, target).map_err(Wrong::Report)?;
    stage.only_results(&after).map_err(Wrong::Results)?;
    compare_all(stage, problem, &after).map_err(Wrong::Results)
}

fn compare_all(stage: &Stage, problem: &Problem, after: &problem::Buffers) -> Result<(), String> {
    let reference = Reference::new(stage, problem);
    if let Pass::Forward { finish, .. } = &stage.attention.pass {
        for (operand, arg, _) in stage.globals(finish) {
            let got = stage.finished(after, operand);
            let dtype = stage.schedule.buffers[arg.buffer.0 as usize].dtype;
            let (out, lse) = reference.forward(dtype);
            let is_lse = stage.kernels()[finish.kernel].operands[operand].col == 0;
            compare(if is_lse { "lse" } else { "out" }, &got, if is_lse { &lse } else { &out })?;
        }
        return Ok(());
    }
    let grads = reference.backward();
    for ((which, name), wanted) in [(4, "dq"), (5, "dk"), (6, "dv")].into_iter().zip(&grads) {
        compare(name, &stage.result(after, which), wanted)?;
    }
    Ok(())
}

/// Both passes are sound.
fn sound(problem: &Problem) {
    let stages = problem::stages(problem);
    assert_eq!(stages.len(), 2, "{problem:?}");
    for stage in &stages {
        let checked = check(stage, problem, &stage.launch(), Target::Sm80);
        checked.unwrap_or_else(|wrong| panic!("{problem:?}: {wrong:?}"));
    }
}

// In two tests, which run at the same time.
#[test]
fn passes_are_within_the_bounds_of_their_roundings() {
    shapes::all().iter().step_by(2).for_each(sound);
}

#[test]
fn passes_of_other_shapes_are_within_the_bounds_of_their_roundings() {
    shapes::all().iter().skip(1).step_by(2).for_each(sound);
}

#[test]
fn gradients_of_nothing_are_zero() {
    for length in [[0, 5], [5, 0]] {
        let sizes = shapes::sizes(length, [16, 32]);
        sound(&shapes::plain(Attend::all(0.4), sizes, Dtype::F16));
    }
}

#[test]
fn runs_have_equal_bits() {
    let (_, attend) = shapes::kinds()[1];
    let sizes = shapes::shared(shapes::sizes([90, 90], [32, 64]));
    for stage in problem::stages(&shapes::plain(attend, sizes, Dtype::Bf16)) {
        let run = || stage.run(&stage.launch(), Target::Sm90).expect("it is sound");
        let (first, second) = (run(), run());
        assert!(first.iter().zip(&second).all(|(x, y)| x.bytes == y.bytes));
    }
}

/// The number in front of some words.
fn number(said: &str, words: &str) -> Option<u64> {
    let (before, _) = said.split_once(words)?;
    before.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The text, which is read back equal.
fn text(launch: &Launch, target: Target) -> String {
    let module = Module { target, entries: vec![launch.entry.clone()] };
    assert_eq!(verify(&module), Vec::<String>::new());
    let text = module.to_string();
    assert_eq!(parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}")), module);
    text
}

/// Whole tiles and cut ones, with all masks; 64 and 128 on all targets, which the others take turns
/// with.
#[test]
fn every_width_is_assembled_without_spills() {
    let Some(assembler) = assembler::find() else { return };
    for (turn, width) in (16..=128).step_by(16).enumerate() {
        let kinds = shapes::kinds();
        for (length, (name, attend)) in [(1024, kinds[1]), (1000, kinds[turn]), (1000, kinds[8])] {
            let sizes = shapes::shared(shapes::sizes([length; 2], [width; 2]));
            for stage in problem::drafts(&shapes::plain(attend, sizes, Dtype::Bf16)) {
                let launch = stage.launch();
                let all =
                    if width % 64 == 0 { &Target::ALL[..] } else { &Target::ALL[turn % 5..][..1] };
                for &target in all {
                    assert!(launch.shared_bytes <= target.shared_bytes(), "{width}");
                    let said = assembler.assemble(&text(&launch, target), target.name());
                    let said = said.unwrap_or_else(|e| panic!("{e}"));
                    for what in ["bytes spill stores", "bytes spill loads"] {
                        let about = format!("{name} of {width}: {said}");
                        assert_eq!(number(&said, what), Some(0), "{about}");
                    }
                }
            }
        }
    }
}
