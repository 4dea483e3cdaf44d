//! The arena: one aligned, zeroed mapping that holds every buffer of a plan.
//!
//! The system gives its pages, large ones where it can, when they are first touched: a plan starts
//! at once whatever it needs, and all threads share the work of clearing.

use std::ptr::NonNull;

use memmap2::MmapMut;

use plan::{ALIGN, Arg, Buffer, BufferId, Dtype};

use crate::error::Error;

/// The memory of a plan, with a typed view of each buffer.
#[derive(Debug)]
pub struct Memory {
    base: NonNull<u8>,
    /// Keeps what `base` points to.
    map: MmapMut,
    buffers: Vec<Buffer>,
    /// How many bytes each place of a buffer is further on, inside of tiles.
    shifts: Vec<u64>,
}

// SAFETY: it owns what `base` points to, and gives references by its own borrow.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    pub(in crate::device) fn new(plan: &plan::Plan) -> Result<Self, Error> {
        let refuse = || Error::Resources(format!("{} bytes of memory", plan.arena_bytes));
        let bytes = usize::try_from(plan.arena_bytes).map_err(|_| refuse())?.max(1);
        let mut map = MmapMut::map_anon(bytes).map_err(|_| refuse())?;
        // A kernel without large pages refuses; it then gives small ones.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let base = NonNull::new(map.as_mut_ptr()).ok_or_else(refuse)?;
        assert!(base.as_ptr().addr().is_multiple_of(ALIGN as usize), "pages are aligned");
        let shifts = vec![0; plan.buffers.len()];
        Ok(Self { base, map, buffers: plan.buffers.clone(), shifts })
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
        (buffer.offset as usize, buffer.bytes as usize / size_of::<T>())
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
