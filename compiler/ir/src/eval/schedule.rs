//! Evaluates schedules: kernels, products, attention, sorts and tiles over buffers.

use super::kernel::{Memory, eval_ready, eval_ready_at};
use super::numbers::Numbers;
use super::score_tiles::eval_attention;
use super::tensor::{Data, each_index};
use crate::kernel::Scalar;
use crate::schedule::{
    Adds, Arg, BufferId, Epilogue, EpilogueArg, Product, Schedule, Target, Task,
};
use crate::types::Dtype;

/// Zeroed memory for all buffers.
pub fn memory(schedule: &Schedule) -> Memory {
    let zeros = |b: &crate::schedule::Buffer| {
        Data::zeros(b.dtype, b.shape.iter().product::<u64>() as usize)
    };
    Memory(schedule.buffers.iter().map(zeros).collect())
}

/// Runs a function of a schedule; false when there is none of that name.
pub fn eval_schedule(
    schedule: &Schedule,
    target: &Target,
    function: &str,
    memory: &mut Memory,
) -> bool {
    let Some(function) = schedule.functions.iter().find(|f| f.name == function) else {
        return false;
    };
    for task in &function.tasks {
        eval_task(task, schedule, target, memory);
    }
    true
}

/// Runs one task.
pub fn eval_task(task: &Task, schedule: &Schedule, target: &Target, memory: &mut Memory) {
    eval_over(task, schedule, target, memory);
}

/// Runs one task over numbers of any kind.
pub(super) fn eval_over<M: Numbers>(
    task: &Task,
    schedule: &Schedule,
    target: &Target,
    memory: &mut M,
) {
    match task {
        Task::Kernel { kernel, args, .. } => {
            eval_ready(&M::kernel(&schedule.kernels[*kernel]), memory, args);
        }
        Task::Product { product, .. } => {
            let dtype = |arg: Arg| schedule.buffers[arg.buffer.0 as usize].dtype;
            let types = [dtype(product.a), product.c.map_or(Dtype::F32, dtype)];
            let sums = product_over(product, target.product_k_slice, types, memory);
            if let Some(epilogue) = &product.epilogue {
                eval_epilogue(product, epilogue, schedule, &sums, memory);
            }
        }
        Task::Attention { attention, .. } => {
            let operands = schedule.buffers[attention.q.arg.buffer.0 as usize].dtype;
            eval_attention(attention, operands, &schedule.kernels, memory);
        }
        Task::Sort { ids, n, rows, order, starts } => {
            eval_sort([*ids, *order, *starts], *n, *rows, memory);
        }
        Task::Tiles { count, body, advance } => {
            for iteration in 0..*count {
                for task in body {
                    eval_over(&task.in_iteration(advance, iteration), schedule, target, memory);
                }
            }
        }
    }
}

/// Slices of K ascending, each a chain of fma from 0; their sums added ascending. A product that
/// adds starts from what is there. What comes out is rounded to the type of the result and written
/// there, if it goes to memory; gives the sums.
pub fn eval_product(
    product: &Product,
    k_slice: u64,
    result: Dtype,
    memory: &mut Memory,
) -> Vec<f32> {
    let sums = product_over(product, k_slice, [Dtype::F32, result], memory);
    sums.into_iter().map(|bits| f32::from_bits(bits as u32)).collect()
}

/// The same over numbers of any kind; the types are those of operands and result.
fn product_over<M: Numbers>(
    product: &Product,
    k_slice: u64,
    [operands, result]: [Dtype; 2],
    memory: &mut M,
) -> Vec<M::Value> {
    let p = product;
    let sizes: Vec<u64> = p.batch.iter().map(|axis| axis.size).chain([p.m, p.n]).collect();
    let mut sums = vec![];
    each_index(&sizes, |index| {
        let (front, &[i, j]) = index.split_at(p.batch.len()) else {
            unreachable!("an index has a row and a column")
        };
        let base = |which: usize| -> i64 {
            p.batch.iter().zip(front).map(|(axis, &b)| axis.strides[which] * b as i64).sum()
        };
        let (i, j) = (i as i64, j as i64);
        let (a, b) = (base(0) + p.a_strides[0] * i, base(1) + p.b_strides[1] * j);
        let c = base(2) + p.c_strides[0] * i + p.c_strides[1] * j;
        let held = p.c.filter(|_| p.adds == Adds::Always);
        let mut total = held.map(|to| element(memory, to, c));
        let mut start = 0;
        while start < p.k {
            let end = (start + k_slice).min(p.k);
            let pair = |l: u64| {
                let l = l as i64;
                let x = element(memory, p.a, a + p.a_strides[1] * l);
                [x, element(memory, p.b, b + p.b_strides[0] * l)]
            };
            let pairs: Vec<[M::Value; 2]> = (start..end).map(pair).collect();
            let slice = M::chain(operands, &pairs);
            let add = |t| M::apply(Scalar::Add, &[Dtype::F32; 2], &[t, slice]);
            total = Some(total.map_or(slice, add));
            start = end;
        }
        let total = total.unwrap_or(M::of(Dtype::F32, 0));
        sums.push(total);
        if let Some(to) = p.c {
            let rounded = M::apply(Scalar::Cast(result), &[Dtype::F32], &[total]);
            memory.set(to.buffer.0 as usize, place(to, c), rounded);
        }
    });
    sums
}

/// Runs an epilogue on each block of the sums, which are in row-major order.
fn eval_epilogue<M: Numbers>(
    p: &Product,
    epilogue: &Epilogue,
    schedule: &Schedule,
    sums: &[M::Value],
    memory: &mut M,
) {
    let kernel = M::kernel(&schedule.kernels[epilogue.kernel]);
    let n_buffers = memory.n_buffers();
    let scratch = Arg { buffer: BufferId(n_buffers as u32), offset: 0 };
    let args: Vec<Arg> = epilogue
        .args
        .iter()
        .map(|arg| match arg {
            EpilogueArg::Memory(arg) => *arg,
            EpilogueArg::Sums => scratch,
        })
        .collect();
    let (m, n, cols) = (p.m as usize, p.n as usize, epilogue.cols as usize);
    let batch: u64 = p.batch.iter().map(|axis| axis.size).product();
    for block in 0..batch as usize * (n / cols) {
        let (front, column) = (block / (n / cols), block % (n / cols) * cols);
        let row = |i: usize| &sums[(front * m + i) * n + column..][..cols];
        memory.push(Dtype::F32, (0..m).flat_map(row).copied().collect());
        let units = (block * m) as u64..((block + 1) * m) as u64;
        eval_ready_at(&kernel, memory, &args, |unit| units.contains(&unit));
        memory.truncate(n_buffers);
    }
}

fn place(arg: Arg, at: i64) -> usize {
    usize::try_from(arg.offset as i64 + at).expect("addresses are not negative")
}

fn element<M: Numbers>(memory: &M, arg: Arg, at: i64) -> M::Value {
    memory.get(arg.buffer.0 as usize, place(arg, at))
}

fn eval_sort<M: Numbers>([ids, order, starts]: [Arg; 3], n: u64, rows: u64, memory: &mut M) {
    let id = |memory: &M, i: u64| {
        M::int(memory.get(ids.buffer.0 as usize, (ids.offset + i) as usize)) as u32 as i32
    };
    let int = |bits| M::of(Dtype::I32, bits);
    let mut sorted: Vec<(i32, u64)> = (0..n).map(|i| (id(memory, i), i)).collect();
    sorted.retain(|&(id, _)| id >= 0 && (id as u64) < rows);
    sorted.sort_unstable();
    for (at, &(_, position)) in sorted.iter().enumerate() {
        let to = order.offset as usize + at;
        memory.set(order.buffer.0 as usize, to, int(position));
    }
    for row in 0..=rows {
        let before = sorted.partition_point(|&(id, _)| (id as u64) < row);
        let to = (starts.offset + row) as usize;
        memory.set(starts.buffer.0 as usize, to, int(before as u64));
    }
}
