//! This machine as the compiler is told of it: whose code it runs, and its memory.

use codegen::ptx::Numerics;
use diag::{SourceMap, Span};
use exec::device::cuda::driver::{Driver, Gpu};
use exec::error::Error;
use exec::executor::Grids;
use passes::fit::Room;
use passes::usage::size;
use sema::Train;

use crate::cli::Device;
use crate::compile::BackEnd;

/// Share of the machine's memory that a run may take when its spec does not say.
pub const SHARE_PERCENT: u64 = 60;

/// The same of a GPU's, which its owner shares with a screen at most.
const DEVICE_SHARE_PERCENT: u64 = 90;

/// What the driver takes of a device beside the arena: a context and the code.
const DEVICE_BYTES: u64 = 512 << 20;

/// What a process takes beside its arena: itself, the compiler's leftovers, compiled kernels.
const PROCESS_BYTES: u64 = 24 << 20;

/// What each thread takes: packed panels of a product, its stack.
const THREAD_BYTES: u64 = 1 << 20;

/// What plans are made for.
#[derive(Debug, Clone)]
pub struct Site {
    /// Whose code.
    pub back_end: BackEnd,
    /// Within how much memory.
    pub room: Room,
    /// The bound where the spec has none, in words: `60% of RAM`.
    pub bound: String,
}

impl Site {
    /// The memory of this machine.
    pub fn host(back_end: BackEnd) -> Site {
        Site { back_end, room: room(), bound: format!("{SHARE_PERCENT}% of RAM") }
    }

    /// A device of this machine, which must be there.
    pub fn of(device: Device) -> Result<Site, Error> {
        match device {
            Device::Cpu => Ok(Site::host(BackEnd::Cpu)),
            Device::Emulated => Ok(Site::host(EMULATED)),
            Device::Cuda => Site::gpu(&Driver::find()?.first()?),
        }
    }

    /// The device of a program: the one named on the command line, else that of its line `device`,
    /// else the CPU. One that is missing is an error at the line that asks for it.
    pub fn of_program(
        named: Option<Device>,
        train: &Train,
        map: &SourceMap,
    ) -> Result<(Site, Device), Error> {
        let (device, line) = match (named, train.device) {
            (Some(device), _) => (device, None),
            (None, Some(line)) => (line.device.into(), Some(line)),
            (None, None) => (Device::Cpu, None),
        };
        match (Site::of(device), line) {
            (Ok(site), _) => Ok((site, device)),
            (Err(Error::Device(what)), Some(line)) => {
                let Span { file, start, .. } = line.span;
                let (name, (row, column)) = (&map.file(file).name, map.line_col(file, start));
                let device = device.name();
                Err(Error::Device(format!("{name}:{row}:{column}: `device {device}`: {what}")))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The same for what is only checked: a device that is missing is no error, and has no bound.
    pub fn of_checked(train: &Train) -> Site {
        let device = train.device.map_or(Device::Cpu, |line| line.device.into());
        Site::of(device).unwrap_or_else(|_| Site {
            back_end: EMULATED,
            room: Room::UNBOUNDED,
            bound: String::new(),
        })
    }

    /// Writes among the settings what this machine decides where the spec does not say: how sums
    /// are computed, and the bound on memory.
    pub fn settle(&self, train: &mut Train) {
        let is_fast = matches!(self.back_end.numerics(train), Ok(Numerics::Fast));
        if train.numerics.is_none() && is_fast {
            train.derive("numerics", "fast".to_owned());
        }
        if let (None, Some(bytes)) = (train.memory, self.room.default_bytes) {
            train.derive("memory", format!("{} ({})", size(bytes), self.bound));
        }
    }

    fn gpu(gpu: &Gpu) -> Result<Site, Error> {
        let default_bytes = Some(gpu.memory_bytes / 100 * DEVICE_SHARE_PERCENT);
        Ok(Site {
            back_end: BackEnd::Gpu(gpu.supported_target()?),
            room: Room { default_bytes, beside_bytes: DEVICE_BYTES },
            bound: format!("{DEVICE_SHARE_PERCENT}% of {}", gpu.name),
        })
    }
}

/// What the emulator runs: the oldest generation, whose code runs on all.
pub const EMULATED: BackEnd = BackEnd::Gpu(ptx_builder::Target::Sm80);

/// What runs the plans of a device.
pub fn grids(device: Device) -> Grids {
    match device {
        Device::Cpu | Device::Emulated => Grids::Emulated,
        Device::Cuda => Grids::Cuda,
    }
}

/// The room of a run with a thread for each core.
pub fn room() -> Room {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let total = exec::room::total();
    Room {
        default_bytes: total.map(|bytes| bytes / 100 * SHARE_PERCENT),
        beside_bytes: PROCESS_BYTES + threads as u64 * THREAD_BYTES,
    }
}
