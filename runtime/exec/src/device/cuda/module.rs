//! The code of a plan on a device: one module, which the driver compiles.
//!
//! In: texts with an entry each. Out: a handle for each, or what the driver's compiler said. What
//! it made is kept, by text, driver, device and build, so a second start compiles nothing. CUDA
//! Driver API, sections 6.10 and 6.11.

use std::ffi::{CString, c_uint, c_void};
use std::ptr;
use std::rc::Rc;

use cudarc::driver::sys::{
    CUfunction, CUfunction_attribute as Attribute, CUjit_option as Jit, CUjitInputType, CUmodule,
};
use plan::{Code, Launch};
use ptx_builder::Target;

use super::api::{Api, Failed};
use super::context::Context;
use super::driver;
use crate::error::Error;
use crate::kept::{self, CUBIN, Kept};

/// Room for what the driver's compiler says.
const LOG_BYTES: usize = 8 << 10;

/// Lines of it that a message repeats.
const LOG_LINES: usize = 12;

/// Shared memory that every block may have without asking.
const SHARED_UNASKED: u64 = 48 << 10;

/// Loaded code.
#[derive(Debug)]
pub(super) struct Module {
    context: Rc<Context>,
    handle: CUmodule,
    /// In the order of the plan's code.
    entries: Vec<CUfunction>,
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
        context: &Rc<Context>,
        target: Target,
        code: &[Code],
        about: &str,
        kept: Option<&Kept>,
    ) -> Result<Module, Error> {
        let text = joined(target, code)?;
        let refuse = |failed, log: &str| refusal(failed, log, target, about);
        context.bind().map_err(|failed| refuse(failed, ""))?;
        let driver = driver::build();
        let key = kept.map(|kept| (kept, kept::key([&kept.build, about, &driver, &text])));
        if let Some((kept, key)) = &key
            && let Some(image) = kept.read(CUBIN, key)
            && let Ok(module) = Module::of_image(context, &image, code)
        {
            return Ok(module);
        }
        // What the driver does not take any more is made anew, like what is not there.
        let image = compiled(context.api(), &text).map_err(|(failed, log)| refuse(failed, &log))?;
        let module = Module::of_image(context, &image, code);
        let module = module.map_err(|failed| refuse(failed, ""))?;
        if let Some((kept, key)) = &key {
            kept.write(CUBIN, key, &image);
        }
        Ok(module)
    }

    /// With what the driver compiled.
    fn of_image(context: &Rc<Context>, image: &[u8], code: &[Code]) -> Result<Module, Failed> {
        let mut handle = ptr::null_mut();
        // SAFETY: the context is current; the image is whole, as this driver has made it, and says
        // itself how long it is.
        unsafe { context.api().module_load(&raw mut handle, image.as_ptr().cast()) }?;
        let mut module = Module { context: context.clone(), handle, entries: vec![] };
        for Code { name, .. } in code {
            let entry = module.find(name)?;
            module.entries.push(entry);
        }
        Ok(module)
    }

    fn find(&self, name: &str) -> Result<CUfunction, Failed> {
        let name = CString::new(name).expect("a name has no NUL");
        let mut entry = ptr::null_mut();
        // SAFETY: the module was loaded and lives as long as the entry is used; the name ends in a
        // NUL; the driver writes to a place of ours.
        unsafe { self.context.api().module_function(&raw mut entry, self.handle, name.as_ptr()) }?;
        Ok(entry)
    }

    pub(super) fn entry(&self, code: u32) -> CUfunction {
        self.entries[code as usize]
    }

    /// Prepares the entry of a launch: much shared memory has to be asked for.
    pub(super) fn admit(&self, launch: &Launch) -> Result<(), Failed> {
        let entry = self.entry(launch.code);
        if launch.shared_bytes > SHARED_UNASKED {
            let bytes = i32::try_from(launch.shared_bytes).expect("compared with the device's");
            let most = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let (api, mut had) = (self.context.api(), 0);
            // SAFETY: the entry is one of a loaded module; the driver writes to a place of ours.
            unsafe { api.function_attribute(&raw mut had, most, entry) }?;
            if had < bytes {
                // SAFETY: as above.
                unsafe { api.function_set_attribute(entry, most, bytes) }?;
            }
        }
        Ok(())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: nobody has the handle any more, and its context is current.
            // A device that is lost has lost the module too.
            let _ = unsafe { self.context.api().module_unload(self.handle) };
        }
    }
}

/// What the driver makes of a text for its device; else also what its compiler said.
fn compiled(api: &'static Api, text: &str) -> Result<Vec<u8>, (Failed, String)> {
    let mut log = vec![0u8; LOG_BYTES];
    let image = link(api, text, &mut log);
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    image.map_err(|failed| (failed, String::from_utf8_lossy(&log[..end]).into_owned()))
}

fn link(api: &'static Api, text: &str, log: &mut [u8]) -> Result<Vec<u8>, Failed> {
    let mut options = [Jit::CU_JIT_ERROR_LOG_BUFFER, Jit::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // A number is passed in the place of an address.
    let mut values: [*mut c_void; 2] =
        [log.as_mut_ptr().cast(), ptr::without_provenance_mut(log.len())];
    let n = options.len() as c_uint;
    let mut handle = ptr::null_mut();
    // SAFETY: there are as many values as options, and they, as the log, which is as long as the
    // value says, outlive the link; a context is current.
    unsafe { api.link_create(n, options.as_mut_ptr(), values.as_mut_ptr(), &raw mut handle) }?;
    let text = CString::new(text).expect("the text of a module has no NUL");
    let bytes = text.as_bytes_with_nul();
    // SAFETY: so many bytes are there, with the NUL at their end, and the driver only reads them;
    // no options follow.
    let added = unsafe {
        api.link_add(
            handle,
            CUjitInputType::CU_JIT_INPUT_PTX,
            bytes.as_ptr().cast_mut().cast(),
            bytes.len(),
            c"plan".as_ptr(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    let (mut image, mut n_bytes) = (ptr::null_mut(), 0);
    let linked = added.and_then(|()| {
        // SAFETY: the driver writes to places of ours.
        unsafe { api.link_complete(handle, &raw mut image, &raw mut n_bytes) }?;
        // SAFETY: the driver says that so many bytes are there; they are copied before the link,
        // whose they are, ends.
        Ok(unsafe { std::slice::from_raw_parts(image.cast::<u8>(), n_bytes) }.to_vec())
    });
    // SAFETY: nothing of the link is used any more. What was linked is, whatever this answers.
    let _ = unsafe { api.link_destroy(handle) };
    linked
}

/// Code that the driver does not take.
fn refusal(failed: Failed, log: &str, target: Target, about: &str) -> Error {
    let [major, minor] = target.version();
    let mut text = format!(
        "the driver does not take the code of the plan (PTX {major}.{minor} for {}): {failed}\n  \
         {about}",
        target.name()
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
