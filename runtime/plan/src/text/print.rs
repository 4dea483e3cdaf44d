//! Writes plans as text.
//!
//! The order is fixed: header, settings, buffers, code, functions. Fields at their usual value
//! (no origin, no offset, no batch axes) are left out; the parser knows the same values.

use std::fmt::Write;

use super::attention;
use crate::{
    Adds, Arg, BatchAxis, Buffer, Checkpoint, Code, Count, Dtype, EarlyStop, Epilogue, EpilogueArg,
    FORMAT, Launch, LaunchArg, OnNan, Plan, Product, Role, Run, Sample, Step, Yield,
};

/// How much of the code is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bodies {
    /// All of it.
    Whole,
    /// How many lines it has.
    Length,
}

/// The text of a plan.
pub(super) fn plan(plan: &Plan, bodies: Bodies) -> String {
    let mut out = String::new();
    line(&mut out, 0, &format!("plan {FORMAT}"));
    line(&mut out, 0, &format!("name {}", quote(&plan.name)));
    line(&mut out, 0, &format!("compiler {}", quote(&plan.compiler)));
    line(&mut out, 0, &format!("target {}", quote(&plan.target)));
    line(&mut out, 0, &format!("arena {}", plan.arena_bytes));
    run(&mut out, &plan.run);
    line(&mut out, 0, "buffers {");
    for (idx, b) in plan.buffers.iter().enumerate() {
        buffer(&mut out, idx, b);
    }
    line(&mut out, 0, "}");
    for (idx, c) in plan.code.iter().enumerate() {
        code(&mut out, idx, c, bodies);
    }
    for (idx, function) in plan.functions.iter().enumerate() {
        line(&mut out, 0, &format!("function f{idx} {} {{", quote(&function.name)));
        steps(&mut out, 1, &function.steps);
        line(&mut out, 0, "}");
    }
    out
}

/// Writes a line, set in by so many steps.
pub(super) fn line(out: &mut String, depth: usize, text: &str) {
    for _ in 0..depth {
        out.push_str("  ");
    }
    out.push_str(text);
    out.push('\n');
}

/// A string in quotes, on one line whatever it holds.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                write!(out, "\\u{{{:x}}}", u32::from(c)).expect("writing to a string");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn run(out: &mut String, run: &Run) {
    line(out, 0, "run {");
    let numbers = [
        ("steps", run.steps),
        ("batch", run.batch),
        ("micro_batch", run.micro_batch),
        ("accumulate", run.accumulate),
        ("context", run.context),
        ("seed", run.seed),
        ("vocab", run.vocab),
    ];
    for (name, value) in numbers {
        line(out, 1, &format!("{name} {value}"));
    }
    line(out, 1, &format!("identity {}", quote(&run.identity)));
    line(out, 1, &format!("trajectory {}", quote(&run.trajectory)));
    super::data::print(out, &run.data);
    if let Some(start) = &run.start {
        let (from, sha256) = (quote(&start.checkpoint), quote(&start.sha256));
        line(out, 1, &format!("start {from} sha256 {sha256}"));
    }
    if let Some(eval) = &run.eval {
        let batches = eval.batches.map(|n| format!(" batches {n}")).unwrap_or_default();
        line(out, 1, &format!("eval every {}{batches}", eval.every));
    }
    if let Some(c) = &run.checkpoint {
        line(out, 1, &checkpoint(c));
    }
    for s in &run.samples {
        line(out, 1, &sample(s));
    }
    if let Some(loss) = run.stop_below_val_loss {
        line(out, 1, &format!("stop_below_val_loss {loss:?}"));
    }
    if let Some(seconds) = run.stop_after_s {
        line(out, 1, &format!("stop_after_s {seconds:?}"));
    }
    if let Some(EarlyStop { patience, min_delta }) = run.early_stop {
        line(out, 1, &format!("early_stop patience {patience} min_delta {min_delta:?}"));
    }
    if let OnNan::Skip { limit } = run.on_nan {
        line(out, 1, &format!("on_nan skip {limit}"));
    }
    if run.exact_resume {
        line(out, 1, "exact_resume");
    }
    if let Some(scale) = run.min_scale {
        line(out, 1, &format!("min_scale {scale:?}"));
    }
    line(out, 0, "}");
}

fn checkpoint(c: &Checkpoint) -> String {
    let mut text = format!("checkpoint every {}", c.every);
    if let Some(seconds) = c.every_s {
        text += &format!(" every_s {seconds:?}");
    }
    if let Some(keep) = c.keep {
        text += &format!(" keep {keep}");
    }
    if c.best_val_loss {
        text += " best";
    }
    if let Some(path) = &c.path {
        text += &format!(" path {}", quote(path));
    }
    text
}

fn sample(s: &Sample) -> String {
    let mut text = format!("sample length {} temperature {:?}", s.length, s.temperature);
    if let Some(top_k) = s.top_k {
        text += &format!(" top_k {top_k}");
    }
    if s.top_p != 1.0 {
        text += &format!(" top_p {:?}", s.top_p);
    }
    if let Some(every) = s.every {
        text += &format!(" every {every}");
    }
    if let Some(prompt) = &s.prompt {
        text += &format!(" prompt {}", quote(prompt));
    }
    text
}

/// The word for an element type.
pub(super) fn dtype(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "f32",
        Dtype::F64 => "f64",
        Dtype::F16 => "f16",
        Dtype::Bf16 => "bf16",
        Dtype::I32 => "i32",
    }
}

/// The word for a role.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Param => "param",
        Role::Cast => "cast",
        Role::Grad => "grad",
        Role::OptState => "opt_state",
        Role::Counter => "counter",
        Role::Metric => "metric",
        Role::Input => "input",
        Role::Output => "output",
        Role::Cache => "cache",
        Role::Flat => "flat",
        Role::Temp => "temp",
    }
}

fn buffer(out: &mut String, idx: usize, b: &Buffer) {
    let shape: Vec<String> = b.shape.iter().map(u64::to_string).collect();
    let (role, dtype, shape) = (role(b.role), dtype(b.dtype), shape.join(", "));
    let (offset, bytes, name) = (b.offset, b.bytes, quote(&b.name));
    let within = b.within.map(|id| format!(" within b{}", id.0)).unwrap_or_default();
    let place = format!("at {offset} bytes {bytes}{within}");
    line(out, 1, &format!("b{idx} {role} {dtype} [{shape}] {place} {name}"));
}

fn code(out: &mut String, idx: usize, code: &Code, bodies: Bodies) {
    let head = format!("code c{idx} {}", quote(&code.name));
    match bodies {
        Bodies::Length => {
            line(out, 0, &format!("{head} lines {}", code.text.split('\n').count()));
        }
        Bodies::Whole => {
            line(out, 0, &format!("{head} {{"));
            for text in code.text.split('\n') {
                line(out, 0, &format!("|{text}"));
            }
            line(out, 0, "}");
        }
    }
}

fn steps(out: &mut String, depth: usize, steps: &[Step]) {
    for s in steps {
        match s {
            Step::Kernel { code, args, extent, grain, origin } => {
                let args: Vec<String> = args.iter().map(arg).collect();
                let head = format!("kernel c{code}({})", args.join(", "));
                line(out, depth, &format!("{head} extent {extent} grain {grain}{}", place(origin)));
            }
            Step::Product { product: p, origin } => {
                line(out, depth, &format!("{}{}", product(p), place(origin)));
            }
            Step::Attention { attention: a, origin } => attention::print(out, depth, a, origin),
            Step::Launch { launch: l, origin } => {
                line(out, depth, &format!("{}{}", launch(l), place(origin)));
            }
            Step::Sort { ids, n, rows, order, starts } => {
                let (ids, order, starts) = (arg(ids), arg(order), arg(starts));
                line(out, depth, &format!("sort ({ids}, {order}, {starts}) n {n} rows {rows}"));
            }
            Step::Loop { count, body } => {
                let count = match count {
                    Count::Accumulate => "accumulate",
                };
                line(out, depth, &format!("loop {count} {{"));
                self::steps(out, depth + 1, body);
                line(out, depth, "}");
            }
            Step::Tiles { count, body, advance } => {
                let moves: Vec<String> =
                    advance.iter().map(|(id, bytes)| format!("b{} {bytes}", id.0)).collect();
                line(out, depth, &format!("tiles {count} advance ({}) {{", moves.join(", ")));
                self::steps(out, depth + 1, body);
                line(out, depth, "}");
            }
            Step::Call(function) => line(out, depth, &format!("call f{}", function.0)),
            Step::Yield(Yield::Batch) => line(out, depth, "yield batch"),
            Step::Yield(Yield::Metrics) => line(out, depth, "yield metrics"),
        }
    }
}

/// Where a step came from, as it is written behind it.
pub(super) fn place(origin: &str) -> String {
    if origin.is_empty() { String::new() } else { format!(" from {}", quote(origin)) }
}

/// A place in a buffer.
pub(super) fn arg(arg: &Arg) -> String {
    match arg.offset {
        0 => format!("b{}", arg.buffer.0),
        offset => format!("b{} + {offset}", arg.buffer.0),
    }
}

fn launch(l: &Launch) -> String {
    let Launch { code, args, blocks, threads, shared_bytes, flops } = l;
    let one = |operand: &LaunchArg| match operand {
        LaunchArg::Memory(at) => arg(at),
        LaunchArg::Iteration => "iteration".to_owned(),
    };
    let args: Vec<String> = args.iter().map(one).collect();
    let head = format!("launch c{code}({})", args.join(", "));
    format!("{head} blocks {blocks} threads {threads} shared {shared_bytes} flops {flops}")
}

fn product(p: &Product) -> String {
    let c = p.c.as_ref().map_or("_".to_owned(), arg);
    let (a, b) = (arg(&p.a), arg(&p.b));
    let mut text = format!("product ({a}, {b}, {c}) m {} n {} k {}", p.m, p.n, p.k);
    for (name, [row, column]) in [("a", p.a_strides), ("b", p.b_strides), ("c", p.c_strides)] {
        text += &format!(" {name} [{row}, {column}]");
    }
    text += &format!(" slice {}", p.k_slice);
    text += match p.adds {
        Adds::Never => "",
        Adds::AfterFirst => " adds after_first",
        Adds::Always => " adds",
    };
    for BatchAxis { size, strides: [a, b, c] } in &p.batch {
        text += &format!(" batch {size} [{a}, {b}, {c}]");
    }
    if let Some(Epilogue { code, args, cols }) = &p.epilogue {
        let one = |operand: &EpilogueArg| match operand {
            EpilogueArg::Memory(at) => arg(at),
            EpilogueArg::Sums => "sums".to_owned(),
        };
        let args: Vec<String> = args.iter().map(one).collect();
        text += &format!(" then c{code}({}) cols {cols}", args.join(", "));
    }
    text
}
