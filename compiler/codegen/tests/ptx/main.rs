//! Products as PTX: what the assembler says, and the bits of the emulated device.

#[path = "../../../ptx-builder/tests/instructions/assembler.rs"]
mod assembler;
mod bugs;
mod machine;
#[path = "../tensor/plant.rs"]
#[allow(dead_code, reason = "other tests plant in other ways, too")]
mod plant;
mod products;
#[path = "../kernels/random.rs"]
#[allow(dead_code, reason = "the generator of the other tests makes kernels too")]
mod random;
mod sorts;
mod table;

use ir::schedule::Adds;
use ptx_builder::Target;

use machine::{assemble, text};

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
            let held = products::noise(&mut r, &case.schedule);
            case.run(iteration).check(&format!("{about:?}, iteration {iteration}"), &held);
            if about.adds != Adds::AfterFirst {
                break;
            }
        }
    }
}

#[test]
fn large_tiles_have_the_bits_of_the_interpreter() {
    let mut r = random::Random::new(3);
    for about in products::large() {
        let case = products::Case::new(&about);
        let held = products::noise(&mut r, &case.schedule);
        case.run(0).check(&format!("{about:?}"), &held);
    }
}
