//! Shared memory of a block, and who touched which bytes since a barrier.
//!
//! Threads of a block are ordered by its barriers, those of a warp also by `bar.warp.sync`. Two
//! accesses of different threads that are not ordered, one of which writes, are a race; lanes of
//! one instruction may write equal values to one place, and atomics do not race with each other.
//! Only the last writer of a place is known: an atomic behind a store that a warp has waited for is
//! not, until the next barrier, so a load that races with it alone is not found.

use super::report::{Fault, Kind, Outcome};

/// Bytes that are watched together: no access is smaller.
const GRAIN: usize = 2;
/// The reader of a grain that several warps read.
const MANY: u16 = u16::MAX;
/// Added to the number of a warp that has several readers.
const SEVERAL: u16 = 0x8000;

/// A thread at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who {
    pub(super) thread: u16,
    /// How often its warp has waited for its lanes.
    pub(super) sync: u32,
    /// The instruction, by its turn in the warp.
    pub(super) step: u32,
}

/// How bytes get their value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Store,
    Atomic,
    /// By a copy that is under way.
    Copying,
    /// By a copy that its thread has waited for.
    Copied,
}

/// The last accesses to a grain. Epochs are counted over the launch, from 1; 0 is never.
#[derive(Debug, Clone, Copy)]
struct Grain {
    write_epoch: u32,
    write_sync: u32,
    write_step: u32,
    read_epoch: u32,
    read_sync: u32,
    writer: u16,
    /// A thread, several of a warp, or many.
    reader: u16,
    how: How,
}

const UNTOUCHED: Grain = Grain {
    write_epoch: 0,
    write_sync: 0,
    write_step: 0,
    read_epoch: 0,
    read_sync: 0,
    writer: 0,
    reader: 0,
    how: How::Store,
};

#[derive(Debug)]
pub(super) struct Shared {
    bytes: Vec<u8>,
    grains: Vec<Grain>,
    /// Barriers and blocks that began.
    epoch: u32,
    /// The epoch in which the block began.
    first: u32,
}

impl Shared {
    pub(super) fn new(bytes: u64) -> Self {
        let bytes = bytes as usize;
        let grains = vec![UNTOUCHED; bytes.div_ceil(GRAIN)];
        Self { bytes: vec![0; bytes], grains, epoch: 0, first: 0 }
    }

    /// A block begins, and what the last one wrote is gone.
    pub(super) fn restart(&mut self) {
        self.barrier();
        self.first = self.epoch;
    }

    /// All threads have come to a barrier.
    pub(super) fn barrier(&mut self) {
        self.epoch += 1;
    }

    /// The place of bytes that a thread reads.
    #[inline]
    pub(super) fn find(&self, lane: usize, address: u64, bytes: usize) -> Outcome<usize> {
        self.place(lane, address, bytes, "reads")
    }

    /// What is at a place that was found.
    #[inline]
    pub(super) fn at(&self, at: usize, bytes: usize) -> &[u8] {
        &self.bytes[at..at + bytes]
    }

    /// A thread writes bytes.
    #[inline]
    pub(super) fn write(
        &mut self,
        lane: usize,
        who: Who,
        address: u64,
        from: &[u8],
        how: How,
    ) -> Outcome {
        let at = self.place(lane, address, from.len(), "writes")?;
        for (grain, from) in (at / GRAIN..).zip(from.chunks_exact(GRAIN)) {
            self.watch_write(lane, who, grain, how, Some(from))?;
            self.bytes[grain * GRAIN..][..GRAIN].copy_from_slice(from);
        }
        Ok(())
    }

    /// A thread adds to a u32 at once; gives what was there.
    pub(super) fn add(&mut self, lane: usize, who: Who, address: u64, value: u32) -> Outcome<u32> {
        let at = self.place(lane, address, 4, "adds to")?;
        for grain in at / GRAIN..(at + 4) / GRAIN {
            if self.grains[grain].write_epoch < self.first {
                return Err(unwritten(lane, grain));
            }
            self.watch_write(lane, who, grain, How::Atomic, None)?;
        }
        let place = &mut self.bytes[at..at + 4];
        let old = u32::from_le_bytes([place[0], place[1], place[2], place[3]]);
        place.copy_from_slice(&old.wrapping_add(value).to_le_bytes());
        Ok(old)
    }

    /// A thread has waited for a copy of its own.
    pub(super) fn arrive(&mut self, who: Who, at: usize, bytes: usize) {
        for grain in &mut self.grains[at / GRAIN..(at + bytes) / GRAIN] {
            grain.note_write(who, self.epoch, How::Copied);
        }
    }

    #[inline]
    fn place(&self, lane: usize, address: u64, bytes: usize, does: &str) -> Outcome<usize> {
        let size = self.bytes.len() as u64;
        let is_inside = address.checked_add(bytes as u64).is_some_and(|end| end <= size);
        let is_aligned = address & (bytes as u64 - 1) == 0;
        if is_inside && is_aligned {
            return Ok(address as usize);
        }
        let address = address.cast_signed();
        Err(if is_inside {
            let what = format!(
                "{does} {bytes} bytes at {address} of shared memory, which is no multiple of {bytes}"
            );
            Fault::new(Kind::Misaligned, lane, what)
        } else {
            let what = format!(
                "{does} {bytes} bytes at {address} of shared memory, which has {size} bytes"
            );
            Fault::new(Kind::OutOfBounds, lane, what)
        })
    }

    /// A thread reads a place that was found.
    #[inline]
    pub(super) fn watch_read(&mut self, lane: usize, who: Who, at: usize, bytes: usize) -> Outcome {
        let (first, epoch) = (self.first, self.epoch);
        for at in at / GRAIN..(at + bytes) / GRAIN {
            let grain = &mut self.grains[at];
            if grain.write_epoch < first {
                return Err(unwritten(lane, at));
            }
            if grain.how == How::Copying || grain.is_written_by_another(who, epoch) {
                return Err(grain.conflict(lane, who, at, "reads"));
            }
            grain.note_read(who, epoch);
        }
        Ok(())
    }

    #[inline]
    fn watch_write(
        &mut self,
        lane: usize,
        who: Who,
        at: usize,
        how: How,
        from: Option<&[u8]>,
    ) -> Outcome {
        let epoch = self.epoch;
        let grain = &mut self.grains[at];
        let is_copying = grain.how == How::Copying && grain.write_epoch >= self.first;
        let is_atomic = grain.how == How::Atomic && how == How::Atomic;
        if is_copying || (grain.is_written_by_another(who, epoch) && !is_atomic) {
            // Lanes of one instruction may agree on the value.
            let is_agreed = grain.write_step == who.step
                && grain.is_of_warp(who)
                && from == Some(&self.bytes[at * GRAIN..][..GRAIN]);
            if is_copying || !is_agreed {
                return Err(grain.conflict(lane, who, at, "writes"));
            }
        }
        if grain.is_read_by_another(who, epoch) {
            return Err(grain.read_first(lane, who, at));
        }
        grain.note_write(who, epoch, how);
        Ok(())
    }
}

impl Grain {
    /// Whether the last writer is in this warp.
    #[inline]
    fn is_of_warp(&self, who: Who) -> bool {
        self.writer / 32 == who.thread / 32
    }

    /// Whether another thread wrote that nothing orders before this one.
    #[inline]
    fn is_written_by_another(&self, who: Who, epoch: u32) -> bool {
        self.write_epoch == epoch
            && self.writer != who.thread
            && !(self.is_of_warp(who) && self.write_sync < who.sync)
    }

    /// Whether another thread read that nothing orders before this one.
    #[inline]
    fn is_read_by_another(&self, who: Who, epoch: u32) -> bool {
        if self.read_epoch != epoch || self.reader == who.thread {
            return false;
        }
        let warp = who.thread / 32;
        let is_in_warp = match self.reader {
            MANY => false,
            reader if reader >= SEVERAL => reader - SEVERAL == warp,
            reader => reader / 32 == warp,
        };
        !(is_in_warp && self.read_sync < who.sync)
    }

    #[inline]
    fn note_write(&mut self, who: Who, epoch: u32, how: How) {
        // A store is not forgotten for an atomic: other atomics must not race with it either.
        if how == How::Atomic && self.write_epoch == epoch && self.how != How::Atomic {
            return;
        }
        self.write_epoch = epoch;
        self.write_sync = who.sync;
        self.write_step = who.step;
        self.writer = who.thread;
        self.how = how;
    }

    #[inline]
    fn note_read(&mut self, who: Who, epoch: u32) {
        let several = SEVERAL + who.thread / 32;
        if self.read_epoch != epoch || self.reader == who.thread {
            self.reader = who.thread;
        } else if self.reader == several || (self.reader / 32 == who.thread / 32) {
            let is_before = self.read_sync < who.sync;
            self.reader = if is_before { who.thread } else { several };
        } else {
            self.reader = MANY;
        }
        self.read_epoch = epoch;
        self.read_sync = who.sync;
    }

    #[cold]
    fn conflict(&self, lane: usize, who: Who, at: usize, does: &str) -> Box<Fault> {
        let (writer, thread, place) = (self.writer, who.thread, bytes_of(at));
        let (kind, what) = match self.how {
            How::Store | How::Atomic => (
                Kind::SharedRace,
                format!(
                    "thread {thread} {does} {place}, which thread {writer} wrote, with no barrier \
                     between them"
                ),
            ),
            How::Copying => (
                Kind::UseBeforeWait,
                format!(
                    "thread {thread} {does} {place}, to which a copy by thread {writer} is under way"
                ),
            ),
            How::Copied => (
                Kind::UseBeforeWait,
                format!(
                    "thread {thread} {does} {place}, which thread {writer} copied, with no barrier \
                     after its wait"
                ),
            ),
        };
        Fault::new(kind, lane, what)
    }

    #[cold]
    fn read_first(&self, lane: usize, who: Who, at: usize) -> Box<Fault> {
        let reader = match self.reader {
            MANY => "several warps".to_owned(),
            reader if reader >= SEVERAL => format!("warp {}", reader - SEVERAL),
            reader => format!("thread {reader}"),
        };
        let what = format!(
            "thread {} writes {}, which {reader} read, with no barrier between them",
            who.thread,
            bytes_of(at)
        );
        Fault::new(Kind::SharedRace, lane, what)
    }
}

fn bytes_of(grain: usize) -> String {
    format!("bytes {} to {} of shared memory", grain * GRAIN, grain * GRAIN + GRAIN - 1)
}

#[cold]
fn unwritten(lane: usize, grain: usize) -> Box<Fault> {
    let what = format!("reads {}, which no thread of the block wrote", bytes_of(grain));
    Fault::new(Kind::Uninitialised, lane, what)
}
