//! A GPU of NVIDIA's, through its driver.
//!
//! In: a plan whose work is launches. One allocation is the arena, one module all code, and one
//! stream takes copies and launches in order: nothing here waits but reading, so the host prepares
//! the next batch while the device works. The driver is found at run time; no toolkit is needed to
//! build or to run. What a kernel did wrong is known with a later call, when the device says so.
#![allow(unsafe_code, reason = "calls the driver")]

mod api;
mod context;
pub mod driver;
mod graph;
mod module;
mod staging;

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use cudarc::driver::sys::CUdeviceptr;
use plan::{Function, Launch, LaunchArg, Plan, Step};
use ptx_builder::Target;

use super::mirrored::Accelerator;
use super::stretch::Bound;
use crate::error::Error;
use crate::kept::Kept;
use crate::room;
use api::Failed;
use context::{Context, Event, Stream};
use driver::{Driver, Gpu, needed, refused};
use graph::{Graph, Graphs, Way};
use module::Module;
use staging::Staging;

/// Most blocks of a grid. CUDA C++ Programming Guide, table of compute capabilities.
const MOST_BLOCKS: u64 = (1 << 31) - 1;

/// A loaded plan.
#[derive(Debug)]
pub(crate) struct Cuda {
    /// Driver and device, for messages.
    about: String,
    /// They are dropped before the module whose functions they launch.
    graphs: Graphs,
    module: Module,
    staging: Staging,
    /// Address of the arena.
    arena: CUdeviceptr,
    /// First byte of each buffer in it.
    offsets: Vec<u64>,
    /// What the user should know and was not told.
    warning: Option<String>,
    stream: Stream,
    context: Rc<Context>,
}

impl Cuda {
    /// Loads a verified plan on the first device: compiles its code and allocates its arena, zeroed.
    pub(crate) fn load(
        plan: &Plan,
        n_stretches: usize,
        kept: Option<&Kept>,
    ) -> Result<Self, Error> {
        let driver = Driver::find()?;
        let (version, api) = (driver.version, driver::api()?);
        let gpu = driver.first()?;
        // All that decides what the driver compiles.
        let about = format!("device {}: {gpu}, driver: {version}", gpu.ordinal);
        let target = target(plan, &gpu)?;
        fits(plan, &gpu)?;
        let context = Context::new(api, gpu.ordinal).map_err(|e| refused("open its device", e))?;
        let free = free_bytes(plan, &context)?;
        let module = Module::load(&context, target, &plan.code, &about, kept)?;
        admit(plan, &module, &about)?;
        let stream = Stream::new(&context).map_err(|e| refused("make a stream", e))?;
        let staging = Staging::new(&context).map_err(|e| refused("give memory of the host", e))?;
        let arena = allocate(plan, free, &context, &stream)?;
        Ok(Self {
            about,
            graphs: Graphs::new(n_stretches),
            module,
            staging,
            arena,
            offsets: plan.buffers.iter().map(|buffer| buffer.offset).collect(),
            warning: None,
            stream,
            context,
        })
    }

    /// A failure of the device at or before `what`.
    fn fault(&self, what: &str, failed: Failed) -> Error {
        let advice = failed.advice().map_or(String::new(), |advice| format!("\n{advice}"));
        Error::Fault(format!(
            "{what}: {failed}\n  {}{advice}\nrun again to go on from the newest checkpoint, here \
             or with `--device cpu`",
            self.about
        ))
    }

    /// What a parameter gets; of one with 32 bits the driver reads the lower half, which is first.
    fn value(&self, arg: LaunchArg, iteration: u32) -> u64 {
        match arg {
            LaunchArg::Memory(arg) => self.arena + self.offsets[arg.buffer.0 as usize] + arg.offset,
            LaunchArg::Iteration => u64::from(iteration),
        }
    }

    fn try_launch(&self, bound: &Bound) -> Result<(), Failed> {
        let Bound { launch, iteration, origin: _ } = bound;
        // A grid has a block; work that is empty has none.
        if launch.blocks == 0 {
            return Ok(());
        }
        self.context.bind()?;
        let mut values: Vec<u64> =
            launch.args.iter().map(|&arg| self.value(arg, *iteration)).collect();
        let places = values.iter_mut().map(|value| ptr::from_mut(value).cast());
        let mut params: Vec<*mut c_void> = places.collect();
        let number = |n: u64| u32::try_from(n).expect("compared with the device's limits");
        // SAFETY: the entry belongs to the loaded module; the verified plan gives it one argument
        // for each parameter, and its places are inside of the arena. The driver copies arguments
        // before it returns.
        unsafe {
            self.context.api().launch(
                self.module.entry(launch.code),
                number(launch.blocks),
                1,
                1,
                launch.threads,
                1,
                1,
                number(launch.shared_bytes),
                self.stream.handle(),
                params.as_mut_ptr(),
                ptr::null_mut(),
            )
        }
    }
}

impl Cuda {
    fn capture(&self, launches: &[Bound]) -> Result<Graph, Failed> {
        let launch = || launches.iter().try_for_each(|launch| self.try_launch(launch));
        Graph::capture(&self.stream, launch)
    }

    /// Launches one by one from now on, which gives the same numbers.
    fn do_without_graphs(&mut self, failed: Failed) {
        self.graphs.refuse();
        self.warning = Some(format!(
            "the driver makes no graph of launches, so each is launched by itself: {failed}\n  {}",
            self.about
        ));
    }

    fn try_time(&self, launch: &Bound) -> Result<f64, Failed> {
        let [start, end] = [Event::new(&self.context)?, Event::new(&self.context)?];
        start.record(&self.stream)?;
        self.try_launch(launch)?;
        end.record(&self.stream)?;
        end.synchronize()?;
        end.seconds_since(&start)
    }
}

/// The places of the spec that a stretch is of.
fn of(launches: &[Bound]) -> String {
    let ends = launches.first().zip(launches.last());
    let (first, last) = ends.expect("a stretch has launches");
    format!("at or before work of {} to {}", first.origin, last.origin)
}

impl Accelerator for Cuda {
    fn write(&mut self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        // SAFETY: the parts are of the arena, which this stream alone uses.
        unsafe { self.staging.write(&self.stream, self.arena, parts) }
            .map_err(|error| self.fault("copying to the device", error))
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), Error> {
        // SAFETY: as above.
        unsafe { self.staging.read(&self.stream, self.arena + at, bytes) }
            .map_err(|error| self.fault("copying from the device", error))
    }

    fn begin(&mut self, _: &Function) {}

    fn launch(&mut self, launch: &Bound) -> Result<(), Error> {
        self.try_launch(launch)
            .map_err(|failed| self.fault(&format!("at or before {}", launch.origin), failed))
    }

    fn stretch(&mut self, id: usize, launches: &[Bound]) -> Result<(), Error> {
        match self.graphs.way(id) {
            Way::Launches => {}
            Way::Graph(graph) => {
                let launched = graph.launch(&self.stream);
                return launched.map_err(|failed| self.fault(&of(launches), failed));
            }
            Way::Capture => match self.capture(launches) {
                Ok(graph) => {
                    let launched = graph.launch(&self.stream);
                    self.graphs.keep(id, graph);
                    return launched.map_err(|failed| self.fault(&of(launches), failed));
                }
                Err(failed) => self.do_without_graphs(failed),
            },
        }
        launches.iter().try_for_each(|launch| self.launch(launch))
    }

    fn time(&mut self, launch: &Bound) -> Result<f64, Error> {
        self.wait()?;
        self.try_time(launch)
            .map_err(|failed| self.fault(&format!("at or before {}", launch.origin), failed))
    }

    fn warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    fn wait(&mut self) -> Result<(), Error> {
        self.stream.synchronize().map_err(|error| self.fault("waiting for the device", error))
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // What fails here failed before: a device that is lost has lost its memory too.
        let _ = self.stream.synchronize();
        if self.context.bind().is_ok() {
            // SAFETY: it was allocated when the plan was loaded, and nothing runs on it any more.
            let _ = unsafe { self.context.api().free(self.arena) };
        }
    }
}

/// The target of a plan, if the device runs it.
fn target(plan: &Plan, gpu: &Gpu) -> Result<Target, Error> {
    let target = Target::parse(&plan.target);
    let target = target.ok_or_else(|| Error::BadPlan(format!("no target is `{}`", plan.target)))?;
    if gpu.capability < needed(target) {
        let [major, minor] = gpu.capability;
        return Err(Error::Device(format!(
            "the plan is for {}; {} has compute capability {major}.{minor}",
            plan.target, gpu.name
        )));
    }
    Ok(target)
}

/// Compares every launch with the limits of the device.
fn fits(plan: &Plan, gpu: &Gpu) -> Result<(), Error> {
    let mut result = Ok(());
    plan.each_step(|step| {
        let Step::Launch { launch, origin } = step else { return };
        let Launch { blocks, shared_bytes, .. } = launch;
        if *shared_bytes > gpu.shared_bytes {
            let (name, most) = (&gpu.name, gpu.shared_bytes);
            result = Err(Error::Device(format!(
                "{origin}: a block shares {shared_bytes} bytes, {name} has {most}"
            )));
        } else if *blocks > MOST_BLOCKS {
            result = Err(Error::BadPlan(format!("{origin}: {blocks} blocks in one grid")));
        }
    });
    result
}

/// Prepares the entries for their launches.
fn admit(plan: &Plan, module: &Module, about: &str) -> Result<(), Error> {
    let mut result = Ok(());
    plan.each_step(|step| {
        let Step::Launch { launch, origin } = step else { return };
        if result.is_ok() {
            result = module
                .admit(launch)
                .map_err(|failed| Error::Device(format!("{origin}: {failed}\n  {about}")));
        }
    });
    result
}

/// The device's memory that is free, if the arena fits.
fn free_bytes(plan: &Plan, context: &Context) -> Result<u64, Error> {
    let free = context.free_bytes().map_err(|e| refused("say what memory is free", e))?;
    if plan.arena_bytes > free {
        return Err(Error::Resources(room::device_refusal(plan, free)));
    }
    Ok(free)
}

/// The arena, zeroed in the order of the stream.
fn allocate(
    plan: &Plan,
    free: u64,
    context: &Context,
    stream: &Stream,
) -> Result<CUdeviceptr, Error> {
    let bytes = usize::try_from(plan.arena_bytes.max(1)).expect("not more than is free");
    let (api, mut arena) = (context.api(), 0);
    // SAFETY: the context is current; nobody reads the memory before it is cleared, in the order
    // of the stream.
    let cleared = context.bind().and_then(|()| unsafe {
        api.allocate(&raw mut arena, bytes)?;
        api.fill(arena, 0, bytes, stream.handle())
    });
    match cleared {
        Ok(()) => Ok(arena),
        Err(failed) if failed.is_out_of_memory() => {
            Err(Error::Resources(room::device_refusal(plan, free)))
        }
        Err(failed) => Err(refused("allocate the arena", failed).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    fn gpu() -> Gpu {
        Gpu {
            ordinal: 0,
            name: "a card".to_owned(),
            capability: [8, 6],
            memory_bytes: 1 << 34,
            shared_bytes: 99 << 10,
            processors: 40,
        }
    }

    fn with(target: &str, blocks: u64, shared_bytes: u64) -> Plan {
        let mut plan = tiny::plan();
        let launch = Launch { code: 0, args: vec![], blocks, threads: 32, shared_bytes, flops: 0 };
        plan.functions[0].steps = vec![Step::Launch { launch, origin: "a.lt:1:2".to_owned() }];
        plan.target = target.to_owned();
        plan
    }

    #[test]
    fn a_plan_for_a_newer_device_is_refused() {
        assert_eq!(target(&with("sm_80", 1, 0), &gpu()).ok(), Some(Target::Sm80));
        assert_eq!(target(&with("sm_86", 1, 0), &gpu()).ok(), Some(Target::Sm86));
        let error = target(&with("sm_90", 1, 0), &gpu()).expect_err("it is for a newer one");
        let text = "the plan is for sm_90; a card has compute capability 8.6";
        assert_eq!((error.to_string().as_str(), error.exit_code()), (text, 4));
    }

    #[test]
    fn a_launch_that_is_too_large_is_refused_with_its_place() {
        let most = 99 << 10;
        assert!(fits(&with("sm_86", MOST_BLOCKS, most), &gpu()).is_ok());
        let error = fits(&with("sm_86", 1, most + 1), &gpu()).expect_err("a card has less");
        assert!(error.to_string().starts_with("a.lt:1:2: a block shares 101377 bytes"), "{error}");
        assert!(fits(&with("sm_86", MOST_BLOCKS + 1, 0), &gpu()).is_err());
    }
}
