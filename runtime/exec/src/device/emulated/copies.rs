//! Asynchronous copies that are under way, by lane and group. PTX ISA 9.7.8.24.

use super::shared::{Shared, Who};
use super::warp::LANES;

#[derive(Debug, Clone, Copy)]
struct Copy {
    lane: usize,
    group: u32,
    /// Where it writes in shared memory.
    at: usize,
    bytes: usize,
}

/// The copies of a warp.
#[derive(Debug, Default)]
pub(super) struct Copies {
    under_way: Vec<Copy>,
    /// Groups that each lane has ended; copies go into the next one.
    groups: [u32; LANES],
}

impl Copies {
    pub(super) fn clear(&mut self) {
        self.under_way.clear();
        self.groups = [0; LANES];
    }

    pub(super) fn start(&mut self, lane: usize, at: usize, bytes: usize) {
        self.under_way.push(Copy { lane, group: self.groups[lane], at, bytes });
    }

    /// Lanes end their groups.
    pub(super) fn commit(&mut self, mask: u32) {
        for (lane, group) in self.groups.iter_mut().enumerate() {
            *group += mask >> lane & 1;
        }
    }

    /// Lanes wait until at most `n` of the groups that they ended are under way.
    pub(super) fn wait(
        &mut self,
        mask: u32,
        n: u32,
        shared: &mut Shared,
        who: impl Fn(usize) -> Who,
    ) {
        let groups = &self.groups;
        self.under_way.retain(|copy| {
            let is_waited = mask >> copy.lane & 1 == 1;
            let is_over = is_waited && copy.group < groups[copy.lane].saturating_sub(n);
            if is_over {
                shared.arrive(who(copy.lane), copy.at, copy.bytes);
            }
            !is_over
        });
    }
}
