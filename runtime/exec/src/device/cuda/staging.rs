//! Copies between host and device, through memory that the device can reach.
//!
//! Two pieces of such memory take turns: while the device copies one, the host fills the other.
//! The caller's own memory is never what the device reads, so it may be changed at once.

use std::ops::Range;
use std::ptr;
use std::rc::Rc;

use cudarc::driver::sys::CUdeviceptr;

use super::api::Failed;
use super::context::{Context, Event, Stream};

/// Bytes of a piece: a batch fits, and large copies run at the speed of the bus.
const PIECE_BYTES: usize = 4 << 20;

/// Parts start at multiples of so many bytes of a piece.
const PART_ALIGN: usize = 256;

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
    used: Event,
    context: Rc<Context>,
}

impl Piece {
    fn new(context: &Rc<Context>) -> Result<Piece, Failed> {
        let used = Event::new(context)?;
        let mut base = ptr::null_mut();
        // SAFETY: making the event has made the context current; the driver writes to a place of
        // ours.
        unsafe { context.api().host_allocate(&raw mut base, PIECE_BYTES, 0) }?;
        // SAFETY: so many bytes were allocated. They are set because the driver does not.
        unsafe { base.cast::<u8>().write_bytes(0, PIECE_BYTES) };
        Ok(Piece { base: base.cast(), used, context: context.clone() })
    }

    /// Its first bytes, when the last copy is done with them.
    fn free(&mut self, n: usize) -> Result<&mut [u8], Failed> {
        self.used.synchronize()?;
        Ok(self.bytes(0..n))
    }

    /// Bytes that no copy uses any more.
    fn bytes(&mut self, range: Range<usize>) -> &mut [u8] {
        assert!(range.end <= PIECE_BYTES, "what is copied is cut into pieces");
        // SAFETY: so many bytes were allocated; the device does not use these, and `self` is
        // borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(range.start), range.len()) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // What fails here failed before.
        let _ = self.used.synchronize();
        if self.context.bind().is_ok() {
            // SAFETY: it was allocated so, and no copy uses it any more.
            let _ = unsafe { self.context.api().host_free(self.base.cast()) };
        }
    }
}

impl Staging {
    pub(super) fn new(context: &Rc<Context>) -> Result<Staging, Failed> {
        Ok(Staging { pieces: [Piece::new(context)?, Piece::new(context)?], next: 0 })
    }

    fn turn(&mut self) -> &mut Piece {
        self.next = 1 - self.next;
        &mut self.pieces[self.next]
    }

    /// Copies parts to the device, in the order of the stream; `base` is where their places count
    /// from.
    ///
    /// Small parts share a piece: it is the copies of the last but one call that the host may have
    /// to wait for, and so it may prepare a batch while the device works on the one before.
    ///
    /// # Safety
    ///
    /// The places must be memory of the device, which other streams leave alone.
    pub(super) unsafe fn write(
        &mut self,
        stream: &Stream,
        base: CUdeviceptr,
        parts: &[(u64, &[u8])],
    ) -> Result<(), Failed> {
        stream.context().bind()?;
        let mut filled = PIECE_BYTES;
        for &(at, bytes) in parts {
            let (mut to, mut rest) = (base + at, bytes);
            while !rest.is_empty() {
                if filled >= PIECE_BYTES {
                    self.turn().used.synchronize()?;
                    filled = 0;
                }
                let (now, later) = rest.split_at(rest.len().min(PIECE_BYTES - filled));
                let piece = &mut self.pieces[self.next];
                let staged = piece.bytes(filled..filled + now.len());
                staged.copy_from_slice(now);
                let (api, from) = (stream.context().api(), staged.as_ptr().cast());
                // SAFETY: the caller's word for the device; these bytes of the piece are not
                // touched before its event.
                unsafe { api.copy_in(to, from, now.len(), stream.handle()) }?;
                piece.used.record(stream)?;
                to += now.len() as u64;
                filled = (filled + now.len()).next_multiple_of(PART_ALIGN);
                rest = later;
            }
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
        stream: &Stream,
        from: CUdeviceptr,
        bytes: &mut [u8],
    ) -> Result<(), Failed> {
        stream.context().bind()?;
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
    unsafe fn ask(&mut self, stream: &Stream, from: CUdeviceptr, n: usize) -> Result<(), Failed> {
        let piece = self.turn();
        let staged = piece.free(n)?;
        // SAFETY: the caller's word for the device; the piece is not touched before its event.
        unsafe {
            stream.context().api().copy_out(staged.as_mut_ptr().cast(), from, n, stream.handle())
        }?;
        piece.used.record(stream)
    }
}
