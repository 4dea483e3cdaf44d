//! Runs kernels through the runtime: a plan of one function a case.

use exec::device::cpu::Memory;
use exec::error::Error;
use exec::executor::{Executor, Host, Options};
use ir::kernel::LANES;
use ir::types::Dtype;
use plan::{Arg, Buffer, BufferId, Data, Function, FunctionId, Plan, Role, Run, Step, Tokenizer};

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
        data: Data { paths: vec![], tokenizer: Tokenizer::Bytes, splits: vec![], shuffle: false },
        eval: None,
        checkpoint: None,
        samples: vec![],
        identity: String::new(),
        trajectory: String::new(),
        stop_below_val_loss: None,
        stop_after_s: None,
        on_nan: plan::OnNan::Stop,
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

/// The bytes of all operands of each case after its kernel ran.
pub(crate) fn run(cases: &[Case], threads: usize) -> Vec<Vec<Vec<u8>>> {
    let kernels: Vec<_> = cases.iter().map(|c| c.kernel.clone()).collect();
    let code = codegen::clif::code(&kernels);
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
                role: Role::Temp,
                offset,
                bytes: bytes.len() as u64,
                within: None,
            });
            end = (offset + bytes.len() as u64).next_multiple_of(plan::ALIGN);
        }
        let extent = case.kernel.extent();
        // Columns are handed out in multiples of the lanes.
        let grain = if case.kernel.outer.is_empty() { LANES } else { 1 };
        let step = Step::Kernel { code: index as u32, args, extent, grain, origin: String::new() };
        functions.push(Function { name: format!("f{index}"), steps: vec![step] });
    }
    let plan = Plan {
        name: "kernels".to_owned(),
        compiler: "test".to_owned(),
        target: "cpu".to_owned(),
        buffers,
        arena_bytes: end,
        code,
        functions,
        run: settings(),
    };
    let mut executor = Executor::load(plan, &Options { threads }).expect("the plan is right");
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
