//! The table of planted bugs: what is changed in an entry, and how it shows.

use codegen::ptx::{Launch, Numerics};
use exec::device::emulated::Kind;
use ptx_builder::{
    Class, Cmp, Cvt, Entry, Instr, Logic, Num, Op, Operand, Shuffle, Space, Stmt, Width,
};

use crate::cases::{columns, map, random, rows};
use crate::machine::{Case, Wrong};

/// How a bug shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// The emulated device reports it.
    As(Kind),
    /// A result is wrong.
    InResults,
}

/// A kernel shows a planted bug as said.
fn shows(case: &Case, how: Shows, plant: impl Fn(&mut Entry)) {
    let sound = case.launch();
    let mut entry = sound.entry.clone();
    plant(&mut entry);
    assert_ne!(entry, sound.entry, "nothing was planted");
    match (case.check(&Launch { entry, ..sound }), how) {
        (Err(Wrong::Report(report)), Shows::As(kind)) if report.kind == kind => {}
        (Err(Wrong::Results { .. }), Shows::InResults) => {}
        (checked, how) => panic!("{how:?} expected: {checked:?}"),
    }
}

/// The instructions of an operation, in order.
fn all(entry: &mut Entry, op: Op) -> Vec<&mut Instr> {
    let instrs = entry.body.iter_mut().filter_map(|stmt| match stmt {
        Stmt::Instr(instr) => Some(instr),
        Stmt::Label(_) => None,
    });
    let found: Vec<&mut Instr> = instrs.filter(|instr| instr.op == op).collect();
    assert!(!found.is_empty(), "the entry has no such instruction");
    found
}

fn remove(entry: &mut Entry, op: Op) {
    let is_it = |stmt: &Stmt| matches!(stmt, Stmt::Instr(instr) if instr.op == op);
    let at = entry.body.iter().position(is_it).expect("the entry has no such instruction");
    entry.body.remove(at);
}

/// Puts one number in the place of another where an operation has it first.
fn replace(entry: &mut Entry, op: Op, old: i64, new: i64) {
    let all = all(entry, op).into_iter().flat_map(|instr| &mut instr.operands);
    let mut all = all.filter(|operand| **operand == Operand::Int(old));
    *all.next().expect("the number is there") = Operand::Int(new);
}

fn swap(instr: &mut Instr, vector: usize, i: usize, j: usize) {
    let Operand::Vector(regs) = &mut instr.operands[vector] else { panic!("registers in braces") };
    regs.swap(i, j);
}

/// Moves an access from one offset to another; whether it was there.
fn move_to(instr: &mut Instr, old: i32, new: i32) -> bool {
    instr.operands.iter_mut().any(|operand| {
        let Operand::Address { offset, .. } = operand else { return false };
        let is_it = *offset == old;
        if is_it {
            *offset = new;
        }
        is_it
    })
}

const VECTOR_LOAD: Op = Op::Ld(Space::Global, Class::F32, Width::Four);
const SHARED_STORE: Op = Op::St(Space::Shared, Class::F32, Width::One);
const SHARED_LOAD: Op = Op::Ld(Space::Shared, Class::F32, Width::One);
const OUT_OF_BOUNDS: Shows = Shows::As(Kind::OutOfBounds);
const RACE: Shows = Shows::As(Kind::SharedRace);

/// Rows of a warp, the last one of a block alone, and groups that not all lanes have.
fn of_warps() -> Case {
    rows(100, Numerics::Fast)
}

/// Rows of a block, five groups for some threads and four for others.
fn of_blocks() -> Case {
    rows(2080, Numerics::Fast)
}

/// Rows in the interpreter's order, three or two columns a lane.
fn exact() -> Case {
    rows(40, Numerics::Exact)
}

#[test]
fn nothing_planted_shows_nothing() {
    let maps = [map(3, 16), map(3, 19), map(1, 19), random(), columns()];
    for case in maps.into_iter().chain([of_warps(), of_blocks(), exact()]) {
        assert_eq!(case.check(&case.launch()), Ok(()));
    }
}

#[test]
fn a_thread_too_many_is_reported() {
    shows(&map(3, 16), OUT_OF_BOUNDS, |e| replace(e, Op::Setp(Cmp::Ge, Num::U32), 6, 7));
}

#[test]
fn a_group_at_the_end_taken_as_whole_is_reported() {
    shows(&map(1, 19), OUT_OF_BOUNDS, |e| replace(e, Op::Setp(Cmp::Le, Num::S32), 11, 19));
}

#[test]
fn a_tail_of_one_column_more_is_reported() {
    shows(&map(1, 19), OUT_OF_BOUNDS, |e| replace(e, Op::Min(Num::S32), 19, 20));
}

#[test]
fn a_tail_left_out_is_wrong() {
    shows(&map(1, 19), Shows::InResults, |e| replace(e, Op::Min(Num::S32), 19, 16));
}

#[test]
fn vectors_one_column_apart_are_reported() {
    let how = Shows::As(Kind::Misaligned);
    shows(&map(3, 16), how, |e| replace(e, Op::Mul(Num::S32), 8, 1));
}

#[test]
fn odd_rows_taken_as_even_are_reported() {
    let and = Op::Logic(Logic::And, Class::B32);
    shows(&map(3, 19), Shows::As(Kind::Misaligned), |e| replace(e, and, 7, 0));
}

#[test]
fn a_pair_the_other_way_is_wrong() {
    shows(&map(3, 16), Shows::InResults, |e| {
        all(e, Op::Cvt(Cvt::Bf16x2FromF32))[0].operands.swap(1, 2);
    });
}

#[test]
fn a_vector_in_another_order_is_wrong() {
    shows(&map(3, 16), Shows::InResults, |e| {
        swap(all(e, Op::St(Space::Global, Class::B32, Width::Four))[0], 1, 1, 2);
    });
}

#[test]
fn the_first_half_twice_is_wrong() {
    shows(&map(3, 16), Shows::InResults, |e| {
        assert!(all(e, VECTOR_LOAD).into_iter().any(|load| move_to(load, 16, 0)));
    });
}

#[test]
fn the_register_of_another_column_is_wrong() {
    shows(&map(3, 16), Shows::InResults, |e| {
        let mut products = all(e, Op::Mul(Num::F32));
        products[3].operands[1] = products[2].operands[1].clone();
    });
}

#[test]
fn random_bits_of_another_block_are_wrong() {
    shows(&random(), Shows::InResults, |e| {
        all(e, Op::Shr(Num::U32))[0].operands[2] = Operand::Int(1);
    });
}

#[test]
fn a_word_of_another_column_is_wrong() {
    shows(&random(), Shows::InResults, |e| {
        // The numbers of four neighbours in their block.
        let rest = |instr: &&mut Instr| instr.operands[1] == Operand::Int(1);
        let ones = all(e, Op::Mov(Class::B32)).into_iter().filter(rest);
        ones.for_each(|one| one.operands[1] = Operand::Int(2));
    });
}

#[test]
fn a_row_too_many_down_a_column_is_reported() {
    shows(&columns(), OUT_OF_BOUNDS, |e| replace(e, Op::Min(Num::S32), 37, 38));
}

#[test]
fn rows_behind_a_block_asked_for_are_reported() {
    let and = Op::Logic(Logic::And, Class::B32);
    shows(&columns(), OUT_OF_BOUNDS, |e| replace(e, and, -8, -1));
}

#[test]
fn one_row_twice_is_wrong() {
    shows(&columns(), Shows::InResults, |e| replace(e, Op::Add(Num::S32), 3, 2));
}

#[test]
fn a_sum_that_starts_elsewhere_is_wrong() {
    shows(&columns(), Shows::InResults, |e| {
        all(e, Op::Mov(Class::F32))[0].operands[1] = Operand::F32(1.0f32.to_bits());
    });
}

#[test]
fn a_maximum_from_zero_is_wrong() {
    for case in [exact(), of_warps(), of_blocks()] {
        shows(&case, Shows::InResults, |e| {
            all(e, Op::Mov(Class::F32))[0].operands[1] = Operand::F32(0);
        });
    }
}

#[test]
fn the_first_lane_of_another_row_is_wrong() {
    shows(&exact(), Shows::InResults, |e| {
        let index = all(e, Op::Shfl(Shuffle::Index)).into_iter();
        index.for_each(|shuffle| shuffle.operands[3] = Operand::Int(31));
    });
}

#[test]
fn a_wrong_lane_in_a_tree_is_wrong() {
    shows(&exact(), Shows::InResults, |e| replace(e, Op::Shfl(Shuffle::Down), 8, 4));
    for case in [of_warps(), of_blocks()] {
        shows(&case, Shows::InResults, |e| replace(e, Op::Shfl(Shuffle::Butterfly), 16, 8));
    }
}

#[test]
fn a_row_behind_the_last_is_reported() {
    shows(&of_warps(), OUT_OF_BOUNDS, |e| replace(e, Op::Setp(Cmp::Lt, Num::U32), 5, 6));
}

#[test]
fn a_group_that_is_not_there_is_reported() {
    shows(&exact(), OUT_OF_BOUNDS, |e| replace(e, Op::Selp(Class::B32), 40, 41));
    shows(&of_warps(), OUT_OF_BOUNDS, |e| replace(e, Op::Selp(Class::B32), 25, 26));
    shows(&of_blocks(), OUT_OF_BOUNDS, |e| {
        let compares = all(e, Op::Setp(Cmp::Lt, Num::S32)).into_iter();
        compares.for_each(|lt| lt.operands[2] = Operand::Int(521));
    });
}

#[test]
fn a_register_of_the_phase_before_is_wrong() {
    shows(&of_blocks(), Shows::InResults, |e| {
        // The difference takes the maximum of a warp for that of the row.
        let sums = all(e, SHARED_LOAD).len();
        assert_eq!(sums, 2);
        let own = all(e, SHARED_STORE)[0].operands[1].clone();
        all(e, Op::Sub(Num::F32))[0].operands[2] = own;
    });
}

#[test]
fn no_barrier_between_the_sums_of_warps_is_reported() {
    shows(&of_blocks(), Shows::As(Kind::Uninitialised), |e| remove(e, Op::BarSync));
}

#[test]
fn the_place_of_another_warp_is_a_race() {
    shows(&of_blocks(), RACE, |e| replace(e, Op::Mad(Num::S32), 8, 0));
}

#[test]
fn one_place_for_two_phases_is_a_race() {
    shows(&of_blocks(), RACE, |e| {
        for op in [SHARED_STORE, SHARED_LOAD] {
            assert!(all(e, op).into_iter().any(|access| move_to(access, 32, 0)));
        }
    });
}

#[test]
fn a_sum_that_no_warp_wrote_is_reported() {
    shows(&of_blocks(), Shows::As(Kind::Uninitialised), |e| remove(e, SHARED_STORE));
}

#[test]
fn a_sum_of_one_warp_for_all_is_wrong() {
    let and = Op::Logic(Logic::And, Class::B32);
    shows(&of_blocks(), Shows::InResults, |e| replace(e, and, 3, 0));
}
