//! A plan for a GPU on the emulator.
//!
//! Each argument of a launch reaches its own buffer and nothing else. What a function's temporaries
//! hold when it begins counts as never written.

use std::collections::BTreeSet;

use plan::{Arg, BufferId, Function, LaunchArg, Plan, Role, Step};

use super::{Launch, Param, Program, Region, Shadow, run};
use crate::device::cpu::Memory;
use crate::device::mirrored::Accelerator;
use crate::device::stretch::Bound;
use crate::error::Error;

/// A loaded plan.
#[derive(Debug)]
pub(crate) struct Emulator {
    /// The code of the plan, and the name of the entry in each.
    programs: Vec<(String, Program)>,
    /// The memory of the device; what the host sees is another one.
    arena: Memory,
    shadow: Shadow,
    /// Where each buffer lies.
    regions: Vec<Region>,
    /// For each function its temporaries.
    temporaries: Vec<(String, BTreeSet<BufferId>)>,
}

impl Emulator {
    /// Reads the code of a verified plan and allocates its arena, zeroed.
    pub(crate) fn load(plan: &Plan) -> Result<Self, Error> {
        let read = |code: &plan::Code| {
            let program = Program::read(&code.text);
            let program = program.map_err(|e| Error::BadPlan(format!("`{}`: {e}", code.name)))?;
            Ok((code.name.clone(), program))
        };
        let mut shadow = Shadow::new(plan.arena_bytes);
        for buffer in plan.buffers.iter().filter(|buffer| buffer.role != Role::Temp) {
            shadow.mark(buffer.offset..buffer.offset + buffer.bytes);
        }
        let region = |b: &plan::Buffer| Region { start: b.offset, bytes: b.bytes };
        Ok(Self {
            programs: plan.code.iter().map(read).collect::<Result<_, Error>>()?,
            arena: Memory::new(plan)?,
            shadow,
            regions: plan.buffers.iter().map(region).collect(),
            temporaries: plan.functions.iter().map(|f| temporaries(plan, f)).collect(),
        })
    }

    fn execute(&mut self, bound: &Bound) -> Result<(), Error> {
        let Bound { launch, iteration, origin } = bound;
        let mut regions = vec![];
        let mut buffers: Vec<BufferId> = vec![];
        let mut address = |arg: Arg| {
            let region = buffers.iter().position(|id| *id == arg.buffer).unwrap_or_else(|| {
                buffers.push(arg.buffer);
                regions.push(self.regions[arg.buffer.0 as usize]);
                buffers.len() - 1
            });
            Param::Address { region, offset: arg.offset }
        };
        let param = |arg: &LaunchArg| match arg {
            LaunchArg::Memory(arg) => address(*arg),
            LaunchArg::Iteration => Param::Number(*iteration),
        };
        let params: Vec<Param> = launch.args.iter().map(param).collect();
        let (entry, program) = &self.programs[launch.code as usize];
        let (blocks, shared_bytes) = (launch.blocks, launch.shared_bytes);
        let launch = Launch { entry, params: &params, blocks, shared_bytes };
        run(program, &launch, &regions, self.arena.arena_mut(), &mut self.shadow)
            .map_err(|report| Error::Fault(format!("{origin}: {report}")))
    }
}

/// The temporaries that a function touches.
fn temporaries(plan: &Plan, function: &Function) -> (String, BTreeSet<BufferId>) {
    let mut found = BTreeSet::new();
    let mut rest: Vec<&Step> = function.steps.iter().collect();
    while let Some(step) = rest.pop() {
        rest.extend(step.body());
        if let Step::Launch { launch, origin: _ } = step {
            let places = launch.places().map(|arg| arg.buffer);
            found.extend(places.filter(|&id| plan[id].role == Role::Temp));
        }
    }
    (function.name.clone(), found)
}

impl Accelerator for Emulator {
    fn write(&mut self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        for &(at, bytes) in parts {
            self.arena.range_mut(at..at + bytes.len() as u64).copy_from_slice(bytes);
        }
        Ok(())
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), Error> {
        bytes.copy_from_slice(self.arena.range(at..at + bytes.len() as u64));
        Ok(())
    }

    fn begin(&mut self, function: &Function) {
        let of = self.temporaries.iter().find(|(name, _)| *name == function.name);
        for id in of.into_iter().flat_map(|(_, buffers)| buffers) {
            let Region { start, bytes } = self.regions[id.0 as usize];
            self.shadow.forget(start..start + bytes);
        }
    }

    fn launch(&mut self, launch: &Bound) -> Result<(), Error> {
        self.execute(launch)
    }

    fn wait(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
