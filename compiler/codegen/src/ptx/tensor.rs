//! Products of 16-bit operands on tensor cores: the fast mode.
//!
//! In: a product of the schedule. Out: a launch. A block of threads computes a tile of the result:
//! copies of the next stages of both operands are under way to shared memory while the products of
//! this one are added. The sum of each result is one chain over k, ascending in steps of 16, for
//! any tile; its bits are those of the hardware, the same in every run.

mod block;
pub(super) mod copy;
mod epilogue;
pub(super) mod fragment;
pub(super) mod result;
mod tile;

use ir::kernel::Kernel;
use ir::schedule::{Adds, Product};
use ptx_builder::{B32, B64, Builder, Class, Cmp, Logic, Narrow, Reg, Special, Target};

use super::Launch;
use super::memory::{advance_bytes, small};
use super::product::Types;
use crate::flow::Flow;
use block::Block;
use copy::{Copier, Source};
use fragment::{Fragments, Side, Sums};
use result::{Corner, Ends, Layout, Start};
use tile::{Behind, DEPTH, Need, Tile};

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
    let behind = behind(product, kernels);
    let tensor = Tensor::new(product, types, aligned, behind, target);
    let mut params = vec![Class::B64; product.args().len()];
    if product.adds == Adds::AfterFirst {
        params.push(Class::B32);
    }
    let mut b = Builder::new(name, &params, tensor.tile.threads());
    b.set_resident(tensor.need.resident(tensor.tile, target));
    let block = tensor.block(&mut b);
    let sums = tensor.parts(&mut b, &block);
    if let Some(epilogue) = &product.epilogue {
        tensor.epilogue(&mut b, epilogue, &kernels[epilogue.kernel], &block, sums);
    }
    let [rows, cols] = tensor.need.grid(tensor.tile);
    Launch {
        entry: b.finish(),
        blocks: tensor.need.batch * rows * cols,
        shared_bytes: tensor.need.shared_bytes(tensor.tile, target),
    }
}

/// The tile that is taken for a product, for its name: rows, columns and stages.
pub fn tile_name(product: &Product, kernels: &[Kernel], target: Target) -> String {
    let tile = tile::choose(need(product, behind(product, kernels)), target);
    format!("tile_{}_{}_{}", tile.rows, tile.cols, tile.stages(target))
}

fn need(p: &Product, behind: Behind) -> Need {
    let batch = p.batch.iter().map(|axis| axis.size).product();
    Need { batch, m: p.m, n: p.n, k: p.k, behind }
}

/// What is asked of the blocks for an epilogue.
fn behind(product: &Product, kernels: &[Kernel]) -> Behind {
    match &product.epilogue {
        None => Behind::Nothing,
        Some(epilogue) if Flow::has_reductions(&kernels[epilogue.kernel]) => {
            Behind::Rows(epilogue.cols)
        }
        Some(epilogue) => Behind::Map(epilogue.cols),
    }
}

/// A product and the choices made for it.
struct Tensor<'p> {
    product: &'p Product,
    need: Need,
    tile: Tile,
    n_stages: u32,
    narrow: Narrow,
    left: Source,
    right: Source,
    layout: Layout,
}

impl<'p> Tensor<'p> {
    fn new(
        product: &'p Product,
        types: Types,
        aligned: [u64; 3],
        behind: Behind,
        target: Target,
    ) -> Self {
        let p = product;
        let need = need(p, behind);
        let tile = tile::choose(need, target);
        // A batch index moves an operand on by its stride.
        let divisors = |which: usize, bytes: u64| {
            let strides = p.batch.iter().filter(|axis| axis.size > 1);
            let strides = strides.map(|axis| axis.strides[which].unsigned_abs() * bytes);
            strides.fold(aligned[which], |all, stride| all | (1 << 16) | stride)
        };
        let lowest = |bits: u64| 1 << bits.trailing_zeros();
        let source = |which: usize, tile: u32, size: u64, strides: [i64; 2], starts: u64| {
            let aligned = lowest(divisors(which, 2) | starts);
            Source::new((tile, DEPTH), (size, p.k), strides, aligned)
        };
        let [b_k, b_n] = p.b_strides;
        // Bytes between the first columns of blocks.
        let starts = need.width(tile) * b_n.unsigned_abs() * 2;
        let bytes = types.result.bytes();
        let end = if behind == Behind::Nothing { p.n } else { need.width(tile) };
        let is_even = lowest(divisors(2, bytes)) >= 2 * bytes && p.c_strides[0] % 2 == 0;
        let right = source(1, tile.cols, p.n, [b_n, b_k], starts);
        // Blocks that are no multiple of a tile reach beyond the end wherever they start.
        let is_cut = !need.width(tile).is_multiple_of(tile.cols.into());
        Self {
            product,
            need,
            tile,
            n_stages: tile.stages(target),
            narrow: result::narrow(types.operands).expect("operands have 16 bits"),
            left: source(0, tile.rows, p.m, p.a_strides, 0),
            right: Source { is_ragged: right.is_ragged || is_cut, ..right },
            layout: Layout {
                dtype: types.result,
                strides: p.c_strides.map(|s| s * bytes.cast_signed()),
                in_pairs: is_even && p.c_strides[1] == 1 && end.is_multiple_of(2),
            },
        }
    }

    /// All tiles of a block, one after another; gives where the sums for an epilogue lie.
    fn parts(&self, b: &mut Builder, block: &Block) -> Reg<B32> {
        let parts = self.need.parts(self.tile);
        let sums = Sums::new(b, self.tile);
        if parts == 1 {
            let first = b.mov(0);
            self.part(b, block, &sums, first);
            // The sums lie where the stages were.
            if self.need.behind != Behind::Nothing {
                b.barrier();
                self.keep(b, block, &sums, first, block.shared);
                b.barrier();
            }
            return block.shared;
        }
        let stages = small((self.n_stages * self.tile.stage_bytes()).into());
        let kept = b.iadd(block.shared, stages);
        let first = b.mov(0);
        let head = b.label();
        b.place(head);
        self.part(b, block, &sums, first);
        self.keep(b, block, &sums, first, kept);
        // The next part fills the stages anew, or all sums are there.
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
            let col = match self.need.behind {
                Behind::Nothing => corner.col,
                Behind::Map(_) | Behind::Rows(_) => b.iadd(corner.col, block.col),
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
        let (col, end) = match self.need.behind {
            Behind::Nothing => (b.iadd(col, block.col), self.product.n),
            Behind::Map(_) | Behind::Rows(_) => (col, self.need.width(self.tile)),
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

    /// All of k.
    fn sum(&self, b: &mut Builder, block: &Block, sums: &Sums, first: Reg<B32>) {
        let col = b.iadd(block.col, first);
        let threads = self.tile.threads();
        let right_start = b.iadd(block.shared, small(self.left.bytes().into()));
        let [left, right] = [block.bases[0], block.bases[1]];
        let shared = block.shared;
        let copiers = [
            Copier::new(b, self.left, threads, left, block.row, shared),
            Copier::new(b, self.right, threads, right, col, right_start),
        ];
        let [rows, cols] = self.tile.warp().map(|n| n / 16);
        let [row, col] = block.warp;
        let left = Fragments::new(b, self.left, Side::Left, row, rows, shared);
        let right = Fragments::new(b, self.right, Side::Right, col, cols, right_start);
        self.stages(b, sums, &copiers, [left, right]);
    }

    /// Stage after stage: copies of those ahead, products of this one.
    fn stages(
        &self,
        b: &mut Builder,
        sums: &Sums,
        copiers: &[Copier; 2],
        [left, right]: [Fragments; 2],
    ) {
        let n = small(self.product.k.div_ceil(DEPTH.into()));
        let stage = small(self.tile.stage_bytes().into());
        let ahead = small((self.n_stages - 1).into());
        for at in 0..ahead {
            if at < n {
                let to = b.mov(at * stage);
                copiers.iter().for_each(|copier| copier.copy(b, to));
            }
            b.copy_commit();
        }
        let [read, write, rest] = [0, ahead * stage, n].map(|start| b.mov::<B32>(start));
        let head = b.label();
        b.place(head);
        // Groups are counted by stages, empty ones too: this stage is there when the others may be
        // under way. What the next copies overwrite was read before the barrier.
        b.copy_wait(self.n_stages - 2);
        b.barrier();
        if n > ahead {
            let end = b.label();
            let is_over = b.icmp(Cmp::Le, rest, ahead);
            b.bra_if(is_over, true, end);
            copiers.iter().for_each(|copier| copier.copy(b, write));
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
        let is_end = b.icmp(Cmp::Eq, next, stage * small(self.n_stages.into()));
        let next: Reg<B32> = b.select(is_end, 0, next);
        b.mov_to(at, next);
    }
}

/// An address and an offset that an instruction takes, for one further on.
fn shifted(b: &mut Builder, base: Reg<B64>, bytes: i64) -> (Reg<B64>, i32) {
    match i32::try_from(bytes) {
        Ok(bytes) => (base, bytes),
        Err(_) => (b.iadd(base, bytes), 0),
    }
}
