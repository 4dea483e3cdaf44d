//! Attention as PTX on the emulated device, bit for bit as the interpreter has it.

use codegen::ptx::Launch;
use codegen::ptx::attention::attention;
use ir::eval::schedule::{eval_task, memory};
use ir::ops::attend::{Attend, Sizes};
use ir::schedule::{Schedule, Task};
use ir::types::Dtype;
use passes::pipeline;

use crate::machine::{Run, assemble};
use crate::{Case, kinds, sizes};

/// The schedule of a case for tiles of a size.
pub(crate) fn schedule(case: &Case, tile: [u64; 2]) -> Schedule {
    let mut target = pipeline::cpu();
    target.score_tile = tile;
    pipeline::schedule(case.module.clone(), &target, &mut |_, _| {}).schedule
}

pub(crate) fn launch(schedule: &Schedule, task: &Task) -> Option<Launch> {
    let Task::Attention { attention: a, .. } = task else { return None };
    let dtype = schedule.buffers[a.q.arg.buffer.0 as usize].dtype;
    Some(attention(a, dtype, &schedule.kernels, "attention"))
}

/// Runs every attention of a case on both.
pub(crate) fn check(about: &str, case: &Case, tile: [u64; 2]) {
    let schedule = schedule(case, tile);
    let mut held = memory(&schedule);
    for (buffer, data) in schedule.buffers.iter().zip(&mut held.0) {
        if buffer.role.is_some() {
            *data = case.states[&buffer.name].data.clone();
        }
    }
    for task in &schedule.functions[0].tasks {
        if let Some(launch) = launch(&schedule, task) {
            let schedule = &schedule;
            let (task, args) = (task.clone(), task.args());
            let run = Run { schedule, task, k_slice: 512, launch, args, number: None };
            run.check(about, &held);
        }
        eval_task(task, &schedule, &pipeline::cpu(), &mut held);
    }
}

#[test]
fn a_device_has_the_bits_of_the_interpreter() {
    for (name, attend) in kinds() {
        for (rows, keys) in [(1, 1), (2, 2), (17, 17), (33, 33), (65, 65), (3, 70), (70, 3)] {
            let about = format!("{name} of {rows} rows and {keys} keys");
            let case = Case::new(attend, sizes(rows, keys), Dtype::F32, 7);
            check(&about, &case, [32, 32]);
        }
    }
}

#[test]
fn a_device_has_the_bits_of_16_bit_operands() {
    for dtype in [Dtype::Bf16, Dtype::F16] {
        for (name, attend) in kinds() {
            let case = Case::new(attend, sizes(37, 37), dtype, -3);
            check(&format!("{name} of {dtype}"), &case, [32, 64]);
        }
    }
}

#[test]
fn a_device_computes_wide_heads_part_by_part() {
    for (width, value_width, tile) in [(64, 72, [64, 64]), (80, 130, [32, 96]), (16, 200, [16, 32])]
    {
        let sizes = Sizes { batch: 1, heads: 2, groups: 1, rows: 70, keys: 70, width, value_width };
        let about = format!("heads of {width} and {value_width}");
        check(&about, &Case::new(Attend::all(0.1), sizes, Dtype::F32, 0), tile);
    }
}

#[test]
fn a_device_leaves_gradients_of_nothing_at_zero() {
    for (rows, keys) in [(0, 5), (5, 0)] {
        let case = Case::new(Attend::all(0.4), sizes(rows, keys), Dtype::F32, 0);
        check(&format!("{rows} rows and {keys} keys"), &case, [16, 16]);
    }
}

#[test]
fn attention_is_assembled_without_spills() {
    let sizes = Sizes {
        batch: 2,
        heads: 4,
        groups: 2,
        rows: 1000,
        keys: 1024,
        width: 128,
        value_width: 128,
    };
    let [first, .., last] = kinds();
    for ((name, attend), dtype) in [(last, Dtype::F32), (first, Dtype::Bf16)] {
        let schedule = schedule(&Case::new(attend, sizes, dtype, 0), [64, 64]);
        for launch in schedule.functions[0].tasks.iter().filter_map(|t| launch(&schedule, t)) {
            assemble(&format!("{name} of {dtype}"), &launch);
        }
    }
}
