//! What both passes of attention do with a tile of scores.

use ir::kernel::Kernel;
use ir::schedule::attention::{Attention, Pass, Scratch, Strided, TileArg, TileKernel};
use ir::types::Dtype;
use ptx_builder::{B32, B64, Builder, Cmp, F32, Reg, Special, Val};

use super::layout::{Layout, elements, part};
use crate::flow::Flow;
use crate::ptx::chains::{self, SIDE, STEPS, Side, Sums, THREADS, Thread, filled};
use crate::ptx::emitter::Emitter;
use crate::ptx::memory::{Place, Pointer, advance, small};
use crate::ptx::stage::{Global, Matrix};
use crate::ptx::{count_loop, group};

/// An attention under emission.
pub(super) struct Tiles<'e> {
    pub(super) a: &'e Attention,
    pub(super) operands: Dtype,
    kernels: &'e [Kernel],
    pub(super) thread: Thread,
    pub(super) layout: Layout,
    /// The start of shared memory.
    shared: Reg<B32>,
    /// The place of row 0 among the keys.
    pub(super) offset: Option<Reg<B64>>,
}

/// A tile of scores.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) batch: Reg<B32>,
    pub(super) head: Reg<B32>,
    pub(super) group: Reg<B32>,
    /// The first row, and how many rows.
    pub(super) row: Reg<B32>,
    pub(super) height: Reg<B32>,
    /// The first key, and how many keys.
    pub(super) key: Reg<B32>,
    pub(super) width: Reg<B32>,
}

/// Rows of a tensor with heads, or keys of one with groups.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Rows,
    Keys,
}

/// A product of a tile: of how many rows, columns and steps.
pub(super) struct Sizes {
    pub(super) rows: u64,
    pub(super) cols: u64,
    pub(super) steps: Val<B32>,
    /// Whether the steps are known to come in whole stages.
    pub(super) is_whole: bool,
}

/// The sums of a thread, and their places in the product.
pub(super) struct Results {
    pub(super) rows: Vec<Reg<B32>>,
    pub(super) cols: Vec<Reg<B32>>,
    pub(super) sums: Sums,
}

impl Results {
    /// Row, column and sum of each.
    pub(super) fn all(&self) -> impl Iterator<Item = (Reg<B32>, Reg<B32>, Reg<F32>)> {
        let places = self.rows.iter().flat_map(|&row| self.cols.iter().map(move |&col| (row, col)));
        places.zip(&self.sums).map(|((row, col), &sum)| (row, col, sum))
    }
}

impl<'e> Tiles<'e> {
    pub(super) fn new(
        b: &mut Builder,
        a: &'e Attention,
        operands: Dtype,
        kernels: &'e [Kernel],
    ) -> Self {
        let is_even =
            a.row_tile.is_multiple_of(SIDE.into()) && a.key_tile.is_multiple_of(SIDE.into());
        assert!(is_even, "the tiles of devices are multiples of {SIDE}");
        let thread = Thread::new(b);
        let shared = b.shared();
        let mut tiles =
            Self { a, operands, kernels, thread, layout: Layout::new(a), shared, offset: None };
        let n_tensors = if matches!(a.pass, Pass::Forward { .. }) { 3 } else { 7 };
        tiles.offset = a.band.offset.map(|_| {
            let address = tiles.param(b, n_tensors);
            let offset = b.load(address, 0);
            b.s64_from_s32(offset)
        });
        tiles
    }

    /// An argument, by its number in [`Attention::args`].
    fn param(&self, b: &mut Builder, at: usize) -> Reg<B64> {
        let address = b.param(u32::try_from(at).expect("arguments are few"));
        b.to_global(address)
    }

    /// The number of the first argument of the `which`th kernel in memory.
    fn first_param(&self, which: usize) -> usize {
        let is_global = |arg: &&TileArg| matches!(arg, TileArg::Global { .. });
        let before = self.a.pass.kernels().into_iter().take(which);
        let before = before.map(|kernel| kernel.args.iter().filter(is_global).count());
        let tensors = if matches!(self.a.pass, Pass::Forward { .. }) { 3 } else { 7 };
        tensors + usize::from(self.a.band.offset.is_some()) + before.sum::<usize>()
    }

    /// How many there are from one on, up to a tile.
    pub(super) fn count(b: &mut Builder, from: Reg<B32>, size: u64, tile: u64) -> Reg<B32> {
        let rest = b.isub(small(size), from);
        b.imin(rest, small(tile))
    }

    pub(super) fn group(&self, b: &mut Builder, head: Reg<B32>) -> Reg<B32> {
        b.udiv(head, small(self.a.heads / self.a.groups))
    }

    /// The address of a memory of the tile.
    pub(super) fn scratch(&self, b: &mut Builder, scratch: Scratch) -> Reg<B32> {
        b.iadd(self.shared, self.layout.scratch(scratch))
    }

    /// Weights or gradients; with the keys as rows where `is_transposed`.
    pub(super) fn square(&self, b: &mut Builder, scratch: Scratch, is_transposed: bool) -> Side {
        let base = self.scratch(b, scratch);
        let row = u32::try_from(self.a.key_tile).expect("a tile is small");
        let strides = if is_transposed { [1, row] } else { [row, 1] };
        Side::Shared(Matrix { base, strides })
    }

    /// The first element of the tile in a tensor, which is the `at`th argument.
    pub(super) fn start(
        &self,
        b: &mut Builder,
        at: usize,
        strides: [i64; 4],
        dtype: Dtype,
        tile: &Tile,
        which: Which,
    ) -> Reg<B64> {
        let [head, row] = match which {
            Which::Rows => [tile.head, tile.row],
            Which::Keys => [tile.group, tile.key],
        };
        let mut pointer = Pointer::Global(self.param(b, at));
        for (index, stride) in [tile.batch, head, row].into_iter().zip(strides) {
            pointer = advance(b, pointer, index, stride, dtype);
        }
        let Pointer::Global(pointer) = pointer else { unreachable!("tensors are in memory") };
        pointer
    }

    /// Rows or keys of the tile as a side of a product: those are its rows (or columns), the
    /// elements its steps.
    pub(super) fn lines(
        &self,
        b: &mut Builder,
        at: usize,
        x: &Strided,
        tile: &Tile,
        which: Which,
    ) -> Side {
        let pointer = self.start(b, at, x.strides, self.operands, tile, which);
        let [_, _, row, col] = x.strides;
        let (size, part, count) = match which {
            Which::Rows => (self.a.rows, self.a.row_tile, tile.height),
            Which::Keys => (self.a.keys, self.a.key_tile, tile.width),
        };
        let count = (!size.is_multiple_of(part)).then_some(count);
        Side::Global(Global { pointer, strides: [row, col], dtype: self.operands, count })
    }

    /// The same with the elements as columns, of which there are `width`, and the rows or keys as
    /// steps.
    pub(super) fn elements(
        &self,
        b: &mut Builder,
        at: usize,
        x: &Strided,
        tile: &Tile,
        (which, width): (Which, u64),
    ) -> Side {
        let pointer = self.start(b, at, x.strides, self.operands, tile, which);
        let [_, _, row, col] = x.strides;
        let is_even = width.is_multiple_of(SIDE.into());
        let count = (!is_even).then(|| b.mov(small(width)));
        Side::Global(Global { pointer, strides: [col, row], dtype: self.operands, count })
    }

    /// A product, part by part; all threads get here.
    pub(super) fn multiply(
        &self,
        b: &mut Builder,
        sides: [Side; 2],
        sizes: &Sizes,
        finish: impl FnOnce(&mut Builder, &Results),
    ) {
        let axes = [sizes.rows, sizes.cols].map(part);
        each_part(b, sizes.rows, axes[0].size(), |b, row| {
            let rows = moved(b, sides[0], row);
            each_part(b, sizes.cols, axes[1].size(), |b, col| {
                let sides = [rows, moved(b, sides[1], col)];
                let (thread, is_whole) = (self.thread, sizes.is_whole);
                let stages_at = self.layout.stages;
                let tile = chains::Tile { thread, axes, sides, stages_at, is_whole };
                let sums = filled(b, axes, 0.0);
                tile.chains(b, 0, sizes.steps, &sums);
                let mut places = |axis: usize, at, start: Option<Reg<B32>>| {
                    let places = axes[axis].indices(b, at);
                    let moved = |place| start.map_or(place, |start| b.iadd(place, start));
                    places.into_iter().map(moved).collect()
                };
                let rows = places(0, thread.line, row);
                let cols = places(1, thread.lane, col);
                finish(b, &Results { rows, cols, sums });
            });
        });
    }

    /// Products of rows and keys to a memory of the tile; 0 behind the last key.
    pub(super) fn scores(
        &self,
        b: &mut Builder,
        sides: [Side; 2],
        width: u64,
        tile: &Tile,
        to: Scratch,
    ) {
        let (rows, cols) = (self.a.row_tile, self.a.key_tile);
        let is_whole = width.is_multiple_of(STEPS.into());
        let sizes = Sizes { rows, cols, steps: small(width).into(), is_whole };
        let to = self.scratch(b, to);
        self.multiply(b, sides, &sizes, |b, results| {
            for (row, col, sum) in results.all() {
                let is_there = b.icmp(Cmp::Lt, col, tile.width);
                let score = b.select(is_there, sum, 0.0);
                let place = b.mad(row, small(cols), col);
                let place = b.mad(place, 4, to);
                b.store_shared(place, 0, score);
            }
        });
    }

    /// Writes where the tile is; barriers before and behind keep it from who reads it.
    pub(super) fn write_origin(&self, b: &mut Builder, place: [Reg<B32>; 4]) {
        let thread = b.special(Special::TidX);
        let is_first = b.icmp(Cmp::Eq, thread, 0);
        let origin = b.iadd(self.shared, self.layout.origin);
        for (offset, at) in [0, 4, 8, 12].into_iter().zip(place) {
            b.guarded(is_first, true, |b| b.store_shared(origin, offset, at));
        }
    }

    /// Sets all of a memory of the tile.
    pub(super) fn fill(&self, b: &mut Builder, scratch: Scratch, value: f32) {
        let n = small(elements(self.a, scratch));
        let base = self.scratch(b, scratch);
        let thread = b.special(Special::TidX);
        count_loop(b, thread, n, THREADS.cast_signed(), |b, at| {
            let place = b.mad(at, 4, base);
            b.store_shared(place, 0, value);
        });
    }

    /// Runs the `which`th kernel on the rows of a tile, a line of threads at a row.
    pub(super) fn run(
        &self,
        b: &mut Builder,
        (which, kernel): (usize, &TileKernel),
        tile: &Tile,
        origin: [Reg<B32>; 4],
    ) {
        let expanded = ir::expand::expand_kernel(&self.kernels[kernel.kernel]);
        let flow = Flow::new(&expanded);
        let bases = self.bases(b, self.first_param(which), kernel, &expanded, origin);
        let all = b.iadd(tile.height, SIDE - 1);
        let turns = b.shr(all, SIDE.ilog2());
        let last = b.iadd(tile.height, -1);
        let line = self.thread.line;
        count_loop(b, 0, turns, 1, |b, turn| {
            let own = b.mad(turn, SIDE.cast_signed(), line);
            // All lanes of a warp take part in shuffles: a line behind the last row has a row of
            // the tile's memory to itself, reads what belongs to the last row, and writes nothing.
            let is_there = b.icmp(Cmp::Le, own, last);
            let row = b.imin(own, last);
            let mut pointers = vec![];
            for (&base, operand) in bases.iter().zip(&expanded.operands) {
                let index = if matches!(base, Pointer::Shared(_)) { own } else { row };
                pointers.push(advance(b, base, index, operand.outer[0], operand.dtype));
            }
            let writes = Some(is_there);
            let place = Place { pointers, outer: vec![row], row: None, col: None, writes };
            group::row(&mut Emitter::new(b, &expanded, &flow), &place);
        });
    }

    /// The operands of a kernel at the first row of the tile.
    fn bases(
        &self,
        b: &mut Builder,
        mut param: usize,
        kernel: &TileKernel,
        expanded: &Kernel,
        origin: [Reg<B32>; 4],
    ) -> Vec<Pointer> {
        let mut bases = vec![];
        for (arg, operand) in kernel.args.iter().zip(&expanded.operands) {
            bases.push(match arg {
                TileArg::Scratch(scratch) => Pointer::Shared(self.scratch(b, *scratch)),
                TileArg::Origin => Pointer::Shared(b.iadd(self.shared, self.layout.origin)),
                TileArg::Global { arg: _, strides } => {
                    let mut pointer = Pointer::Global(self.param(b, param));
                    param += 1;
                    for (index, &stride) in origin.into_iter().zip(strides) {
                        pointer = advance(b, pointer, index, stride, operand.dtype);
                    }
                    pointer
                }
            });
        }
        bases
    }
}

/// For each part of a size, where it starts; none for the only one.
fn each_part(
    b: &mut Builder,
    size: u64,
    part: u32,
    body: impl FnOnce(&mut Builder, Option<Reg<B32>>),
) {
    if size <= part.into() {
        body(b, None);
    } else {
        count_loop(b, 0, small(size), part.cast_signed(), |b, at| body(b, Some(at)));
    }
}

/// A side from a row or column on.
fn moved(b: &mut Builder, side: Side, by: Option<Reg<B32>>) -> Side {
    let Some(by) = by else { return side };
    match side {
        Side::Global(global) => {
            let start = Pointer::Global(global.pointer);
            let Pointer::Global(pointer) = advance(b, start, by, global.strides[0], global.dtype)
            else {
                unreachable!("global memory stays global")
            };
            let count = global.count.map(|count| b.isub(count, by));
            Side::Global(Global { pointer, count, ..global })
        }
        Side::Shared(matrix) => {
            let base = b.mad(by, matrix.strides[0] * 4, matrix.base);
            Side::Shared(Matrix { base, ..matrix })
        }
    }
}
