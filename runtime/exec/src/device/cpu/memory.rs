//! The arena: one aligned, zeroed mapping that holds every buffer of a plan.
//!
//! The system gives its pages, large ones where it can, when they are first touched: a plan starts
//! at once whatever it needs, and all threads share the work of clearing.
//!
//! For a device with a memory of its own this is the host's copy, which knows of every buffer who
//! has its newest bytes. Of a buffer that the device has moved on with, nothing can be read here.

use std::ops::Range;
use std::ptr::NonNull;

use memmap2::{MmapMut, MmapOptions};

use plan::{ALIGN, Arg, Buffer, BufferId, Dtype};

use crate::error::Error;

/// Who has the newest bytes of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newest {
    /// The host and its device.
    Both,
    /// The host wrote.
    Host,
    /// The device may have written.
    Device,
}

/// The memory of a plan, with a typed view of each buffer.
#[derive(Debug)]
pub struct Memory {
    base: NonNull<u8>,
    /// Keeps what `base` points to.
    map: MmapMut,
    buffers: Vec<Buffer>,
    /// How many bytes each place of a buffer is further on, inside of tiles.
    shifts: Vec<u64>,
    /// Of each buffer; devices that share this memory move on with none.
    newest: Vec<Newest>,
    /// Whether the host wrote any since it was asked.
    has_written: bool,
}

// SAFETY: it owns what `base` points to, and gives references by its own borrow.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// All of the arena, to be computed in.
    pub(in crate::device) fn new(plan: &plan::Plan) -> Result<Self, Error> {
        let memory = Self::mapped(plan, MmapOptions::new())?;
        // A kernel without large pages refuses; it then gives small ones.
        #[cfg(target_os = "linux")]
        let _ = memory.map.advise(memmap2::Advice::HugePage);
        Ok(memory)
    }

    /// What the host holds of an arena that lies elsewhere and may be larger than its own memory:
    /// pages that nobody asks for take none.
    pub(in crate::device) fn mirror(plan: &plan::Plan) -> Result<Self, Error> {
        let mut how = MmapOptions::new();
        how.no_reserve_swap();
        Self::mapped(plan, how)
    }

    fn mapped(plan: &plan::Plan, mut how: MmapOptions) -> Result<Self, Error> {
        let refuse =
            || Error::Resources(format!("{} bytes of the host's memory", plan.arena_bytes));
        let bytes = usize::try_from(plan.arena_bytes).map_err(|_| refuse())?.max(1);
        let mut map = how.len(bytes).map_anon().map_err(|_| refuse())?;
        let base = NonNull::new(map.as_mut_ptr()).ok_or_else(refuse)?;
        assert!(base.as_ptr().addr().is_multiple_of(ALIGN as usize), "pages are aligned");
        let (shifts, newest) =
            (vec![0; plan.buffers.len()], vec![Newest::Both; plan.buffers.len()]);
        let buffers = plan.buffers.clone();
        Ok(Self { base, map, buffers, shifts, newest, has_written: false })
    }

    /// The buffers that the host wrote since the last call; both have them now.
    pub(in crate::device) fn take_written(&mut self) -> Vec<BufferId> {
        let mut written = vec![];
        if std::mem::take(&mut self.has_written) {
            let all = (0..).map(BufferId).zip(&mut self.newest);
            for (id, newest) in all.filter(|(_, newest)| **newest == Newest::Host) {
                *newest = Newest::Both;
                written.push(id);
            }
        }
        written
    }

    /// The device may have written a buffer.
    pub(in crate::device) fn moves_on(&mut self, id: BufferId) {
        self.newest[id.0 as usize] = Newest::Device;
    }

    /// Whether only the device has the newest bytes of a buffer.
    pub(in crate::device) fn is_behind(&self, id: BufferId) -> bool {
        self.newest[id.0 as usize] == Newest::Device
    }

    /// The host has the newest bytes of a buffer, as the device has.
    pub(in crate::device) fn arrived(&mut self, id: BufferId) {
        self.newest[id.0 as usize] = Newest::Both;
    }

    /// Bytes of the arena.
    pub(in crate::device) fn range(&self, range: Range<u64>) -> &[u8] {
        &self.map[range.start as usize..range.end as usize]
    }

    /// Bytes of the arena.
    pub(in crate::device) fn range_mut(&mut self, range: Range<u64>) -> &mut [u8] {
        &mut self.map[range.start as usize..range.end as usize]
    }

    /// Bytes that were asked of the system.
    pub fn allocated(&self) -> u64 {
        self.map.len() as u64
    }

    /// Every byte of it.
    pub(in crate::device) fn arena_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }

    pub(super) fn pointer(&mut self, arg: Arg) -> *mut u8 {
        let buffer = arg.buffer.0 as usize;
        let at = self.buffers[buffer].offset + arg.offset + self.shifts[buffer];
        // SAFETY: the verified plan keeps buffers and offsets inside the arena.
        unsafe { self.base.as_ptr().add(at as usize) }
    }

    /// Moves the places that steps name in a buffer.
    pub(super) fn shift(&mut self, id: BufferId, bytes: u64) {
        self.shifts[id.0 as usize] = bytes;
    }

    pub(super) fn dtype(&self, id: BufferId) -> Dtype {
        self.buffers[id.0 as usize].dtype
    }

    fn view<T>(&self, id: BufferId, dtype: Option<Dtype>) -> &[T] {
        let (at, n) = self.extent::<T>(id, dtype);
        // SAFETY: inside the arena, aligned to 64 bytes, and any bits are a value of T.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(at).cast(), n) }
    }

    fn view_mut<T>(&mut self, id: BufferId, dtype: Option<Dtype>) -> &mut [T] {
        let (at, n) = self.extent::<T>(id, dtype);
        self.write(id);
        // SAFETY: as in `view`, and `self` is borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(at).cast(), n) }
    }

    fn extent<T>(&self, id: BufferId, dtype: Option<Dtype>) -> (usize, usize) {
        let buffer = &self.buffers[id.0 as usize];
        assert!(
            dtype.is_none_or(|d| d == buffer.dtype),
            "buffer `{}` holds {:?}",
            buffer.name,
            buffer.dtype
        );
        assert!(!self.is_behind(id), "`{}` was not fetched from the device", buffer.name);
        (buffer.offset as usize, buffer.bytes as usize / size_of::<T>())
    }

    /// Notes that the host writes a buffer.
    fn write(&mut self, id: BufferId) {
        self.newest[id.0 as usize] = Newest::Host;
        self.has_written = true;
    }

    /// The bytes of a buffer.
    pub fn bytes(&self, id: BufferId) -> &[u8] {
        self.view(id, None)
    }

    /// The bytes of a buffer.
    pub fn bytes_mut(&mut self, id: BufferId) -> &mut [u8] {
        self.view_mut(id, None)
    }

    /// The elements of an f32 buffer.
    pub fn f32(&self, id: BufferId) -> &[f32] {
        self.view(id, Some(Dtype::F32))
    }

    /// The elements of an f32 buffer.
    pub fn f32_mut(&mut self, id: BufferId) -> &mut [f32] {
        self.view_mut(id, Some(Dtype::F32))
    }

    /// The elements of an f64 buffer.
    pub fn f64(&self, id: BufferId) -> &[f64] {
        self.view(id, Some(Dtype::F64))
    }

    /// The elements of an f64 buffer.
    pub fn f64_mut(&mut self, id: BufferId) -> &mut [f64] {
        self.view_mut(id, Some(Dtype::F64))
    }

    /// The elements of an i32 buffer.
    pub fn i32(&self, id: BufferId) -> &[i32] {
        self.view(id, Some(Dtype::I32))
    }

    /// The elements of two i32 buffers that do not overlap.
    pub fn i32_pair_mut(&mut self, ids: [BufferId; 2]) -> [&mut [i32]; 2] {
        let places = ids.map(|id| self.extent::<i32>(id, Some(Dtype::I32)));
        let ends = places.map(|(at, n)| at + n * size_of::<i32>());
        assert!(ends[0] <= places[1].0 || ends[1] <= places[0].0, "the buffers overlap");
        ids.into_iter().for_each(|id| self.write(id));
        // SAFETY: as in `view_mut`, and the two share no byte.
        places.map(|(at, n)| unsafe {
            std::slice::from_raw_parts_mut(self.base.as_ptr().add(at).cast(), n)
        })
    }

    /// The elements of an i32 buffer.
    pub fn i32_mut(&mut self, id: BufferId) -> &mut [i32] {
        self.view_mut(id, Some(Dtype::I32))
    }
}
