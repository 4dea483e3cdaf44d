//! Evaluates attention tasks tile by tile, in the order that the schedule promises.

use super::kernel::eval_ready;
use super::numbers::Numbers;
use crate::kernel::{Kernel, Scalar};
use crate::schedule::attention::{Attention, Pass, Scratch, Strided, TileArg, TileKernel};
use crate::schedule::{Arg, BufferId};
use crate::types::Dtype;

/// Runs an attention task.
pub(super) fn eval_attention<M: Numbers>(
    attention: &Attention,
    operands: Dtype,
    kernels: &[Kernel],
    memory: &mut M,
) {
    let n_buffers = memory.n_buffers();
    for scratch in Scratch::ALL {
        memory.push(Dtype::F32, vec![number::<M>(0.0); len(attention, scratch)]);
    }
    memory.push(Dtype::I32, vec![M::of(Dtype::I32, 0); 4]);
    let offset = attention.band.offset.map_or(0, |arg| {
        let bits = M::int(memory.get(arg.buffer.0 as usize, arg.offset as usize));
        i64::from(bits as u32 as i32)
    });
    let mut tiles = Tiles { a: attention, operands, kernels, memory, scratch: n_buffers, offset };
    match &attention.pass {
        Pass::Forward { score, finish } => tiles.forward(score, finish),
        Pass::Backward { dout, dq, dk, dv, weights } => {
            tiles.backward(dout, [dq, dk, dv], weights);
        }
    }
    memory.truncate(n_buffers);
}

/// A tile of scores: rows and keys from one to before another.
#[derive(Clone, Copy)]
struct Tile {
    batch: u64,
    head: u64,
    rows: [u64; 2],
    keys: [u64; 2],
}

impl Tile {
    fn height(&self) -> u64 {
        self.rows[1] - self.rows[0]
    }

    fn width(&self) -> u64 {
        self.keys[1] - self.keys[0]
    }
}

/// A matrix: its first element, and elements from row to row and from column to column.
#[derive(Clone, Copy)]
struct Matrix {
    arg: Arg,
    strides: [i64; 2],
}

impl Matrix {
    fn transposed(self) -> Self {
        Self { strides: [self.strides[1], self.strides[0]], ..self }
    }
}

struct Tiles<'a, M: Numbers> {
    a: &'a Attention,
    operands: Dtype,
    kernels: &'a [Kernel],
    memory: &'a mut M,
    /// The buffer of the first scratch; the others follow, then the origin.
    scratch: usize,
    offset: i64,
}

impl<M: Numbers> Tiles<'_, M> {
    fn forward(&mut self, score: &TileKernel, finish: &TileKernel) {
        let (score_kernel, finish_kernel) = (self.kernel(score), self.kernel(finish));
        let a = self.a;
        for (batch, head) in pairs(a.batch, a.heads) {
            for rows in ranges(a.rows, a.row_tile) {
                self.fill(Scratch::Top, f32::NEG_INFINITY);
                self.fill(Scratch::Sum, 0.0);
                self.fill(Scratch::Acc, 0.0);
                for keys in self.touched(rows) {
                    let tile = Tile { batch, head, rows, keys };
                    self.scores(&tile, a.q, a.k, a.width, Scratch::Scores);
                    self.run(&score_kernel, score, &tile);
                    self.rescale(&tile);
                    let v = self.keys_of(&tile, a.v);
                    let weights = self.square(Scratch::Scores);
                    let acc = self.acc();
                    let sizes = [tile.height(), tile.width(), a.value_width];
                    self.add(weights, v, acc, sizes);
                }
                self.run(&finish_kernel, finish, &Tile { batch, head, rows, keys: [0, 0] });
            }
        }
    }

    fn backward(&mut self, dout: &Strided, results: [&Strided; 3], weights: &TileKernel) {
        let kernel = self.kernel(weights);
        let a = self.a;
        let [dq, dk, dv] = results;
        self.clear(dq, [a.batch, a.heads, a.rows, a.width]);
        self.clear(dk, [a.batch, a.groups, a.keys, a.width]);
        self.clear(dv, [a.batch, a.groups, a.keys, a.value_width]);
        let shared = a.heads / a.groups;
        for (batch, group) in pairs(a.batch, a.groups) {
            for keys in ranges(a.keys, a.key_tile) {
                for (head, rows) in (group * shared..(group + 1) * shared)
                    .flat_map(|head| ranges(a.rows, a.row_tile).map(move |rows| (head, rows)))
                {
                    if !a.band.touches(self.offset, rows, keys) {
                        continue;
                    }
                    let tile = Tile { batch, head, rows, keys };
                    self.scores(&tile, a.q, a.k, a.width, Scratch::Scores);
                    self.scores(&tile, *dout, a.v, a.value_width, Scratch::Grads);
                    self.run(&kernel, weights, &tile);
                    self.add_gradients(&tile, dout, results);
                }
            }
        }
    }

    fn add_gradients(&mut self, tile: &Tile, dout: &Strided, [dq, dk, dv]: [&Strided; 3]) {
        let a = self.a;
        let [weights, grads] = [Scratch::Scores, Scratch::Grads].map(|s| self.square(s));
        let [height, width] = [tile.height(), tile.width()];
        let (k, to) = (self.keys_of(tile, a.k), self.rows_of(tile, *dq));
        self.add(grads, k, to, [height, width, a.width]);
        let (q, to) = (self.rows_of(tile, a.q), self.keys_of(tile, *dk));
        self.add(grads.transposed(), q, to, [width, height, a.width]);
        let (dout, to) = (self.rows_of(tile, *dout), self.keys_of(tile, *dv));
        self.add(weights.transposed(), dout, to, [width, height, a.value_width]);
    }

    /// A kernel of the schedule, as it is evaluated.
    fn kernel(&self, kernel: &TileKernel) -> Kernel {
        M::kernel(&self.kernels[kernel.kernel])
    }

    /// Key tiles that rows see, ascending.
    fn touched(&self, rows: [u64; 2]) -> Vec<[u64; 2]> {
        let is_touched = |keys: &[u64; 2]| self.a.band.touches(self.offset, rows, *keys);
        ranges(self.a.keys, self.a.key_tile).filter(is_touched).collect()
    }

    fn buffer(&self, scratch: Scratch) -> BufferId {
        let at = Scratch::ALL.iter().position(|&s| s == scratch).expect("all are listed");
        BufferId((self.scratch + at) as u32)
    }

    fn fill(&mut self, scratch: Scratch, value: f32) {
        let at = self.buffer(scratch).0 as usize;
        let value = number::<M>(value);
        (0..len(self.a, scratch)).for_each(|i| self.memory.set(at, i, value));
    }

    fn square(&self, scratch: Scratch) -> Matrix {
        let arg = Arg { buffer: self.buffer(scratch), offset: 0 };
        Matrix { arg, strides: [self.a.key_tile as i64, 1] }
    }

    fn acc(&self) -> Matrix {
        let arg = Arg { buffer: self.buffer(Scratch::Acc), offset: 0 };
        Matrix { arg, strides: [self.a.value_width as i64, 1] }
    }

    /// The rows of a tile in a tensor with heads.
    fn rows_of(&self, tile: &Tile, x: Strided) -> Matrix {
        matrix(x, tile.batch, tile.head, tile.rows[0])
    }

    /// The keys of a tile in a tensor with groups.
    fn keys_of(&self, tile: &Tile, x: Strided) -> Matrix {
        matrix(x, tile.batch, tile.head / (self.a.heads / self.a.groups), tile.keys[0])
    }

    /// Products of rows and keys; 0 in the columns behind the last key.
    fn scores(&mut self, tile: &Tile, rows: Strided, keys: Strided, width: u64, to: Scratch) {
        self.fill(to, 0.0);
        let (x, y) = (self.rows_of(tile, rows), self.keys_of(tile, keys).transposed());
        let to = self.square(to);
        for (i, j) in pairs(tile.height(), tile.width()) {
            let score = self.chain(x, y, i, j, width);
            self.set(to, i, j, score);
        }
    }

    fn run(&mut self, ready: &Kernel, kernel: &TileKernel, tile: &Tile) {
        let origin = self.scratch + Scratch::ALL.len();
        let start = [tile.batch, tile.head, tile.rows[0], tile.keys[0]];
        for (i, at) in start.into_iter().enumerate() {
            self.memory.set(origin, i, M::of(Dtype::I32, at));
        }
        let arg = |arg: &TileArg| match arg {
            TileArg::Scratch(scratch) => Arg { buffer: self.buffer(*scratch), offset: 0 },
            TileArg::Origin => Arg { buffer: BufferId(origin as u32), offset: 0 },
            TileArg::Global { arg, strides } => {
                let moved: i64 = strides.iter().zip(start).map(|(s, at)| s * at as i64).sum();
                Arg { offset: arg.offset.strict_add_signed(moved), ..*arg }
            }
        };
        let args: Vec<Arg> = kernel.args.iter().map(arg).collect();
        let on_tile = Kernel { outer: vec![tile.height()], ..ready.clone() };
        eval_ready(&on_tile, self.memory, &args);
    }

    /// acc = acc * factor, row by row.
    fn rescale(&mut self, tile: &Tile) {
        let acc = self.acc();
        let factor = Arg { buffer: self.buffer(Scratch::Factor), offset: 0 };
        let factor = Matrix { arg: factor, strides: [1, 0] };
        for (i, j) in pairs(tile.height(), self.a.value_width) {
            let args = [self.get(acc, i, j), self.get(factor, i, j)];
            let scaled = M::apply(Scalar::Mul, &[Dtype::F32; 2], &args);
            self.set(acc, i, j, scaled);
        }
    }

    /// to += x · y, each element a chain and one addition; the sizes are those of m, k and n.
    fn add(&mut self, x: Matrix, y: Matrix, to: Matrix, [m, k, n]: [u64; 3]) {
        for (i, j) in pairs(m, n) {
            let args = [self.get(to, i, j), self.chain(x, y, i, j, k)];
            let sum = M::apply(Scalar::Add, &[Dtype::F32; 2], &args);
            self.set(to, i, j, sum);
        }
    }

    fn chain(&self, x: Matrix, y: Matrix, i: u64, j: u64, n: u64) -> M::Value {
        let pair = |l| [self.get(x, i, l), self.get(y, l, j)];
        M::chain(self.operands, &(0..n).map(pair).collect::<Vec<_>>())
    }

    fn clear(&mut self, x: &Strided, [batch, heads, rows, cols]: [u64; 4]) {
        for (b, h) in pairs(batch, heads) {
            let to = matrix(*x, b, h, 0);
            pairs(rows, cols).for_each(|(i, j)| self.set(to, i, j, number::<M>(0.0)));
        }
    }

    fn get(&self, x: Matrix, i: u64, j: u64) -> M::Value {
        self.memory.get(x.arg.buffer.0 as usize, place(x, i, j))
    }

    fn set(&mut self, x: Matrix, i: u64, j: u64, value: M::Value) {
        self.memory.set(x.arg.buffer.0 as usize, place(x, i, j), value);
    }
}

/// The elements of a memory of a tile.
fn len(a: &Attention, scratch: Scratch) -> usize {
    let len = match scratch {
        Scratch::Scores | Scratch::Grads => a.row_tile * a.key_tile,
        Scratch::Top | Scratch::Sum | Scratch::Factor => a.row_tile,
        Scratch::Acc => a.row_tile * a.value_width,
    };
    len as usize
}

fn number<M: Numbers>(x: f32) -> M::Value {
    M::of(Dtype::F32, x.to_bits().into())
}

fn matrix(x: Strided, batch: u64, head: u64, row: u64) -> Matrix {
    let start: i64 =
        x.strides.iter().zip([batch, head, row]).map(|(stride, at)| stride * at as i64).sum();
    let arg = Arg { offset: x.arg.offset.strict_add_signed(start), ..x.arg };
    Matrix { arg, strides: [x.strides[2], x.strides[3]] }
}

fn place(x: Matrix, i: u64, j: u64) -> usize {
    let at = x.arg.offset as i64 + x.strides[0] * i as i64 + x.strides[1] * j as i64;
    usize::try_from(at).expect("addresses are not negative")
}

fn pairs(m: u64, n: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..m).flat_map(move |i| (0..n).map(move |j| (i, j)))
}

/// `0..n` in runs of `step`.
fn ranges(n: u64, step: u64) -> impl Iterator<Item = [u64; 2]> {
    (0..n.div_ceil(step)).map(move |i| [i * step, n.min((i + 1) * step)])
}
