//! Attention against its promised order, bit for bit, and its definition.

mod kernels;
mod model;

use plan::{
    Arg, Attention, Band, Buffer, BufferId, Dtype, Pass, Role, Scratch, Strided, TileArg,
    TileKernel,
};

use super::super::memory::Memory;
use super::super::product::element::{converts_f16, narrow_bf16, narrow_f16, narrowing, widen_f16};
use super::super::product::{Machine, tile};
use super::run;
use crate::device::cpu::Pool;
use crate::device::cpu::jit::Entry;
use crate::tiny;
use kernels::{Params, finish_code, score_code, weights_code};
use model::{Model, Numbers};

/// A step without operands.
pub(super) fn sizes(
    batch: u64,
    [heads, groups]: [u64; 2],
    [rows, keys]: [u64; 2],
    [width, value_width]: [u64; 2],
    [row_tile, key_tile]: [u64; 2],
) -> Attention {
    let none = Strided { arg: Arg { buffer: BufferId(0), offset: 0 }, strides: [0; 4] };
    let nothing = TileKernel { code: 0, args: vec![] };
    Attention {
        batch,
        heads,
        groups,
        rows,
        keys,
        width,
        value_width,
        row_tile,
        key_tile,
        band: Band { causal: false, window: None, offset: None },
        q: none,
        k: none,
        v: none,
        pass: Pass::Forward { score: nothing.clone(), finish: nothing },
    }
}

/// How the operands lie in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// Sequence, head, row, column.
    Plain,
    /// Sequence, row, head, column, all three in one buffer.
    Slices,
    /// Sequence, head, column, row.
    Columns,
}

#[derive(Debug, Clone)]
struct Case {
    a: Attention,
    offset: i32,
    drops: bool,
    segments: bool,
    dtype: Dtype,
    layout: Layout,
}

impl Case {
    fn new(a: Attention) -> Self {
        let (drops, segments, layout) = (false, false, Layout::Plain);
        Self { a, offset: 0, drops, segments, dtype: Dtype::F32, layout }
    }
}

/// The memory of a case while it is laid out.
struct Space {
    buffers: Vec<Buffer>,
    contents: Vec<Vec<u8>>,
}

impl Space {
    fn add(&mut self, dtype: Dtype, contents: Vec<u8>) -> Arg {
        let n = contents.len() as u64;
        let buffer = BufferId(self.buffers.len() as u32);
        let end = self.buffers.last().map_or(0, |b| b.offset + b.bytes);
        self.buffers.push(Buffer {
            name: format!("b{}", buffer.0),
            dtype,
            shape: vec![n / dtype.bytes()],
            role: Role::Temp,
            offset: end.next_multiple_of(plan::ALIGN),
            bytes: n,
            within: None,
        });
        self.contents.push(contents);
        Arg { buffer, offset: 0 }
    }

    fn add_ints(&mut self, ints: &[i32]) -> Arg {
        self.add(Dtype::I32, ints.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Adds tensors, next to each other where the layout says so.
    fn add_tensors(&mut self, of: &[&Numbers], dtype: Dtype, layout: Layout) -> Vec<Strided> {
        if layout != Layout::Slices || of.iter().any(|x| x.sizes[2] != of[0].sizes[2]) {
            return of.iter().map(|x| self.add_tensor(x, dtype, layout)).collect();
        }
        let row: u64 = of.iter().map(|x| x.sizes[1] * x.sizes[3]).sum();
        let [batch, _, rows, _] = of[0].sizes;
        let arg = self.add(dtype, vec![0; (batch * rows * row * dtype.bytes()) as usize]);
        let mut first = 0;
        let mut slices = vec![];
        for x in of {
            let strides = [rows * row, x.sizes[3], row, 1].map(|s| s as i64);
            let arg = Arg { offset: first * dtype.bytes(), ..arg };
            slices.push(self.place(x, Strided { arg, strides }));
            first += x.sizes[1] * x.sizes[3];
        }
        slices
    }

    fn add_tensor(&mut self, x: &Numbers, dtype: Dtype, layout: Layout) -> Strided {
        let [batch, heads, rows, cols] = x.sizes;
        let strides = match layout {
            Layout::Plain => [heads * rows * cols, rows * cols, cols, 1],
            Layout::Slices => [heads * rows * cols, cols, heads * cols, 1],
            Layout::Columns => [heads * rows * cols, rows * cols, 1, rows],
        };
        let n = batch * heads * rows * cols * dtype.bytes();
        let arg = self.add(dtype, vec![0; n as usize]);
        self.place(x, Strided { arg, strides: strides.map(|s| s as i64) })
    }

    /// Writes numbers to where a tensor is.
    fn place(&mut self, x: &Numbers, to: Strided) -> Strided {
        let Arg { buffer, offset } = to.arg;
        let dtype = self.buffers[buffer.0 as usize].dtype;
        let memory = &mut self.contents[buffer.0 as usize][offset as usize..];
        for (at, number) in places(x.sizes, to.strides, dtype).zip(&x.numbers) {
            match narrowing(dtype) {
                None => memory[at..at + 4].copy_from_slice(&number.to_le_bytes()),
                Some(narrow) => memory[at..at + 2].copy_from_slice(&narrow(*number).to_le_bytes()),
            }
        }
        to
    }

    fn memory(&self) -> Memory {
        let mut plan = tiny::plan();
        plan.buffers.clone_from(&self.buffers);
        plan.arena_bytes = self.buffers.last().map_or(0, |b| b.offset + b.bytes);
        let mut memory = Memory::new(&plan).unwrap();
        for (at, contents) in self.contents.iter().enumerate() {
            memory.bytes_mut(BufferId(at as u32)).copy_from_slice(contents);
        }
        memory
    }
}

/// The bytes at which the elements of a tensor begin, in order.
fn places(sizes: [u64; 4], strides: [i64; 4], dtype: Dtype) -> impl Iterator<Item = usize> {
    let [_, heads, rows, cols] = sizes;
    (0..sizes.iter().product::<u64>()).map(move |i| {
        let at = [i / cols / rows / heads, i / cols / rows % heads, i / cols % rows, i % cols];
        let element: u64 = at.iter().zip(strides).map(|(at, s)| at * s as u64).sum();
        (element * dtype.bytes()) as usize
    })
}

/// The f32 elements of a tensor.
fn numbers(memory: &Memory, sizes: [u64; 4], from: Strided) -> Vec<f32> {
    let bytes = &memory.bytes(from.arg.buffer)[from.arg.offset as usize..];
    let number = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    places(sizes, from.strides, Dtype::F32).map(number).collect()
}

/// Numbers that a type has, between -2 and 2.
fn noise(sizes: [u64; 4], dtype: Dtype, seed: u32) -> Numbers {
    let mut state = seed | 1;
    let mut numbers = Numbers::zeros(sizes);
    for x in &mut numbers.numbers {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let wide = state as f32 / u32::MAX as f32 * 4.0 - 2.0;
        *x = match dtype {
            Dtype::F16 => widen_f16(narrow_f16(wide)),
            Dtype::Bf16 => f32::from_bits(u32::from(narrow_bf16(wide)) << 16),
            Dtype::F32 | Dtype::F64 | Dtype::I32 => wide,
        };
    }
    numbers
}

/// Everything that the passes of a case read, with memory laid out for them.
struct Laid<'c> {
    case: &'c Case,
    model: Model<'c>,
    space: Space,
    operands: Vec<Strided>,
    params: Arg,
    segments: [Arg; 2],
}

fn lay(case: &Case) -> Laid<'_> {
    let Attention { batch, heads, groups, rows, keys, width, value_width, .. } = case.a;
    let dtype = case.dtype;
    let params = Params {
        keys: keys as i32,
        key_tile: case.a.key_tile as i32,
        causal: case.a.band.causal.into(),
        window: case.a.band.window.unwrap_or(0) as i32,
        offset: case.offset,
        drops: case.drops.into(),
        value_width: value_width as i32,
        out_row: (heads * value_width) as i32,
    };
    let segment = |n: u64| {
        let of = |i: u64| if case.segments { (i % n / 5) as i32 } else { 0 };
        (0..batch * n).map(of).collect::<Vec<i32>>()
    };
    let model = Model {
        a: &case.a,
        params,
        q: noise([batch, heads, rows, width], dtype, 1),
        k: noise([batch, groups, keys, width], dtype, 2),
        v: noise([batch, groups, keys, value_width], dtype, 3),
        dout: noise([batch, heads, rows, value_width], dtype, 4),
        segments: [segment(rows), segment(keys)],
    };
    let mut space = Space { buffers: vec![], contents: vec![] };
    let Params { keys, key_tile, causal, window, offset, drops, value_width, out_row } = params;
    let ints = [keys, key_tile, causal, window, offset, drops, value_width, out_row];
    let params = space.add_ints(&ints);
    let segments = [0, 1].map(|i| space.add_ints(&model.segments[i]));
    let operands = [&model.q, &model.k, &model.v];
    let mut operands = space.add_tensors(&operands, dtype, case.layout);
    operands.push(space.add_tensor(&model.dout, dtype, case.layout));
    Laid { case, model, space, operands, params, segments }
}

impl Laid<'_> {
    /// The step of the case with a pass.
    fn step(&mut self, pass: Pass) -> Attention {
        let offset = self.case.offset;
        let offset = (offset != 0).then(|| self.space.add_ints(&[offset]));
        let band = Band { offset, ..self.case.a.band };
        let [q, k, v, _] = self.operands[..] else { panic!("four operands") };
        Attention { band, q, k, v, pass, ..self.case.a.clone() }
    }

    /// Params and segments as operands.
    fn shared(&self) -> [TileArg; 3] {
        let (rows, keys) = (self.case.a.rows as i64, self.case.a.keys as i64);
        [
            TileArg::Global { arg: self.params, strides: [0; 4] },
            TileArg::Global { arg: self.segments[0], strides: [rows, 0, 1, 0] },
            TileArg::Global { arg: self.segments[1], strides: [keys, 0, 0, 1] },
        ]
    }

    fn by_row(&self, arg: Arg) -> TileArg {
        let (heads, rows) = (self.case.a.heads as i64, self.case.a.rows as i64);
        TileArg::Global { arg, strides: [heads * rows, rows, 1, 0] }
    }
}

fn entry(code: u32) -> Entry {
    [score_code as Entry, finish_code, weights_code][code as usize]
}

/// Runs a step on every kernel of this machine and with 1 and 3 threads.
fn on_all(a: &Attention, space: &Space, mut check: impl FnMut(&Memory)) {
    for kernel in tile::kernels() {
        for threads in [1, 3] {
            let machine = Machine { kernel, converts_f16: threads == 1 && converts_f16() };
            let mut memory = space.memory();
            run(a, machine, entry, &mut memory, &mut Pool::new(threads), &mut vec![]);
            check(&memory);
        }
    }
}

#[track_caller]
fn equal(name: &str, got: &[f32], expected: &[f32], case: &Case) {
    let differs = got.iter().zip(expected).position(|(x, y)| x.to_bits() != y.to_bits());
    assert_eq!(differs.map(|i| (i, got[i], expected[i])), None, "{name} of {case:?}");
}

/// How far from the definition f32 may be, relative to the largest number, where scores are 1.
const TOLERANCE: f64 = 1e-6;

#[track_caller]
fn near(name: &str, got: &[f32], expected: &[f64], case: &Case) {
    // The error of a score is one of its exponent.
    let tolerance = TOLERANCE * (1.0 + (case.a.width as f64).sqrt());
    let most = expected.iter().fold(1.0f64, |most, x| most.max(x.abs()));
    for (got, expected) in got.iter().zip(expected) {
        let error = (f64::from(*got) - expected).abs() / most;
        assert!(error < tolerance, "{name}: {got} for {expected} in {case:?}");
    }
}

fn check(case: &Case) {
    let mut laid = lay(case);
    let Attention { batch, heads, rows, value_width, .. } = case.a;
    let expected = laid.model.forward();
    near("out", &expected.out.numbers, &laid.model.plain_forward(), case);
    let out =
        laid.space.add_tensor(&Numbers::zeros(expected.out.sizes), Dtype::F32, Layout::Slices);
    let lse = laid.space.add_tensor(&Numbers::zeros(expected.lse.sizes), Dtype::F32, Layout::Plain);
    let [params, row_segments, key_segments] = laid.shared();
    let scratch = TileArg::Scratch;
    let [top, sum, factor] = [Scratch::Top, Scratch::Sum, Scratch::Factor].map(scratch);
    let scores = scratch(Scratch::Scores);
    let score = vec![scores, TileArg::Origin, top, sum, factor, params, row_segments, key_segments];
    let [by_batch, by_head, by_row, _] = out.strides;
    let to = TileArg::Global { arg: out.arg, strides: [by_batch, by_head, by_row, 0] };
    let finish = vec![scratch(Scratch::Acc), top, sum, params, to, laid.by_row(lse.arg)];
    let step = laid.step(Pass::Forward {
        score: TileKernel { code: 0, args: score },
        finish: TileKernel { code: 1, args: finish },
    });
    on_all(&step, &laid.space, |memory| {
        equal("out", &numbers(memory, expected.out.sizes, out), &expected.out.numbers, case);
        equal("lse", &numbers(memory, expected.lse.sizes, lse), &expected.lse.numbers, case);
    });

    let mut delta = Numbers::zeros([batch, heads, rows, 1]);
    let width = value_width as usize;
    let pairs = expected.out.numbers.chunks(width).zip(laid.model.dout.numbers.chunks(width));
    for (to, (out, dout)) in delta.numbers.iter_mut().zip(pairs) {
        *to = out.iter().zip(dout).map(|(x, y)| x * y).sum();
    }
    check_backward(laid, &expected.lse, &delta);
}

fn check_backward(mut laid: Laid<'_>, lse: &Numbers, delta: &Numbers) {
    let case = laid.case;
    let expected = laid.model.backward(lse, delta);
    let names = ["dq", "dk", "dv"];
    for ((name, got), plain) in names.iter().zip(&expected).zip(laid.model.plain_backward()) {
        near(name, &got.numbers, &plain, case);
    }
    let [lse, delta] =
        [lse, delta].map(|x| laid.space.add_tensor(x, Dtype::F32, Layout::Plain).arg);
    let garbage = expected.each_ref().map(|x| noise(x.sizes, Dtype::F32, 9));
    let results = laid.space.add_tensors(&garbage.each_ref(), Dtype::F32, case.layout);
    let [params, row_segments, key_segments] = laid.shared();
    let [scores, grads] = [Scratch::Scores, Scratch::Grads].map(TileArg::Scratch);
    let (lse, delta) = (laid.by_row(lse), laid.by_row(delta));
    let args = vec![scores, grads, TileArg::Origin, lse, delta, params, row_segments, key_segments];
    let weights = TileKernel { code: 2, args };
    let ([dq, dk, dv], dout) = (results[..].try_into().unwrap(), laid.operands[3]);
    let step = laid.step(Pass::Backward { dout, dq, dk, dv, weights });
    on_all(&step, &laid.space, |memory| {
        for ((name, expected), at) in names.iter().zip(&expected).zip(&results) {
            equal(name, &numbers(memory, expected.sizes, *at), &expected.numbers, case);
        }
    });
}

#[test]
fn keeps_its_order_for_odd_sizes() {
    let cases = [
        ([1, 1], [1, 1], [1, 1], [1, 1]),
        ([2, 1], [7, 9], [5, 3], [4, 4]),
        ([3, 3], [33, 17], [16, 32], [16, 16]),
        ([4, 2], [20, 70], [24, 40], [8, 48]),
        ([6, 2], [65, 65], [33, 16], [64, 64]),
        ([1, 1], [5, 600], [512, 2], [3, 512]),
    ];
    for (heads, places, widths, tiles) in cases {
        check(&Case::new(sizes(2, heads, places, widths, tiles)));
    }
}

#[test]
fn keeps_its_order_in_every_band() {
    for (causal, window) in [(true, None), (true, Some(1)), (false, Some(6)), (true, Some(40))] {
        for offset in [-20, 0, 3, 13] {
            let mut case = Case::new(sizes(1, [2, 1], [29, 35], [16, 16], [8, 16]));
            (case.a.band.causal, case.a.band.window) = (causal, window);
            case.offset = offset;
            check(&case);
        }
    }
}

#[test]
fn reads_operands_of_any_type_and_layout() {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        for layout in [Layout::Plain, Layout::Slices, Layout::Columns] {
            let mut case = Case::new(sizes(2, [4, 2], [21, 21], [16, 24], [16, 16]));
            (case.dtype, case.layout) = (dtype, layout);
            case.a.band.causal = true;
            check(&case);
        }
    }
}

#[test]
fn tells_kernels_where_a_tile_is() {
    let mut case = Case::new(sizes(3, [4, 2], [21, 37], [8, 16], [8, 16]));
    (case.drops, case.segments, case.a.band.causal) = (true, true, true);
    (case.offset, case.layout) = (16, Layout::Slices);
    check(&case);
}
