//! Products as PTX: what the assembler says, and the bits of the emulated device.

#[path = "../../../ptx-builder/tests/instructions/assembler.rs"]
mod assembler;
mod machine;
mod products;
#[path = "../kernels/random.rs"]
#[allow(dead_code, reason = "the generator of the other tests makes kernels too")]
mod random;

use codegen::ptx::Launch;
use ir::schedule::Adds;
use ptx_builder::{Module, Target, parse, verify};

/// The text of a launch for a target, after what the builder's own verifier says.
fn text(launch: &Launch, target: Target) -> String {
    let module = Module { target, entries: vec![launch.entry.clone()] };
    assert_eq!(verify(&module), Vec::<String>::new());
    let text = module.to_string();
    assert!(parse(&text).is_ok_and(|again| again == module), "the text comes back");
    text
}

/// Assembles for all targets; no register lies in memory.
fn assemble(about: &str, launch: &Launch) {
    let Some(assembler) = assembler::find() else { return };
    for target in Target::ALL {
        assert!(launch.shared_bytes <= target.shared_bytes(), "{about}: {}", launch.shared_bytes);
        let text = text(launch, target);
        let said = assembler.assemble(&text, target.name()).unwrap_or_else(|e| panic!("{e}"));
        let is_spilled = said.contains("spill") && !said.contains(" 0 bytes spill stores");
        assert!(!is_spilled, "{about}, {}: {said}", target.name());
    }
}

#[test]
fn products_are_assembled_without_spills() {
    for (about, case) in products::named() {
        assemble(&about, &case.launch());
    }
}

#[test]
fn the_text_of_a_product_does_not_depend_on_places() {
    let mut r = random::Random::new(1);
    for _ in 0..100 {
        let about = products::random(&mut r);
        let mut case = products::Case::new(&about);
        let here = case.launch();
        for arg in case.product.args_mut() {
            *arg = ir::schedule::Arg { offset: 3 * arg.offset + 7, ..*arg };
        }
        assert_eq!(text(&case.launch(), Target::Sm80), text(&here, Target::Sm80), "{about:?}");
    }
}

#[test]
fn products_have_the_bits_of_the_interpreter() {
    let mut r = random::Random::new(2);
    for _ in 0..150 {
        let about = products::random(&mut r);
        let case = products::Case::new(&about);
        for iteration in [0, 1] {
            let held = machine::noise(&mut r, &case.schedule);
            case.run(iteration).check(&format!("{about:?}, iteration {iteration}"), &held);
            if about.adds != Adds::AfterFirst {
                break;
            }
        }
    }
}
