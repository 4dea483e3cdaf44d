//! A warp: 32 lanes, their registers, and where they are in the code.

use ptx_builder::Special;

use super::copies::Copies;
use super::decode::{Address, Const, Inst, Kernel};
use super::shared::Who;

/// Lanes of a warp.
pub(super) const LANES: usize = 32;
/// All lanes.
pub(super) const FULL: u32 = u32::MAX;
/// What registers hold before they are written: hardware would leave anything there.
const LEFT_OVER: u64 = 0xdead_beef_dead_beef;

/// Lanes at one place of the code.
#[derive(Debug, Clone, Copy)]
struct Group {
    pc: u32,
    lanes: u32,
}

#[derive(Debug)]
pub(super) struct Warp {
    pub(super) narrow: Vec<[u32; LANES]>,
    pub(super) wide: Vec<[u64; LANES]>,
    pub(super) preds: Vec<u32>,
    /// The number of its first thread.
    pub(super) first_thread: u32,
    /// The place of the lanes that run, and which they are.
    pub(super) pc: u32,
    pub(super) active: u32,
    /// The instruction that ran last.
    pub(super) ran: u32,
    /// Lanes that are threads of the block, and those of them that have not ended.
    pub(super) all: u32,
    pub(super) live: u32,
    /// Where the next other lanes are; `u32::MAX` if there are none.
    limit: u32,
    /// The other lanes, the lowest place last; no two at one place.
    others: Vec<Group>,
    /// How often all its lanes have waited for each other since the block began.
    pub(super) sync: u32,
    /// Instructions that it has run in this block.
    pub(super) steps: u32,
    pub(super) copies: Copies,
}

impl Warp {
    pub(super) fn new(kernel: &Kernel, first_thread: u32) -> Self {
        let files = &kernel.files;
        let bits = |c: &Const| match c {
            Const::Bits(bits) => [*bits; LANES],
            Const::Special(special) => lanes_of(*special, kernel.entry.threads, first_thread),
        };
        let mut narrow = vec![[0; LANES]; files.narrow];
        narrow.extend(files.narrow_consts.iter().map(bits));
        let mut wide = vec![[0; LANES]; files.wide];
        wide.extend(files.wide_consts.iter().map(|&bits| [bits; LANES]));
        Self {
            narrow,
            wide,
            preds: vec![0; files.preds],
            first_thread,
            pc: 0,
            active: 0,
            ran: 0,
            all: FULL >> (LANES as u32 - (kernel.entry.threads - first_thread).min(LANES as u32)),
            live: 0,
            limit: u32::MAX,
            others: Vec::with_capacity(LANES),
            sync: 0,
            steps: 0,
            copies: Copies::default(),
        }
    }

    /// To the start of a block.
    pub(super) fn restart(&mut self, kernel: &Kernel, block: u64, blocks: u64) {
        let files = &kernel.files;
        self.narrow[..files.narrow].fill([LEFT_OVER as u32; LANES]);
        self.wide[..files.wide].fill([LEFT_OVER; LANES]);
        self.preds.fill(LEFT_OVER as u32);
        for (at, value) in files.narrow_consts.iter().enumerate() {
            let number = match value {
                Const::Special(Special::CtaidX) => block as u32,
                Const::Special(Special::NctaidX) => blocks as u32,
                Const::Special(_) | Const::Bits(_) => continue,
            };
            self.narrow[files.narrow + at] = [number; LANES];
        }
        self.live = self.all;
        self.active = self.all;
        self.pc = 0;
        self.limit = u32::MAX;
        self.others.clear();
        self.sync = 0;
        self.steps = 0;
        self.copies.clear();
    }

    /// Which lanes of those that run the guard of an instruction lets through.
    #[inline]
    pub(super) fn mask(&self, inst: &Inst) -> u32 {
        match inst.guard {
            None => self.active,
            Some((at, true)) => self.active & self.preds[at as usize],
            Some((at, false)) => self.active & !self.preds[at as usize],
        }
    }

    /// Lets the lanes at the lowest place run, once they are not those that run.
    #[inline]
    pub(super) fn regroup(&mut self) {
        if self.pc >= self.limit {
            self.leave(Group { pc: self.pc, lanes: self.active });
            self.next_group();
        }
    }

    /// Lanes of those that run go to a place; the others go on where they are.
    #[inline]
    pub(super) fn branch(&mut self, target: u32, taken: u32) {
        if taken == 0 {
            return;
        }
        let stay = self.active & !taken;
        if stay != 0 {
            self.leave(Group { pc: self.pc, lanes: stay });
        }
        self.active = taken;
        self.pc = target;
    }

    /// Lanes of those that run end.
    pub(super) fn end(&mut self, lanes: u32) {
        self.live &= !lanes;
        self.active &= !lanes;
        if self.active == 0 {
            self.next_group();
        }
    }

    /// Puts a group among the others.
    fn leave(&mut self, group: Group) {
        let at = self.others.partition_point(|other| other.pc > group.pc);
        match self.others.get_mut(at) {
            Some(other) if other.pc == group.pc => other.lanes |= group.lanes,
            Some(_) | None => self.others.insert(at, group),
        }
        self.limit = self.others.last().map_or(u32::MAX, |next| next.pc);
    }

    fn next_group(&mut self) {
        let Some(group) = self.others.pop() else { return };
        self.pc = group.pc;
        self.active = group.lanes;
        self.limit = self.others.last().map_or(u32::MAX, |next| next.pc);
    }

    /// The address that each lane names.
    #[inline]
    pub(super) fn addresses(&self, address: &Address) -> [u64; LANES] {
        let offset = i64::from(address.offset).cast_unsigned();
        let mut all = [0; LANES];
        if address.is_wide {
            let base = &self.wide[address.base as usize];
            all.iter_mut().zip(base).for_each(|(a, base)| *a = base.wrapping_add(offset));
        } else {
            let base = &self.narrow[address.base as usize];
            all.iter_mut().zip(base).for_each(|(a, &b)| *a = u64::from(b).wrapping_add(offset));
        }
        all
    }

    /// Who it is that touches shared memory.
    #[inline]
    pub(super) fn who(&self, lane: usize) -> Who {
        let thread = (self.first_thread + lane as u32) as u16;
        Who { thread, sync: self.sync, step: self.steps }
    }
}

/// The lanes of a mask, in order.
#[inline]
pub(super) fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| mask >> lane & 1 == 1)
}

/// A register of the hardware in each lane; those that depend on the block are set when it starts.
fn lanes_of(special: Special, threads: u32, first_thread: u32) -> [u32; LANES] {
    std::array::from_fn(|lane| match special {
        Special::TidX => first_thread + lane as u32,
        Special::NtidX => threads,
        Special::LaneId => lane as u32,
        Special::CtaidX | Special::CtaidY | Special::CtaidZ | Special::NctaidX => 0,
    })
}
