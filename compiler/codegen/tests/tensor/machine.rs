//! A launch on the emulated device.
//!
//! Of the buffers only what a product may read is set.

use codegen::ptx::Launch;
use exec::device::emulated::{self, Param, Program, Region, Report, Shadow};
use ptx_builder::{Module, Target};

/// A buffer, and which of its bytes hold something.
#[derive(Debug, Clone)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_set: Vec<bool>,
    /// Where the argument points.
    pub(crate) offset: u64,
}

impl Buffer {
    /// Nothing in so many bytes.
    pub(crate) fn new(bytes: u64, offset: u64) -> Self {
        let n = bytes as usize;
        // What is not written has a pattern of its own.
        Self { bytes: vec![0xa5; n], is_set: vec![false; n], offset }
    }

    pub(crate) fn set(&mut self, at: u64, bytes: &[u8]) {
        let at = at as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.is_set[at..at + bytes.len()].fill(true);
    }
}

/// Runs an entry on buffers, one an argument, and perhaps the number of an iteration.
pub(crate) fn run(
    launch: &Launch,
    target: Target,
    buffers: &mut [Buffer],
    iteration: Option<u32>,
) -> Result<(), Report> {
    let text = Module { target, entries: vec![launch.entry.clone()] }.to_string();
    let program = Program::read(&text).unwrap_or_else(|e| panic!("{e}"));
    let (mut regions, mut arena) = (vec![], vec![]);
    for buffer in buffers.iter() {
        regions.push(Region { start: arena.len() as u64, bytes: buffer.bytes.len() as u64 });
        arena.extend_from_slice(&buffer.bytes);
        arena.resize(arena.len().next_multiple_of(256), 0);
    }
    let mut shadow = Shadow::new(arena.len() as u64);
    for (buffer, region) in buffers.iter().zip(&regions) {
        for (at, _) in (0..).zip(&buffer.is_set).filter(|(_, is_set)| **is_set) {
            shadow.mark(region.start + at..region.start + at + 1);
        }
    }
    let address =
        |(region, buffer): (usize, &Buffer)| Param::Address { region, offset: buffer.offset };
    let mut params: Vec<Param> = buffers.iter().enumerate().map(address).collect();
    params.extend(iteration.map(Param::Number));
    let run = emulated::Launch {
        entry: &launch.entry.name,
        params: &params,
        blocks: launch.blocks,
        shared_bytes: launch.shared_bytes,
    };
    emulated::run(&program, &run, &regions, &mut arena, &mut shadow)?;
    for (buffer, region) in buffers.iter_mut().zip(&regions) {
        let start = region.start as usize;
        let n = buffer.bytes.len();
        buffer.bytes.copy_from_slice(&arena[start..start + n]);
    }
    Ok(())
}
