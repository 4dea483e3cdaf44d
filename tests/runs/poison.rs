//! Faults planted in a plan: a kernel that writes a bad number at one moment of a run.
//!
//! The plan is data, so the run under test is the run of everyone: nothing in it knows of faults.

use plan::{Arg, Buffer, BufferId, Code, Dtype, Plan, Role, Step};

/// When a planted kernel writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// While `consumed_batches` is this, as often as the work is done: wrong numbers.
    Batch(u64),
    /// The same, in the micro-batch of this number.
    MicroBatch(u64, u64),
    /// The same, but never again: a machine that fails once.
    Once(u64),
}

/// Where in a function it is planted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// Before all else.
    First,
    /// After all else.
    Last,
    /// Before the first step that touches a buffer.
    Before(BufferId),
    /// Behind the first step that touches it.
    Behind(BufferId),
}

/// What it writes over the first element, or over all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bad {
    /// NaN into the first.
    Nan,
    /// -1 into all, which is no target.
    NoTarget,
}

/// Adds the kernel to a function of the plan.
pub(crate) fn plant(
    plan: &mut Plan,
    function: &str,
    place: Place,
    into: &str,
    bad: Bad,
    when: When,
) {
    let into = plan.buffer(into).unwrap_or_else(|| panic!("no buffer {into}"));
    let consumed = plan.buffer("consumed_batches").unwrap();
    let (batch, second, number) = match when {
        When::Batch(batch) => (batch, consumed, batch),
        When::MicroBatch(batch, n) => (batch, plan.buffer("summed_batches").unwrap(), n),
        When::Once(batch) => (batch, calls(plan), 0),
    };
    let counts = matches!(when, When::Once(_));
    let text = text(&plan[into], bad, batch, number, counts);
    let code = u32::try_from(plan.code.len()).unwrap();
    plan.code.push(Code { name: format!("poison{code}"), text });
    let args = [consumed, second, into].map(|buffer| Arg { buffer, offset: 0 }).to_vec();
    let step = Step::Kernel { code, args, extent: 1, grain: 1, origin: "planted".to_owned() };
    let function = plan.functions.iter_mut().find(|f| f.name == function).unwrap();
    let at = match place {
        Place::First => 0,
        Place::Last => function.steps.len(),
        Place::Before(buffer) => touches(&function.steps, buffer),
        Place::Behind(buffer) => touches(&function.steps, buffer) + 1,
    };
    function.steps.insert(at, step);
}

fn touches(steps: &[Step], buffer: BufferId) -> usize {
    let touched = |step: &Step| match step {
        Step::Kernel { args, .. } => args.iter().any(|arg| arg.buffer == buffer),
        Step::Product { product: p, .. } => p.args().any(|arg| arg.buffer == buffer),
        Step::Attention { attention, .. } => attention.args().any(|arg| arg.buffer == buffer),
        Step::Launch { launch, .. } => launch.places().any(|arg| arg.buffer == buffer),
        Step::Sort { .. } | Step::Loop { .. } | Step::Tiles { .. } => false,
        Step::Call(_) | Step::Yield(_) => false,
    };
    steps.iter().position(touched).expect("a step touches it")
}

/// The first temporary of a type in the first kernel of a function that touches a buffer.
pub(crate) fn temp(plan: &Plan, function: &str, touched: BufferId, dtype: Dtype) -> String {
    let steps = &plan[plan.function(function).unwrap()].steps;
    let Step::Kernel { args, .. } = &steps[touches(steps, touched)] else {
        panic!("a kernel touches {}", plan[touched].name)
    };
    let buffers = args.iter().map(|arg| &plan[arg.buffer]);
    let mut temps = buffers.filter(|b| b.role == Role::Temp && b.dtype == dtype);
    temps.next().expect("a temporary").name.clone()
}

/// A counter of the planted kernel's own.
fn calls(plan: &mut Plan) -> BufferId {
    let offset = plan.arena_bytes.next_multiple_of(plan::ALIGN);
    plan.arena_bytes = offset + plan::ALIGN;
    plan.buffers.push(Buffer {
        name: format!("poison.calls{}", plan.buffers.len()),
        dtype: Dtype::F64,
        shape: vec![],
        role: Role::Temp,
        offset,
        bytes: 8,
        within: None,
    });
    BufferId(u32::try_from(plan.buffers.len() - 1).unwrap())
}

/// The kernel: when both counters are as wanted, the bad number into the elements.
///
/// With a counter of its own, that one moves whenever the batch is the wanted one.
fn text(into: &Buffer, bad: Bad, batch: u64, number: u64, counts: bool) -> String {
    let (ty, constant) = match (bad, into.dtype) {
        (Bad::Nan, Dtype::F32) => ("f32", "f32const +NaN"),
        (Bad::Nan, Dtype::F64) => ("f64", "f64const +NaN"),
        (Bad::NoTarget, Dtype::I32) => ("i32", "iconst.i32 -1"),
        (bad, dtype) => panic!("{bad:?} in {dtype:?}"),
    };
    let bytes = if bad == Bad::NoTarget { into.bytes } else { into.dtype.bytes() };
    let element = into.dtype.bytes();
    let by = if counts { "0x1.0" } else { "0.0" };
    let [batch, number] = [batch, number].map(float);
    format!(
        "function %poison(i64, i64, i64) {{
block0(v0: i64, v1: i64, v2: i64):
  v3 = load.i64 v0
  v4 = load.i64 v0+8
  v5 = load.i64 v0+16
  v6 = load.f64 v3
  v7 = f64const {batch}
  v8 = fcmp eq v6, v7
  v9 = load.f64 v4
  v10 = f64const {number}
  v11 = fcmp eq v9, v10
  v12 = band v8, v11
  v13 = f64const {by}
  v14 = fadd v9, v13
  v15 = select v8, v14, v9
  store v15, v4
  v16 = {constant}
  v17 = iconst.i64 0
  jump block1(v17)
block1(v18: i64):
  v19 = iadd v5, v18
  v20 = load.{ty} v19
  v21 = select v12, v16, v20
  store v21, v19
  v22 = iconst.i64 {element}
  v23 = iadd v18, v22
  v24 = iconst.i64 {bytes}
  v25 = icmp ult v23, v24
  brif v25, block1(v23), block2
block2:
  return
}}"
    )
}

/// A whole number as Cranelift writes it.
fn float(n: u64) -> String {
    if n == 0 { "0.0".to_owned() } else { format!("0x{n:x}.0p0") }
}
