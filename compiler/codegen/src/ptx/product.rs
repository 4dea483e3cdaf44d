//! Matrix products of exact mode: a tile of the result for each block.
//!
//! In: a product of the schedule. Out: an entry with the bits of `ir::eval`: chains of fma over
//! slices of k, the sums of the slices added ascending. Its text depends on sizes, strides, types
//! and the epilogue's kernel, not on where anything lies.
//!
//! Parameters: addresses of the left operand, the right operand, the result (if it goes to memory)
//! and the memory arguments of the epilogue in their order; for [`Adds::AfterFirst`], at the end,
//! the 32-bit number of the iteration of the tiles around it.

mod epilogue;
mod shape;

use ir::kernel::Kernel;
use ir::schedule::{Adds, Product};
use ir::types::Dtype;
use ptx_builder::{B32, Builder, Class, Cmp, F32, Logic, Pred, Reg, Special};

use super::Launch;
use super::chains::{Side, Sums, THREADS, Thread, Tile, filled};
use super::memory::{Pointer, advance, load_single, small, store_single};
use super::stage::Global;
use shape::Shape;

/// The types of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Types {
    /// Both operands.
    pub operands: Dtype,
    /// The result; of no account where it does not go to memory.
    pub result: Dtype,
}

/// The entry of a product; `kernels` are those of its schedule.
pub fn product(p: &Product, types: Types, kernels: &[Kernel], k_slice: u64, name: &str) -> Launch {
    let shape = Shape::of(p);
    let n_args = u32::try_from(p.args().len()).expect("arguments are few");
    let mut params = vec![Class::B64; p.args().len()];
    if p.adds == Adds::AfterFirst {
        params.push(Class::B32);
    }
    let mut b = Builder::new(name, &params, THREADS);
    let thread = Thread::new(&mut b);
    let at = Corner::new(&mut b, p, &shape);
    let iteration = (p.adds == Adds::AfterFirst).then(|| b.param32(n_args));
    let mut emission = Emission { b: &mut b, p, types, shape: &shape, thread, at };
    let totals = emission.totals(k_slice, iteration);
    if p.c.is_some() {
        emission.store(&totals);
    }
    if let Some(behind) = &p.epilogue {
        emission.epilogue(behind, &kernels[behind.kernel], &totals);
    }
    let shared_bytes = shape.shared_bytes(p.epilogue.is_some());
    Launch { entry: b.finish(), blocks: shape.blocks, shared_bytes }
}

/// Where the tile of the block starts.
struct Corner {
    /// The number of the batch.
    front: Reg<B32>,
    /// Indices of the batch axes.
    batch: Vec<Reg<B32>>,
    row: Reg<B32>,
    col: Reg<B32>,
    /// How many tiles lie left of it.
    tile: Reg<B32>,
}

impl Corner {
    fn new(b: &mut Builder, p: &Product, shape: &Shape) -> Self {
        let block = b.special(Special::CtaidX);
        let [rows, cols] = shape.tiles.map(|n| small(n.max(1)));
        let tile = b.urem(block, cols);
        let unit = b.udiv(block, cols);
        let row = b.urem(unit, rows);
        let front = b.udiv(unit, rows);
        let mut inner = p.batch.iter().map(|axis| axis.size).product::<u64>().max(1);
        let mut batch = vec![];
        for axis in &p.batch {
            inner /= axis.size.max(1);
            let index = b.udiv(front, small(inner));
            batch.push(b.urem(index, small(axis.size.max(1))));
        }
        let row = b.imul(row, small(shape.tile(0)));
        let col = b.imul(tile, small(shape.tile(1)));
        Self { front, batch, row, col, tile }
    }
}

struct Emission<'e> {
    b: &'e mut Builder,
    p: &'e Product,
    types: Types,
    shape: &'e Shape,
    thread: Thread,
    at: Corner,
}

impl Emission<'_> {
    /// A parameter, moved on to the matrix of the batch.
    fn matrix(&mut self, param: u32, which: usize, dtype: Dtype) -> Pointer {
        let address = self.b.param(param);
        let mut pointer = Pointer::Global(self.b.to_global(address));
        for (axis, &index) in self.p.batch.iter().zip(&self.at.batch) {
            pointer = advance(self.b, pointer, index, axis.strides[which], dtype);
        }
        pointer
    }

    fn side(&mut self, which: usize) -> Side {
        let (p, dtype) = (self.p, self.types.operands);
        let (strides, first, size) = match which {
            0 => (p.a_strides, self.at.row, p.m),
            _ => ([p.b_strides[1], p.b_strides[0]], self.at.col, p.n),
        };
        let param = u32::try_from(which).expect("a product has two sides");
        let matrix = self.matrix(param, which, dtype);
        let Pointer::Global(pointer) = advance(self.b, matrix, first, strides[0], dtype) else {
            unreachable!("operands are in global memory")
        };
        let is_whole = self.shape.tile(which) * self.shape.tiles[which] == size
            && self.shape.tile(which) == self.shape.axes[which].size().into();
        let count = (!is_whole).then(|| self.b.isub(small(size), first));
        Side::Global(Global { pointer, strides, dtype, count })
    }

    /// The finished sums of the tile.
    fn totals(&mut self, k_slice: u64, iteration: Option<Reg<B32>>) -> Sums {
        let k = self.p.k;
        let sides = [self.side(0), self.side(1)];
        let is_multiple = |n: u64| n.is_multiple_of(super::chains::STEPS.into());
        let is_whole = is_multiple(k) && (is_multiple(k_slice) || k <= k_slice);
        let tile =
            Tile { thread: self.thread, axes: self.shape.axes, sides, stages_at: 0, is_whole };
        let sums = filled(self.b, tile.axes, 0.0);
        if k <= k_slice && self.p.adds == Adds::Never {
            tile.chains(self.b, 0, small(k), &sums);
            return sums;
        }
        let is_fresh = match self.p.adds {
            Adds::Never => Some(self.b.icmp(Cmp::Eq, small(0), small(0))),
            Adds::AfterFirst => iteration.map(|at| self.b.icmp(Cmp::Eq, at, 0)),
            Adds::Always => None,
        };
        let totals = filled(self.b, tile.axes, 0.0);
        if self.p.adds != Adds::Never {
            self.held(&totals, is_fresh);
        }
        let slice = small(k_slice.min(k.max(1)));
        super::count_loop(self.b, 0, small(k), slice, |b, from| {
            let end = b.iadd(from, slice);
            let to = b.imin(end, small(k));
            tile.chains(b, from, to, &sums);
            for (&total, &sum) in totals.iter().zip(&sums) {
                let next = b.fadd(total, sum);
                let next = is_fresh.map_or(next, |is_fresh| b.select(is_fresh, sum, next));
                b.mov_to(total, next);
            }
            if let Some(is_fresh) = is_fresh {
                let never = b.icmp(Cmp::Ne, from, from);
                b.mov_to(is_fresh, never);
            }
        });
        totals
    }

    /// Whether each row and each column of the thread exists.
    fn is_there(&mut self) -> [Vec<Reg<Pred>>; 2] {
        let [rows, cols] = self.indices();
        let b = &mut *self.b;
        let (m, n) = (small(self.p.m), small(self.p.n));
        let end = b.iadd(self.at.col, small(self.shape.cols));
        let end = b.imin(end, n);
        let rows = rows.into_iter().map(|row| b.icmp(Cmp::Lt, row, m)).collect();
        let cols = cols.into_iter().map(|col| b.icmp(Cmp::Lt, col, end)).collect();
        [rows, cols]
    }

    /// The thread's rows and columns of the result.
    fn indices(&mut self) -> [Vec<Reg<B32>>; 2] {
        let [rows, cols] = self.shape.axes;
        let rows = rows.indices(self.b, self.thread.line);
        let cols = cols.indices(self.b, self.thread.lane);
        let rows = rows.into_iter().map(|row| self.b.iadd(row, self.at.row)).collect();
        let cols = cols.into_iter().map(|col| self.b.iadd(col, self.at.col)).collect();
        [rows, cols]
    }

    /// For each result of the thread: its number, its place, whether it exists.
    fn results(&mut self, mut each: impl FnMut(&mut Builder, usize, Pointer, Reg<Pred>)) {
        let ([rows, cols], [is_row, is_col]) = (self.indices(), self.is_there());
        let dtype = self.types.result;
        let matrix = self.matrix(2, 2, dtype);
        let strides = self.p.c_strides;
        for (i, (&row, &is_row)) in rows.iter().zip(&is_row).enumerate() {
            let line = advance(self.b, matrix, row, strides[0], dtype);
            for (j, (&col, &is_col)) in cols.iter().zip(&is_col).enumerate() {
                let place = advance(self.b, line, col, strides[1], dtype);
                let is_there = self.b.plogic(Logic::And, is_row, is_col);
                each(self.b, i * cols.len() + j, place, is_there);
            }
        }
    }

    /// Loads what the result holds, unless the sums start anew.
    fn held(&mut self, totals: &[Reg<F32>], is_fresh: Option<Reg<Pred>>) {
        let is_held = is_fresh.map(|is_fresh| self.b.pnot(is_fresh));
        let dtype = self.types.result;
        self.results(|b, at, place, is_there| {
            let is_read = is_held.map_or(is_there, |held| b.plogic(Logic::And, held, is_there));
            load_single(b, totals[at], place, dtype, is_read);
        });
    }

    fn store(&mut self, totals: &[Reg<F32>]) {
        let dtype = self.types.result;
        self.results(|b, at, place, is_there| {
            store_single(b, place, dtype, totals[at], Some(is_there));
        });
    }
}
