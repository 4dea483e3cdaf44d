//! Kernels as Cranelift IR text, one function each.
//!
//! In: kernels of the schedule. Out: CLIF in the wasm-shaped subset (i32, i64, f32, f64,
//! 128-bit vectors), the signature that [`plan::Code`] documents. The text does not depend on the
//! machine that compiles it; the bits it computes are those of the interpreter.

mod columns;
mod emitter;
mod lanes;
mod memory;
mod narrow;
mod rows;
mod scalar;

use cranelift_codegen::ir::{AbiParam, Function, Signature, UserFuncName, types};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use ir::kernel::{Kernel, Skeleton};
use plan::Code;

/// The text of one kernel as the function `%name`.
pub fn emit(kernel: &Kernel, name: &str) -> String {
    let kernel = ir::expand::expand_kernel(kernel);
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.extend([AbiParam::new(types::I64); 3]);
    let mut function = Function::with_name_signature(UserFuncName::testcase(name), signature);
    let mut context = FunctionBuilderContext::new();
    let flow = crate::flow::Flow::new(&kernel);
    let builder = FunctionBuilder::new(&mut function, &mut context);
    let mut emitter = emitter::Emitter::new(builder, &kernel, &flow);
    match kernel.skeleton {
        Skeleton::Rows => rows::emit(&mut emitter),
        Skeleton::Columns { .. } | Skeleton::Segments { .. } => columns::emit(&mut emitter),
    }
    emitter.finish();
    // Whoever compiles the text verifies it.
    function.display().to_string()
}

/// The code of each kernel, with names unique by content.
pub fn code(kernels: &[Kernel]) -> Vec<Code> {
    let mut all: Vec<Code> = Vec::with_capacity(kernels.len());
    for kernel in kernels {
        let body = emit(kernel, "kernel");
        let name = crate::name::unique(&body, &kernel.name, &all);
        let text = body.replacen("%kernel(", &format!("%{name}("), 1);
        all.push(Code { name, text });
    }
    all
}
