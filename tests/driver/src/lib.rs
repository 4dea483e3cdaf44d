//! A CUDA driver whose device is the emulator, for tests.
//!
//! It is a library with the interface of `libcuda.so`. With it the code for CUDA devices runs where
//! there is none, as far as the runtime uses the interface; what it does not use is not there. What
//! the manual demands of a caller is asserted: a current context, a stream, options, launches
//! within their limits. `FAKE_DRIVER` holds words `name=number` that make it fail or be another
//! device; `FAKE_DRIVER_CALLS` names a file that gets a line for each call. CUDA Driver API,
//! chapter 6.
#![allow(unsafe_code, reason = "the interface is that of C")]

mod device;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_float, c_int, c_uint, c_ulonglong, c_void};
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Mutex, MutexGuard};

use device::{BASE, Device, Launch, Refused, Work};

/// What every call answers: the number of an error, or 0.
type Code = c_int;

const CONTEXT: usize = 0x1000;
const STREAM: usize = 0x2000;
const LINK: usize = 0x3000;

const INVALID_VALUE: Refused = Refused(1);
const INVALID_CONTEXT: Refused = Refused(201);
const INVALID_PTX: Refused = Refused(218);
const INVALID_IMAGE: Refused = Refused(200);
const NOT_FOUND: Refused = Refused(500);

/// What images of this driver's compiler start with.
const IMAGE: &[u8] = b"\x7fFAKE";

const LOG: &[u8] = b"ptxas application ptx input, line 9; error   : Unknown symbol 'x'\n\
                     ptxas fatal   : Ptx assembly aborted due to errors\n\0";

static DEVICE: Mutex<Option<Device>> = Mutex::new(None);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The number behind a word of `FAKE_DRIVER`.
fn told(name: &str) -> Option<i64> {
    let words = std::env::var("FAKE_DRIVER").ok()?;
    let mut words = words.split_whitespace().filter_map(|word| word.split_once('='));
    words.find(|(word, _)| *word == name)?.1.parse().ok()
}

fn told_or(name: &str, usual: i64) -> c_int {
    c_int::try_from(told(name).unwrap_or(usual)).expect("a small number")
}

fn device() -> MutexGuard<'static, Option<Device>> {
    DEVICE.lock().expect("no call panicked")
}

/// Does something with the device of the current context, unless that is lost.
fn with<T>(f: impl FnOnce(&mut Device) -> Result<T, Refused>) -> Result<T, Refused> {
    if CURRENT.get() != CONTEXT {
        return Err(INVALID_CONTEXT);
    }
    let mut device = device();
    let device = device.get_or_insert_with(|| Device::new(told("fault_at")));
    device.lost.map_or(Ok(()), Err)?;
    f(device)
}

fn note(call: &str) {
    let Some(path) = std::env::var_os("FAKE_DRIVER_CALLS") else { return };
    let file = OpenOptions::new().create(true).append(true).open(path);
    writeln!(file.expect("the file opens"), "{call}").expect("the file takes a line");
}

fn code(call: &'static str, answer: impl FnOnce() -> Result<(), Refused>) -> Code {
    note(call);
    if let Some(code) = told(call) {
        if call == "cuStreamEndCapture" {
            // A capture ends, whatever the answer.
            let _ = answer();
        }
        return c_int::try_from(code).expect("a small number");
    }
    match answer() {
        Ok(()) => 0,
        Err(Refused(code)) => code,
    }
}

/// A function of the interface for each: what it needs is what the driver's manual says, and the
/// body may rely on it.
macro_rules! interface {
    ($($name:ident($($arg:ident: $type:ty),*) $body:block)*) => {
        $(
            #[doc = concat!("As the manual says of `", stringify!($name), "`.")]
            ///
            /// # Safety
            ///
            /// Addresses must be those of what the manual says.
            #[unsafe(no_mangle)]
            #[allow(non_snake_case, clippy::too_many_arguments, reason = "the driver's")]
            #[allow(unused_unsafe, reason = "some use no address")]
            pub unsafe extern "C" fn $name($($arg: $type),*) -> Code {
                // SAFETY: bodies use the addresses as the manual says, which is the caller's word.
                code(stringify!($name), || unsafe { $body; Ok(()) })
            }
        )*
    };
}

interface! {
    cuInit(_flags: c_uint) {}
    cuDriverGetVersion(to: *mut c_int) { *to = told_or("version", 12_040) }
    cuGetErrorName(error: c_int, to: *mut *const c_char) {
        *to = name(error).ok_or(INVALID_VALUE)?.as_ptr()
    }
    cuGetErrorString(error: c_int, to: *mut *const c_char) {
        name(error).ok_or(INVALID_VALUE)?;
        *to = c"the device says so".as_ptr()
    }
    cuDeviceGetCount(to: *mut c_int) { *to = told_or("devices", 1) }
    cuDeviceGet(to: *mut c_int, ordinal: c_int) { *to = ordinal }
    cuDeviceGetName(to: *mut c_char, most: c_int, _device: c_int) {
        let name = c"Fake GPU".to_bytes_with_nul();
        assert!(most as usize >= name.len(), "room for the name");
        to.copy_from_nonoverlapping(name.as_ptr().cast(), name.len())
    }
    cuDeviceTotalMem_v2(to: *mut usize, _device: c_int) { *to = memory() }
    cuDeviceGetAttribute(to: *mut c_int, which: c_uint, _device: c_int) {
        let capability = told_or("capability", 90);
        *to = match which {
            16 => 132,
            75 => capability / 10,
            76 => capability % 10,
            97 => told_or("shared", 227 << 10),
            _ => return Err(INVALID_VALUE),
        }
    }
    cuDevicePrimaryCtxRetain(to: *mut usize, _device: c_int) { *to = CONTEXT }
    cuDevicePrimaryCtxRelease_v2(_device: c_int) {
        if let Some(device) = device().as_ref() {
            device.assert_empty();
        }
    }
    cuCtxSetCurrent(context: usize) { CURRENT.set(context) }
    cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        with(|_| Ok(()))?;
        let left = told("free").map_or(memory(), |n| usize::try_from(n).expect("a size"));
        (*free, *total) = (left, memory())
    }
    cuMemAlloc_v2(to: *mut u64, bytes: usize) {
        with(|device| {
            device.allocate(bytes);
            *to = BASE;
            Ok(())
        })?
    }
    cuMemFree_v2(at: u64) { with(|device| { device.free(at); Ok(()) })? }
    cuMemHostAlloc(to: *mut *mut c_void, bytes: usize, _flags: c_uint) {
        with(|device| { *to = device.pin(bytes).cast(); Ok(()) })?
    }
    cuMemFreeHost(at: *mut c_void) { with(|device| { device.unpin(at as usize); Ok(()) })? }
    cuMemsetD8Async(to: u64, byte: u8, n: usize, stream: usize) {
        put(stream, Work::Fill { to, byte, n })?
    }
    cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, n: usize, stream: usize) {
        put(stream, Work::In { to, from: from as usize, n })?
    }
    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, n: usize, stream: usize) {
        note(&format!("out {n}"));
        put(stream, Work::Out { to: to as usize, from, n })?
    }
    cuStreamCreate(to: *mut usize, flags: c_uint) {
        assert_eq!(flags, 1, "the stream does not wait for others");
        with(|_| Ok(()))?;
        *to = STREAM
    }
    cuStreamDestroy_v2(_stream: usize) { with(|_| Ok(()))? }
    cuStreamSynchronize(stream: usize) {
        assert_eq!(stream, STREAM);
        with(|device| device.finish(None))?
    }
    cuEventCreate(to: *mut u64, _flags: c_uint) {
        with(|device| { *to = device.event(); Ok(()) })?
    }
    cuEventDestroy_v2(_event: u64) { with(|_| Ok(()))? }
    cuEventRecord(event: u64, stream: usize) { put(stream, Work::Event(event))? }
    cuEventSynchronize(event: u64) { with(|device| device.finish(Some(event)))? }
    cuEventElapsedTime(to: *mut c_float, from: u64, until: u64) {
        *to = with(|device| device.elapsed_ms(from, until))?
    }
    cuLinkCreate_v2(n: c_uint, options: *mut c_uint, values: *mut *mut c_void, to: *mut usize) {
        assert_eq!(n, 2, "options of the link");
        let options = [*options, *options.add(1)];
        assert_eq!(options, [5, 6], "a log of errors and its size");
        let log = (*values as usize, *values.add(1) as usize);
        with(|device| { device.link = Some((log, vec![])); Ok(()) })?;
        *to = LINK
    }
    cuLinkAddData_v2(link: usize, kind: c_uint, data: *mut c_void, bytes: usize,
        _name: *const c_char, n: c_uint, _options: *mut c_uint, _values: *mut *mut c_void) {
        assert_eq!((link, kind, n), (LINK, 1, 0), "a text without options of its own");
        let text = std::slice::from_raw_parts(data.cast::<u8>(), bytes);
        let text = text.strip_suffix(b"\0").expect("a text ends in a NUL");
        with(|device| {
            let (log, image) = device.link.as_mut().expect("a link was begun");
            if ptx_builder::parse(&String::from_utf8_lossy(text)).is_err() || told("rejects") == Some(1) {
                assert!(log.1 >= LOG.len(), "room for the log");
                (log.0 as *mut u8).copy_from_nonoverlapping(LOG.as_ptr(), LOG.len());
                return Err(INVALID_PTX);
            }
            *image = [IMAGE, text, b"\0"].concat();
            Ok(())
        })?
    }
    cuLinkComplete(_link: usize, to: *mut *mut c_void, bytes: *mut usize) {
        with(|device| {
            let (_, image) = device.link.as_mut().expect("a link was begun");
            (*to, *bytes) = (image.as_mut_ptr().cast(), image.len());
            Ok(())
        })?
    }
    cuLinkDestroy(_link: usize) { with(|device| { device.link = None; Ok(()) })? }
    cuModuleLoadData(to: *mut usize, image: *const c_void) {
        // An image says itself how long it is; one of this driver ends in a NUL.
        let image = CStr::from_ptr(image.cast()).to_bytes();
        let text = image.strip_prefix(IMAGE).ok_or(INVALID_IMAGE)?;
        let text = std::str::from_utf8(text).map_err(|_| INVALID_IMAGE)?;
        *to = with(|device| device.load(text).ok_or(INVALID_IMAGE))?
    }
    cuModuleUnload(_module: usize) { with(|_| Ok(()))? }
    cuModuleGetFunction(to: *mut usize, module: usize, name: *const c_char) {
        let name = CStr::from_ptr(name).to_str().map_err(|_| NOT_FOUND)?;
        *to = with(|device| device.function(module, name).ok_or(NOT_FOUND))?
    }
    cuFuncGetAttribute(to: *mut c_int, which: c_uint, function: usize) {
        assert_eq!(which, 8, "most shared memory that was asked for");
        *to = with(|device| Ok(device.functions[function].most_shared))?
    }
    cuFuncSetAttribute(function: usize, which: c_uint, value: c_int) {
        assert_eq!(which, 8, "most shared memory that was asked for");
        with(|device| { device.functions[function].most_shared = value; Ok(()) })?
    }
    cuLaunchKernel(function: usize, x: c_uint, y: c_uint, z: c_uint, threads: c_uint,
        threads_y: c_uint, threads_z: c_uint, shared: c_uint, stream: usize,
        params: *mut *mut c_void, extra: *mut *mut c_void) {
        assert_eq!((y, z, threads_y, threads_z), (1, 1, 1, 1), "grids of one dimension");
        assert!(extra.is_null(), "parameters one by one");
        let classes = with(|device| {
            let f = &device.functions[function];
            let fits = x > 0 && threads == f.threads && shared as c_int <= f.most_shared;
            if fits { Ok(f.addresses.clone()) } else { Err(INVALID_VALUE) }
        })?;
        let value = |(at, is_address): (usize, bool)| match is_address {
            true => *(*params.add(at)).cast::<u64>(),
            false => u64::from(*(*params.add(at)).cast::<u32>()),
        };
        let args = classes.into_iter().enumerate().map(value).collect();
        let (blocks, shared_bytes) = (u64::from(x), u64::from(shared));
        put(stream, Work::Launch(Launch { function, args, blocks, shared_bytes }))?
    }
    cuStreamBeginCapture_v2(stream: usize, _mode: c_uint) {
        assert_eq!(stream, STREAM);
        with(Device::capture)?
    }
    cuStreamEndCapture(_stream: usize, to: *mut usize) { *to = with(Device::captured)? }
    cuGraphInstantiateWithFlags(to: *mut usize, graph: usize, _flags: c_ulonglong) {
        *to = with(|device| device.instantiate(graph).ok_or(INVALID_VALUE))?
    }
    cuGraphLaunch(exec: usize, stream: usize) { put(stream, Work::Graph(exec))? }
    cuGraphExecDestroy(exec: usize) { with(|device| { device.execs.remove(&exec); Ok(()) })? }
    cuGraphDestroy(graph: usize) { with(|device| { device.graphs.remove(&graph); Ok(()) })? }
}

fn memory() -> usize {
    usize::try_from(told("memory").unwrap_or(8 << 30)).expect("a size")
}

fn put(stream: usize, work: Work) -> Result<(), Refused> {
    assert_eq!(stream, STREAM, "work is for the stream");
    with(|device| device.put(work))
}

/// The names of errors that this driver knows.
fn name(code: c_int) -> Option<&'static CStr> {
    Some(match code {
        1 => c"CUDA_ERROR_INVALID_VALUE",
        2 => c"CUDA_ERROR_OUT_OF_MEMORY",
        100 => c"CUDA_ERROR_NO_DEVICE",
        200 => c"CUDA_ERROR_INVALID_IMAGE",
        201 => c"CUDA_ERROR_INVALID_CONTEXT",
        218 => c"CUDA_ERROR_INVALID_PTX",
        500 => c"CUDA_ERROR_NOT_FOUND",
        700 => c"CUDA_ERROR_ILLEGAL_ADDRESS",
        900 => c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
        _ => return None,
    })
}
