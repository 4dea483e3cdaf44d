//! An attention, its operands, and its tasks on the emulated device.

use codegen::ptx::Launch;
use codegen::ptx::attention::tensor::attention;
use exec::device::emulated::Report;
use ir::eval::kernel::Memory;
use ir::eval::schedule::{eval_task, memory};
use ir::kernel::Kernel;
use ir::narrow;
use ir::ops::attend::{Attend, Sizes};
use ir::schedule::attention::{Attention, Pass, Strided, TileArg, TileKernel};
use ir::schedule::{Arg, Schedule, Task};
use ir::types::Dtype;
use passes::pipeline;
use ptx_builder::Target;

use crate::case::Case;
use crate::machine::{self, Buffer};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    pub(crate) attend: Attend,
    pub(crate) sizes: Sizes,
    pub(crate) dtype: Dtype,
    pub(crate) offset: i32,
    pub(crate) layout: Layout,
}

/// How the tensors of queries, keys, values and gradients lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Head by head.
    Heads,
    /// Row by row, the heads of a row side by side.
    Rows,
    /// The same, some bytes from where wide accesses are allowed.
    Odd(u64),
    /// Columns of keys side by side.
    Turned,
}

/// A tensor `[b, h, t, e]`, f32 numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) sizes: [u64; 4],
    pub(crate) numbers: Vec<f64>,
}

impl Tensor {
    pub(crate) fn at(&self, place: [u64; 4]) -> f64 {
        let at = place.iter().zip(self.sizes).fold(0, |at, (i, size)| at * size + i);
        self.numbers[at as usize]
    }

    /// The elements of a batch, head and row.
    pub(crate) fn row(&self, place: [u64; 3]) -> &[f64] {
        let row = place.iter().zip(self.sizes).fold(0, |at, (i, size)| at * size + i);
        let width = self.sizes[3] as usize;
        &self.numbers[row as usize * width..][..width]
    }
}

/// A pass of a problem: its task and what was computed before.
pub(crate) struct Stage {
    pub(crate) schedule: Schedule,
    pub(crate) attention: Attention,
    held: Memory,
    problem: Problem,
}

/// The passes of a problem, forward and backward; what is between them is the interpreter's.
pub(crate) fn stages(problem: &Problem) -> Vec<Stage> {
    passes(problem, true)
}

/// The same with nothing computed.
pub(crate) fn drafts(problem: &Problem) -> Vec<Stage> {
    passes(problem, false)
}

fn passes(problem: &Problem, computes: bool) -> Vec<Stage> {
    let Problem { attend, sizes, dtype, offset, .. } = *problem;
    let case = Case::new(attend, sizes, dtype, offset);
    let target = pipeline::cpu();
    let schedule = pipeline::schedule(case.module.clone(), &target, &mut |_, _| {}).schedule;
    let mut held = memory(&schedule);
    for (buffer, data) in schedule.buffers.iter().zip(&mut held.0) {
        if buffer.role.is_some() {
            *data = case.states[&buffer.name].data.clone();
        }
    }
    let mut stages = vec![];
    for task in &schedule.functions[0].tasks {
        if let Task::Attention { attention, .. } = task {
            let attention = (**attention).clone();
            let (schedule, held) = (schedule.clone(), held.clone());
            stages.push(Stage { schedule, attention, held, problem: *problem });
        }
        if computes {
            eval_task(task, &schedule, &target, &mut held);
        }
    }
    stages
}

/// The result of a launch: a buffer for each argument.
pub(crate) type Buffers = Vec<Buffer>;

impl Stage {
    /// The sizes of the tensors, in the order of the arguments.
    fn sizes(&self) -> Vec<[u64; 4]> {
        let a = &self.attention;
        let q = [a.batch, a.heads, a.rows, a.width];
        let k = [a.batch, a.groups, a.keys, a.width];
        let v = [a.batch, a.groups, a.keys, a.value_width];
        let dout = [a.batch, a.heads, a.rows, a.value_width];
        if self.is_forward() { vec![q, k, v] } else { vec![q, k, v, dout, q, k, v] }
    }

    pub(crate) fn is_forward(&self) -> bool {
        matches!(self.attention.pass, Pass::Forward { .. })
    }

    /// The tensors of the task.
    fn tensors(&self) -> Vec<Strided> {
        let a = &self.attention;
        let mut tensors = vec![a.q, a.k, a.v];
        if let Pass::Backward { dout, dq, dk, dv, .. } = &a.pass {
            tensors.extend([*dout, *dq, *dk, *dv]);
        }
        tensors
    }

    /// A tensor of the task as it was computed before.
    pub(crate) fn tensor(&self, which: usize) -> Tensor {
        let (x, sizes) = (self.tensors()[which], self.sizes()[which]);
        let data = &self.held.0[x.arg.buffer.0 as usize];
        let number = |at: i64| data.number((x.arg.offset.cast_signed() + at) as usize);
        Tensor { sizes, numbers: places(sizes, x.strides).map(number).collect() }
    }

    /// The arguments of a kernel of the pass in memory, and their operands' rows.
    pub(crate) fn globals(&self, kernel: &TileKernel) -> Vec<(usize, Arg, [i64; 3])> {
        let operands = &self.schedule.kernels[kernel.kernel].operands;
        let mut found = vec![];
        for (at, arg) in kernel.args.iter().enumerate() {
            if let TileArg::Global { arg, strides } = arg {
                found.push((at, *arg, [strides[0], strides[1], operands[at].outer[0]]));
            }
        }
        found
    }

    /// A number of each row `[b, h, t]` that a kernel reads.
    pub(crate) fn row_numbers(&self, arg: Arg, strides: [i64; 3]) -> Tensor {
        let a = &self.attention;
        let data = &self.held.0[arg.buffer.0 as usize];
        let sizes = [a.batch, a.heads, a.rows, 1];
        let [batch, head, row] = strides;
        let number = |at: i64| data.number((arg.offset.cast_signed() + at) as usize);
        Tensor { sizes, numbers: places(sizes, [batch, head, row, 0]).map(number).collect() }
    }

    /// An i32 of an input.
    pub(crate) fn input(&self, name: &str, at: u64) -> i64 {
        let buffer = self.schedule.buffers.iter().position(|buffer| buffer.name == name);
        self.held.0[buffer.expect("there is such an input")].number(at as usize) as i64
    }

    pub(crate) fn kernels(&self) -> &[Kernel] {
        &self.schedule.kernels
    }

    /// The task with its tensors where the layout has them; and the offset of each, in elements.
    fn laid_out(&self) -> (Attention, Vec<u64>) {
        let mut a = self.attention.clone();
        let sizes = self.sizes();
        let layout = self.problem.layout;
        let mut of: Vec<&mut Strided> = vec![];
        let Attention { q, k, v, pass, .. } = &mut a;
        of.extend([q, k, v]);
        if let Pass::Backward { dout, dq, dk, dv, .. } = pass {
            of.extend([dout, dq, dk, dv]);
        }
        let mut offsets = vec![];
        for (which, (x, sizes)) in of.into_iter().zip(sizes).enumerate() {
            let [_, heads, rows, cols] = sizes.map(u64::cast_signed);
            x.strides = match layout {
                Layout::Heads => [heads * rows * cols, rows * cols, cols, 1],
                Layout::Rows | Layout::Odd(_) => [heads * rows * cols, cols, heads * cols, 1],
                Layout::Turned if which == 1 => [heads * rows * cols, rows * cols, 1, rows],
                Layout::Turned => [heads * rows * cols, cols, heads * cols, 1],
            };
            offsets.push(if let Layout::Odd(elements) = layout { elements } else { 0 });
        }
        (a, offsets)
    }

    /// The launch.
    pub(crate) fn launch(&self) -> Launch {
        let (a, offsets) = self.laid_out();
        let mut aligned = vec![16; a.args().len()];
        let is_result = |which: usize| which > 3;
        for (which, offset) in offsets.iter().enumerate() {
            let bytes = if is_result(which) { 4 } else { 2 };
            aligned[which] = 1 << ((offset * bytes) | 16).trailing_zeros();
        }
        let launch = attention(&a, self.problem.dtype, &aligned, self.kernels(), "attention");
        launch.unwrap_or_else(|| panic!("tensor cores do {:?}", self.problem))
    }

    /// Memory as it is before the launch: what may be read is set.
    pub(crate) fn buffers(&self) -> Buffers {
        let (a, offsets) = self.laid_out();
        let (sizes, dtype) = (self.sizes(), self.problem.dtype);
        let laid_out = Stage {
            attention: a.clone(),
            schedule: self.schedule.clone(),
            held: Memory(vec![]),
            problem: self.problem,
        };
        let strides: Vec<[i64; 4]> = laid_out.tensors().iter().map(|x| x.strides).collect();
        let mut buffers = vec![];
        for (which, (sizes, strides)) in sizes.into_iter().zip(strides).enumerate() {
            let is_result = which > 3;
            let bytes = if is_result { 4 } else { 2 };
            let n: u64 = sizes.iter().product();
            let mut buffer = Buffer::new((n + offsets[which]) * bytes, offsets[which] * bytes);
            if !is_result {
                let tensor = self.tensor(which);
                for (at, x) in places(sizes, strides).zip(tensor.numbers) {
                    let half = narrow::pack(dtype, x as f32).to_le_bytes();
                    buffer.set((at.cast_unsigned() + offsets[which]) * 2, &half);
                }
            }
            buffers.push(buffer);
        }
        let results = self.attention.results(self.kernels());
        for arg in &self.attention.args()[buffers.len()..] {
            buffers.push(self.copied(*arg, results.contains(arg)));
        }
        buffers
    }

    /// A buffer of the schedule, to be written or as it was computed before.
    fn copied(&self, arg: Arg, is_result: bool) -> Buffer {
        let at = arg.buffer.0 as usize;
        let (dtype, data) = (self.schedule.buffers[at].dtype, &self.held.0[at]);
        let bytes = dtype.bytes();
        let mut buffer = Buffer::new(data.len() as u64 * bytes, arg.offset * bytes);
        for i in (0..data.len()).filter(|_| !is_result) {
            let number = data.bits(i) as u32;
            let place = i as u64 * bytes;
            if dtype.is_narrow() {
                let half = narrow::pack(dtype, f32::from_bits(number));
                buffer.set(place, &half.to_le_bytes());
            } else {
                buffer.set(place, &number.to_le_bytes());
            }
        }
        buffer
    }

    /// What memory is after a launch.
    pub(crate) fn run(&self, launch: &Launch, target: Target) -> Result<Buffers, Report> {
        let mut buffers = self.buffers();
        machine::run(launch, target, &mut buffers, None)?;
        Ok(buffers)
    }

    /// Nothing but results was written.
    pub(crate) fn only_results(&self, after: &Buffers) -> Result<(), String> {
        let before = self.buffers();
        let n_inputs = if self.is_forward() { 3 } else { 4 };
        for (at, (before, after)) in before.iter().zip(after).enumerate() {
            // A result is all of its buffer but for what comes before it.
            let is_result = at >= n_inputs && !before.is_set.contains(&true);
            let n = if is_result { before.offset as usize } else { before.bytes.len() };
            if before.bytes[..n] != after.bytes[..n] {
                return Err(format!("argument {at} was written"));
            }
        }
        Ok(())
    }

    /// A result in the buffers: a tensor of the task by its number.
    pub(crate) fn result(&self, buffers: &Buffers, which: usize) -> Tensor {
        let (a, offsets) = self.laid_out();
        let laid_out = Stage {
            attention: a,
            schedule: self.schedule.clone(),
            held: Memory(vec![]),
            problem: self.problem,
        };
        let (sizes, strides) = (self.sizes()[which], laid_out.tensors()[which].strides);
        read(&buffers[which], Dtype::F32, offsets[which], sizes, strides)
    }

    /// A result of the kernel `finish` by its operand.
    pub(crate) fn finished(&self, buffers: &Buffers, operand: usize) -> Tensor {
        let a = &self.attention;
        let Pass::Forward { score, finish } = &a.pass else { panic!("a forward pass") };
        let before = self.globals(score).len();
        let globals = self.globals(finish);
        let nth = globals.iter().position(|(at, ..)| *at == operand).expect("it is in memory");
        let (_, arg, [batch, head, row]) = globals[nth];
        let param = 3 + usize::from(a.band.offset.is_some()) + before + nth;
        let about = &self.kernels()[finish.kernel].operands[operand];
        let cols = if about.col == 0 { 1 } else { a.value_width };
        let sizes = [a.batch, a.heads, a.rows, cols];
        read(&buffers[param], about.dtype, arg.offset, sizes, [batch, head, row, about.col])
    }
}

fn read(buffer: &Buffer, dtype: Dtype, offset: u64, sizes: [u64; 4], strides: [i64; 4]) -> Tensor {
    let number = |at: i64| {
        let bytes = dtype.bytes();
        let at = (at.cast_unsigned() + offset) * bytes;
        let bytes = &buffer.bytes[at as usize..(at + bytes) as usize];
        match *bytes {
            [x, y] => narrow::unpack(dtype, u16::from_le_bytes([x, y])).into(),
            [x, y, z, w] => f32::from_le_bytes([x, y, z, w]).into(),
            _ => panic!("an element has two or four bytes"),
        }
    };
    Tensor { sizes, numbers: places(sizes, strides).map(number).collect() }
}

/// The places of the elements of a tensor, the last index fastest.
fn places(sizes: [u64; 4], strides: [i64; 4]) -> impl Iterator<Item = i64> {
    let n: u64 = sizes.iter().product();
    (0..n).map(move |at| {
        let mut rest = at;
        let mut place = 0;
        for axis in (0..4).rev() {
            place += (rest % sizes[axis]).cast_signed() * strides[axis];
            rest /= sizes[axis];
        }
        place
    })
}
