//! Runs kernels through the runtime: a plan of one function a case.

use codegen::ptx::Numerics;
use exec::device::cpu::Memory;
use exec::error::Error;
use exec::executor::{Executor, Host, Options};
use ir::kernel::{Kernel, LANES};
use ir::types::Dtype;
use plan::{
    Arg, Buffer, BufferId, Code, Data, Function, FunctionId, LaunchArg, Plan, Role, Run, Step,
    Tokenizer,
};
use ptx_builder::Target;

use crate::random::Case;

/// A host that is never asked.
struct Nobody;

impl Host for Nobody {
    fn turn(&mut self, _: plan::Yield, _: &mut Memory) -> Result<(), Error> {
        Ok(())
    }
}

/// Settings that no kernel reads.
pub(crate) fn settings() -> Run {
    Run {
        steps: 1,
        batch: 1,
        micro_batch: 1,
        accumulate: 1,
        context: 1,
        seed: 0,
        vocab: 1,
        data: Data::text(vec![], Tokenizer::Bytes),
        eval: None,
        checkpoint: None,
        samples: vec![],
        identity: String::new(),
        trajectory: String::new(),
        stop_below_val_loss: None,
        stop_after_s: None,
        early_stop: None,
        on_nan: plan::OnNan::Stop,
        start: None,
        exact_resume: false,
        min_scale: None,
    }
}

fn stored(dtype: Dtype) -> plan::Dtype {
    match dtype {
        Dtype::F32 => plan::Dtype::F32,
        Dtype::F64 => plan::Dtype::F64,
        Dtype::F16 => plan::Dtype::F16,
        Dtype::Bf16 => plan::Dtype::Bf16,
        Dtype::I32 | Dtype::Bool => plan::Dtype::I32,
    }
}

/// What the kernels run on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Machine {
    /// The CPU with so many threads.
    Cpu(usize),
    /// The code of a GPU.
    Emulated(Numerics),
}

/// Every operand has a buffer of its own.
pub(crate) fn aligned(kernel: &Kernel) -> Vec<u64> {
    vec![plan::ALIGN; kernel.operands.len()]
}

/// The step that runs a kernel, and what it runs.
fn step(case: &Case, index: usize, args: Vec<Arg>, machine: Machine) -> (Step, Option<Code>) {
    let (code, origin) = (index as u32, String::new());
    let Machine::Emulated(numerics) = machine else {
        // Columns are handed out in multiples of the lanes.
        let grain = if case.kernel.outer.is_empty() { LANES } else { 1 };
        let extent = case.kernel.extent();
        return (Step::Kernel { code, args, extent, grain, origin }, None);
    };
    let name = format!("k{index}");
    let codegen::ptx::Launch { entry, blocks, shared_bytes } =
        codegen::ptx::kernel(&case.kernel, &aligned(&case.kernel), numerics, &name);
    let threads = entry.threads;
    let module = ptx_builder::Module { target: Target::Sm80, entries: vec![entry] };
    let args = args.into_iter().map(LaunchArg::Memory).collect();
    let launch = plan::Launch { code, args, blocks, threads, shared_bytes, flops: 0 };
    (Step::Launch { launch, origin }, Some(Code { name, text: module.to_string() }))
}

/// The bytes of all operands of each case after its kernel ran.
pub(crate) fn run(cases: &[Case], machine: Machine) -> Vec<Vec<Vec<u8>>> {
    let kernels: Vec<_> = cases.iter().map(|c| c.kernel.clone()).collect();
    let mut code = match machine {
        Machine::Cpu(_) => codegen::clif::code(&kernels),
        Machine::Emulated(_) => vec![],
    };
    let (mut buffers, mut functions, mut end) = (vec![], vec![], 0);
    for (index, case) in cases.iter().enumerate() {
        let mut args = vec![];
        for (operand, bytes) in case.kernel.operands.iter().zip(&case.operands) {
            let offset = end;
            args.push(Arg { buffer: BufferId(buffers.len() as u32), offset: 0 });
            buffers.push(Buffer {
                name: format!("b{}", buffers.len()),
                dtype: stored(operand.dtype),
                shape: vec![bytes.len() as u64 / operand.dtype.bytes()],
                role: Role::Output,
                offset,
                bytes: bytes.len() as u64,
                within: None,
            });
            end = (offset + bytes.len() as u64).next_multiple_of(plan::ALIGN);
        }
        let (step, text) = step(case, index, args, machine);
        code.extend(text);
        functions.push(Function { name: format!("f{index}"), steps: vec![step] });
    }
    let plan = Plan {
        name: "kernels".to_owned(),
        compiler: "test".to_owned(),
        target: match machine {
            Machine::Cpu(_) => "cpu".to_owned(),
            Machine::Emulated(_) => Target::Sm80.name().to_owned(),
        },
        buffers,
        arena_bytes: end,
        code,
        functions,
        run: settings(),
    };
    let threads = if let Machine::Cpu(threads) = machine { threads } else { 1 };
    let mut executor = Executor::load(plan, &Options::threads(threads)).expect("the plan is right");
    let mut next = 0;
    let mut results = vec![];
    for (index, case) in cases.iter().enumerate() {
        let ids: Vec<BufferId> =
            (0..case.operands.len()).map(|i| BufferId((next + i) as u32)).collect();
        next += ids.len();
        for (&id, bytes) in ids.iter().zip(&case.operands) {
            executor.memory_mut().bytes_mut(id).copy_from_slice(bytes);
        }
        executor.call(FunctionId(index as u32), &mut Nobody).expect("kernels do not fail");
        results.push(ids.iter().map(|&id| executor.memory().bytes(id).to_vec()).collect());
    }
    results
}
