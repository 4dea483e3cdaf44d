//! A device's context, and the streams and events in it.
//!
//! Each is given back when it is dropped. What fails then has failed before: a device that is lost
//! has lost what was made on it.

use std::ptr;
use std::rc::Rc;

use cudarc::driver::sys::{CUcontext, CUdevice, CUevent, CUstream};

use super::api::{Api, Failed};

/// `CU_STREAM_NON_BLOCKING`: it does not wait for the default stream.
const NON_BLOCKING: u32 = 1;

/// The primary context of a device.
#[derive(Debug)]
pub(super) struct Context {
    api: &'static Api,
    device: CUdevice,
    handle: CUcontext,
}

impl Context {
    /// Of the device of this number, current on this thread.
    pub(super) fn new(api: &'static Api, ordinal: usize) -> Result<Rc<Context>, Failed> {
        let ordinal = i32::try_from(ordinal).expect("machines have few devices");
        let (mut device, mut handle) = (0, ptr::null_mut());
        // SAFETY: the driver writes to places of ours; it has said that there is such a device.
        unsafe {
            api.device(&raw mut device, ordinal)?;
            api.context_retain(&raw mut handle, device)?;
        }
        let context = Rc::new(Context { api, device, handle });
        context.bind()?;
        Ok(context)
    }

    /// Makes it the current one of this thread, as most calls need.
    pub(super) fn bind(&self) -> Result<(), Failed> {
        // SAFETY: the context is retained.
        unsafe { self.api.context_set(self.handle) }
    }

    pub(super) fn api(&self) -> &'static Api {
        self.api
    }

    /// Bytes of the device's memory that are free.
    pub(super) fn free_bytes(&self) -> Result<u64, Failed> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: the driver writes to places of ours.
        unsafe { self.api.memory_info(&raw mut free, &raw mut total) }?;
        Ok(free as u64)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it was retained once, and whatever was made in it held it.
        let _ = unsafe { self.api.context_release(self.device) };
    }
}

/// Work in order.
#[derive(Debug)]
pub(super) struct Stream {
    context: Rc<Context>,
    handle: CUstream,
}

impl Stream {
    pub(super) fn new(context: &Rc<Context>) -> Result<Stream, Failed> {
        context.bind()?;
        let mut handle = ptr::null_mut();
        // SAFETY: the driver writes to a place of ours.
        unsafe { context.api.stream_create(&raw mut handle, NON_BLOCKING) }?;
        Ok(Stream { context: context.clone(), handle })
    }

    pub(super) fn context(&self) -> &Rc<Context> {
        &self.context
    }

    pub(super) fn handle(&self) -> CUstream {
        self.handle
    }

    /// Returns when all of its work is done.
    pub(super) fn synchronize(&self) -> Result<(), Failed> {
        self.context.bind()?;
        // SAFETY: the stream lives.
        unsafe { self.context.api.stream_synchronize(self.handle) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.synchronize().is_ok() {
            // SAFETY: nothing runs on it, and nobody has the handle any more.
            let _ = unsafe { self.context.api.stream_destroy(self.handle) };
        }
    }
}

/// A place in the work of a stream.
#[derive(Debug)]
pub(super) struct Event {
    context: Rc<Context>,
    handle: CUevent,
}

impl Event {
    pub(super) fn new(context: &Rc<Context>) -> Result<Event, Failed> {
        context.bind()?;
        let mut handle = ptr::null_mut();
        // SAFETY: the driver writes to a place of ours.
        unsafe { context.api.event_create(&raw mut handle, 0) }?;
        Ok(Event { context: context.clone(), handle })
    }

    /// Is behind all work of the stream so far.
    pub(super) fn record(&self, stream: &Stream) -> Result<(), Failed> {
        // SAFETY: both live, in one context.
        unsafe { self.context.api.event_record(self.handle, stream.handle) }
    }

    /// Returns when the work before it is done; at once if there is none.
    pub(super) fn synchronize(&self) -> Result<(), Failed> {
        // SAFETY: the event lives.
        unsafe { self.context.api.event_synchronize(self.handle) }
    }

    /// Seconds of the device between another event and this one, both of which are over.
    pub(super) fn seconds_since(&self, start: &Event) -> Result<f64, Failed> {
        let mut ms = 0.0;
        // SAFETY: both live; the driver writes to a place of ours.
        unsafe { self.context.api.event_elapsed(&raw mut ms, start.handle, self.handle) }?;
        Ok(f64::from(ms) / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: nobody has the handle any more; the driver keeps what is still recorded.
            let _ = unsafe { self.context.api.event_destroy(self.handle) };
        }
    }
}
