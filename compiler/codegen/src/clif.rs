//! Kernels as Cranelift IR text, one function each.
//!
//! In: kernels of the schedule. Out: CLIF in the wasm-shaped subset (i32, i64, f32, f64,
//! 128-bit vectors), the signature that [`plan::Code`] documents. The text does not depend on the
//! machine that compiles it; the bits it computes are those of the interpreter.

mod columns;
mod emitter;
mod flow;
mod lanes;
mod memory;
mod narrow;
mod rows;
mod scalar;

use cranelift_codegen::ir::{AbiParam, Function, Signature, UserFuncName, types};
use cranelift_codegen::isa::CallConv;
use cranelift_codegen::settings::{Flags, builder};
use cranelift_codegen::verifier::verify_function;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use ir::kernel::{Kernel, Skeleton};
use plan::Code;

/// The longest part of a name that is for people.
const HUMAN_CHARS: usize = 40;

/// The text of one kernel as the function `%name`.
pub fn emit(kernel: &Kernel, name: &str) -> String {
    let kernel = ir::expand::expand_kernel(kernel);
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.extend([AbiParam::new(types::I64); 3]);
    let mut function = Function::with_name_signature(UserFuncName::testcase(name), signature);
    let mut context = FunctionBuilderContext::new();
    let flow = flow::Flow::new(&kernel);
    let builder = FunctionBuilder::new(&mut function, &mut context);
    let mut emitter = emitter::Emitter::new(builder, &kernel, &flow);
    match kernel.skeleton {
        Skeleton::Rows => rows::emit(&mut emitter),
        Skeleton::Columns { .. } | Skeleton::Segments { .. } => columns::emit(&mut emitter),
    }
    emitter.finish();
    // Whoever compiles the text verifies it as well.
    if cfg!(debug_assertions) {
        verify(&function);
    }
    function.display().to_string()
}

/// The code of each kernel, with names unique by content.
pub fn code(kernels: &[Kernel]) -> Vec<Code> {
    let mut all: Vec<Code> = Vec::with_capacity(kernels.len());
    for kernel in kernels {
        let body = emit(kernel, "kernel");
        let hash = fnv1a(body.as_bytes());
        let stem = format!("k_{:08x}_{}", (hash >> 32) ^ (hash & 0xffff_ffff), human(&kernel.name));
        let mut name = stem.clone();
        let mut next = 2;
        while all.iter().any(|c| c.name == name) {
            name = format!("{stem}_{next}");
            next += 1;
        }
        let text = body.replacen("%kernel(", &format!("%{name}("), 1);
        all.push(Code { name, text });
    }
    all
}

fn verify(function: &Function) {
    let flags = Flags::new(builder());
    if let Err(errors) = verify_function(function, &flags) {
        unreachable!("emitted CLIF passes the verifier: {errors}\n{}", function.display());
    }
}

fn human(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    name.chars().map(clean).take(HUMAN_CHARS).collect()
}

/// 64-bit FNV-1a: short, and the same in every build.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
