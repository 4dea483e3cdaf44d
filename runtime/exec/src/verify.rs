//! Checks that a plan fits itself, before anything of it runs.
//!
//! Kernels name their operands' extents in machine code only, so of them just the bases are checked
//! here; the compiler that wrote the plan answers for the rest.

mod attention;

use plan::{
    ALIGN, Adds, Arg, Buffer, BufferId, Dtype, EpilogueArg, FunctionId, LaunchArg, Plan, Product,
    Role, Step,
};

use crate::error::Error;

/// Refuses a plan with a place outside its buffer, an unknown id or a circle of calls.
pub(crate) fn verify(plan: &Plan) -> Result<(), Error> {
    for buffer in &plan.buffers {
        let elements = buffer.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let bytes = elements.and_then(|n| n.checked_mul(buffer.dtype.bytes()));
        let end = buffer.offset.checked_add(buffer.bytes);
        let fits = bytes == Some(buffer.bytes) && end.is_some_and(|e| e <= plan.arena_bytes);
        ensure(fits && buffer.offset.is_multiple_of(ALIGN), || {
            format!("buffer `{}` does not fit the arena", buffer.name)
        })?;
    }
    // Places are known to be in range by now.
    plan.buffers.iter().try_for_each(|buffer| piece(plan, buffer))?;
    let mut depth = vec![Visit::New; plan.functions.len()];
    (0..plan.functions.len()).try_for_each(|f| function(plan, f, &mut depth))
}

/// A piece lies inside the flat buffer that it names.
fn piece(plan: &Plan, buffer: &Buffer) -> Result<(), Error> {
    let Some(id) = buffer.within else { return Ok(()) };
    let parent = plan.buffers.get(id.0 as usize);
    let fits = parent.is_some_and(|p| {
        let is_inside =
            p.offset <= buffer.offset && buffer.offset + buffer.bytes <= p.offset + p.bytes;
        is_inside && p.role == Role::Flat && p.dtype == buffer.dtype && p.within.is_none()
    });
    ensure(fits, || format!("buffer `{}` does not lie in b{}", buffer.name, id.0))
}

/// How far a function was checked.
#[derive(Clone, Copy, PartialEq)]
enum Visit {
    New,
    Open,
    Done,
}

fn ensure(is_right: bool, what: impl FnOnce() -> String) -> Result<(), Error> {
    if is_right { Ok(()) } else { Err(Error::BadPlan(what())) }
}

fn function(plan: &Plan, index: usize, visits: &mut [Visit]) -> Result<(), Error> {
    let name = &plan.functions[index].name;
    match visits[index] {
        Visit::Done => return Ok(()),
        Visit::Open => return Err(Error::BadPlan(format!("function `{name}` calls itself"))),
        Visit::New => visits[index] = Visit::Open,
    }
    steps(plan, &plan.functions[index].steps, visits)?;
    visits[index] = Visit::Done;
    Ok(())
}

fn steps(plan: &Plan, list: &[Step], visits: &mut [Visit]) -> Result<(), Error> {
    let is_work = |step: &Step| {
        matches!(step, Step::Kernel { .. } | Step::Product { .. } | Step::Attention { .. })
            || matches!(step, Step::Sort { .. })
    };
    ensure(!(plan.is_for_grids() && list.iter().any(is_work)), || {
        format!("a step without a grid, for {}", plan.target)
    })?;
    list.iter().try_for_each(|step| match step {
        Step::Kernel { code, args, extent: _, grain: _, origin } => {
            ensure((*code as usize) < plan.code.len(), || format!("no code {code} ({origin})"))?;
            args.iter().try_for_each(|&arg| base(plan, arg))
        }
        Step::Product { product, origin } => whole_product(plan, product, origin),
        Step::Attention { attention, origin } => attention::attention(plan, attention, origin),
        Step::Launch { launch, origin } => {
            ensure(plan.is_for_grids(), || format!("a grid on a CPU ({origin})"))?;
            let code = launch.code;
            ensure((code as usize) < plan.code.len(), || format!("no code {code} ({origin})"))?;
            launch.places().try_for_each(|arg| base(plan, arg))
        }
        Step::Sort { ids, n, rows, order, starts } => {
            ints(plan, *ids, *n)?;
            ints(plan, *order, *n)?;
            ints(plan, *starts, rows.saturating_add(1))?;
            let apart = ids.buffer != order.buffer
                && order.buffer != starts.buffer
                && ids.buffer != starts.buffer;
            ensure(apart, || "a sort overwrites its input".to_owned())?;
            ensure(i32::try_from(*n).is_ok(), || format!("a sort of {n} ids"))
        }
        Step::Loop { count: _, body } => steps(plan, body, visits),
        Step::Tiles { count, body, advance } => tiles(plan, *count, body, advance),
        Step::Call(FunctionId(id)) => {
            ensure((*id as usize) < plan.functions.len(), || format!("no function {id}"))?;
            function(plan, *id as usize, visits)
        }
        Step::Yield(_) => Ok(()),
    })
}

/// Tiles whose every iteration is as right as a list of steps: the first one, and the last one,
/// where the places are the furthest on.
fn tiles(plan: &Plan, count: u64, body: &[Step], advance: &[(BufferId, u64)]) -> Result<(), Error> {
    ensure(count > 0, || "tiles that never run".to_owned())?;
    let ascends = advance.windows(2).all(|pair| pair[0].0 < pair[1].0);
    ensure(ascends, || "tiles move a buffer twice".to_owned())?;
    for &(id, bytes) in advance {
        base(plan, Arg { buffer: id, offset: 0 })?;
        let dtype = plan[id].dtype;
        ensure(bytes.is_multiple_of(dtype.bytes()), || {
            format!("tiles move buffer `{}` by {bytes} bytes", plan[id].name)
        })?;
    }
    let is_plain = |step: &Step| {
        matches!(step, Step::Kernel { .. } | Step::Product { .. } | Step::Launch { .. })
    };
    ensure(body.iter().all(is_plain), || "tiles run more than kernels and products".to_owned())?;
    steps(plan, body, &mut [])?;
    let last: Option<Vec<Step>> = body.iter().map(|step| moved(step, advance, count - 1)).collect();
    let last = last.ok_or_else(|| Error::BadPlan("tiles move too far".to_owned()))?;
    steps(plan, &last, &mut [])
}

/// A kernel or product as it is in an iteration; none where no number says the place.
fn moved(step: &Step, advance: &[(BufferId, u64)], iteration: u64) -> Option<Step> {
    let moved = |arg: Arg| {
        let found = advance.iter().find(|(buffer, _)| *buffer == arg.buffer);
        let by = found.map_or(Some(0), |(_, bytes)| bytes.checked_mul(iteration))?;
        Some(Arg { offset: arg.offset.checked_add(by)?, ..arg })
    };
    let mut step = step.clone();
    if let Step::Kernel { args, .. } = &mut step {
        for arg in args {
            *arg = moved(*arg)?;
        }
    }
    if let Step::Product { product: p, .. } = &mut step {
        for arg in p.args_mut() {
            *arg = moved(*arg)?;
        }
    }
    if let Step::Launch { launch, .. } = &mut step {
        for arg in &mut launch.args {
            if let LaunchArg::Memory(arg) = arg {
                *arg = moved(*arg)?;
            }
        }
    }
    Some(step)
}

fn base(plan: &Plan, arg: Arg) -> Result<(), Error> {
    let buffer = plan.buffers.get(arg.buffer.0 as usize);
    let buffer = buffer.ok_or_else(|| Error::BadPlan(format!("no buffer {}", arg.buffer.0)))?;
    let fits = arg.offset <= buffer.bytes && arg.offset.is_multiple_of(buffer.dtype.bytes());
    ensure(fits, || format!("a place outside buffer `{}`", buffer.name))
}

/// `n` elements of `dtype` from a place on.
fn elements(plan: &Plan, arg: Arg, n: u64, dtype: Dtype) -> Result<(), Error> {
    base(plan, arg)?;
    let buffer = &plan[arg.buffer];
    let end = n.checked_mul(dtype.bytes()).and_then(|b| b.checked_add(arg.offset));
    let fits = buffer.dtype == dtype && end.is_some_and(|e| e <= buffer.bytes);
    ensure(fits, || format!("buffer `{}` does not hold {n} {dtype:?}", buffer.name))
}

fn ints(plan: &Plan, arg: Arg, n: u64) -> Result<(), Error> {
    elements(plan, arg, n, Dtype::I32)
}

fn whole_product(plan: &Plan, p: &Product, origin: &str) -> Result<(), Error> {
    let is_empty = p.m == 0 || p.n == 0 || p.batch.iter().any(|axis| axis.size == 0);
    let axes = |operand: usize, strides: [i64; 2], sizes: [u64; 2]| {
        let batch = p.batch.iter().map(move |axis| (axis.size, axis.strides[operand]));
        batch.chain(sizes.into_iter().zip(strides)).collect::<Vec<_>>()
    };
    let operands =
        [(p.a, axes(0, p.a_strides, [p.m, p.k])), (p.b, axes(1, p.b_strides, [p.k, p.n]))];
    let result = p.c.map(|c| (c, axes(2, p.c_strides, [p.m, p.n])));
    let dtype = |arg: Arg| plan.buffers.get(arg.buffer.0 as usize).map(|b| b.dtype);
    let is_real = |d| matches!(d, Some(Dtype::F32 | Dtype::F16 | Dtype::Bf16) | None);
    let is_typed = dtype(p.a) == dtype(p.b) && is_real(dtype(p.a)) && is_real(p.c.and_then(dtype));
    ensure(is_typed, || format!("types of a product ({origin})"))?;
    ensure(p.adds == Adds::Never || p.c.and_then(dtype) == Some(Dtype::F32), || {
        format!("a product adds to 16 bits ({origin})")
    })?;
    for (arg, axes) in operands.into_iter().chain(result) {
        let reads_none = is_empty || axes.iter().any(|&(size, _)| size == 0);
        let n = if reads_none { Some(0) } else { span(&axes) };
        let n = n.ok_or_else(|| Error::BadPlan(format!("strides of a product ({origin})")))?;
        base(plan, arg)?;
        elements(plan, arg, n, plan[arg.buffer].dtype)?;
    }
    let is_apart = p.c.is_none_or(|c| c != p.a && c != p.b);
    ensure(is_apart, || format!("a product overwrites its operand ({origin})"))?;
    epilogue(plan, p, origin)
}

/// Whatever a product leaves goes somewhere, and its epilogue takes whole blocks.
fn epilogue(plan: &Plan, p: &Product, origin: &str) -> Result<(), Error> {
    let Some(epilogue) = &p.epilogue else {
        return ensure(p.c.is_some(), || format!("nobody reads a product ({origin})"));
    };
    ensure(p.adds == Adds::Never, || format!("an epilogue of a part of the sums ({origin})"))?;
    ensure((epilogue.code as usize) < plan.code.len(), || {
        format!("no code {} ({origin})", epilogue.code)
    })?;
    let [row, col] = p.c_strides;
    let is_row_major = (p.n == 1 || col == 1) && (p.m == 1 || row >= p.n.cast_signed());
    let is_whole = epilogue.cols > 0 && p.n.is_multiple_of(epilogue.cols);
    ensure(is_row_major && is_whole, || format!("blocks of a product ({origin})"))?;
    epilogue.args.iter().try_for_each(|arg| match arg {
        EpilogueArg::Memory(arg) => base(plan, *arg),
        EpilogueArg::Sums => {
            ensure(p.c.is_none(), || format!("sums that are in memory ({origin})"))
        }
    })
}

/// One more than the last element that non-negative strides reach.
fn span(axes: &[(u64, i64)]) -> Option<u64> {
    axes.iter().try_fold(1u64, |n, &(size, stride)| {
        let stride = u64::try_from(stride).ok()?;
        (size - 1).checked_mul(stride)?.checked_add(n)
    })
}
