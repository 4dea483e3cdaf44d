//! Kernels as PTX, one module with one entry each.
//!
//! In: kernels of the schedule. Out: text for one target. In exact mode the bits are those of the
//! interpreter, NaNs apart: hardware has another one. Fast mode has [`tensor`].

pub mod attention;
mod chains;
mod emitter;
mod folded;
mod group;
mod launches;
mod memory;
pub mod product;
mod rows;
mod scalar;
mod sort;
mod stage;
pub mod tensor;
mod threads;
mod vectors;
mod wide;

use ir::kernel::{Kernel, Skeleton};
use plan::Code;
use ptx_builder::{B32, Builder, Class, Cmp, Entry, Module, Reg, Target, Val};

use crate::flow::Flow;
use emitter::Emitter;
pub use launches::{Numerics, launches};
use rows::Team;
use wide::Wide;

/// Threads of a block of most kernels.
const THREADS: u32 = 128;

/// Blocks of a reduction down rows that a multiprocessor is to hold: rows that are loaded ahead need
/// registers, of which the assembler would else give fewer on some targets, to have more blocks.
const COLUMN_BLOCKS: u32 = 4;

/// An entry and how many blocks of it do all the work.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The entry.
    pub entry: Entry,
    /// Blocks of the grid.
    pub blocks: u64,
    /// Bytes of shared memory of a block.
    pub shared_bytes: u64,
}

/// The entry of one kernel: a parameter for the address of each operand, which is a multiple of so
/// many bytes.
pub fn kernel(kernel: &Kernel, aligned: &[u64], numerics: Numerics, name: &str) -> Launch {
    let kernel = folded::folded(ir::expand::expand_kernel(kernel));
    let flow = Flow::new(&kernel);
    let params = vec![Class::B64; kernel.operands.len()];
    if kernel.skeleton == Skeleton::Rows && Flow::has_reductions(&kernel) {
        let team = Team::new(&kernel, &flow, aligned, numerics);
        let mut builder = Builder::new(name, &params, team.threads());
        let [blocks, shared_bytes] =
            rows::rows(&mut Emitter::new(&mut builder, &kernel, &flow), &team);
        return Launch { entry: builder.finish(), blocks, shared_bytes };
    }
    let wide = Wide::new(&kernel, &flow, aligned);
    let mut builder = Builder::new(name, &params, THREADS);
    if matches!(kernel.skeleton, Skeleton::Columns { .. }) {
        builder.set_resident(COLUMN_BLOCKS);
    }
    let mut emitter = Emitter::new(&mut builder, &kernel, &flow);
    let blocks = match kernel.skeleton {
        Skeleton::Rows => threads::map(&mut emitter, &wide),
        Skeleton::Columns { .. } => threads::columns(&mut emitter, &wide),
        Skeleton::Segments { .. } => threads::segments(&mut emitter, &wide),
    };
    Launch { entry: builder.finish(), blocks, shared_bytes: 0 }
}

/// The text of an entry for a target, named by its content.
pub fn code(entry: &Entry, about: &str, target: Target, others: &[Code]) -> Code {
    let module = |entry| Module { target, entries: vec![entry] };
    let anonymous = module(Entry { name: "kernel".to_owned(), ..entry.clone() });
    let name = crate::name::unique(&anonymous.to_string(), about, others);
    let text = module(Entry { name: name.clone(), ..entry.clone() }).to_string();
    Code { name, text }
}

/// For each number from `from` below `to` in steps; gives the first one behind them.
fn count_loop(
    b: &mut Builder,
    from: impl Into<Val<B32>>,
    to: impl Into<Val<B32>>,
    step: i32,
    body: impl FnOnce(&mut Builder, Reg<B32>),
) -> Reg<B32> {
    let at = b.mov(from);
    let (head, end) = (b.label(), b.label());
    b.place(head);
    let is_over = b.icmp(Cmp::Ge, at, to);
    b.bra_if(is_over, true, end);
    body(b, at);
    b.iadd_to(at, at, step);
    b.bra(head);
    b.place(end);
    at
}
