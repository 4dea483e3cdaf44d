//! Memory of the device: buffers at virtual addresses, and what was written.

use super::Region;
use super::report::{Fault, Kind, Outcome};
use super::warp::LANES;

/// Bits of an address that are the offset in a region.
const OFFSET_BITS: u32 = 40;
/// The largest offset that an address has room for, and how many regions.
pub(super) const MAX_OFFSET: u64 = 1 << (OFFSET_BITS - 1);
pub(super) const MAX_REGIONS: u64 = 1 << 20;

/// Which bytes of an arena were written.
#[derive(Debug, Clone)]
pub struct Shadow {
    /// A bit for each byte.
    words: Vec<u64>,
}

impl Shadow {
    /// An arena of so many bytes in which nothing was written.
    pub fn new(bytes: u64) -> Self {
        Self { words: vec![0; bytes.div_ceil(64) as usize] }
    }

    /// Bytes of the arena that it can tell about.
    pub(super) fn bytes(&self) -> u64 {
        self.words.len() as u64 * 64
    }

    /// The bytes of a range hold values.
    pub fn mark(&mut self, range: std::ops::Range<u64>) {
        for_words(range, |at, mask| self.words[at] |= mask);
    }

    /// The bytes of a range hold nothing that may be read.
    pub fn forget(&mut self, range: std::ops::Range<u64>) {
        for_words(range, |at, mask| self.words[at] &= !mask);
    }

    /// Whether all bytes of a range were written.
    pub fn is_marked(&self, range: std::ops::Range<u64>) -> bool {
        let mut is_marked = true;
        for_words(range, |at, mask| is_marked &= self.words[at] & mask == mask);
        is_marked
    }

    /// Within one word, as an aligned access of a thread is.
    #[inline]
    fn is_marked_within(&self, at: usize, bytes: usize) -> bool {
        let mask = u64::MAX >> (64 - bytes) << (at % 64);
        self.words[at / 64] & mask == mask
    }

    #[inline]
    fn mark_within(&mut self, at: usize, bytes: usize) {
        self.words[at / 64] |= u64::MAX >> (64 - bytes) << (at % 64);
    }
}

/// The words that a range of bytes touches, each with its bits.
fn for_words(range: std::ops::Range<u64>, mut each: impl FnMut(usize, u64)) {
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min((at / 64 + 1) * 64);
        each((at / 64) as usize, u64::MAX >> (64 - (end - at)) << (at % 64));
        at = end;
    }
}

/// Global memory as a launch sees it.
#[derive(Debug)]
pub(super) struct Global<'a> {
    pub(super) regions: &'a [Region],
    pub(super) arena: &'a mut [u8],
    pub(super) shadow: &'a mut Shadow,
}

/// The address of a byte of a region.
pub(super) fn address(region: usize, offset: u64) -> u64 {
    (region as u64 + 1) << OFFSET_BITS | offset
}

impl Global<'_> {
    /// What a lane reads.
    #[inline]
    pub(super) fn read(&self, lane: usize, address: u64, bytes: usize) -> Outcome<&[u8]> {
        let at = self.place(lane, address, bytes, "reads")?;
        if !self.shadow.is_marked_within(at, bytes) {
            return Err(self.unwritten(lane, address, bytes));
        }
        Ok(&self.arena[at..at + bytes])
    }

    /// What a lane reads of an aligned place of `align` bytes: the first `size`.
    pub(super) fn read_part(
        &self,
        lane: usize,
        address: u64,
        size: usize,
        align: usize,
    ) -> Outcome<&[u8]> {
        let Some(at) = self.find(address, size, align) else {
            return Err(self.fault(lane, address, align, "reads"));
        };
        if !self.shadow.is_marked(at as u64..(at + size) as u64) {
            return Err(self.unwritten(lane, address, size));
        }
        Ok(&self.arena[at..at + size])
    }

    /// Where a lane writes.
    #[inline]
    pub(super) fn write(&mut self, lane: usize, address: u64, bytes: usize) -> Outcome<&mut [u8]> {
        let at = self.place(lane, address, bytes, "writes")?;
        self.shadow.mark_within(at, bytes);
        Ok(&mut self.arena[at..at + bytes])
    }

    /// A lane adds to a u32; gives what was there.
    pub(super) fn add(&mut self, lane: usize, address: u64, value: u32) -> Outcome<u32> {
        let old = self.read(lane, address, 4)?;
        let old = u32::from_le_bytes([old[0], old[1], old[2], old[3]]);
        self.write(lane, address, 4)?.copy_from_slice(&old.wrapping_add(value).to_le_bytes());
        Ok(old)
    }

    /// What all lanes read that have neighbouring bytes, or all the same, and how far apart the
    /// lanes are; `None` also for what is wrong, which is then found lane by lane.
    pub(super) fn read_all(
        &self,
        addresses: &[u64; LANES],
        bytes: usize,
    ) -> Option<(&[u8], usize)> {
        let stride = stride(addresses, bytes)?;
        let size = if stride == 0 { bytes } else { bytes * LANES };
        let at = self.find(addresses[0], size, bytes)?;
        let range = at as u64..(at + size) as u64;
        self.shadow.is_marked(range).then(|| (&self.arena[at..at + size], stride))
    }

    /// Where all lanes write that have neighbouring bytes.
    pub(super) fn write_all(
        &mut self,
        addresses: &[u64; LANES],
        bytes: usize,
    ) -> Option<&mut [u8]> {
        let size = bytes * LANES;
        if stride(addresses, bytes)? == 0 {
            return None;
        }
        let at = self.find(addresses[0], size, bytes)?;
        self.shadow.mark(at as u64..(at + size) as u64);
        Some(&mut self.arena[at..at + size])
    }

    /// The place in the arena of bytes that lie in one region, aligned to a power of two.
    #[inline]
    fn find(&self, address: u64, size: usize, align: usize) -> Option<usize> {
        let (region, offset) = split(address);
        let region = self.regions.get(region?)?;
        let is_inside = offset + size as u64 <= region.bytes;
        let at = (region.start + offset) as usize;
        (is_inside && at & (align - 1) == 0).then_some(at)
    }

    #[inline]
    fn place(&self, lane: usize, address: u64, bytes: usize, does: &str) -> Outcome<usize> {
        match self.find(address, bytes, bytes) {
            Some(at) => Ok(at),
            None => Err(self.fault(lane, address, bytes, does)),
        }
    }

    #[cold]
    fn fault(&self, lane: usize, address: u64, bytes: usize, does: &str) -> Box<Fault> {
        let (region, offset) = split(address);
        let found = region.and_then(|at| Some((at, self.regions.get(at)?)));
        if let Some((at, region)) = found
            && offset + bytes as u64 <= region.bytes
        {
            let what = format!(
                "{does} {bytes} bytes at offset {offset} of buffer {at}, which is no multiple of \
                 {bytes}"
            );
            return Fault::new(Kind::Misaligned, lane, what);
        }
        let before = (1 << OFFSET_BITS) - offset;
        let next = region.map_or(0, |at| at + 1);
        let what = match found {
            // What comes before the start of a region has an offset near the end of the last one.
            _ if before <= offset && next < self.regions.len() => {
                format!("{does} {bytes} bytes at {before} bytes before the start of buffer {next}")
            }
            Some((at, region)) => format!(
                "{does} {bytes} bytes at offset {offset} of buffer {at}, which has {} bytes",
                region.bytes
            ),
            None => format!("{does} {bytes} bytes at {address:#x}, where no buffer is"),
        };
        Fault::new(Kind::OutOfBounds, lane, what)
    }

    #[cold]
    fn unwritten(&self, lane: usize, address: u64, bytes: usize) -> Box<Fault> {
        let (region, offset) = split(address);
        let at = region.unwrap_or_default();
        let what = format!(
            "reads {bytes} bytes at offset {offset} of buffer {at}, not all of which were written"
        );
        Fault::new(Kind::Uninitialised, lane, what)
    }
}

/// The region of an address and the offset there.
#[inline]
fn split(address: u64) -> (Option<usize>, u64) {
    let region = (address >> OFFSET_BITS).checked_sub(1).map(|at| at as usize);
    (region, address & ((1 << OFFSET_BITS) - 1))
}

/// How far lanes are apart: `bytes`, or 0.
#[inline]
fn stride(addresses: &[u64; LANES], bytes: usize) -> Option<usize> {
    let stride = addresses[1].wrapping_sub(addresses[0]);
    let mut is_even = stride == 0 || stride == bytes as u64;
    for (lane, address) in (0..).zip(addresses) {
        is_even &= *address == addresses[0].wrapping_add(stride.wrapping_mul(lane));
    }
    is_even.then_some(stride as usize)
}
