//! Products on tensor cores: assembled, run, and run with planted bugs.

#[path = "../../../ptx-builder/tests/instructions/assembler.rs"]
mod assembler;
mod banks;
mod bugs;
mod epilogues;
mod machine;
mod plant;
mod reference;
mod shapes;

use std::collections::BTreeSet;

use codegen::ptx::{Launch, tensor};
use ir::schedule::{Arg, BufferId};
use ptx_builder::{Class, Module, Op, Space, Stmt, Target, Width, parse};

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

/// Every tile with edges and without; the layouts take turns.
fn of_all_tiles(turn: usize) -> Vec<Case> {
    let mut cases = vec![];
    for (at, tiled) in shapes::TILED.iter().enumerate() {
        let [m, n] = tiled.size;
        let ragged = shapes::layouts(&shapes::plain(m, n, 136))[(turn + at) % 4].clone();
        let whole = shapes::plain(tiled.rows, tiled.cols, 96);
        cases.extend([ragged, whole].map(|case| shapes::often(&case)));
    }
    cases
}

#[test]
fn every_tile_is_assembled_without_spills() {
    let Some(assembler) = assembler::find() else { return };
    for (turn, target) in Target::ALL.into_iter().enumerate() {
        for case in of_all_tiles(turn).into_iter().chain(epilogues::some()) {
            let launch = launch(&case, target);
            assert!(launch.shared_bytes <= target.shared_bytes(), "{}", case.name);
            let said = assembler.assemble(&text(&launch, target), target.name());
            said.unwrap_or_else(|e| panic!("{}: {e}", case.name));
        }
    }
}

#[test]
fn every_tile_computes_its_product() {
    let mut r = Random(2);
    // Three stages and four.
    for target in [Target::Sm86, Target::Sm90] {
        for tiled in &shapes::TILED {
            let [m, n] = tiled.size;
            for case in shapes::layouts(&shapes::plain(m, n, 136)) {
                let mut launch = launch(&shapes::often(&case), target);
                let tiles = m.div_ceil(tiled.rows) * n.div_ceil(tiled.cols);
                let stage = (tiled.rows + tiled.cols) * 64;
                assert_eq!(launch.blocks, tiles * shapes::OFTEN, "{}", case.name);
                assert_eq!(launch.entry.threads, tiled.threads, "{}", case.name);
                assert!(matches!(launch.shared_bytes / stage, 3 | 4), "{}", case.name);
                launch.blocks = tiles;
                let checked = reference::check(&case, &launch, target, &mut r);
                checked.unwrap_or_else(|wrong| panic!("{wrong:?}\n{}", case.name));
            }
        }
    }
}

#[test]
fn the_text_of_a_product_does_not_depend_on_places() {
    let case = shapes::plain(100, 72, 40);
    let mut elsewhere = case.clone();
    for (at, arg) in (0..).zip(elsewhere.product.args_mut()) {
        *arg = Arg { buffer: BufferId(9 - at), offset: 64 * u64::from(at) };
    }
    assert_ne!(case.product, elsewhere.product);
    let texts = [case, elsewhere].map(|case| text(&launch(&case, Target::Sm80), Target::Sm80));
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn products_are_within_the_bound_of_their_sums() {
    let mut r = Random(1);
    let mut ops = BTreeSet::new();
    for _ in 0..300 {
        let case = shapes::random(&mut r);
        let target = r.pick(&Target::ALL);
        let launch = launch(&case, target);
        ops.extend(launch.entry.body.iter().filter_map(|stmt| match stmt {
            Stmt::Instr(instr) => Some(instr.op),
            Stmt::Label(_) => None,
        }));
        let checked = reference::check(&case, &launch, target, &mut r);
        checked.unwrap_or_else(|wrong| panic!("{wrong:?}\n{}", case.name));
    }
    // All ways to copy operands and to write results were there.
    let stores = [(Class::F32, Width::Two), (Class::F32, Width::One), (Class::B16, Width::One)];
    let stores = stores.map(|(class, width)| Op::St(Space::Global, class, width));
    let others = [
        Op::CpAsync(16),
        Op::CpAsync(8),
        Op::CpAsync(4),
        Op::St(Space::Shared, Class::B32, Width::Four),
        Op::St(Space::Global, Class::B32, Width::One),
    ];
    for op in stores.into_iter().chain(others) {
        assert!(ops.contains(&op), "no product has {}", op.text());
    }
}
