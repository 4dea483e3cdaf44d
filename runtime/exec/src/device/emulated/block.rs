//! Blocks: warps to their next barrier, one after the other, until all end.

use ptx_builder::Op;

use super::decode::{Inst, Kernel};
use super::execute::Memories;
use super::report::{Fault, Kind, Outcome};
use super::warp::Warp;

/// Instructions that a warp may run in a block.
const MAX_STEPS: u32 = 1 << 26;

/// Where a warp stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// At the barrier of a number.
    Barrier(u32),
    /// All its lanes have ended.
    End,
}

/// A fault, and in which warp and instruction.
pub(super) struct At {
    pub(super) warp: usize,
    pub(super) stmt: u32,
    pub(super) fault: Box<Fault>,
}

/// Runs a block whose warps were restarted.
pub(super) fn run(
    kernel: &Kernel,
    warps: &mut [Warp],
    memories: &mut Memories<'_>,
) -> Result<(), At> {
    loop {
        let mut first = None;
        for (at, warp) in warps.iter_mut().enumerate() {
            let stop = match advance(kernel, warp, memories) {
                Ok(stop) => stop,
                Err(fault) => return Err(At { warp: at, stmt: last(kernel, warp).stmt, fault }),
            };
            let (other, expected) = *first.get_or_insert((at, stop));
            if stop == expected {
                continue;
            }
            let (waits, misses) = match stop {
                Stop::Barrier(_) => (at, other),
                Stop::End => (other, at),
            };
            let what = format!("warp {waits} waits at a barrier that warp {misses} does not reach");
            let fault = Fault::new(Kind::DivergentBarrier, 0, what);
            return Err(At { warp: waits, stmt: last(kernel, &warps[waits]).stmt, fault });
        }
        match first {
            Some((_, Stop::Barrier(_))) => memories.shared.barrier(),
            Some((_, Stop::End)) | None => return Ok(()),
        }
    }
}

/// The instruction that a warp ran last.
fn last<'k>(kernel: &'k Kernel, warp: &Warp) -> &'k Inst {
    &kernel.code[warp.ran as usize]
}

/// Runs a warp until it waits or has ended.
fn advance(kernel: &Kernel, warp: &mut Warp, memories: &mut Memories<'_>) -> Outcome<Stop> {
    while warp.live != 0 {
        warp.regroup();
        let inst = &kernel.code[warp.pc as usize];
        let mask = warp.mask(inst);
        warp.ran = warp.pc;
        warp.pc += 1;
        warp.steps += 1;
        if warp.steps > MAX_STEPS {
            let what = format!("a warp runs more than {MAX_STEPS} instructions");
            return Err(Fault::new(Kind::Endless, first_lane(warp.active), what));
        }
        if matches!(inst.op, Op::Bra) {
            warp.branch(inst.number, mask);
        } else if mask == 0 {
            continue;
        } else if matches!(inst.op, Op::Ret) {
            warp.end(mask);
        } else if matches!(inst.op, Op::BarSync) {
            all_come(warp, mask)?;
            return Ok(Stop::Barrier(inst.number));
        } else {
            warp.execute(inst, mask, memories)?;
        }
    }
    Ok(Stop::End)
}

/// All threads of a warp come to a barrier at once.
fn all_come(warp: &Warp, mask: u32) -> Outcome {
    let missing = warp.all & !mask;
    if missing == 0 {
        return Ok(());
    }
    let thread = warp.first_thread + missing.trailing_zeros();
    let does = if missing & warp.live == 0 { "has ended before it" } else { "is elsewhere" };
    let what = format!("all threads of a block come to a barrier, but thread {thread} {does}");
    Err(Fault::new(Kind::DivergentBarrier, first_lane(mask), what))
}

fn first_lane(mask: u32) -> usize {
    mask.trailing_zeros() as usize % super::warp::LANES
}
