//! The functions of the CUDA driver that are used, as its library has them.
//!
//! What a function answers is read as the number that it is: a driver newer than every list knows
//! errors that have no place in an enumeration of ours. CUDA Driver API, chapter 6.

use std::ffi::{CStr, c_char, c_float, c_int, c_uint, c_ulonglong, c_void};
use std::fmt;
use std::ptr;
use std::sync::OnceLock;

use cudarc::driver::sys::{
    self, CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUfunction,
    CUfunction_attribute, CUgraph, CUgraphExec, CUjit_option, CUjitInputType, CUlinkState,
    CUmodule, CUstream, CUstreamCaptureMode,
};

/// `CUDA_ERROR_OUT_OF_MEMORY`.
const OUT_OF_MEMORY: c_int = 2;
/// `CUDA_ERROR_NO_DEVICE`.
const NO_DEVICE: c_int = 100;

/// A call that the driver answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    /// The function's name in the library.
    call: &'static str,
    code: c_int,
}

impl Failed {
    pub(super) fn is_out_of_memory(self) -> bool {
        self.code == OUT_OF_MEMORY
    }

    pub(super) fn is_no_device(self) -> bool {
        self.code == NO_DEVICE
    }

    /// What the user can do, where the error says.
    pub(super) fn advice(self) -> Option<&'static str> {
        advice(self.code)
    }
}

/// What helps against an error. CUDA Driver API, section 6.1, `CUresult`.
fn advice(code: c_int) -> Option<&'static str> {
    match code {
        OUT_OF_MEMORY => Some("end what else uses the device (`nvidia-smi` lists it)"),
        46 => Some("another process has the device for itself (`nvidia-smi` lists it)"),
        100 | 101 => Some("`nvidia-smi -L` lists the devices; is CUDA_VISIBLE_DEVICES right?"),
        209 | 218 | 220 | 222 => Some("a newer driver may take it"),
        214 | 717..=719 | 999 => {
            Some("`nvidia-smi -q` and the log of the kernel (`dmesg`, Xid) may say more")
        }
        304 => Some("may this user open /dev/nvidia*?"),
        700 | 714..=716 => {
            Some("a kernel went wrong: `llmc verify SPEC` and `--device emulated` may find it")
        }
        702 => Some("the system stops long kernels on a device with a screen"),
        802..=804 => Some("the driver's parts are of different versions, or still start: reboot"),
        _ => None,
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { call, code } = *self;
        let api = Api::get().ok();
        let [text, name] = [api.and_then(|api| api.text(code)), api.and_then(|api| api.name(code))];
        match (text, name) {
            (Some(text), Some(name)) => write!(f, "{text} ({call}: {name})"),
            (None, Some(name)) => write!(f, "{name} ({call})"),
            (_, None) => write!(f, "error {code} ({call})"),
        }
    }
}

/// The function of a name.
fn symbol<F: Copy>(name: &'static str) -> Result<F, &'static str> {
    // SAFETY: the caller's type is that of the function in the driver's headers. The library stays
    // loaded as long as the process runs.
    unsafe { sys::culib().get::<F>(name.as_bytes()) }.map(|found| *found).map_err(|_| name)
}

fn answer(call: &'static str, code: c_int) -> Result<(), Failed> {
    if code == 0 { Ok(()) } else { Err(Failed { call, code }) }
}

/// A row for each function: its name here, its name in the library, its parameters.
macro_rules! functions {
    ($($name:ident $symbol:literal ($($arg:ident: $type:ty),*);)*) => {
        /// The driver's functions.
        #[derive(Debug)]
        pub(super) struct Api {
            $($name: unsafe extern "C" fn($($type),*) -> c_int,)*
        }

        impl Api {
            /// All functions, or the name of one that the library has not.
            fn load() -> Result<Api, &'static str> {
                Ok(Api { $($name: symbol($symbol)?,)* })
            }

            $(
                #[doc = concat!("`", $symbol, "`; what it needs is what the driver's manual says.")]
                #[allow(clippy::too_many_arguments, reason = "the driver's")]
                pub(super) unsafe fn $name(&self, $($arg: $type),*) -> Result<(), Failed> {
                    // SAFETY: the caller's word.
                    answer($symbol, unsafe { (self.$name)($($arg),*) })
                }
            )*
        }
    };
}

functions! {
    init "cuInit" (flags: c_uint);
    driver_version "cuDriverGetVersion" (version: *mut c_int);
    error_name "cuGetErrorName" (code: c_int, name: *mut *const c_char);
    error_text "cuGetErrorString" (code: c_int, text: *mut *const c_char);

    device_count "cuDeviceGetCount" (n: *mut c_int);
    device "cuDeviceGet" (device: *mut CUdevice, ordinal: c_int);
    device_name "cuDeviceGetName" (name: *mut c_char, most: c_int, device: CUdevice);
    device_memory "cuDeviceTotalMem_v2" (bytes: *mut usize, device: CUdevice);
    device_attribute "cuDeviceGetAttribute"
        (value: *mut c_int, which: CUdevice_attribute, device: CUdevice);

    context_retain "cuDevicePrimaryCtxRetain" (context: *mut CUcontext, device: CUdevice);
    context_release "cuDevicePrimaryCtxRelease_v2" (device: CUdevice);
    context_set "cuCtxSetCurrent" (context: CUcontext);

    memory_info "cuMemGetInfo_v2" (free: *mut usize, total: *mut usize);
    allocate "cuMemAlloc_v2" (at: *mut CUdeviceptr, bytes: usize);
    free "cuMemFree_v2" (at: CUdeviceptr);
    host_allocate "cuMemHostAlloc" (at: *mut *mut c_void, bytes: usize, flags: c_uint);
    host_free "cuMemFreeHost" (at: *mut c_void);
    fill "cuMemsetD8Async" (at: CUdeviceptr, byte: u8, n: usize, stream: CUstream);
    copy_in "cuMemcpyHtoDAsync_v2"
        (to: CUdeviceptr, from: *const c_void, bytes: usize, stream: CUstream);
    copy_out "cuMemcpyDtoHAsync_v2"
        (to: *mut c_void, from: CUdeviceptr, bytes: usize, stream: CUstream);

    stream_create "cuStreamCreate" (stream: *mut CUstream, flags: c_uint);
    stream_destroy "cuStreamDestroy_v2" (stream: CUstream);
    stream_synchronize "cuStreamSynchronize" (stream: CUstream);
    event_create "cuEventCreate" (event: *mut CUevent, flags: c_uint);
    event_destroy "cuEventDestroy_v2" (event: CUevent);
    event_record "cuEventRecord" (event: CUevent, stream: CUstream);
    event_synchronize "cuEventSynchronize" (event: CUevent);
    event_elapsed "cuEventElapsedTime" (ms: *mut c_float, from: CUevent, to: CUevent);

    link_create "cuLinkCreate_v2" (n: c_uint, options: *mut CUjit_option,
        values: *mut *mut c_void, link: *mut CUlinkState);
    link_add "cuLinkAddData_v2" (link: CUlinkState, kind: CUjitInputType, data: *mut c_void,
        bytes: usize, name: *const c_char, n: c_uint, options: *mut CUjit_option,
        values: *mut *mut c_void);
    link_complete "cuLinkComplete" (link: CUlinkState, image: *mut *mut c_void, bytes: *mut usize);
    link_destroy "cuLinkDestroy" (link: CUlinkState);
    module_load "cuModuleLoadData" (module: *mut CUmodule, image: *const c_void);
    module_unload "cuModuleUnload" (module: CUmodule);
    module_function "cuModuleGetFunction"
        (function: *mut CUfunction, module: CUmodule, name: *const c_char);

    function_attribute "cuFuncGetAttribute"
        (value: *mut c_int, which: CUfunction_attribute, function: CUfunction);
    function_set_attribute "cuFuncSetAttribute"
        (function: CUfunction, which: CUfunction_attribute, value: c_int);
    launch "cuLaunchKernel" (function: CUfunction, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
        block_x: c_uint, block_y: c_uint, block_z: c_uint, shared_bytes: c_uint, stream: CUstream,
        params: *mut *mut c_void, extra: *mut *mut c_void);

    capture_begin "cuStreamBeginCapture_v2" (stream: CUstream, mode: CUstreamCaptureMode);
    capture_end "cuStreamEndCapture" (stream: CUstream, graph: *mut CUgraph);
    graph_instantiate "cuGraphInstantiateWithFlags"
        (exec: *mut CUgraphExec, graph: CUgraph, flags: c_ulonglong);
    graph_launch "cuGraphLaunch" (exec: CUgraphExec, stream: CUstream);
    graph_exec_destroy "cuGraphExecDestroy" (exec: CUgraphExec);
    graph_destroy "cuGraphDestroy" (graph: CUgraph);
}

impl Api {
    /// The driver's functions, or the name of one that its library has not.
    ///
    /// There must be a library.
    pub(super) fn get() -> Result<&'static Api, &'static str> {
        static API: OnceLock<Result<Api, &'static str>> = OnceLock::new();
        API.get_or_init(Api::load).as_ref().map_err(|&name| name)
    }

    fn name(&self, code: c_int) -> Option<&'static str> {
        let mut at = ptr::null();
        // SAFETY: the driver writes an address to a place of ours.
        unsafe { self.error_name(code, &raw mut at) }.ok()?;
        words(at)
    }

    fn text(&self, code: c_int) -> Option<&'static str> {
        let mut at = ptr::null();
        // SAFETY: as above.
        unsafe { self.error_text(code, &raw mut at) }.ok()?;
        words(at)
    }
}

/// The driver's words at an address that it gave; of an error that it does not know it gives none.
fn words(at: *const c_char) -> Option<&'static str> {
    if at.is_null() {
        return None;
    }
    // SAFETY: the driver's texts end in a NUL and stay as long as its library.
    unsafe { CStr::from_ptr(at) }.to_str().ok()
}
