//! The code of a plan on a device: one module, which the driver compiles.
//!
//! In: texts with an entry each. Out: a handle for each, or what the driver's compiler said. The
//! driver keeps what it compiled in a cache of its own, by text and version, so a second start is
//! quick. CUDA Driver API, section 6.10.

use std::ffi::{CString, c_uint, c_void};
use std::sync::Arc;

use cudarc::driver::CudaContext;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUfunction_attribute as Attribute, CUjit_option as Jit};
use plan::{Code, Launch};
use ptx_builder::Target;

use super::driver::said;
use crate::error::Error;

/// Room for what the driver's compiler says.
const LOG_BYTES: usize = 8 << 10;

/// Lines of it that a message repeats.
const LOG_LINES: usize = 12;

/// Shared memory that every block may have without asking.
const SHARED_UNASKED: u64 = 48 << 10;

/// Loaded code.
#[derive(Debug)]
pub(super) struct Module {
    context: Arc<CudaContext>,
    handle: sys::CUmodule,
    /// In the order of the plan's code.
    entries: Vec<sys::CUfunction>,
}

/// All code of a plan as the text of one module.
pub(super) fn joined(target: Target, code: &[Code]) -> Result<String, Error> {
    let mut entries = vec![];
    for Code { name, text } in code {
        let read = ptx_builder::parse(text);
        let module = read.map_err(|error| Error::BadPlan(format!("`{name}`: {error}")))?;
        if module.target != target || module.entries.iter().all(|entry| entry.name != *name) {
            let target = target.name();
            return Err(Error::BadPlan(format!("`{name}` is no entry for {target}")));
        }
        entries.extend(module.entries);
    }
    Ok(ptx_builder::Module { target, entries }.to_string())
}

impl Module {
    /// Loads the code of a plan; `about` names driver and device.
    pub(super) fn load(
        context: &Arc<CudaContext>,
        target: Target,
        code: &[Code],
        about: &str,
    ) -> Result<Module, Error> {
        let text = joined(target, code)?;
        let text = CString::new(text).expect("the text of a module has no NUL");
        context.bind_to_thread().map_err(|error| refusal(error, "", target, about))?;
        let (answer, log) = load(&text);
        let handle = answer.map_err(|error| refusal(error, &log, target, about))?;
        let mut module = Module { context: context.clone(), handle, entries: vec![] };
        for Code { name, .. } in code {
            let name = CString::new(name.as_str()).expect("a name has no NUL");
            // SAFETY: the module was loaded and lives as long as the handle is used.
            let entry = unsafe { result::module::get_function(module.handle, name) };
            module.entries.push(entry.map_err(|error| refusal(error, "", target, about))?);
        }
        Ok(module)
    }

    pub(super) fn entry(&self, code: u32) -> sys::CUfunction {
        self.entries[code as usize]
    }

    /// Prepares the entry of a launch: much shared memory has to be asked for.
    pub(super) fn admit(&self, launch: &Launch) -> Result<(), DriverError> {
        let entry = self.entry(launch.code);
        if launch.shared_bytes > SHARED_UNASKED {
            let bytes = i32::try_from(launch.shared_bytes).expect("compared with the device's");
            let most = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the entry is one of a loaded module.
            let had = unsafe { result::function::get_function_attribute(entry, most) }?;
            if had < bytes {
                // SAFETY: as above.
                unsafe { result::function::set_function_attribute(entry, most, bytes) }?;
            }
        }
        Ok(())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: nobody has the handle any more, and its context is current.
            // A device that is lost has lost the module too.
            let _ = unsafe { result::module::unload(self.handle) };
        }
    }
}

/// Has the driver compile a text; also what its compiler said.
fn load(text: &CString) -> (Result<sys::CUmodule, DriverError>, String) {
    let mut log = vec![0u8; LOG_BYTES];
    let mut options = [Jit::CU_JIT_ERROR_LOG_BUFFER, Jit::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // A number is passed in the place of an address.
    let mut values: [*mut c_void; 2] =
        [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(log.len())];
    let mut handle = std::ptr::null_mut();
    let n = options.len() as c_uint;
    // SAFETY: the text ends in a NUL; there are as many values as options; the buffer is as long
    // as the value beside it says, and outlives the call.
    let answer = unsafe {
        sys::cuModuleLoadDataEx(
            &raw mut handle,
            text.as_ptr().cast(),
            n,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    (answer.result().map(|()| handle), String::from_utf8_lossy(&log[..end]).into_owned())
}

/// Code that the driver does not take.
fn refusal(error: DriverError, log: &str, target: Target, about: &str) -> Error {
    let [major, minor] = target.version();
    let mut text = format!(
        "the driver does not take the code of the plan (PTX {major}.{minor} for {}): {}\n  {about}",
        target.name(),
        said(error)
    );
    for line in log.lines().filter(|line| !line.trim().is_empty()).take(LOG_LINES) {
        text += &format!("\n  {line}");
    }
    Error::Device(text + "\na newer driver may take it; `--device cpu` runs without one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(name: &str, target: Target) -> Code {
        let [major, minor] = target.version();
        let text = format!(
            ".version {major}.{minor}\n.target {}\n.address_size 64\n\n\
             .visible .entry {name}(\n)\n.maxntid 32, 1, 1\n{{\n\tret;\n}}\n",
            target.name()
        );
        Code { name: name.to_owned(), text }
    }

    #[test]
    fn all_code_is_one_module() {
        let all = [code("first", Target::Sm80), code("second", Target::Sm80)];
        let text = joined(Target::Sm80, &all).expect("it is for this target");
        assert_eq!(text.matches(".version").count(), 1);
        let module = ptx_builder::parse(&text).expect("it is a module");
        let names: Vec<&str> = module.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["first", "second"]);
    }

    #[test]
    fn code_of_another_target_or_name_is_refused() {
        assert!(joined(Target::Sm90, &[code("first", Target::Sm80)]).is_err());
        let renamed = Code { name: "second".to_owned(), ..code("first", Target::Sm80) };
        assert!(joined(Target::Sm80, &[renamed]).is_err());
    }
}
