//! One native function for each function of a plan.
//!
//! In: the plan. Out: code that makes its steps in order, with its loops. Kernels too small for
//! more than one thread are called from there at once; every other step is a call back, by the
//! step's place. The executor's own walk of the steps is the reference: both make the same calls.

mod text;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use plan::{FunctionId, Plan, Step};

use super::Pointer;
use super::jit::{Entry, Jit, Shape};
use super::memory::Memory;
use crate::error::Error;

/// What native functions leave to their caller.
pub(crate) trait Turns {
    /// Makes a step that does not repeat others.
    fn step(&mut self, step: &Step) -> Result<(), Error>;

    /// How often the body of a loop is run.
    fn count(&mut self, step: &Step) -> u64;

    /// Begins an iteration of tiles; iteration 0 also ends them.
    fn iterate(&mut self, step: &Step, iteration: u64);
}

/// A function: 0 when it came to its end.
type Function = unsafe extern "C" fn(*mut Context<'_>) -> u64;

/// The functions of a plan; to be called while its arena and its code are there.
pub(crate) struct Functions {
    /// Keeps the functions' own code.
    own: Jit,
    /// Keeps the code of the kernels.
    _kernels: Arc<Jit>,
    kernels: Vec<Entry>,
    /// Operands of the kernels that are called at once, one after the other.
    args: Vec<Pointer>,
    functions: Vec<Function>,
    /// Where each step is: a function, then positions in lists of steps.
    places: Vec<Vec<usize>>,
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Functions").field("own", &self.own).finish_non_exhaustive()
    }
}

/// What a native function reads, and behind it what only the calls back read.
#[repr(C)]
struct Context<'c> {
    step: unsafe extern "C" fn(*mut Context<'_>, u64) -> u64,
    count: unsafe extern "C" fn(*mut Context<'_>, u64) -> u64,
    iterate: unsafe extern "C" fn(*mut Context<'_>, u64, u64) -> u64,
    kernels: *const Entry,
    args: *const Pointer,
    functions: *const Function,
    plan: &'c Plan,
    places: &'c [Vec<usize>],
    turns: &'c mut dyn Turns,
    error: Option<Error>,
    panic: Option<Box<dyn Any + Send>>,
}

impl Functions {
    /// Compiles the functions of a verified plan, whose arena and kernels these are.
    pub(super) fn compile(
        plan: &Plan,
        memory: &mut Memory,
        kernels: &Arc<Jit>,
    ) -> Result<Self, Error> {
        let texts = text::of(plan, &super::jit::convention()?);
        let own = Jit::compile(&texts.code, 1, Shape::Function)?;
        let entry = |at: usize| {
            // SAFETY: compiled with the signature of `Function`.
            unsafe { std::mem::transmute::<Entry, Function>(own.entry(at as u32)) }
        };
        Ok(Self {
            functions: (0..texts.code.len()).map(entry).collect(),
            own,
            kernels: (0..plan.code.len()).map(|at| kernels.entry(at as u32)).collect(),
            _kernels: Arc::clone(kernels),
            args: texts.args.iter().map(|&arg| Pointer(memory.pointer(arg))).collect(),
            places: texts.places,
        })
    }

    /// Runs a function of the plan that this was compiled from to its end.
    pub(crate) fn call(
        &self,
        plan: &Plan,
        function: FunctionId,
        turns: &mut dyn Turns,
    ) -> Result<(), Error> {
        let mut context = Context {
            step,
            count,
            iterate,
            kernels: self.kernels.as_ptr(),
            args: self.args.as_ptr(),
            functions: self.functions.as_ptr(),
            plan,
            places: &self.places,
            turns,
            error: None,
            panic: None,
        };
        // SAFETY: the code was made for this plan, whose arena the turns hold.
        unsafe { self.functions[function.0 as usize](&raw mut context) };
        if let Some(panic) = context.panic {
            resume_unwind(panic);
        }
        context.error.map_or(Ok(()), Err)
    }
}

/// The step at a place.
fn at<'p>(plan: &'p Plan, place: &[usize]) -> &'p Step {
    let (function, path) = place.split_first().expect("a place begins with its function");
    let (last, outer) = path.split_last().expect("and ends with a position");
    let steps = plan.functions[*function].steps.as_slice();
    &outer.iter().fold(steps, |steps, &i| steps[i].body())[*last]
}

/// Gives the caller a turn: 0 to go on. Neither an error nor a panic goes through native code.
///
/// # Safety
/// The context is that of the call under way, and nothing else refers to it now.
unsafe fn turn(
    context: *mut Context<'_>,
    place: u64,
    act: impl FnOnce(&mut dyn Turns, &Step) -> Result<u64, Error>,
) -> Option<u64> {
    // SAFETY: the caller's promise.
    let context = unsafe { &mut *context };
    if context.panic.is_some() {
        return None;
    }
    let step = at(context.plan, &context.places[place as usize]);
    match catch_unwind(AssertUnwindSafe(|| act(context.turns, step))) {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(error)) => context.error = Some(error),
        Err(panic) => context.panic = Some(panic),
    }
    None
}

/// Makes a step; 0 to go on.
unsafe extern "C" fn step(context: *mut Context<'_>, place: u64) -> u64 {
    // SAFETY: native code passes on the context that it was given.
    let done = unsafe { turn(context, place, |turns, step| turns.step(step).map(|()| 0)) };
    done.unwrap_or(1)
}

/// The count of a loop; 0 after a panic, which also ends what follows.
unsafe extern "C" fn count(context: *mut Context<'_>, place: u64) -> u64 {
    // SAFETY: as in `step`.
    unsafe { turn(context, place, |turns, step| Ok(turns.count(step))) }.unwrap_or(0)
}

/// Begins an iteration of tiles; 0 to go on.
unsafe extern "C" fn iterate(context: *mut Context<'_>, place: u64, iteration: u64) -> u64 {
    let begin = |turns: &mut dyn Turns, step: &Step| {
        turns.iterate(step, iteration);
        Ok(0)
    };
    // SAFETY: as in `step`.
    unsafe { turn(context, place, begin) }.unwrap_or(1)
}

#[cfg(test)]
mod tests;
