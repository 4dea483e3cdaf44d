//! What a device can do at most, measured beside the kernels of a step.
//!
//! A CPU is asked in registers and from memory. A GPU is asked with kernels of this compiler, the
//! largest that fit: a product, and a map that reads and writes each number once. An emulator has
//! no ceiling, since its time is that of the CPU that it runs on.

use codegen::ptx::Numerics;
use exec::device::cpu::Ceilings;
use exec::error::Error;
use exec::executor::{Executor, Options};
use ir::text::parse_module;
use passes::pipeline::{self, Scheduled};
use passes::plan_of;
use plan::{Buffer, Dtype, Role};

use crate::cli::Device;
use crate::compile::BackEnd;
use crate::verify::Nobody;

/// Sizes double until a call takes so long, in seconds: a launch is a small part of it.
const LONG: f64 = 2e-3;

/// Most rows and columns of the product.
const MOST_ROWS: u64 = 8192;

/// Most elements of the map: 1 GiB, which no cache holds.
const MOST_ELEMENTS: u64 = 1 << 28;

/// Elements of a row of the map.
const ROW: u64 = 1024;

/// Calls of each size, of which the fastest counts.
const CALLS: usize = 5;

/// Ceilings, and in words what they are of.
pub(super) struct Measured {
    pub(super) ceilings: Ceilings,
    /// `in registers`, `in bf16`.
    pub(super) flops_of: &'static str,
    /// `1 thread`.
    pub(super) with: String,
}

/// Those of the device that runs a plan; `None` for one that has none.
pub(super) fn measure(
    device: Device,
    back_end: BackEnd,
    numerics: Numerics,
    options: &Options,
    run: &plan::Run,
) -> Result<Option<Measured>, Error> {
    match device {
        Device::Cpu => {
            let n = options.threads;
            let with = if n == 1 { "1 thread".to_owned() } else { format!("{n} threads") };
            let ceilings = Ceilings::measure(n);
            Ok(Some(Measured { ceilings, flops_of: "in registers", with }))
        }
        Device::Emulated => Ok(None),
        Device::Cuda => {
            let gpu = Gpu { back_end, numerics, options, run };
            let ceilings = Ceilings { flops: gpu.flops()?, bytes: gpu.bytes()? };
            let flops_of = match numerics {
                Numerics::Fast => "of a product in bf16",
                Numerics::Exact => "of a product in fp32",
            };
            Ok(Some(Measured { ceilings, flops_of, with: "of the device".to_owned() }))
        }
    }
}

/// How kernels get to a device.
struct Gpu<'g> {
    back_end: BackEnd,
    numerics: Numerics,
    options: &'g Options,
    run: &'g plan::Run,
}

impl Gpu<'_> {
    /// Multiplications and additions a second of a square product.
    fn flops(&self) -> Result<f64, Error> {
        let dtype = match self.numerics {
            Numerics::Fast => "bf16",
            Numerics::Exact => "f32",
        };
        let text = |n: u64| {
            let ty = format!("{dtype}[{n},{n}]");
            format!(
                "module\nparam \"a\" : {ty}\nparam \"b\" : {ty}\noutput \"c\" : f32[{n},{n}]\n\
                 fn \"f\" {{\n%0 = state{{name=\"a\", type={ty}}} : {ty}\n\
                 %1 = state{{name=\"b\", type={ty}}} : {ty}\n\
                 %2 = dot %0, %1 : f32[{n},{n}]\nstore \"c\" = %2\n}}"
            )
        };
        self.rate([128, MOST_ROWS], text, |n| 2.0 * (n * n * n) as f64)
    }

    /// Bytes a second of a map, read and written.
    fn bytes(&self) -> Result<f64, Error> {
        let text = |n: u64| {
            let ty = format!("f32[{},{ROW}]", n / ROW);
            format!(
                "module\nparam \"x\" : {ty}\noutput \"y\" : {ty}\nfn \"f\" {{\n\
                 %0 = state{{name=\"x\", type={ty}}} : {ty}\n%1 = neg %0 : {ty}\n\
                 store \"y\" = %1\n}}"
            )
        };
        self.rate([1 << 16, MOST_ELEMENTS], text, |n| 8.0 * n as f64)
    }

    /// The rate of a module, at sizes that double until a call is long enough to be timed, or what
    /// is free on the device does not hold the next one.
    fn rate(
        &self,
        [least, most]: [u64; 2],
        text: impl Fn(u64) -> String,
        amount: impl Fn(u64) -> f64,
    ) -> Result<f64, Error> {
        let (mut n, mut last) = (least, None);
        loop {
            let seconds = match (self.seconds(&text(n)), last) {
                (Ok(seconds), _) => seconds,
                (Err(Error::Resources(_)), Some(rate)) => return Ok(rate),
                (Err(error), _) => return Err(error),
            };
            let rate = amount(n) / seconds;
            if seconds > LONG || n == most {
                return Ok(rate);
            }
            (n, last) = (2 * n, Some(rate));
        }
    }

    /// Seconds of the fastest call of the function of a module.
    fn seconds(&self, text: &str) -> Result<f64, Error> {
        let module = parse_module(text).expect("the text is a module");
        let target = self.back_end.target();
        let Scheduled { schedule, memory, .. } =
            pipeline::schedule(module, &target, &mut |_, _| {});
        let emitted = self.back_end.emit(&schedule, &target, self.numerics);
        let plan =
            plan_of::bare("ceilings", self.run.clone(), &target, &schedule, &memory, emitted);
        let function = plan.function("f").expect("the module has it");
        let mut executor = Executor::load(plan, self.options)?;
        fill(&mut executor);
        let mut fastest = f64::INFINITY;
        for _ in 0..CALLS {
            let costs = executor.profile(function, &mut Nobody)?;
            fastest = fastest.min(costs.iter().map(|cost| cost.seconds).sum());
        }
        Ok(fastest)
    }
}

/// Numbers of magnitudes between 1 and 2 whose bits are random: zeros take less power than the
/// numbers of a model, and so less time.
fn fill(executor: &mut Executor) {
    let inputs: Vec<Buffer> =
        executor.plan().buffers.iter().filter(|b| b.role == Role::Param).cloned().collect();
    let mut bits = 1u32;
    for buffer in inputs {
        let id = executor.plan().buffer(&buffer.name).expect("it is one of the plan's");
        let is_narrow = buffer.dtype == Dtype::Bf16;
        for word in executor.memory_mut().bytes_mut(id).chunks_exact_mut(4) {
            // xorshift32.
            bits ^= bits << 13;
            bits ^= bits >> 17;
            bits ^= bits << 5;
            let number = match is_narrow {
                true => bits & 0x807f_807f | 0x3f80_3f80,
                false => bits & 0x807f_ffff | 0x3f80_0000,
            };
            word.copy_from_slice(&number.to_le_bytes());
        }
    }
}
