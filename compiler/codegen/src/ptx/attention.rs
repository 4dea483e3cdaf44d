//! Attention: a tile of rows or keys for each block. Fast mode has [`tensor`].
//!
//! In: an attention of the schedule. Out: an entry with the bits of `ir::eval`; the order of
//! additions is that of [`ir::schedule::attention`]. Parameters: an address for each place of
//! [`Attention::args`], in that order.
//!
//! Forward, a block has the rows of a tile of one head. Backward, a block has either the keys of a
//! tile of one group, whose gradients it adds up, or the rows of a tile of one head; both compute
//! the scores anew, so that no block waits for another.

mod backward;
mod band;
mod forward;
mod layout;
pub mod tensor;
mod tiles;

use ir::kernel::Kernel;
use ir::schedule::attention::{Attention, Pass};
use ir::types::Dtype;
use ptx_builder::{Builder, Class};

use super::Launch;
use super::chains::THREADS;
use tiles::Tiles;

/// Blocks that a multiprocessor is meant to hold.
const RESIDENT: u32 = 2;

/// The entry of an attention over operands of a type; `kernels` are those of its schedule.
pub fn attention(a: &Attention, operands: Dtype, kernels: &[Kernel], name: &str) -> Launch {
    let params = vec![Class::B64; a.args().len()];
    let mut b = Builder::new(name, &params, THREADS);
    // Without it the assembler may put registers into memory for more blocks than shared memory
    // has room for.
    b.set_resident(RESIDENT);
    let tiles = Tiles::new(&mut b, a, operands, kernels);
    let blocks = match &a.pass {
        Pass::Forward { score, finish } => tiles.forward(&mut b, score, finish),
        Pass::Backward { weights, .. } => tiles.backward(&mut b, weights),
    };
    Launch { entry: b.finish(), blocks, shared_bytes: tiles.layout.bytes.into() }
}
