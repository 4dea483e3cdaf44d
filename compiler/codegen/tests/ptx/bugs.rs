//! Bugs planted in exact products and in sorts.

use ir::eval::schedule::memory;
use ir::eval::tensor::Data;
use ir::schedule::Adds;
use ir::types::Dtype;
use ptx_builder::{Class, Cmp, Instr, Num, Op, Operand, Space, Stmt, Width};

use crate::machine::machine;
use crate::plant::{add, all, is, remove, shift};
use crate::products::{About, Behind, Case, noise};
use crate::random::Random;
use crate::sorts::Sort;
use crate::table::{
    By, OUT_OF_BOUNDS, Plant, RACE, are_found, is_compare, move_bound, swap_params,
};

const SHARED_STORE: Op = Op::St(Space::Shared, Class::F32, Width::One);

/// Chains of several stages and slices, edges on all sides, a result that is added to.
fn chains() -> About {
    let about = About::plain([37, 70, 50], Dtype::F32);
    About { batch: vec![2], gap: 3, k_slice: 32, adds: Adds::AfterFirst, ..about }
}

fn find_in_product(about: &About, iteration: u32, table: &[(&str, By, Plant)]) {
    let case = Case::new(about);
    let held = noise(&mut Random::new(5), &case.schedule);
    are_found(case.run(iteration), &held, table);
}

#[test]
fn bugs_in_chains_are_found() {
    find_in_product(
        &chains(),
        1,
        &[
            ("no barrier before a stage is written", RACE, |l| {
                remove(&mut l.entry, is(Op::BarSync), 0)
            }),
            ("no barrier behind it", RACE, |l| remove(&mut l.entry, is(Op::BarSync), 1)),
            ("one block less", By::Bits, |l| l.blocks -= 1),
            ("a row too many", By::Bits, |l| {
                move_bound(&mut l.entry, is_compare(Cmp::Lt, Num::S32, 37), 1);
            }),
            ("a slice of k less", By::Bits, |l| {
                move_bound(&mut l.entry, is_compare(Cmp::Ge, Num::S32, 50), -18);
            }),
            ("sums of a slice that are not cleared", By::Bits, |l| {
                let clears =
                    all(&mut l.entry, |i| i.operands.get(1) == Some(&Operand::F32(0))).len();
                for _ in 0..15 {
                    remove(
                        &mut l.entry,
                        |i| i.operands.get(1) == Some(&Operand::F32(0)),
                        clears / 2,
                    );
                }
            }),
            ("operands in the place of each other", OUT_OF_BOUNDS, |l| swap_params(l, 0, 1)),
            ("too little shared memory", OUT_OF_BOUNDS, |l| l.shared_bytes -= 256),
            ("a stage written to another place", RACE, |l| {
                let store = all(&mut l.entry, is(SHARED_STORE)).remove(0);
                shift(&mut store.operands[0], 4);
            }),
            ("what is there is not added to", By::Bits, |l| {
                for instr in all(&mut l.entry, is(Op::Add(Num::F32))) {
                    instr.operands[1] = Operand::F32(0);
                }
            }),
        ],
    );
}

/// A sort of more ids than threads; all are kept, so that every place of the order is written.
#[test]
fn bugs_in_sorts_are_found() {
    let mut r = Random::new(6);
    let sort = Sort::new(1100, 700, |_| r.below(700) as i32);
    let (run, held) = (sort.run(), &sort.held);
    are_found(
        run,
        held,
        &[
            ("no barrier between chunk and its readers", RACE, |l| {
                let n = all(&mut l.entry, is(Op::BarSync)).len();
                remove(&mut l.entry, is(Op::BarSync), n - 3);
            }),
            ("no barrier behind sums of threads", RACE, |l| {
                remove(&mut l.entry, is(Op::BarSync), 2)
            }),
            ("no barrier behind counts", By::Bits, |l| remove(&mut l.entry, is(Op::BarSync), 1)),
            ("an id less", By::Bits, |l| {
                move_bound(&mut l.entry, is_compare(Cmp::Ge, Num::S32, 1100), -1)
            }),
            ("an id too many", OUT_OF_BOUNDS, |l| {
                move_bound(&mut l.entry, is_compare(Cmp::Ge, Num::S32, 1100), 1);
            }),
            ("rows that are left out", By::Bits, |l| {
                move_bound(&mut l.entry, is_compare(Cmp::Lt, Num::U32, 700), -100)
            }),
            ("a chunk of 511 steps", OUT_OF_BOUNDS, |l| {
                for instr in all(&mut l.entry, |i| i.operands.get(2) == Some(&Operand::Int(512))) {
                    add(&mut instr.operands[2], -1);
                }
            }),
            ("too little shared memory", OUT_OF_BOUNDS, |l| l.shared_bytes -= 4),
            ("order and starts in the place of each other", OUT_OF_BOUNDS, |l| {
                swap_params(l, 1, 2)
            }),
        ],
    );
}

/// Row reductions behind a product, two blocks of columns.
#[test]
fn bugs_in_epilogues_are_found() {
    let about = About::plain([37, 96, 20], Dtype::F32);
    let reduction = About { behind: Behind::Reduction(48), is_stored: false, ..about };
    find_in_product(
        &reduction,
        0,
        &[
            ("no barrier between sums and epilogue", RACE, |l| {
                let n = all(&mut l.entry, is(Op::BarSync)).len();
                remove(&mut l.entry, is(Op::BarSync), n - 2);
            }),
            ("one block less", By::Bits, |l| l.blocks -= 1),
            ("a column of the block less", By::Bits, |l| {
                move_bound(&mut l.entry, is_compare(Cmp::Ge, Num::S32, 48), -1);
            }),
            ("a lane that is not added", By::Bits, |l| {
                let is_shuffle = |i: &Instr| matches!(i.op, Op::Shfl(..));
                let shuffle = all(&mut l.entry, is_shuffle).remove(0);
                shuffle.operands[2] = Operand::Int(0);
            }),
            ("results in the place of each other", OUT_OF_BOUNDS, |l| swap_params(l, 2, 3)),
        ],
    );
}

/// What lies behind the last step of k is no zero that may be added, and slices are added to no
/// zero: with a sum that is -0, which is what rounds to it from below, both show.
#[test]
fn a_sum_of_minus_zero_stays_what_it_is() {
    let about = About { k_slice: 32, ..About::plain([3, 5, 37], Dtype::F32) };
    let case = Case::new(&about);
    let mut held = memory(&case.schedule);
    for (buffer, tiny) in [(0, -1e-30f32), (1, 1e-30)] {
        let n = held.0[buffer].len();
        held.0[buffer] = Data::F32(vec![tiny; n]);
    }
    let run = case.run(0);
    let mut wanted = held.clone();
    ir::eval::schedule::eval_task(&run.task, &case.schedule, &machine(32), &mut wanted);
    assert!(wanted.0[2].number(2).is_sign_negative(), "the sums are -0");
    are_found(
        run,
        &held,
        &[
            ("steps behind the last one", By::Bits, |l| {
                // The count of the steps of the last stage becomes that of a whole one.
                let end = all(&mut l.entry, |i| i.op == Op::Setp(Cmp::Ge, Num::S32)).pop();
                end.expect("there are loops").operands[2] = Operand::Int(16);
            }),
            ("slices that start from 0", By::Bits, |l| {
                let store = |i: &Instr| matches!(i.op, Op::St(Space::Global, ..));
                let at = l.entry.body.iter().position(|s| matches!(s, Stmt::Instr(i) if store(i)));
                let stmt = l.entry.body[at.expect("results are stored")].clone();
                let Stmt::Instr(store) = &stmt else { return };
                let Operand::Reg(sum) = store.operands[1] else { return };
                let operands = vec![Operand::Reg(sum), Operand::Reg(sum), Operand::F32(0)];
                let instr = Instr { guard: None, op: Op::Add(Num::F32), operands };
                l.entry.body.insert(at.expect("results are stored"), Stmt::Instr(instr));
            }),
        ],
    );
}
