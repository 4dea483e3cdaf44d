//! Accesses to memory by the lanes of a warp.

use ptx_builder::{Class, Space};

use super::decode::Inst;
use super::execute::Memories;
use super::report::{Fault, Kind, Outcome};
use super::shared::{How, Shared};
use super::warp::{FULL, LANES, Warp, lanes};

/// Bytes of the largest access of a lane.
const MAX_BYTES: usize = 16;

impl Warp {
    pub(super) fn load_param(
        &mut self,
        inst: &Inst,
        mask: u32,
        class: Class,
        memories: &Memories<'_>,
    ) -> Outcome {
        let at = inst.number as usize;
        let (bytes, has) = (class.bits() / 8, memories.classes[at].bits() / 8);
        let offset = inst.addresses[0].offset;
        let start = u32::try_from(offset).ok().filter(|start| {
            start.is_multiple_of(bytes) && start.checked_add(bytes).is_some_and(|end| end <= has)
        });
        let Some(start) = start else {
            let what = format!(
                "reads {bytes} bytes at offset {offset} of parameter {at}, which has {has} bytes"
            );
            let lane = mask.trailing_zeros() as usize;
            return Err(Fault::new(Kind::OutOfBounds, lane, what));
        };
        let bits = memories.params[at] >> (start * 8);
        if bytes == 8 {
            self.set_wide(inst.regs[0], mask, &[bits; LANES]);
        } else {
            self.set_narrow(inst.regs[0], mask, &[bits as u32; LANES]);
        }
        Ok(())
    }

    pub(super) fn load(
        &mut self,
        inst: &Inst,
        mask: u32,
        memories: &mut Memories<'_>,
        space: Space,
        class: Class,
        n: usize,
    ) -> Outcome {
        match class.bits() {
            16 => self.load_of::<2>(inst, mask, memories, space, n),
            64 => self.load_of::<8>(inst, mask, memories, space, n),
            _ => self.load_of::<4>(inst, mask, memories, space, n),
        }
    }

    fn load_of<const BYTES: usize>(
        &mut self,
        inst: &Inst,
        mask: u32,
        memories: &mut Memories<'_>,
        space: Space,
        n: usize,
    ) -> Outcome {
        let addresses = self.addresses(&inst.addresses[0]);
        if space == Space::Global
            && mask == FULL
            && let Some((bytes, stride)) = memories.global.read_all(&addresses, BYTES * n)
        {
            for (at, reg) in inst.regs[..n].iter().enumerate() {
                self.take_all::<BYTES>(*reg, &bytes[at * BYTES..], stride);
            }
            return Ok(());
        }
        if space == Space::Shared {
            return self.load_shared::<BYTES>(inst, mask, &addresses, &mut memories.shared, n);
        }
        for lane in lanes(mask) {
            let bytes = memories.global.read(lane, addresses[lane], BYTES * n)?;
            self.take::<BYTES>(inst, n, lane, bytes);
        }
        Ok(())
    }

    fn load_shared<const BYTES: usize>(
        &mut self,
        inst: &Inst,
        mask: u32,
        addresses: &[u64; LANES],
        shared: &mut Shared,
        n: usize,
    ) -> Outcome {
        let size = BYTES * n;
        let (mut last, mut n_same) = (None, 0);
        for lane in lanes(mask) {
            let address = addresses[lane];
            n_same = if last == Some(address) { n_same + 1 } else { 0 };
            last = Some(address);
            // The third lane of those that read one place races with nothing that the first two do
            // not race with, and a place that two have read is read by several already.
            let at = shared.find(lane, address, size)?;
            if n_same < 2 {
                shared.watch_read(lane, self.who(lane), at, size)?;
            }
            self.take::<BYTES>(inst, n, lane, shared.at(at, size));
        }
        Ok(())
    }

    /// A register of all lanes gets what was read, the same or so many bytes apart.
    fn take_all<const BYTES: usize>(&mut self, reg: u16, from: &[u8], stride: usize) {
        let first = word::<BYTES>(from);
        let words = from.chunks(stride.max(1)).map(word::<BYTES>);
        if BYTES == 8 {
            let to = &mut self.wide[reg as usize];
            match stride {
                0 => to.fill(first),
                _ => to.iter_mut().zip(words).for_each(|(to, word)| *to = word),
            }
        } else {
            let to = &mut self.narrow[reg as usize];
            match stride {
                0 => to.fill(first as u32),
                _ => to.iter_mut().zip(words).for_each(|(to, word)| *to = word as u32),
            }
        }
    }

    /// The registers of a lane get what was read.
    #[inline]
    fn take<const BYTES: usize>(&mut self, inst: &Inst, n: usize, lane: usize, from: &[u8]) {
        for (reg, bytes) in inst.regs[..n].iter().zip(from.chunks_exact(BYTES)) {
            if BYTES == 8 {
                self.wide[*reg as usize][lane] = word::<BYTES>(bytes);
            } else {
                self.narrow[*reg as usize][lane] = word::<BYTES>(bytes) as u32;
            }
        }
    }

    pub(super) fn store(
        &mut self,
        inst: &Inst,
        mask: u32,
        memories: &mut Memories<'_>,
        space: Space,
        class: Class,
        n: usize,
    ) -> Outcome {
        match class.bits() {
            16 => self.store_of::<2>(inst, mask, memories, space, n),
            64 => self.store_of::<8>(inst, mask, memories, space, n),
            _ => self.store_of::<4>(inst, mask, memories, space, n),
        }
    }

    fn store_of<const BYTES: usize>(
        &mut self,
        inst: &Inst,
        mask: u32,
        memories: &mut Memories<'_>,
        space: Space,
        n: usize,
    ) -> Outcome {
        let addresses = self.addresses(&inst.addresses[0]);
        let size = BYTES * n;
        if space == Space::Global
            && mask == FULL
            && let Some(bytes) = memories.global.write_all(&addresses, size)
        {
            for (lane, bytes) in bytes.chunks_exact_mut(size).enumerate() {
                self.give::<BYTES>(inst, n, lane, bytes);
            }
            return Ok(());
        }
        for lane in lanes(mask) {
            match space {
                Space::Shared => {
                    let mut bytes = [0; MAX_BYTES];
                    self.give::<BYTES>(inst, n, lane, &mut bytes[..size]);
                    let who = self.who(lane);
                    memories.shared.write(
                        lane,
                        who,
                        addresses[lane],
                        &bytes[..size],
                        How::Store,
                    )?;
                }
                Space::Global | Space::Param => {
                    let bytes = memories.global.write(lane, addresses[lane], size)?;
                    self.give::<BYTES>(inst, n, lane, bytes);
                }
            }
        }
        Ok(())
    }

    /// Memory gets what is in the registers of a lane.
    #[inline]
    fn give<const BYTES: usize>(&self, inst: &Inst, n: usize, lane: usize, to: &mut [u8]) {
        for (reg, bytes) in inst.regs[..n].iter().zip(to.chunks_exact_mut(BYTES)) {
            let bits = match BYTES {
                8 => self.wide[*reg as usize][lane],
                _ => self.narrow[*reg as usize][lane].into(),
            };
            bytes.copy_from_slice(&bits.to_le_bytes()[..BYTES]);
        }
    }

    /// Lanes add one after the other.
    pub(super) fn atom_add(
        &mut self,
        inst: &Inst,
        mask: u32,
        memories: &mut Memories<'_>,
        space: Space,
    ) -> Outcome {
        let addresses = self.addresses(&inst.addresses[0]);
        let values = *self.narrow(inst, 1);
        for lane in lanes(mask) {
            let (who, address, value) = (self.who(lane), addresses[lane], values[lane]);
            let old = match space {
                Space::Shared => memories.shared.add(lane, who, address, value)?,
                Space::Global | Space::Param => memories.global.add(lane, address, value)?,
            };
            self.narrow[inst.regs[0] as usize][lane] = old;
        }
        Ok(())
    }

    /// Copies from global to shared memory behind the back of the lanes; global memory is read at
    /// once. Zeros follow the bytes that are to be read.
    pub(super) fn copy_async(
        &mut self,
        inst: &Inst,
        mask: u32,
        memories: &mut Memories<'_>,
        size: usize,
    ) -> Outcome {
        let [to, from] = [0, 1].map(|at| self.addresses(&inst.addresses[at]));
        let counts = *self.narrow(inst, 0);
        for lane in lanes(mask) {
            let n = counts[lane] as usize;
            if n > size {
                let what = format!("reads {n} bytes of {size}");
                return Err(Fault::new(Kind::OutOfBounds, lane, what));
            }
            let mut bytes = [0; MAX_BYTES];
            if n > 0 {
                let read = memories.global.read_part(lane, from[lane], n, size)?;
                bytes[..n].copy_from_slice(read);
            }
            let who = self.who(lane);
            memories.shared.write(lane, who, to[lane], &bytes[..size], How::Copying)?;
            self.copies.start(lane, to[lane] as usize, size);
        }
        Ok(())
    }

    pub(super) fn wait_for_copies(&mut self, inst: &Inst, mask: u32, shared: &mut Shared) {
        let mut copies = std::mem::take(&mut self.copies);
        copies.wait(mask, inst.number, shared, |lane| self.who(lane));
        self.copies = copies;
    }
}

/// The first bytes as a number.
#[inline]
fn word<const BYTES: usize>(from: &[u8]) -> u64 {
    let mut bits = [0; 8];
    bits[..BYTES].copy_from_slice(&from[..BYTES]);
    u64::from_le_bytes(bits)
}
