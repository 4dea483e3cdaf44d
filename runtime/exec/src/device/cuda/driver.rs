//! Which CUDA driver and devices this machine has.
//!
//! The driver's library is found at run time; everything here works, and says what is missing, on
//! a machine without one. CUDA Driver API, sections 6.2 to 6.5.

use std::ffi::{c_char, c_int};
use std::fmt;

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use ptx_builder::Target;

use super::api::{Api, Failed};
use crate::error::Error;

/// The oldest version of CUDA whose driver takes the modules of plans: 12.0, driver 525.
const OLDEST: Version = Version { major: 12, minor: 0 };

/// Where a kernel that has loaded NVIDIA's module says which.
const KERNEL_MODULE: &str = "/proc/driver/nvidia/version";

/// A version of CUDA that a driver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 12 of 12.4.
    pub major: u32,
    /// 4 of 12.4.
    pub minor: u32,
}

impl Version {
    /// From the driver's number: 12040.
    fn of(number: i32) -> Version {
        let number = u32::try_from(number).unwrap_or(0);
        Version { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CUDA {}.{}", self.major, self.minor)
    }
}

/// A driver and what it drives.
#[derive(Debug, Clone, PartialEq)]
pub struct Driver {
    /// The newest CUDA that it knows.
    pub version: Version,
    /// Its devices, in its order.
    pub devices: Vec<Gpu>,
}

/// A device.
#[derive(Debug, Clone, PartialEq)]
pub struct Gpu {
    /// Its number.
    pub ordinal: usize,
    /// `NVIDIA H100 PCIe`.
    pub name: String,
    /// Compute capability: 9 and 0.
    pub capability: [u32; 2],
    /// All of its memory.
    pub memory_bytes: u64,
    /// Shared memory that a block may have, if it asks.
    pub shared_bytes: u64,
    /// Multiprocessors.
    pub processors: u32,
}

/// Why CUDA cannot be used here.
#[derive(Debug, Clone, PartialEq)]
pub enum Absent {
    /// No library of a driver; the version of the kernel's module, if that is loaded.
    Library(Option<String>),
    /// The driver does not know the CUDA that modules need.
    TooOld(Version),
    /// The driver's library has not this function.
    Function(&'static str),
    /// The driver has no device.
    Device(Version),
    /// The driver refuses.
    Refuses {
        /// What was asked.
        what: &'static str,
        /// What it said.
        said: String,
    },
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(None) => f.write_str(
                "no CUDA driver is found: there is no libcuda.so, and the kernel has no NVIDIA module",
            ),
            Self::Library(Some(kernel)) => write!(
                f,
                "libcuda.so is not found, though the kernel has NVIDIA's module {kernel}: is the \
                 driver's library in the path of libraries (LD_LIBRARY_PATH)?"
            ),
            Self::TooOld(version) => {
                write!(f, "the driver is of {version}; {OLDEST} is needed (driver 525 or newer)")
            }
            Self::Function(name) => write!(
                f,
                "the driver's library has no `{name}`; {OLDEST} is needed (driver 525 or newer)"
            ),
            Self::Device(version) => write!(f, "the driver ({version}) has no device"),
            Self::Refuses { what, said } => write!(f, "the CUDA driver cannot {what}: {said}"),
        }
    }
}

impl From<Absent> for Error {
    fn from(absent: Absent) -> Self {
        Self::Device(format!("{absent}; `--device cpu` runs without one"))
    }
}

/// An answer of the driver to a question about a device.
fn asked<T>(what: &'static str, answer: Result<T, Failed>) -> Result<T, Absent> {
    answer.map_err(|failed| refused(what, failed))
}

/// What the driver does not do, and what may help.
pub(super) fn refused(what: &'static str, failed: Failed) -> Absent {
    let advice = failed.advice().map_or(String::new(), |advice| format!("; {advice}"));
    Absent::Refuses { what, said: format!("{failed}{advice}") }
}

impl Driver {
    /// The driver of this machine, ready for use.
    pub fn find() -> Result<Driver, Absent> {
        // SAFETY: loading the library of a driver runs its initialisation, which is what it is for.
        if !unsafe { sys::is_culib_present() } {
            let text = std::fs::read_to_string(KERNEL_MODULE).ok();
            return Err(Absent::Library(text.and_then(|text| kernel_module(&text))));
        }
        let api = api()?;
        let version = version(api)?;
        if version < OLDEST {
            return Err(Absent::TooOld(version));
        }
        // SAFETY: it takes no address.
        match unsafe { api.init(0) } {
            Err(failed) if failed.is_no_device() => return Err(Absent::Device(version)),
            answer => asked("start", answer)?,
        }
        let mut n = 0;
        // SAFETY: the driver writes one number to a place of ours.
        asked("count its devices", unsafe { api.device_count(&raw mut n) })?;
        let devices = (0..n).map(|ordinal| Gpu::find(api, ordinal)).collect::<Result<_, _>>()?;
        Ok(Driver { version, devices })
    }

    /// The device that runs plans: the first one.
    pub fn first(self) -> Result<Gpu, Absent> {
        self.devices.into_iter().next().ok_or(Absent::Device(self.version))
    }
}

/// The functions of the driver, whose library there is.
pub(super) fn api() -> Result<&'static Api, Absent> {
    // What is missing from a library is newer than it.
    Api::get().map_err(Absent::Function)
}

fn version(api: &Api) -> Result<Version, Absent> {
    let mut number = 0;
    // SAFETY: it writes one number to a place of ours.
    asked("say its version", unsafe { api.driver_version(&raw mut number) })?;
    Ok(Version::of(number))
}

/// Which driver this is, to the build, where the kernel says.
pub(super) fn build() -> String {
    std::fs::read_to_string(KERNEL_MODULE).unwrap_or_default()
}

/// The version in what the kernel's module says: the first word that begins with a digit.
fn kernel_module(text: &str) -> Option<String> {
    let words = text.lines().next()?.split_whitespace();
    let mut versions = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    versions.next().map(str::to_owned)
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gpu { name, capability: [major, minor], .. } = self;
        write!(f, "{name}, compute capability {major}.{minor}")
    }
}

impl Gpu {
    fn find(api: &Api, ordinal: i32) -> Result<Gpu, Absent> {
        let what = "describe a device";
        let mut device = 0;
        // SAFETY: the driver writes to places of ours, here and below, and has this device.
        asked(what, unsafe { api.device(&raw mut device, ordinal) })?;
        let number = |attribute: Attribute| {
            let mut value = 0;
            // SAFETY: as above.
            asked(what, unsafe { api.device_attribute(&raw mut value, attribute, device) })?;
            Ok(u32::try_from(value).unwrap_or(0))
        };
        let mut name = [0; 128];
        let room = c_int::try_from(name.len()).expect("a name is short");
        // SAFETY: as above; the driver is told how long the place is.
        asked(what, unsafe { api.device_name(name.as_mut_ptr(), room, device) })?;
        let mut memory_bytes = 0;
        // SAFETY: as above.
        asked(what, unsafe { api.device_memory(&raw mut memory_bytes, device) })?;
        Ok(Gpu {
            ordinal: usize::try_from(ordinal).expect("devices count from 0"),
            name: text(&name),
            capability: [
                number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ],
            memory_bytes: memory_bytes as u64,
            shared_bytes: u64::from(number(
                Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            )?),
            processors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        })
    }

    /// What plans for it are compiled for; `None` for generations that are not supported.
    pub fn target(&self) -> Option<Target> {
        match self.capability {
            [8, 0] => Some(Target::Sm80),
            [8, 6 | 7] => Some(Target::Sm86),
            [8, 9] => Some(Target::Sm89),
            // Their drivers compile code of the generation before as well.
            [9..=11, _] => Some(Target::Sm90),
            [12, _] => Some(Target::Sm120),
            _ => None,
        }
    }

    /// The same, or what there is to say.
    pub fn supported_target(&self) -> Result<Target, Error> {
        let names = Target::ALL.map(Target::name).join(", ");
        let refuse = || {
            let Gpu { name, capability: [major, minor], .. } = self;
            Error::Device(format!(
                "{name} has compute capability {major}.{minor}; plans are made for {names}; \
                 `--device cpu` runs without it"
            ))
        };
        self.target().ok_or_else(refuse)
    }
}

/// The characters before the first NUL.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|c| c.to_ne_bytes()[0]).take_while(|&b| b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The compute capability that a target needs at least.
pub(super) fn needed(target: Target) -> [u32; 2] {
    match target {
        Target::Sm80 => [8, 0],
        Target::Sm86 => [8, 6],
        Target::Sm89 => [8, 9],
        Target::Sm90 => [9, 0],
        Target::Sm120 => [12, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(capability: [u32; 2]) -> Gpu {
        Gpu {
            ordinal: 0,
            name: "a card".to_owned(),
            capability,
            memory_bytes: 1 << 34,
            shared_bytes: 101_376,
            processors: 40,
        }
    }

    #[test]
    fn a_version_is_read_from_the_number_of_the_driver() {
        assert_eq!(Version::of(12040).to_string(), "CUDA 12.4");
        assert!(Version::of(11080) < OLDEST && Version::of(12000) >= OLDEST);
        assert!(Version::of(13000) > Version::of(12090));
    }

    #[test]
    fn the_version_of_the_kernels_module_is_found() {
        let text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\nGCC";
        assert_eq!(kernel_module(text).as_deref(), Some("535.104.05"));
        assert_eq!(kernel_module(""), None);
    }

    #[test]
    fn a_device_runs_what_its_target_needs() {
        for capability in
            [[8, 0], [8, 6], [8, 7], [8, 9], [9, 0], [10, 0], [11, 0], [12, 0], [12, 1]]
        {
            let target = gpu(capability).supported_target().expect("it is supported");
            assert!(capability >= needed(target), "{capability:?} {target:?}");
        }
    }

    #[test]
    fn other_generations_are_refused_with_what_there_is() {
        for capability in [[7, 5], [8, 8], [13, 0]] {
            let error = gpu(capability).supported_target().expect_err("it is not supported");
            assert_eq!(error.exit_code(), 4);
            let text = error.to_string();
            assert!(text.contains("a card has compute capability"), "{text}");
            assert!(text.contains("sm_80, sm_86, sm_89, sm_90, sm_120"), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_a_way_out() {
        let absent = [
            (Absent::Library(None), "no CUDA driver is found"),
            (Absent::Library(Some("535.1".to_owned())), "535.1"),
            (Absent::TooOld(Version::of(11080)), "CUDA 12.0 is needed"),
            (Absent::Device(Version::of(12000)), "no device"),
        ];
        for (absent, what) in absent {
            let error = Error::from(absent);
            assert_eq!(error.exit_code(), 4);
            let text = error.to_string();
            assert!(text.contains(what) && text.contains("`--device cpu`"), "{text}");
        }
    }
}
