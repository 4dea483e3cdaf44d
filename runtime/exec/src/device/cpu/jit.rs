//! CLIF text to callable machine code.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, Function, Signature, types};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable, Flags};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};

use crate::error::Error;

/// A compiled kernel: operands, begin, end.
pub(super) type Entry = unsafe extern "C" fn(*const *mut u8, u64, u64);

/// What a code takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// [`Entry`].
    Kernel,
    /// An address in, a word out.
    Function,
}

/// Compiled code; lives as long as its entries are called.
pub(super) struct Jit {
    modules: Vec<JITModule>,
    entries: Vec<Entry>,
}

// SAFETY: nothing changes after `compile`; the entries are plain code.
unsafe impl Send for Jit {}
// SAFETY: as above.
unsafe impl Sync for Jit {}

impl fmt::Debug for Jit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jit").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Jit {
    /// Compiles each code to the entry at its index; equal bodies once.
    pub(super) fn compile(
        code: &[plan::Code],
        threads: usize,
        shape: Shape,
    ) -> Result<Self, Error> {
        let isa = host()?;
        let (mut order, of) = distinct(code);
        // The longest first, so that threads end together.
        order.sort_by_key(|&at| Reverse(code[at].text.len()));
        let next = AtomicUsize::new(0);
        let part = || {
            let isa = Arc::clone(&isa);
            let own = || order.get(next.fetch_add(1, Ordering::Relaxed)).copied();
            compile_part(isa, code, shape, own)
        };
        let n_parts = threads.clamp(1, 16).min(order.len().max(1));
        let parts: Vec<Result<Part, Error>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..n_parts).map(|_| scope.spawn(part)).collect();
            let mut all = vec![part()];
            all.extend(others.into_iter().map(|t| t.join().expect("compiling does not panic")));
            all
        });
        let mut modules = vec![];
        let mut compiled: Vec<Option<Entry>> = vec![None; code.len()];
        for part in parts {
            let Part { module, entries } = part?;
            modules.push(module);
            for (at, entry) in entries {
                compiled[at] = Some(entry);
            }
        }
        let entry = |at: usize| compiled[at].expect("every distinct code was compiled");
        Ok(Self { modules, entries: of.into_iter().map(entry).collect() })
    }

    /// The entry of a code.
    pub(super) fn entry(&self, code: u32) -> Entry {
        self.entries[code as usize]
    }
}

impl Drop for Jit {
    fn drop(&mut self) {
        for module in self.modules.drain(..) {
            // SAFETY: entries are called by borrows of `self` only, and none is left.
            unsafe { module.free_memory() }
        }
    }
}

/// Where each different body comes first, and for each code where its body does.
fn distinct(code: &[plan::Code]) -> (Vec<usize>, Vec<usize>) {
    let mut first = HashMap::new();
    let mut order = vec![];
    let mut of = vec![];
    for (at, code) in code.iter().enumerate() {
        let body = code.text.split_once('(').map_or("", |(_, body)| body);
        of.push(*first.entry(body).or_insert_with(|| {
            order.push(at);
            at
        }));
    }
    (order, of)
}

/// One module and the entries of its functions by the index of their code.
struct Part {
    module: JITModule,
    entries: Vec<(usize, Entry)>,
}

// SAFETY: a part moves from the thread that compiled it to the one that keeps it.
unsafe impl Send for Part {}

fn host() -> Result<OwnedTargetIsa, Error> {
    let refuse = |what: &dyn fmt::Display| Error::Resources(format!("a code generator: {what}"));
    let mut flags = settings::builder();
    let settings = [
        ("opt_level", "speed"),
        // Each function is verified once, as it comes out of the plan: `compile_one`.
        ("enable_verifier", "false"),
        ("is_pic", "false"),
        ("unwind_info", "false"),
    ];
    for (name, value) in settings {
        flags.set(name, value).map_err(|e| refuse(&e))?;
    }
    let isa = cranelift_native::builder().map_err(|e| refuse(&e))?;
    isa.finish(Flags::new(flags)).map_err(|e| refuse(&e))
}

fn compile_part(
    isa: OwnedTargetIsa,
    code: &[plan::Code],
    shape: Shape,
    next: impl Fn() -> Option<usize>,
) -> Result<Part, Error> {
    let builder = JITBuilder::with_isa(isa, default_libcall_names());
    let mut module = JITModule::new(builder);
    let mut ids = vec![];
    let mut context = module.make_context();
    while let Some(at) = next() {
        ids.push((at, compile_one(&mut module, &mut context, &code[at], shape)?));
    }
    let refuse = |e| Error::Resources(format!("executable memory: {e}"));
    module.finalize_definitions().map_err(refuse)?;
    let entries = ids
        .into_iter()
        .map(|(at, id)| {
            let address = module.get_finalized_function(id);
            // SAFETY: the function was compiled with the signature of `Entry`, or is cast to that
            // of its shape before it is called.
            (at, unsafe { std::mem::transmute::<*const u8, Entry>(address) })
        })
        .collect();
    Ok(Part { module, entries })
}

fn compile_one(
    module: &mut JITModule,
    context: &mut Context,
    code: &plan::Code,
    shape: Shape,
) -> Result<FuncId, Error> {
    let refuse = |what: String| Error::BadPlan(format!("code `{}`: {what}", code.name));
    let functions = cranelift_reader::parse_functions(&code.text)
        .map_err(|e| refuse(format!("line {}: {}", e.location.line_number, e.message)))?;
    let [mut function] = <[Function; 1]>::try_from(functions)
        .map_err(|all| refuse(format!("expected one function, found {}", all.len())))?;
    let signature = signature(module.isa(), shape);
    if function.signature.params != signature.params
        || function.signature.returns != signature.returns
        || !function.dfg.ext_funcs.is_empty()
        || !function.global_values.is_empty()
    {
        return Err(refuse(format!("expected {} that refers to no other", shape.title())));
    }
    function.signature = signature.clone();
    let id = module
        .declare_function(&code.name, Linkage::Export, &signature)
        .map_err(|e| refuse(e.to_string()))?;
    module.clear_context(context);
    context.func = function;
    context.verify(module.isa()).map_err(|e| refuse(e.to_string()))?;
    module.define_function(id, context).map_err(|e| refuse(format!("{e:?}")))?;
    Ok(id)
}

fn signature(isa: &dyn TargetIsa, shape: Shape) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    let word = AbiParam::new(types::I64);
    match shape {
        Shape::Kernel => signature.params.extend([word; 3]),
        Shape::Function => {
            signature.params.push(word);
            signature.returns.push(word);
        }
    }
    signature
}

impl Shape {
    fn title(self) -> &'static str {
        match self {
            Self::Kernel => "a function of three i64",
            Self::Function => "a function from i64 to i64",
        }
    }
}

/// How functions call each other on this machine, as CLIF says it.
pub(super) fn convention() -> Result<String, Error> {
    Ok(host()?.default_call_conv().to_string())
}
