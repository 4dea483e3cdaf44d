//! The arena: one aligned, zeroed allocation that holds every buffer of a plan.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use plan::{ALIGN, Arg, Buffer, BufferId, Dtype};

use crate::error::Error;

/// The memory of a plan, with a typed view of each buffer.
#[derive(Debug)]
pub struct Memory {
    base: NonNull<u8>,
    layout: Layout,
    buffers: Vec<Buffer>,
    /// How many bytes each place of a buffer is further on, inside of tiles.
    shifts: Vec<u64>,
}

// SAFETY: it owns what `base` points to, and gives references by its own borrow.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    pub(super) fn new(plan: &plan::Plan) -> Result<Self, Error> {
        let refuse = || Error::Resources(format!("{} bytes of memory", plan.arena_bytes));
        let bytes = usize::try_from(plan.arena_bytes).map_err(|_| refuse())?.max(1);
        let layout = Layout::from_size_align(bytes, ALIGN as usize).map_err(|_| refuse())?;
        // SAFETY: the layout has at least one byte.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refuse)?;
        let shifts = vec![0; plan.buffers.len()];
        Ok(Self { base, layout, buffers: plan.buffers.clone(), shifts })
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

    /// The elements of an i32 buffer.
    pub fn i32_mut(&mut self, id: BufferId) -> &mut [i32] {
        self.view_mut(id, Some(Dtype::I32))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}
