//! Runs a launch on the emulated device, and the same task in the interpreter.

use codegen::ptx::Launch;
use exec::device::emulated::{self, Param, Program, Region, Report, Shadow};
use ir::eval::kernel::Memory;
use ir::eval::schedule::eval_task;
use ir::eval::tensor::Data;
use ir::narrow;
use ir::schedule::{Arg, Buffer, Pitch, Schedule, Target as Machine, Task, Tiling};
use ptx_builder::{Module, Target, parse, verify};

use crate::assembler;

/// Buffers start at multiples of it.
const ALIGN: usize = 256;

/// The text of a launch for a target, after what the builder's own verifier says.
pub(crate) fn text(launch: &Launch, target: Target) -> String {
    let module = Module { target, entries: vec![launch.entry.clone()] };
    assert_eq!(verify(&module), Vec::<String>::new());
    let text = module.to_string();
    assert!(parse(&text).is_ok_and(|again| again == module), "the text comes back");
    text
}

/// Assembles for all targets; no register lies in memory.
pub(crate) fn assemble(about: &str, launch: &Launch) {
    let Some(assembler) = assembler::find() else { return };
    for target in Target::ALL {
        assert!(launch.shared_bytes <= target.shared_bytes(), "{about}: {}", launch.shared_bytes);
        let text = text(launch, target);
        let said = assembler.assemble(&text, target.name());
        said.unwrap_or_else(|e| panic!("{about}, {}: {e}", target.name()));
    }
}

/// A task, its launch, and what the launch's parameters are.
pub(crate) struct Run<'a> {
    pub(crate) schedule: &'a Schedule,
    pub(crate) task: Task,
    pub(crate) k_slice: u64,
    pub(crate) launch: Launch,
    pub(crate) args: Vec<Arg>,
    /// The 32-bit parameter at the end.
    pub(crate) number: Option<u32>,
}

/// What is wrong with a launch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wrong {
    /// The device says so.
    Report(Report),
    /// The first element that has other bits.
    Results(String),
}

impl Run<'_> {
    /// Every bit of memory is that of the interpreter, NaNs apart.
    pub(crate) fn check(&self, about: &str, held: &Memory) {
        self.outcome(held).unwrap_or_else(|wrong| match wrong {
            Wrong::Report(report) => panic!("{about}: {report}\n{}", self.text()),
            Wrong::Results(what) => panic!("{about}: {what}"),
        });
    }

    fn text(&self) -> String {
        text(&self.launch, Target::Sm80)
    }

    /// Whether it is, and else what is wrong.
    pub(crate) fn outcome(&self, held: &Memory) -> Result<(), Wrong> {
        let mut wanted = held.clone();
        eval_task(&self.task, self.schedule, &machine(self.k_slice), &mut wanted);
        let got = self.emulate(&self.text(), held).map_err(Wrong::Report)?;
        let buffers = self.schedule.buffers.iter();
        for (buffer, (got, wanted)) in buffers.zip(got.0.iter().zip(&wanted.0)) {
            let wrong = (0..wanted.len()).find(|&at| !is_same(got, wanted, at));
            if let Some(at) = wrong {
                let [got, wanted] = [got, wanted].map(|data| data.number(at));
                let name = &buffer.name;
                return Err(Wrong::Results(format!(
                    "`{name}`[{at}] is {got:?}, wanted {wanted:?}"
                )));
            }
        }
        Ok(())
    }

    fn emulate(&self, text: &str, held: &Memory) -> Result<Memory, Report> {
        let program = Program::read(text).unwrap_or_else(|e| panic!("{e}"));
        let (mut arena, mut regions) = (vec![], vec![]);
        for (buffer, data) in self.schedule.buffers.iter().zip(&held.0) {
            arena.resize(arena.len().next_multiple_of(ALIGN), 0);
            let bytes = bytes(buffer, data);
            regions.push(Region { start: arena.len() as u64, bytes: bytes.len() as u64 });
            arena.extend(bytes);
        }
        let mut shadow = Shadow::new(arena.len() as u64);
        shadow.mark(0..arena.len() as u64);
        let address = |arg: &Arg| {
            let dtype = self.schedule.buffers[arg.buffer.0 as usize].dtype;
            Param::Address { region: arg.buffer.0 as usize, offset: arg.offset * dtype.bytes() }
        };
        let params: Vec<Param> =
            self.args.iter().map(address).chain(self.number.map(Param::Number)).collect();
        let launch = emulated::Launch {
            entry: &self.launch.entry.name,
            params: &params,
            blocks: self.launch.blocks,
            shared_bytes: self.launch.shared_bytes,
        };
        emulated::run(&program, &launch, &regions, &mut arena, &mut shadow)?;
        let buffers = self.schedule.buffers.iter().zip(&regions);
        let left =
            |(buffer, region): (&Buffer, &Region)| data(buffer, &arena[region.start as usize..]);
        Ok(Memory(buffers.map(left).collect()))
    }
}

pub(crate) fn machine(product_k_slice: u64) -> Machine {
    Machine {
        name: "emulated".to_owned(),
        column_block: 32,
        kernel_nodes: 32,
        product_k_slice,
        epilogue_cols: [1, 512],
        score_tile: [32, 32],
        pitch: Pitch::default(),
        tiling: Tiling::default(),
    }
}

fn is_same(got: &Data, wanted: &Data, at: usize) -> bool {
    got.bits(at) == wanted.bits(at) || (got.number(at).is_nan() && wanted.number(at).is_nan())
}

fn bytes(buffer: &Buffer, data: &Data) -> Vec<u8> {
    let one = |at: usize| {
        let bits = data.bits(at) as u32;
        if buffer.dtype.is_narrow() {
            narrow::pack(buffer.dtype, f32::from_bits(bits)).to_le_bytes().to_vec()
        } else {
            bits.to_le_bytes().to_vec()
        }
    };
    (0..data.len()).flat_map(one).collect()
}

fn data(buffer: &Buffer, bytes: &[u8]) -> Data {
    let n = buffer.shape.iter().product::<u64>() as usize;
    let mut data = Data::zeros(buffer.dtype, n);
    let size = buffer.dtype.bytes() as usize;
    for (at, one) in bytes.chunks(size).take(n).enumerate() {
        let bits = one.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = if buffer.dtype.is_narrow() {
            narrow::unpack(buffer.dtype, bits as u16).to_bits()
        } else {
            bits
        };
        data.set_bits(at, bits.into());
    }
    data
}
