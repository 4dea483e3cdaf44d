//! A launch of a kernel on the emulated device, held against the interpreter.

use codegen::ptx::{Launch, Numerics};
use exec::device::emulated::{self, Param, Program, Region, Report, Shadow};
use ir::kernel::Kernel;
use ptx_builder::{Module, Target};

use crate::reference;

/// A kernel, the bytes of its operands, and how it is compiled.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) kernel: Kernel,
    pub(crate) operands: Vec<Vec<u8>>,
    pub(crate) numerics: Numerics,
}

/// What a launch does other than the interpreter.
#[derive(Debug, PartialEq)]
pub(crate) enum Wrong {
    /// A fault of the device.
    Report(Report),
    /// Another byte of an operand.
    Results { operand: usize, byte: usize },
}

impl Case {
    pub(crate) fn launch(&self) -> Launch {
        let aligned = vec![plan::ALIGN; self.operands.len()];
        codegen::ptx::kernel(&self.kernel, &aligned, self.numerics, "kernel")
    }

    /// Runs a launch, where nothing has written the outputs; the bytes of all operands after it.
    pub(crate) fn run(&self, launch: &Launch) -> Result<Vec<Vec<u8>>, Report> {
        let module = Module { target: Target::Sm90, entries: vec![launch.entry.clone()] };
        let program = Program::read(&module.to_string()).unwrap_or_else(|e| panic!("{e}"));
        let (mut regions, mut arena) = (vec![], vec![]);
        for bytes in &self.operands {
            regions.push(Region { start: arena.len() as u64, bytes: bytes.len() as u64 });
            arena.extend_from_slice(bytes);
            arena.resize(arena.len().next_multiple_of(plan::ALIGN as usize), 0);
        }
        let mut shadow = Shadow::new(arena.len() as u64);
        for (operand, region) in self.kernel.operands.iter().zip(&regions) {
            if !operand.is_output {
                shadow.mark(region.start..region.start + region.bytes);
            }
        }
        let address = |region| Param::Address { region, offset: 0 };
        let params: Vec<Param> = (0..regions.len()).map(address).collect();
        let run = emulated::Launch {
            entry: "kernel",
            params: &params,
            blocks: launch.blocks,
            shared_bytes: launch.shared_bytes,
        };
        emulated::run(&program, &run, &regions, &mut arena, &mut shadow)?;
        let bytes = |region: &Region| {
            let start = region.start as usize;
            arena[start..start + region.bytes as usize].to_vec()
        };
        Ok(regions.iter().map(bytes).collect())
    }

    /// Compares all bytes that a launch leaves.
    pub(crate) fn check(&self, launch: &Launch) -> Result<(), Wrong> {
        let results = self.run(launch).map_err(Wrong::Report)?;
        let wanted = reference::run(&self.kernel, &self.operands);
        for (operand, (mut got, wanted)) in results.into_iter().zip(wanted).enumerate() {
            reference::one_nan(self.kernel.operands[operand].dtype, &mut got);
            if let Some(byte) = (0..wanted.len()).find(|&at| got[at] != wanted[at]) {
                return Err(Wrong::Results { operand, byte });
            }
        }
        Ok(())
    }
}
