//! A GPU in software: executes the text of PTX modules and reports faults.
//!
//! In: the text that a driver would get, a launch, and the bytes that stand for the device's
//! memory. Out: those bytes as the kernel leaves them, or a [`Report`] of the first fault. The
//! emulator is functional: it knows nothing of time. Blocks run one after the other; a warp runs to
//! its next barrier, lanes of a warp together as long as they are at one place, and where they are
//! not, those at the lowest place first.
//!
//! An address of global memory is virtual: `(region + 1) << 40 | offset`, so that an access that
//! leaves its buffer is seen even where it stays inside of the arena. Shared memory starts at
//! address 0.
//!
//! Results have the bits of hardware: a NaN of single precision is `0x7fffffff`. Approximate
//! functions are evaluated in double precision and rounded; `mma` multiplies in single precision,
//! which is exact but for products out of its range, and adds with `k` ascending.

mod access;
mod arithmetic;
mod block;
mod convert;
mod copies;
mod decode;
mod execute;
mod float;
mod global;
mod lanes;
mod launch;
mod maps;
mod plan;
mod report;
mod shared;
mod tensor;
mod warp;

use ptx_builder::ParseError;

use decode::Kernel;
pub use global::Shadow;
pub(crate) use plan::Emulator;
pub use report::{Kind, Report};

/// Code that was read.
#[derive(Debug)]
pub struct Program {
    kernels: Vec<Kernel>,
    /// Bytes of shared memory that a block of the target may have.
    shared_bytes: u64,
}

/// A range of the arena that addresses reach: a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Its first byte in the arena.
    pub start: u64,
    /// Its size.
    pub bytes: u64,
}

/// An argument of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param {
    /// 64 bits: an address of global memory.
    Address {
        /// Which of the launch's regions.
        region: usize,
        /// Bytes behind its start.
        offset: u64,
    },
    /// 32 bits.
    Number(u32),
}

/// Blocks to be run.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The name of the entry.
    pub entry: &'a str,
    /// Its arguments.
    pub params: &'a [Param],
    /// Blocks of the grid.
    pub blocks: u64,
    /// Bytes of shared memory of each block.
    pub shared_bytes: u64,
}

impl Program {
    /// Reads the text of a module.
    pub fn read(text: &str) -> Result<Program, ParseError> {
        let module = ptx_builder::parse(text)?;
        let kernels = module.entries.into_iter().map(Kernel::decode).collect::<Result<_, _>>()?;
        Ok(Program { kernels, shared_bytes: module.target.shared_bytes() })
    }
}

/// Runs all blocks of a launch on memory in which `shadow` marks what was written.
pub fn run(
    program: &Program,
    launch: &Launch<'_>,
    regions: &[Region],
    arena: &mut [u8],
    shadow: &mut Shadow,
) -> Result<(), Report> {
    launch::run(program, launch, regions, arena, shadow)
}
