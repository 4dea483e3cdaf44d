//! Products on tensor cores: what the assembler says, what they compute, what goes wrong with bugs.

#[path = "../../../ptx-builder/tests/instructions/assembler.rs"]
mod assembler;
mod bugs;
mod epilogues;
mod machine;
mod reference;
mod shapes;

use codegen::ptx::{Launch, tensor};
use ptx_builder::{Module, Target, parse};

use shapes::{Case, Random};

fn launch(case: &Case, target: Target) -> Launch {
    tensor::product(&case.product, case.types, case.aligned, &case.kernels, target, "product")
}

/// The text, which is read back equal.
fn text(launch: &Launch, target: Target) -> String {
    let module = Module { target, entries: vec![launch.entry.clone()] };
    let text = module.to_string();
    assert_eq!(parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}")), module);
    text
}

/// The number in front of some words.
fn number(said: &str, words: &str) -> Option<u64> {
    let (before, _) = said.split_once(words)?;
    before.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn every_tile_is_assembled_without_spills() {
    let Some(assembler) = assembler::find() else { return };
    for target in Target::ALL {
        for case in shapes::of_all_tiles().into_iter().chain(epilogues::all()) {
            let launch = launch(&case, target);
            assert!(launch.shared_bytes <= target.shared_bytes(), "{}", case.name);
            let said = assembler.assemble(&text(&launch, target), target.name());
            let said = said.unwrap_or_else(|e| panic!("{e}"));
            for what in ["bytes spill stores", "bytes spill loads"] {
                assert_eq!(number(&said, what), Some(0), "{}: {said}", case.name);
            }
        }
    }
}

#[test]
fn products_are_within_the_bound_of_their_sums() {
    let mut r = Random(1);
    for _ in 0..200 {
        let case = shapes::random(&mut r);
        let target = r.pick(&Target::ALL);
        let launch = launch(&case, target);
        let checked = reference::check(&case, &launch, target, &mut r);
        checked.unwrap_or_else(|wrong| panic!("{wrong:?}\n{}", case.name));
    }
}
