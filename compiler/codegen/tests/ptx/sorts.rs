//! Sorts of ids as launches.

use codegen::ptx::{Launch, Numerics, launches};
use ir::eval::kernel::Memory;
use ir::eval::schedule::memory;
use ir::eval::tensor::Data;
use ir::schedule::{Arg, Buffer, BufferId, Function, Schedule, Task};
use ir::types::Dtype;
use ptx_builder::Target;

use crate::machine::{Run, machine};
use crate::random::Random;

/// A sort and the memory in front of it.
pub(crate) struct Sort {
    schedule: Schedule,
    task: Task,
    pub(crate) held: Memory,
}

impl Sort {
    pub(crate) fn new(n: u64, rows: u64, id: impl FnMut(u64) -> i32) -> Self {
        let buffer = |len| Buffer {
            name: "b".to_owned(),
            dtype: Dtype::I32,
            shape: vec![len],
            role: None,
            within: None,
        };
        let arg = |at| Arg { buffer: BufferId(at), offset: 0 };
        let task = Task::Sort { ids: arg(0), n, rows, order: arg(1), starts: arg(2) };
        let functions = vec![Function { name: "f".to_owned(), tasks: vec![task.clone()] }];
        let buffers = [n, n, rows + 1].map(buffer).to_vec();
        let schedule = Schedule { buffers, kernels: vec![], functions };
        let mut held = memory(&schedule);
        held.0[0] = Data::I32((0..n).map(id).collect());
        Self { schedule, task, held }
    }

    pub(crate) fn run(&self) -> Run<'_> {
        let (schedule, task) = (&self.schedule, self.task.clone());
        let (code, made) = launches(schedule, &machine(512), Target::Sm80, Numerics::Exact);
        let entry = ptx_builder::parse(&code[0].text).expect("it was printed").entries.remove(0);
        let launch = Launch { entry, blocks: made[0].blocks, shared_bytes: made[0].shared_bytes };
        let args = task.args();
        Run { schedule, task, k_slice: 512, launch, args, number: None }
    }
}

#[test]
fn sorts_of_all_sizes_have_the_bits_of_the_interpreter() {
    let mut r = Random::new(7);
    for n in [0, 1, 2, 31, 33, 511, 512, 513, 1025] {
        for rows in [1, 2, 255, 256, 257, 700] {
            // Those below 0 and from `rows` on are no row.
            let sort = Sort::new(n, rows, |_| r.below(rows as usize + 4) as i32 - 2);
            sort.run().check(&format!("{n} ids, {rows} rows"), &sort.held);
        }
    }
}
