//! What lanes do with each other: they wait, vote, read registers of others.

use ptx_builder::Shuffle;

use super::decode::Inst;
use super::report::{Fault, Kind, Outcome};
use super::warp::{FULL, LANES, Warp, lanes};

impl Warp {
    /// Lanes that an instruction names take part in it, and those that take part are named.
    #[inline]
    fn take_part(&self, mask: u32, members: &[u32; LANES]) -> Outcome {
        let (mut missing, mut unnamed) = (0, 0);
        for lane in lanes(mask) {
            missing |= members[lane] & self.live & !mask;
            unnamed |= !members[lane] & 1 << lane;
        }
        if missing | unnamed == 0 {
            return Ok(());
        }
        let (lane, what) = match missing {
            0 => (unnamed.trailing_zeros(), "is not among the lanes that it names"),
            _ => (missing.trailing_zeros(), "is named but does not take part"),
        };
        let what = format!("lane {lane} {what}");
        Err(Fault::new(Kind::DivergentLanes, lane as usize, what))
    }

    /// All 32 lanes take part.
    #[inline]
    pub(super) fn all_take_part(&self, mask: u32) -> Outcome {
        if mask == FULL {
            return Ok(());
        }
        let lane = (!mask).trailing_zeros();
        let what = format!("all 32 lanes take part in it, but not lane {lane}");
        Err(Fault::new(Kind::DivergentLanes, lane as usize, what))
    }

    /// Lanes wait for each other, and see what the others wrote.
    pub(super) fn wait_for_lanes(&mut self, inst: &Inst, mask: u32) -> Outcome {
        self.take_part(mask, &self.narrow[inst.regs[0] as usize])?;
        // Some lanes alone are taken as not ordered at all, which may only report too much.
        self.sync += u32::from(mask == self.live);
        Ok(())
    }

    pub(super) fn ballot(&mut self, inst: &Inst, mask: u32) -> Outcome {
        let members = self.narrow[inst.regs[2] as usize];
        self.take_part(mask, &members)?;
        let votes = self.preds[inst.regs[1] as usize] & mask;
        self.set_narrow(inst.regs[0], mask, &members.map(|members| votes & members));
        Ok(())
    }

    pub(super) fn shuffle(&mut self, inst: &Inst, mask: u32, how: Shuffle) -> Outcome {
        let [_, a, b, c, members, ..] = inst.regs.map(|reg| reg as usize);
        self.take_part(mask, &self.narrow[members])?;
        let (values, by, bounds) = (self.narrow[a], self.narrow[b], self.narrow[c]);
        let mut all = values;
        for lane in lanes(mask) {
            let from = source(how, lane as u32, by[lane], bounds[lane]) as usize;
            if mask >> from & 1 == 0 {
                let what = format!("lane {lane} reads from lane {from}, which does not take part");
                return Err(Fault::new(Kind::DivergentLanes, lane, what));
            }
            all[lane] = values[from];
        }
        self.set_narrow(inst.regs[0], mask, &all);
        Ok(())
    }
}

/// The lane that a lane reads from. PTX ISA 9.7.8.6.
#[inline]
fn source(how: Shuffle, lane: u32, by: u32, bound: u32) -> u32 {
    let (by, clamp, segment) = (by & 31, bound & 31, bound >> 8 & 31);
    let last = lane & segment | clamp & !segment;
    let first = lane & segment;
    let (from, is_there) = match how {
        Shuffle::Up => (lane.wrapping_sub(by), lane >= by && lane - by >= last),
        Shuffle::Down => (lane + by, lane + by <= last),
        Shuffle::Butterfly => (lane ^ by, lane ^ by <= last),
        Shuffle::Index => (first | by & !segment, first | by & !segment <= last),
    };
    if is_there { from } else { lane }
}
