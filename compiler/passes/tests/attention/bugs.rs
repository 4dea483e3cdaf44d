//! Bugs planted in attention of exact mode, forward and backward.

use ir::eval::schedule::{eval_task, memory};
use ir::ops::attend::{Attend, Sizes};
use ir::schedule::Task;
use ir::schedule::attention::Pass;
use ir::types::Dtype;
use passes::pipeline;
use ptx_builder::{Cmp, Num, Op, Operand};

use crate::Case;
use crate::emulated::{launch, schedule};
use crate::machine::Run;
use crate::plant::{all, is, remove};
use crate::table::{
    By, OUT_OF_BOUNDS, Plant, RACE, are_found, is_compare, move_bound, swap_params,
};

/// Plants in the launches of one pass over 37 rows and keys, in tiles of 32 and 16.
fn find_in(is_meant: fn(&Pass) -> bool, table: &[(&str, By, Plant)]) {
    let causal = Attend { is_causal: true, ..Attend::all(0.4) };
    let (rows, keys, width, value_width) = (37, 37, 40, 24);
    let sizes = Sizes { batch: 1, heads: 2, groups: 1, rows, keys, width, value_width };
    let case = Case::new(causal, sizes, Dtype::F32, 0);
    let schedule = schedule(&case, [32, 16]);
    let mut held = memory(&schedule);
    for (buffer, data) in schedule.buffers.iter().zip(&mut held.0) {
        if buffer.role.is_some() {
            *data = case.states[&buffer.name].data.clone();
        }
    }
    let mut n_found = 0;
    for task in &schedule.functions[0].tasks {
        if let Task::Attention { attention, .. } = task
            && is_meant(&attention.pass)
        {
            let launch = launch(&schedule, task).expect("it is an attention");
            let (task, args) = (task.clone(), task.args());
            let run = Run { schedule: &schedule, task, k_slice: 512, launch, args, number: None };
            are_found(run, &held, table);
            n_found += 1;
        }
        eval_task(task, &schedule, &pipeline::cpu(), &mut held);
    }
    assert!(n_found > 0, "there is one");
}

#[test]
fn bugs_in_attention_are_found() {
    find_in(
        |pass| matches!(pass, Pass::Forward { .. }),
        &[
            ("no second barrier", RACE, |l| remove(&mut l.entry, is(Op::BarSync), 1)),
            ("no third barrier", RACE, |l| remove(&mut l.entry, is(Op::BarSync), 2)),
            ("no sixth barrier", RACE, |l| remove(&mut l.entry, is(Op::BarSync), 5)),
            ("one block less", By::Bits, |l| l.blocks -= 1),
            ("too little shared memory", OUT_OF_BOUNDS, |l| l.shared_bytes -= 64),
            ("keys in the place of queries", OUT_OF_BOUNDS, |l| swap_params(l, 0, 1)),
            ("a tile of keys less", By::Bits, |l| {
                move_bound(&mut l.entry, is_compare(Cmp::Ge, Num::S32, 37), -16);
            }),
        ],
    );
}

#[test]
fn bugs_in_gradients_of_attention_are_found() {
    find_in(
        |pass| matches!(pass, Pass::Backward { .. }),
        &[
            ("no fifth barrier", RACE, |l| remove(&mut l.entry, is(Op::BarSync), 4)),
            ("no eleventh barrier", RACE, |l| remove(&mut l.entry, is(Op::BarSync), 10)),
            ("no last barrier", RACE, |l| remove(&mut l.entry, is(Op::BarSync), 20)),
            ("one block less", By::Bits, |l| l.blocks -= 1),
            ("too little shared memory", OUT_OF_BOUNDS, |l| l.shared_bytes -= 64),
            ("gradients in the place of each other", OUT_OF_BOUNDS, |l| swap_params(l, 5, 6)),
            ("gradients that are not added to", By::Bits, |l| {
                for instr in all(&mut l.entry, is(Op::Add(Num::F32))) {
                    instr.operands[1] = Operand::F32(0);
                }
            }),
        ],
    );
}
