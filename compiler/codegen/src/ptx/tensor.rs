//! Products of 16-bit operands on tensor cores: the fast mode.
//!
//! In: a product of the schedule. Out: a launch. A block of threads computes a tile of the result:
//! copies of the next stages of both operands are under way to shared memory while the products of
//! this one are added. The sum of each result is one chain over k, ascending in steps of 16, for
//! any tile; its bits are those of the hardware, the same in every run.

mod copy;
mod fragment;
mod result;
mod tile;

use ir::kernel::Kernel;
use ir::schedule::{Adds, EpilogueArg, Product};
use ptx_builder::{B32, B64, Builder, Class, Cmp, Logic, Narrow, Reg, Special, Target};

use super::emitter::Emitter;
use super::group;
use super::memory::{Place, Pointer, advance_bytes, small};
use super::product::Types;
use super::{Launch, count_loop};
use crate::flow::Flow;
use copy::{Copier, Source};
use fragment::{Fragments, Side, Sums};
use result::{Corner, Ends, Layout, Start};
use tile::{DEPTH, Need, Tile};

/// Rows of tiles that neighbouring blocks share, so that they find operands in the cache.
const BAND: u64 = 8;

/// The entry of a product.
///
/// Its parameters: the operands, the result if there is one, the memory that the epilogue names, in
/// order, and a number of 32 bits, that of the iteration, where it adds [`Adds::AfterFirst`].
/// `aligned` are numbers of bytes that divide the addresses of the operands and of the result.
pub fn product(
    product: &Product,
    types: Types,
    aligned: [u64; 3],
    kernels: &[Kernel],
    target: Target,
    name: &str,
) -> Launch {
    let tensor = Tensor::new(product, types, aligned, target);
    let kernel = product.epilogue.as_ref().map(|e| ir::expand::expand_kernel(&kernels[e.kernel]));
    let mut params = vec![Class::B64; product.args().len()];
    if product.adds == Adds::AfterFirst {
        params.push(Class::B32);
    }
    let mut b = Builder::new(name, &params, tensor.tile.threads());
    let block = tensor.block(&mut b);
    let sums = tensor.parts(&mut b, &block);
    if let Some(kernel) = &kernel {
        let flow = Flow::new(kernel);
        tensor.epilogue(&mut Emitter::new(&mut b, kernel, &flow), &block, sums);
    }
    let [rows, cols] = tensor.need.grid(tensor.tile);
    Launch {
        entry: b.finish(),
        blocks: tensor.need.batch * rows * cols,
        shared_bytes: tensor.need.shared_bytes(tensor.tile, target),
    }
}

/// A product and the choices made for it.
struct Tensor<'p> {
    product: &'p Product,
    need: Need,
    tile: Tile,
    stages: u32,
    narrow: Narrow,
    left: Source,
    right: Source,
    layout: Layout,
}

/// What a block of threads works on.
struct Block {
    /// Index over all batch axes.
    batch: Reg<B32>,
    /// The first row.
    row: Reg<B32>,
    /// The number of the block along the columns.
    strip: Reg<B32>,
    /// The first column.
    col: Reg<B32>,
    /// The addresses of both operands and of the result in their batch.
    bases: Vec<Reg<B64>>,
    /// The shared memory.
    shared: Reg<B32>,
    /// The first row and column of the warp in the tile.
    warp: [Reg<B32>; 2],
}

impl<'p> Tensor<'p> {
    fn new(product: &'p Product, types: Types, aligned: [u64; 3], target: Target) -> Self {
        let p = product;
        let need = Need {
            batch: p.batch.iter().map(|axis| axis.size).product(),
            m: p.m,
            n: p.n,
            k: p.k,
            together: p.epilogue.as_ref().map(|e| e.cols),
        };
        let tile = tile::choose(need, target);
        // A batch index moves an operand on by its stride.
        let divisors = |which: usize, bytes: u64| {
            let strides = p.batch.iter().filter(|axis| axis.size > 1);
            let strides = strides.map(|axis| axis.strides[which].unsigned_abs() * bytes);
            strides.fold(aligned[which], |all, stride| all | (1 << 16) | stride)
        };
        let lowest = |bits: u64| 1 << bits.trailing_zeros();
        let source = |which: usize, tile: u32, size: u64, strides: [i64; 2]| {
            Source::new(tile, size, p.k, strides, lowest(divisors(which, 2)))
        };
        let [b_k, b_n] = p.b_strides;
        let bytes = types.result.bytes();
        let end = need.together.unwrap_or(p.n);
        let is_even = lowest(divisors(2, bytes)) >= 2 * bytes && p.c_strides[0] % 2 == 0;
        let right = source(1, tile.cols, p.n, [b_n, b_k]);
        // Blocks that are no multiple of a tile reach beyond the end wherever they start.
        let is_cut = !need.width(tile).is_multiple_of(tile.cols.into());
        Self {
            product,
            need,
            tile,
            stages: tile.stages(target),
            narrow: result::narrow(types.operands).expect("operands have 16 bits"),
            left: source(0, tile.rows, p.m, p.a_strides),
            right: Source { is_ragged: right.is_ragged || is_cut, ..right },
            layout: Layout {
                dtype: types.result,
                strides: p.c_strides.map(|s| s * bytes.cast_signed()),
                in_pairs: is_even && p.c_strides[1] == 1 && end.is_multiple_of(2),
            },
        }
    }

    fn block(&self, b: &mut Builder) -> Block {
        let [rows, strips] = self.need.grid(self.tile);
        let at = b.special(Special::CtaidX);
        let [batch, at] = parted(b, at, rows * strips, self.need.batch);
        let (row, strip) = banded(b, at, rows, strips);
        let row = b.imul(row, small(self.tile.rows.into()));
        let col = b.imul(strip, small(self.need.width(self.tile)));
        let n_bases = 2 + u32::from(self.product.c.is_some());
        let bases = (0..n_bases).map(|at| self.base(b, at, batch)).collect();
        let thread = b.special(Special::TidX);
        let warp: Reg<B32> = b.shr(thread, 5);
        let [_, across] = self.tile.warps;
        let [rows, cols] = self.tile.warp();
        let [down, across] = parted(b, warp, across.into(), u64::MAX);
        let warp = [b.imul(down, small(rows.into())), b.imul(across, small(cols.into()))];
        Block { batch, row, strip, col, bases, shared: b.shared(), warp }
    }

    /// An operand or the result at a batch index.
    fn base(&self, b: &mut Builder, which: u32, batch: Reg<B32>) -> Reg<B64> {
        let address = b.param(which);
        let mut base = b.to_global(address);
        let bytes = if which < 2 { 2 } else { self.layout.dtype.bytes().cast_signed() };
        let axes = &self.product.batch;
        for (i, axis) in axes.iter().enumerate() {
            let inner: u64 = axes[i + 1..].iter().map(|axis| axis.size).product();
            let [before, _] = parted(b, batch, inner, u64::MAX);
            let index = if i > 0 { b.urem(before, small(axis.size.max(1))) } else { before };
            base = advance_bytes(b, base, index, axis.strides[which as usize] * bytes);
        }
        base
    }

    /// All tiles of a block, one after another; gives where the sums for an epilogue lie.
    fn parts(&self, b: &mut Builder, block: &Block) -> Reg<B32> {
        let parts = self.need.parts(self.tile);
        let sums = Sums::new(b, self.tile);
        if parts == 1 {
            let first = b.mov(0);
            self.part(b, block, &sums, first);
            // The sums lie where the stages were.
            if self.need.together.is_some() {
                b.barrier();
                self.keep(b, block, &sums, first, block.shared);
            }
            return block.shared;
        }
        let stages = small((self.stages * self.tile.stage_bytes()).into());
        let kept = b.iadd(block.shared, stages);
        let first = b.mov(0);
        let head = b.label();
        b.place(head);
        self.part(b, block, &sums, first);
        self.keep(b, block, &sums, first, kept);
        // The next part fills the stages anew.
        b.barrier();
        b.iadd_to(first, first, small(self.tile.cols.into()));
        let width = small(self.need.width(self.tile));
        let is_next = b.icmp(Cmp::Lt, first, width);
        b.bra_if(is_next, true, head);
        kept
    }

    /// One tile, which starts at a column of the block: its sums, and the result if there is one.
    fn part(&self, b: &mut Builder, block: &Block, sums: &Sums, first: Reg<B32>) {
        sums.clear(b);
        if self.product.k > 0 {
            self.sum(b, block, sums, first);
        }
        if self.product.c.is_some() {
            let (corner, ends) = self.corner(b, block, first);
            let col = match self.need.together {
                Some(_) => b.iadd(corner.col, block.col),
                None => corner.col,
            };
            let to = advance_bytes(b, block.bases[2], corner.row, self.layout.strides[0]);
            let to = advance_bytes(b, to, col, self.layout.strides[1]);
            let start = match self.product.adds {
                Adds::Never => Start::Anew,
                Adds::Always => Start::FromHeld,
                Adds::AfterFirst => {
                    let last = u32::try_from(self.product.args().len()).expect("they are few");
                    let iteration = b.param32(last);
                    Start::Where(b.icmp(Cmp::Ne, iteration, 0))
                }
            };
            result::store(b, sums, self.layout, start, to, (corner, ends));
        }
    }

    /// The first sum of the lane, and the ends that blocks reach beyond.
    fn corner(&self, b: &mut Builder, block: &Block, first: Reg<B32>) -> (Corner, Ends) {
        let lane = b.special(Special::LaneId);
        let row: Reg<B32> = b.shr(lane, 2);
        let row = b.iadd(row, block.warp[0]);
        let row = b.iadd(row, block.row);
        let col: Reg<B32> = b.logic(Logic::And, lane, 3);
        let col: Reg<B32> = b.shl(col, 1);
        let col = b.iadd(col, block.warp[1]);
        let col = b.iadd(col, first);
        // Those of a block with an epilogue count from its start, for it ends there.
        let (col, end) = match self.need.together {
            Some(cols) => (col, cols),
            None => (b.iadd(col, block.col), self.product.n),
        };
        let edge = |end: u64, tile: u32| (!end.is_multiple_of(tile.into())).then_some(end);
        let ends =
            Ends { row: edge(self.product.m, self.tile.rows), col: edge(end, self.tile.cols) };
        (Corner { row, col }, ends)
    }

    /// The sums of a tile to shared memory, for the epilogue.
    fn keep(&self, b: &mut Builder, block: &Block, sums: &Sums, first: Reg<B32>, to: Reg<B32>) {
        let cols = self.need.width(self.tile);
        let (corner, ends) = self.corner(b, block, first);
        let row = b.isub(corner.row, block.row);
        let to = b.mad(row, small(cols * 4), to);
        let to = b.mad(corner.col, 4, to);
        result::store_shared(b, sums, cols, to, (corner, ends));
    }

    /// The loop over k.
    fn sum(&self, b: &mut Builder, block: &Block, sums: &Sums, first: Reg<B32>) {
        let col = b.iadd(block.col, first);
        let threads = self.tile.threads();
        let right_start = b.iadd(block.shared, small(self.left.bytes().into()));
        let [left, right] = [block.bases[0], block.bases[1]];
        let shared = block.shared;
        let mut copiers = [
            Copier::new(b, self.left, threads, left, block.row, shared),
            Copier::new(b, self.right, threads, right, col, right_start),
        ];
        let [rows, cols] = self.tile.warp().map(|n| n / 16);
        let [row, col] = block.warp;
        let left = Fragments::new(b, self.left, Side::Left, row, rows, shared);
        let right = Fragments::new(b, self.right, Side::Right, col, cols, right_start);
        let n = small(self.product.k.div_ceil(DEPTH.into()));
        let stage = small(self.tile.stage_bytes().into());
        let ahead = small((self.stages - 1).into());
        for at in 0..ahead {
            if at < n {
                let to = b.mov(at * stage);
                copiers.iter_mut().for_each(|copier| copier.copy(b, to));
            }
            b.copy_commit();
        }
        let [read, write, rest] = [0, ahead * stage, n].map(|start| b.mov::<B32>(start));
        let head = b.label();
        b.place(head);
        // Groups are counted by stages, empty ones too: this stage is there when the others may be
        // under way. What the next copies overwrite was read before the barrier.
        b.copy_wait(self.stages - 2);
        b.barrier();
        if n > ahead {
            let end = b.label();
            let is_over = b.icmp(Cmp::Le, rest, ahead);
            b.bra_if(is_over, true, end);
            copiers.iter_mut().for_each(|copier| copier.copy(b, write));
            b.place(end);
            self.next_stage(b, write);
        }
        b.copy_commit();
        let [left, right] = [left, right].map(|side| side.in_stage(b, read));
        sums.add(b, self.narrow, &left, &right);
        self.next_stage(b, read);
        b.iadd_to(rest, rest, -1);
        let is_next = b.icmp(Cmp::Gt, rest, 0);
        b.bra_if(is_next, true, head);
    }

    fn next_stage(&self, b: &mut Builder, at: Reg<B32>) {
        let stage = small(self.tile.stage_bytes().into());
        let next = b.iadd(at, stage);
        let is_end = b.icmp(Cmp::Eq, next, stage * small(self.stages.into()));
        let next: Reg<B32> = b.select(is_end, 0, next);
        b.mov_to(at, next);
    }

    /// The kernel behind the product on the block's sums, a group of lanes for each row.
    fn epilogue(&self, e: &mut Emitter<'_>, block: &Block, sums: Reg<B32>) {
        e.b.barrier();
        let cols = self.need.width(self.tile);
        let m = self.product.m;
        // Rows are counted from that of the product.
        let before: Reg<B32> = e.b.imul(block.row, small(cols * 4));
        let sums = e.b.isub(sums, before);
        let mut next = 2 + u32::from(self.product.c.is_some());
        let args = self.product.epilogue.iter().flat_map(|e| &e.args);
        let bases: Vec<Pointer> = args
            .map(|arg| match arg {
                EpilogueArg::Sums => Pointer::Shared(sums),
                EpilogueArg::Memory(_) => {
                    let address = e.b.param(next);
                    next += 1;
                    Pointer::Global(e.b.to_global(address))
                }
            })
            .collect();
        let front = e.b.mad(block.batch, small(self.product.n / cols), block.strip);
        let front = e.b.imul(front, small(m));
        let groups = self.tile.threads() / group::GROUP;
        let thread = e.b.special(Special::TidX);
        let first: Reg<B32> = e.b.shr(thread, group::GROUP.ilog2());
        let (tile_rows, groups) = (small(self.tile.rows.into()), small(groups.into()));
        let (kernel, flow) = (e.kernel, e.flow);
        count_loop(e.b, first, tile_rows, groups, |b, row| {
            let row = b.iadd(row, block.row);
            let is_inside = b.icmp(Cmp::Lt, row, small(m));
            // All lanes of a warp take part in shuffles; rows behind the end write nothing.
            let row = b.imin(row, small(m) - 1);
            let unit = b.iadd(front, row);
            let mut e = Emitter::new(b, kernel, flow);
            let place = e.outer_place(&bases, unit);
            group::row(&mut e, &Place { writes: Some(is_inside), ..place });
        });
    }
}

/// An address and an offset that an instruction takes, for one further on.
fn shifted(b: &mut Builder, base: Reg<B64>, bytes: i64) -> (Reg<B64>, i32) {
    match i32::try_from(bytes) {
        Ok(bytes) => (base, bytes),
        Err(_) => (b.iadd(base, bytes), 0),
    }
}

/// An index as that of the whole parts of `size`, of which there are `n`, and the rest.
fn parted(b: &mut Builder, at: Reg<B32>, size: u64, n: u64) -> [Reg<B32>; 2] {
    if n == 1 {
        return [b.mov(0), at];
    }
    if size <= 1 {
        return [at, b.mov(0)];
    }
    [b.udiv(at, small(size)), b.urem(at, small(size))]
}

/// The row and column of a tile, in bands of some rows, down each band's columns.
fn banded(b: &mut Builder, at: Reg<B32>, rows: u64, cols: u64) -> (Reg<B32>, Reg<B32>) {
    if rows <= BAND {
        let [col, row] = parted(b, at, rows, u64::MAX);
        return (row, col);
    }
    let [band, at] = parted(b, at, BAND * cols, rows.div_ceil(BAND));
    let first: Reg<B32> = b.shl(band, BAND.ilog2());
    let rest: Reg<B32> = b.isub(small(rows), first);
    let height: Reg<B32> = b.imin(rest, small(BAND));
    let row = b.urem(at, height);
    (b.iadd(row, first), b.udiv(at, height))
}
