//! Attention of 16-bit operands on tensor cores: the fast mode.
//!
//! In: an attention of the schedule. Out: a launch, or nothing where [`Tensor::new`] says that the
//! exact kernels have to do it. The parameters are those of [`super::attention`], and so are the
//! places that are written. Scores stay in registers: weights are rounded to 16 bits there and are
//! an operand of the next product. Dao 2023, arXiv:2307.08691.
//!
//! Backward, the blocks of keys have keys as the rows of their scores, so that weights and
//! gradients are left operands as they are; the blocks of rows compute the scores anew. No sum is
//! shared by blocks, so the bits are the same in every run.

mod forward;
mod hide;
mod keys;
mod mask;
mod meaning;
mod panel;
mod place;
mod queries;
mod stages;
mod warp;

use ir::kernel::Kernel;
use ir::schedule::attention::{Attention, Pass, Strided, TileArg, TileKernel};
use ir::types::Dtype;
use ptx_builder::{B32, B64, Builder, Class, Cmp, Narrow, Reg, Special};

use super::band;
use crate::ptx::Launch;
use crate::ptx::memory::small;
use crate::ptx::tensor::result;
use hide::Masks;
use mask::{Mask, Unit};
use meaning::{Gradients, Results, Tile, Weights};
use panel::Panel;
use place::Place;

/// Warps of a block.
const WARPS: u32 = 4;
/// Threads of a block.
const THREADS: u32 = 32 * WARPS;
/// Blocks that a multiprocessor has registers for: a thread may have all that can be named.
const RESIDENT: u32 = 2;
/// The most elements of a row whose sums fit the registers.
const WIDEST: u64 = 128;
/// Weights are powers of two inside.
const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// The numbers of the arguments.
const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const DOUT: usize = 3;
const DQ: usize = 4;
const DK: usize = 5;
const DV: usize = 6;

/// Whether tensor cores do an attention.
pub fn takes(a: &Attention, operands: Dtype, kernels: &[Kernel]) -> bool {
    Tensor::new(a, operands, &[], kernels).is_some()
}

/// The launch of an attention; `aligned` are numbers of bytes that divide the address of each of
/// its arguments.
pub fn attention(
    a: &Attention,
    operands: Dtype,
    aligned: &[u64],
    kernels: &[Kernel],
    name: &str,
) -> Option<Launch> {
    let tensor = Tensor::new(a, operands, aligned, kernels)?;
    let params = vec![Class::B64; a.args().len()];
    let mut b = Builder::new(name, &params, THREADS);
    b.set_resident(RESIDENT);
    let (blocks, shared_bytes) = match tensor.meaning {
        Meaning::Forward(weights, results) => {
            tensor.forward(&mut b, Masks::new(&tensor, weights), results)
        }
        Meaning::Backward(gradients) => tensor.backward(&mut b, gradients.weights),
    };
    Some(Launch { entry: b.finish(), blocks, shared_bytes: shared_bytes.into() })
}

/// What the kernels of a pass compute.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    Forward(Weights, Results),
    Backward(Gradients),
}

/// An attention that tensor cores do.
struct Tensor<'e> {
    a: &'e Attention,
    narrow: Narrow,
    aligned: &'e [u64],
    kernels: &'e [Kernel],
    meaning: Meaning,
}

impl<'e> Tensor<'e> {
    /// The one place that decides: nothing where the exact kernels have to do it.
    ///
    /// They do f32, heads whose elements are no multiple of 16 or more than [`WIDEST`], a scale
    /// that is not positive (the largest score is found before scaling), and kernels of a tile
    /// that are no softmax.
    fn new(
        a: &'e Attention,
        operands: Dtype,
        aligned: &'e [u64],
        kernels: &'e [Kernel],
    ) -> Option<Self> {
        let narrow = result::narrow(operands)?;
        let fits = |width: u64| width.is_multiple_of(16) && (16..=WIDEST).contains(&width);
        let tile = |tile: &'e TileKernel| Tile::new(tile, kernels);
        let meaning = match &a.pass {
            Pass::Forward { score, finish } => {
                Meaning::Forward(tile(score).score()?, tile(finish).finish()?)
            }
            Pass::Backward { weights, .. } => Meaning::Backward(tile(weights).gradients()?),
        };
        let tensor = Self { a, narrow, aligned, kernels, meaning };
        let is_taken = fits(a.width) && fits(a.value_width) && tensor.weights().scale > 0.0;
        is_taken.then_some(tensor)
    }

    fn weights(&self) -> Weights {
        match self.meaning {
            Meaning::Forward(weights, _) | Meaning::Backward(Gradients { weights, .. }) => weights,
        }
    }

    /// Whether the sums of a warp leave registers for more rows or keys at a time: they do not with
    /// wide heads, nor beside the random numbers of dropout.
    fn is_roomy(&self) -> bool {
        self.a.width.max(self.a.value_width) <= 64 && self.weights().drop.is_none()
    }

    /// Tensors come first among the arguments.
    fn n_tensors(&self) -> usize {
        if matches!(self.a.pass, Pass::Forward { .. }) { 3 } else { 7 }
    }

    /// The number of the first argument of a pass's kernel in memory.
    fn first_param(&self, which: usize) -> usize {
        let before = self.a.pass.kernels().into_iter().take(which);
        let before = before.map(globals).sum::<usize>();
        self.n_tensors() + usize::from(self.a.band.offset.is_some()) + before
    }

    /// The place of row 0 among the keys.
    fn offset(&self, b: &mut Builder) -> Option<Reg<B64>> {
        self.a.band.offset?;
        let address = b.param(u32::try_from(self.n_tensors()).expect("they are few"));
        let address = b.to_global(address);
        let offset = b.load(address, 0);
        Some(b.s64_from_s32(offset))
    }

    fn mask(&self, which: usize, root: ir::kernel::Reg) -> Mask {
        let tile = Tile::new(self.a.pass.kernels()[which], self.kernels);
        Mask::new(tile, root, self.first_param(which))
    }

    /// The operand of a pass's kernel: its parameter, and its strides with the row's.
    fn operand(&self, which: usize, operand: usize) -> (u32, [i64; 3]) {
        let kernel = self.a.pass.kernels()[which];
        let TileArg::Global { strides: [batch, head, ..], .. } = kernel.args[operand] else {
            unreachable!("results and sums are in memory")
        };
        let before = TileKernel { kernel: 0, args: kernel.args[..operand].to_vec() };
        let param = self.first_param(which) + globals(&before);
        let row = self.kernels[kernel.kernel].operands[operand].outer[0];
        (u32::try_from(param).expect("parameters are few"), [batch, head, row])
    }

    /// A result of a pass's kernel.
    fn result(&self, which: usize, operand: usize) -> Place {
        let (param, [batch, head, row]) = self.operand(which, operand);
        let kernel = &self.kernels[self.a.pass.kernels()[which].kernel];
        let ir::kernel::Operand { dtype, col, .. } = kernel.operands[operand];
        Place::new(param, dtype, [batch, head, row, col], self.aligned[param as usize])
    }

    /// The parameters and strides of the logarithms of the sums and of delta.
    fn row_numbers(&self) -> [(u32, [i64; 3]); 2] {
        let Meaning::Backward(Gradients { lse, delta, .. }) = self.meaning else {
            unreachable!("the backward pass has numbers of rows")
        };
        [lse, delta].map(|operand| self.operand(0, operand))
    }

    /// The tensors dout, dq, dk and dv.
    fn gradients(&self) -> [Strided; 4] {
        let Pass::Backward { dout, dq, dk, dv, weights: _ } = &self.a.pass else {
            unreachable!("gradients belong to the backward pass")
        };
        [*dout, *dq, *dk, *dv]
    }

    /// A gradient that is written, by the number of its argument.
    fn gradient(&self, at: usize) -> Place {
        let Strided { strides, .. } = self.gradients()[at - DOUT];
        Place::new(few(at as u64), Dtype::F32, strides, self.aligned[at])
    }

    /// So many rows or keys at a time of a tensor with a size and a width.
    fn panel(&self, at: usize, x: &Strided, lines: u32, size: (u64, u64)) -> Panel {
        Panel::new(few(at as u64), x, self.aligned[at], lines, size)
    }

    /// The tiles of keys that the rows of a block see.
    fn keys_of(&self, b: &mut Builder, row: Reg<B32>, n: u32, tile: u32) -> [Reg<B32>; 2] {
        let end = b.iadd(row, small(n.into()));
        let end = b.imin(end, small(self.a.rows));
        let offset = self.offset(b);
        band::key_tiles(b, &self.a.band, offset, [row, end], (self.a.keys, tile))
    }

    /// Blocks of keys, then blocks of rows. Gives the blocks of the grid and their bytes of shared
    /// memory.
    fn backward(&self, b: &mut Builder, weights: Weights) -> (u64, u32) {
        let a = self.a;
        let n_keys = a.batch * a.groups * a.keys.div_ceil(keys::KEYS.into());
        let n_rows = a.batch * a.heads * a.rows.div_ceil(queries::ROWS.into());
        let block = b.special(Special::CtaidX);
        let (rows, end) = (b.label(), b.label());
        let is_rows = b.icmp(Cmp::Ge, block, small(n_keys));
        b.bra_if(is_rows, true, rows);
        if n_keys > 0 {
            self.block_of_keys(b, block, Masks::new(self, weights));
        }
        b.bra(end);
        b.place(rows);
        if n_rows > 0 {
            let block = b.iadd(block, -small(n_keys));
            self.block_of_queries(b, block, Masks::new(self, weights));
        }
        b.place(end);
        (n_keys + n_rows, self.key_bytes().max(self.query_bytes()))
    }

    /// The block's tile of rows or keys, and its unit, of so many heads and sequences.
    fn block(b: &mut Builder, block: Reg<B32>, [heads, batch]: [u64; 2]) -> (Reg<B32>, Unit) {
        let (heads, units) = (heads.max(1), (heads * batch).max(1));
        let (tile, unit) = (b.udiv(block, small(units)), b.urem(block, small(units)));
        let (head, batch) = (b.urem(unit, small(heads)), b.udiv(unit, small(heads)));
        (tile, Unit { batch, head })
    }

    /// The head of keys that a head of queries reads.
    fn group(&self, b: &mut Builder, unit: Unit) -> Unit {
        Unit { head: b.udiv(unit.head, small(self.a.heads / self.a.groups)), ..unit }
    }
}

/// A number of registers or places in shared memory.
fn few(n: u64) -> u32 {
    u32::try_from(n).expect("sizes of blocks are small")
}

fn globals(kernel: &TileKernel) -> usize {
    kernel.args.iter().filter(|arg| matches!(arg, TileArg::Global { .. })).count()
}
