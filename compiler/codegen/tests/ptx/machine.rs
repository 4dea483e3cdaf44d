//! Runs a launch on the emulated device, and the same task in the interpreter.

use codegen::ptx::Launch;
use exec::device::emulated::{self, Param, Program, Region, Shadow};
use ir::eval::kernel::Memory;
use ir::eval::schedule::{eval_task, memory};
use ir::eval::tensor::Data;
use ir::narrow;
use ir::schedule::{Arg, Buffer, Schedule, Target as Machine, Task, Tiling};
use ir::types::Dtype;
use ptx_builder::Target;

use crate::random::Random;

/// Buffers start at multiples of it.
const ALIGN: usize = 256;

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

impl Run<'_> {
    /// Every bit of memory is that of the interpreter, NaNs apart.
    pub(crate) fn check(&self, about: &str, held: &Memory) {
        let mut wanted = held.clone();
        eval_task(&self.task, self.schedule, &machine(self.k_slice), &mut wanted);
        let text = crate::text(&self.launch, Target::Sm80);
        let got = self.emulate(&text, held);
        let buffers = self.schedule.buffers.iter();
        for (buffer, (got, wanted)) in buffers.zip(got.0.iter().zip(&wanted.0)) {
            let wrong = (0..wanted.len()).find(|&at| !is_same(got, wanted, at));
            if let Some(at) = wrong {
                let numbers = [got, wanted].map(|data| data.number(at));
                panic!(
                    "{about}: `{}`[{at}] is {:?}, wanted {:?}",
                    buffer.name, numbers[0], numbers[1]
                );
            }
        }
    }

    fn emulate(&self, text: &str, held: &Memory) -> Memory {
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
        emulated::run(&program, &launch, &regions, &mut arena, &mut shadow)
            .unwrap_or_else(|report| panic!("{report}\n{text}"));
        let buffers = self.schedule.buffers.iter().zip(&regions);
        Memory(
            buffers.map(|(buffer, region)| data(buffer, &arena[region.start as usize..])).collect(),
        )
    }
}

fn machine(product_k_slice: u64) -> Machine {
    Machine {
        name: "emulated".to_owned(),
        column_block: 32,
        kernel_nodes: 32,
        product_k_slice,
        epilogue_cols: [1, 512],
        score_tile: [32, 32],
        tiling: Tiling::default(),
    }
}

fn is_same(got: &Data, wanted: &Data, at: usize) -> bool {
    got.bits(at) == wanted.bits(at) || (got.number(at).is_nan() && wanted.number(at).is_nan())
}

/// Memory full of numbers, some of them special.
pub(crate) fn noise(r: &mut Random, schedule: &Schedule) -> Memory {
    let mut held = memory(schedule);
    for (buffer, data) in schedule.buffers.iter().zip(&mut held.0) {
        for at in 0..data.len() {
            let number = (r.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            let special = r.pick(&[0.0, -0.0, f32::INFINITY, f32::NAN, 1e38, 1e-40]);
            let number = if r.below(200) == 0 { special } else { number };
            let bits = match buffer.dtype {
                Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {
                    narrow::round(buffer.dtype, number).to_bits()
                }
                Dtype::I32 | Dtype::Bool | Dtype::F64 => 0,
            };
            data.set_bits(at, bits.into());
        }
    }
    held
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
