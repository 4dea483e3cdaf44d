//! Bugs planted in an entry: each is reported or gives other numbers.

use codegen::ptx::Launch;
use exec::device::emulated::Kind;
use ir::schedule::{Adds, BatchAxis};
use ir::types::Dtype;
use ptx_builder::{Cmp, Entry, Instr, Num, Op, Operand, Special, Stmt, Target};

use crate::plant::{
    add, all, each_instr, is, is_copy, is_matrices, is_permutation, remove, shift, swap,
};
use crate::reference::{Wrong, check};
use crate::shapes::{Case, Random, layouts, plain};
use crate::{epilogues, machine};

const TARGET: Target = Target::Sm90;

/// Five stages of k, the last one short; tiles with edges on all sides; two batches that add.
fn case() -> Case {
    let mut case = plain(24, 72, 136);
    case.types.result = Dtype::Bf16;
    let p = &mut case.product;
    let strides = [24 * 136, 136 * 72, 24 * 72];
    p.batch = vec![BatchAxis { size: 2, strides }];
    p.adds = Adds::AfterFirst;
    case.iteration = 1;
    case
}

/// Comparisons of integers with a number.
fn is_compare(cmp: Cmp, number: i64) -> impl Fn(&Instr) -> bool {
    move |instr| instr.op == Op::Setp(cmp, Num::S32) && instr.operands[2] == Operand::Int(number)
}

/// How a bug shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// The emulated device reports it.
    As(Kind),
    /// A result is wrong, or something else was written.
    InResults,
}

/// All four layouts of the operands show a planted bug as said.
fn shows(how: Shows, plant: impl Fn(&mut Entry)) {
    layouts(&case()).iter().for_each(|case| shows_in(case, how, &plant));
}

fn shows_in(case: &Case, how: Shows, plant: impl Fn(&mut Entry)) {
    let launch = planted(case, plant);
    match (check(case, &launch, TARGET, &mut Random(7)), how) {
        (Err(Wrong::Report(report)), Shows::As(kind)) if report.kind == kind => {}
        (Err(Wrong::Results(_)), Shows::InResults) => {}
        (checked, how) => panic!("{how:?} expected in {}: {checked:?}", case.name),
    }
}

fn planted(case: &Case, plant: impl Fn(&mut Entry)) -> Launch {
    let sound = crate::launch(case, TARGET);
    let mut entry = sound.entry.clone();
    plant(&mut entry);
    assert_ne!(entry, sound.entry, "nothing was planted");
    Launch { entry, ..sound }
}

#[test]
fn nothing_planted_shows_nothing() {
    let mut r = Random(7);
    for case in layouts(&case()) {
        let checked = check(&case, &crate::launch(&case, TARGET), TARGET, &mut r);
        assert_eq!(checked, Ok(()));
    }
}

#[test]
fn no_barrier_of_the_stages_is_reported() {
    shows(Shows::As(Kind::UseBeforeWait), |entry| remove(entry, is(Op::BarSync), 0));
}

#[test]
fn no_barrier_of_elements_is_a_race() {
    let mut case = plain(24, 72, 136);
    (case.product.a_strides, case.product.b_strides) = ([137, 1], [73, 1]);
    shows_in(&case, Shows::As(Kind::SharedRace), |entry| remove(entry, is(Op::BarSync), 0));
}

/// In one part, before and behind them, and in some; the first barrier is that of the stages.
#[test]
fn no_barrier_around_the_sums_is_a_race() {
    for (space, n) in [([1, 40, 64, 64], 3), ([1, 40, 256, 256], 2)] {
        // The last stage that is read lies where the sums come, and where the next part starts.
        let case = epilogues::case(space, 160, true);
        let buffers = epilogues::buffers(&case, space, true, &mut Random(7));
        for nth in 1..n {
            let launch = planted(&case, |entry| remove(entry, is(Op::BarSync), nth));
            let run = machine::run(&launch, TARGET, &mut buffers.clone(), None);
            assert_eq!(run.map_err(|report| report.kind), Err(Kind::SharedRace), "{}", case.name);
        }
    }
}

#[test]
fn no_wait_is_reported() {
    shows(Shows::As(Kind::UseBeforeWait), |entry| remove(entry, is(Op::CpAsyncWait), 0));
}

#[test]
fn a_wait_for_one_stage_less_is_reported() {
    shows(Shows::As(Kind::UseBeforeWait), |entry| {
        add(&mut all(entry, is(Op::CpAsyncWait))[0].operands[0], 1);
    });
}

#[test]
fn a_stage_that_is_no_group_is_reported() {
    shows(Shows::As(Kind::UseBeforeWait), |entry| remove(entry, is(Op::CpAsyncCommit), 1));
}

#[test]
fn a_permutation_on_one_side_is_wrong() {
    for side in 0..4 {
        shows(Shows::InResults, |entry| {
            all(entry, is_permutation)[side].operands[2] = Operand::Int(0);
        });
    }
}

#[test]
fn a_stage_too_early_is_reported() {
    shows(Shows::As(Kind::UseBeforeWait), |entry| {
        // The stage that the loop writes first is the last one.
        let number = |instr: &Instr| match (instr.op, instr.operands.get(1)) {
            (Op::Mov(_), Some(Operand::Int(number))) => *number,
            (_, _) => 0,
        };
        let last = each_instr(entry).map(|instr| number(instr)).max().expect("there are some");
        all(entry, |instr| number(instr) == last)[0].operands[1] = Operand::Int(0);
    });
}

#[test]
fn a_fragment_in_other_lanes_is_wrong() {
    let is_mma = is(Op::MmaBf16);
    for (operand, i, j) in [(1, 1, 2), (2, 0, 1), (3, 1, 2)] {
        shows(Shows::InResults, |entry| {
            all(entry, &is_mma).into_iter().for_each(|mma| swap(&mut mma.operands[operand], i, j));
        });
    }
}

#[test]
fn a_matrix_the_other_way_is_wrong() {
    shows(Shows::InResults, |entry| {
        let Op::LdMatrix(n, is_transposed) = all(entry, is_matrices)[0].op else { unreachable!() };
        all(entry, is_matrices)[0].op = Op::LdMatrix(n, !is_transposed);
    });
}

#[test]
fn halves_for_bf16_are_wrong() {
    shows(Shows::InResults, |entry| {
        all(entry, is(Op::MmaBf16)).into_iter().for_each(|mma| mma.op = Op::MmaF16);
    });
}

#[test]
fn a_row_too_many_is_reported() {
    shows(Shows::As(Kind::OutOfBounds), |entry| {
        let is_sum = |stmt: &Stmt| matches!(stmt, Stmt::Instr(instr) if instr.op == Op::MmaBf16);
        let last = entry.body.iter().rposition(is_sum).expect("sums are added");
        for stmt in &mut entry.body[last..] {
            if let Stmt::Instr(Instr { op: Op::Setp(Cmp::Lt, _), operands, .. }) = stmt {
                add(&mut operands[2], 2);
            }
        }
    });
}

#[test]
fn a_chunk_in_the_place_of_another_is_reported() {
    shows(Shows::As(Kind::UseBeforeWait), |entry| {
        shift(&mut all(entry, is_copy)[0].operands[0], 16);
    });
}

#[test]
fn edges_taken_as_there_are_reported() {
    shows(Shows::As(Kind::OutOfBounds), |entry| {
        all(entry, is_copy).into_iter().for_each(|copy| copy.operands[3] = Operand::Int(16));
    });
}

#[test]
fn an_address_off_by_an_element_is_reported() {
    shows(Shows::As(Kind::Misaligned), |entry| shift(&mut all(entry, is_copy)[0].operands[1], 2));
}

#[test]
fn a_stage_that_is_not_copied_is_wrong() {
    shows(Shows::InResults, |entry| {
        all(entry, is_compare(Cmp::Le, 3)).into_iter().for_each(|le| add(&mut le.operands[2], 1));
    });
}

#[test]
fn the_batch_forgotten_is_wrong() {
    shows(Shows::InResults, |entry| {
        let first =
            all(entry, |instr| instr.operands.get(1) == Some(&Operand::Special(Special::CtaidX)));
        first.into_iter().for_each(|instr| instr.operands[1] = Operand::Int(0));
    });
}

#[test]
fn what_is_held_forgotten_is_wrong() {
    shows(Shows::InResults, |entry| {
        let is_add = |instr: &Instr| instr.op == Op::Add(Num::F32);
        for add in all(entry, is_add) {
            add.operands[1] = Operand::F32(0);
        }
    });
}
