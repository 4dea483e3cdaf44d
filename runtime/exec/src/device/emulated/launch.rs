//! A launch: its arguments against the entry, then its blocks.

use ptx_builder::Class;

use super::block::{self, At};
use super::decode::Kernel;
use super::execute::Memories;
use super::global::{self, Global, Shadow};
use super::report::{Kind, Report};
use super::shared::Shared;
use super::warp::{LANES, Warp};
use super::{Launch, Param, Program, Region};

/// Blocks of a grid along its first axis. CUDA C++ Programming Guide, table of compute
/// capabilities.
const MAX_BLOCKS: u64 = (1 << 31) - 1;

pub(super) fn run(
    program: &Program,
    launch: &Launch<'_>,
    regions: &[Region],
    arena: &mut [u8],
    shadow: &mut Shadow,
) -> Result<(), Report> {
    let kernel = find(program, launch)?;
    check(program, kernel, launch, regions, arena.len() as u64, shadow)?;
    let bits = |param: &Param| match param {
        Param::Address { region, offset } => global::address(*region, *offset),
        Param::Number(number) => u64::from(*number),
    };
    let mut memories = Memories {
        params: launch.params.iter().map(bits).collect(),
        classes: &kernel.entry.params,
        global: Global { regions, arena, shadow },
        shared: Shared::new(launch.shared_bytes),
    };
    let firsts = (0..kernel.entry.threads).step_by(LANES);
    let mut warps: Vec<Warp> = firsts.map(|first| Warp::new(kernel, first)).collect();
    for block in 0..launch.blocks {
        memories.shared.restart();
        warps.iter_mut().for_each(|warp| warp.restart(kernel, block, launch.blocks));
        block::run(kernel, &mut warps, &mut memories).map_err(|at| report(kernel, block, at))?;
    }
    Ok(())
}

fn find<'p>(program: &'p Program, launch: &Launch<'_>) -> Result<&'p Kernel, Report> {
    let mut kernels = program.kernels.iter();
    let found = kernels.find(|kernel| kernel.entry.name == launch.entry);
    found.ok_or_else(|| unfit(launch, "the module has no such entry".to_owned()))
}

/// The arguments are those of the entry, and its blocks are possible.
fn check(
    program: &Program,
    kernel: &Kernel,
    launch: &Launch<'_>,
    regions: &[Region],
    arena_bytes: u64,
    shadow: &Shadow,
) -> Result<(), Report> {
    let is_outside = |r: &Region| r.start.checked_add(r.bytes).is_none_or(|end| end > arena_bytes);
    if regions.iter().any(is_outside) {
        return Err(unfit(launch, "a region is not in the arena".to_owned()));
    }
    if arena_bytes > global::MAX_OFFSET || regions.len() as u64 > global::MAX_REGIONS {
        return Err(unfit(launch, "more memory than addresses reach".to_owned()));
    }
    let wanted = &kernel.entry.params;
    if wanted.len() != launch.params.len() {
        let (n, given) = (wanted.len(), launch.params.len());
        return Err(unfit(launch, format!("it takes {n} arguments, not {given}")));
    }
    for (at, (class, param)) in wanted.iter().zip(launch.params).enumerate() {
        let fault = match param {
            Param::Address { .. } if *class != Class::B64 => "takes no address",
            Param::Number(_) if *class != Class::B32 => "takes no number",
            Param::Address { region, offset } => match regions.get(*region) {
                None => "is of no region",
                Some(region) if *offset > region.bytes => "is outside of its region",
                Some(_) => continue,
            },
            Param::Number(_) => continue,
        };
        return Err(unfit(launch, format!("parameter {at} {fault}")));
    }
    if shadow.bytes() < arena_bytes {
        return Err(unfit(launch, "the shadow is smaller than the arena".to_owned()));
    }
    let most = program.shared_bytes;
    if launch.shared_bytes > most {
        let what = format!("{} bytes of shared memory, at most {most}", launch.shared_bytes);
        return Err(unfit(launch, what));
    }
    if launch.blocks > MAX_BLOCKS {
        return Err(unfit(launch, format!("{} blocks, at most {MAX_BLOCKS}", launch.blocks)));
    }
    Ok(())
}

fn unfit(launch: &Launch<'_>, what: String) -> Report {
    let entry = launch.entry.to_owned();
    Report { kind: Kind::Launch, entry, instruction: String::new(), block: 0, thread: 0, what }
}

fn report(kernel: &Kernel, block: u64, at: At) -> Report {
    let At { warp, stmt, fault } = at;
    Report {
        kind: fault.kind,
        entry: kernel.entry.name.clone(),
        instruction: kernel.text(stmt),
        block,
        thread: (warp * LANES) as u32 + fault.lane,
        what: fault.what,
    }
}
