//! Copies between host and device, through memory that the device can reach.
//!
//! Two pieces of such memory take turns: while the device copies one, the host fills the other.
//! The caller's own memory is never what the device reads, so it may be changed at once.

use std::sync::Arc;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;
use cudarc::driver::{CudaContext, CudaEvent, CudaStream};

/// Bytes of a piece: a batch fits, and large copies run at the speed of the bus.
const PIECE_BYTES: usize = 4 << 20;

/// Two pieces.
#[derive(Debug)]
pub(super) struct Staging {
    pieces: [Piece; 2],
    /// Which of them is used next.
    next: usize,
}

/// Memory that the device reaches.
#[derive(Debug)]
struct Piece {
    base: *mut u8,
    /// The copy that used it last.
    used: CudaEvent,
    context: Arc<CudaContext>,
}

impl Piece {
    fn new(context: &Arc<CudaContext>) -> Result<Piece, DriverError> {
        let used = context.new_event(None)?;
        // SAFETY: making the event has made the context current; bytes have no invalid values.
        let base = unsafe { result::malloc_host(PIECE_BYTES, 0) }?;
        Ok(Piece { base: base.cast(), used, context: context.clone() })
    }

    /// Its first bytes, when the last copy is done with them.
    fn free(&mut self, n: usize) -> Result<&mut [u8], DriverError> {
        assert!(n <= PIECE_BYTES, "what is copied is cut into pieces");
        self.used.synchronize()?;
        // SAFETY: so many bytes were allocated; the device does not use them, and `self` is
        // borrowed for writing.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.base, n) })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // What fails here failed before.
        let _ = self.used.synchronize();
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: it was allocated so, and no copy uses it any more.
            let _ = unsafe { result::free_host(self.base.cast()) };
        }
    }
}

impl Staging {
    pub(super) fn new(context: &Arc<CudaContext>) -> Result<Staging, DriverError> {
        Ok(Staging { pieces: [Piece::new(context)?, Piece::new(context)?], next: 0 })
    }

    fn turn(&mut self) -> &mut Piece {
        self.next = 1 - self.next;
        &mut self.pieces[self.next]
    }

    /// Copies to the device, in the order of the stream.
    ///
    /// # Safety
    ///
    /// `to` must be the address of so many bytes of the device, which other streams leave alone.
    pub(super) unsafe fn write(
        &mut self,
        stream: &CudaStream,
        to: sys::CUdeviceptr,
        bytes: &[u8],
    ) -> Result<(), DriverError> {
        stream.context().bind_to_thread()?;
        let mut at = to;
        for part in bytes.chunks(PIECE_BYTES) {
            let piece = self.turn();
            let staged = piece.free(part.len())?;
            staged.copy_from_slice(part);
            // SAFETY: the caller's word for the device; the piece is not touched before its event.
            unsafe { result::memcpy_htod_async(at, &*staged, stream.cu_stream()) }?;
            piece.used.record(stream)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// Copies from the device what all work of the stream so far has left there.
    ///
    /// # Safety
    ///
    /// As for [`Staging::write`].
    pub(super) unsafe fn read(
        &mut self,
        stream: &CudaStream,
        from: sys::CUdeviceptr,
        bytes: &mut [u8],
    ) -> Result<(), DriverError> {
        stream.context().bind_to_thread()?;
        let starts = (from..).step_by(PIECE_BYTES);
        let mut parts = bytes.chunks_mut(PIECE_BYTES).zip(starts).peekable();
        let Some((first, at)) = parts.peek() else { return Ok(()) };
        // SAFETY: the caller's word for the device.
        unsafe { self.ask(stream, *at, first.len()) }?;
        while let Some((part, _)) = parts.next() {
            let asked = self.next;
            if let Some((next, at)) = parts.peek() {
                // SAFETY: as above.
                unsafe { self.ask(stream, *at, next.len()) }?;
            }
            part.copy_from_slice(self.pieces[asked].free(part.len())?);
        }
        Ok(())
    }

    /// Lets the device fill the next piece.
    ///
    /// # Safety
    ///
    /// As for [`Staging::write`].
    unsafe fn ask(
        &mut self,
        stream: &CudaStream,
        from: sys::CUdeviceptr,
        n: usize,
    ) -> Result<(), DriverError> {
        let piece = self.turn();
        let staged = piece.free(n)?;
        // SAFETY: the caller's word for the device; the piece is not touched before its event.
        unsafe { result::memcpy_dtoh_async(staged, from, stream.cu_stream()) }?;
        piece.used.record(stream)
    }
}
