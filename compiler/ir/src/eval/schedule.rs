//! Evaluates schedules: kernels, products, attention, sorts and tiles over buffers.

use super::kernel::{Memory, eval_expanded_at, eval_kernel};
use super::score_tiles::eval_attention;
use super::tensor::{Data, each_index};
use crate::expand::expand_kernel;
use crate::narrow;
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
    match task {
        Task::Kernel { kernel, args, .. } => eval_kernel(&schedule.kernels[*kernel], memory, args),
        Task::Product { product, .. } => {
            let dtype = |to: Arg| schedule.buffers[to.buffer.0 as usize].dtype;
            let result = product.c.map_or(Dtype::F32, dtype);
            let sums = eval_product(product, target.product_k_slice, result, memory);
            if let Some(epilogue) = &product.epilogue {
                eval_epilogue(product, epilogue, schedule, &sums, memory);
            }
        }
        Task::Attention { attention, .. } => eval_attention(attention, &schedule.kernels, memory),
        Task::Sort { ids, n, rows, order, starts } => {
            eval_sort([*ids, *order, *starts], *n, *rows, memory);
        }
        Task::Tiles { count, body, advance } => {
            for iteration in 0..*count {
                for task in body {
                    eval_task(&task.in_iteration(advance, iteration), schedule, target, memory);
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
            let slice = (start..end).fold(0f32, |sum, l| {
                let l = l as i64;
                let x = element(memory, p.a, a + p.a_strides[1] * l);
                x.mul_add(element(memory, p.b, b + p.b_strides[0] * l), sum)
            });
            total = Some(total.map_or(slice, |t: f32| t + slice));
            start = end;
        }
        let total = total.unwrap_or(0.0);
        sums.push(total);
        if let Some(to) = p.c {
            let bits = super::scalar::f32_bits(narrow::round(result, total));
            memory.0[to.buffer.0 as usize].set_bits(place(to, c), bits);
        }
    });
    sums
}

/// Runs an epilogue on each block of the sums, which are in row-major order.
fn eval_epilogue(
    p: &Product,
    epilogue: &Epilogue,
    schedule: &Schedule,
    sums: &[f32],
    memory: &mut Memory,
) {
    let kernel = expand_kernel(&schedule.kernels[epilogue.kernel]);
    let scratch = Arg { buffer: BufferId(memory.0.len() as u32), offset: 0 };
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
        memory.0.push(Data::F32((0..m).flat_map(row).copied().collect()));
        let units = (block * m) as u64..((block + 1) * m) as u64;
        eval_expanded_at(&kernel, memory, &args, |unit| units.contains(&unit));
        memory.0.pop();
    }
}

fn place(arg: Arg, at: i64) -> usize {
    usize::try_from(arg.offset as i64 + at).expect("addresses are not negative")
}

fn element(memory: &Memory, arg: Arg, at: i64) -> f32 {
    f32::from_bits(memory.0[arg.buffer.0 as usize].bits(place(arg, at)) as u32)
}

fn eval_sort([ids, order, starts]: [Arg; 3], n: u64, rows: u64, memory: &mut Memory) {
    let id = |memory: &Memory, i: u64| {
        memory.0[ids.buffer.0 as usize].bits((ids.offset + i) as usize) as u32 as i32
    };
    let mut sorted: Vec<(i32, u64)> = (0..n).map(|i| (id(memory, i), i)).collect();
    sorted.retain(|&(id, _)| id >= 0 && (id as u64) < rows);
    sorted.sort_unstable();
    for (at, &(_, position)) in sorted.iter().enumerate() {
        let to = order.offset as usize + at;
        memory.0[order.buffer.0 as usize].set_bits(to, position);
    }
    for row in 0..=rows {
        let before = sorted.partition_point(|&(id, _)| (id as u64) < row);
        let to = (starts.offset + row) as usize;
        memory.0[starts.buffer.0 as usize].set_bits(to, before as u64);
    }
}
