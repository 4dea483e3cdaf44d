//! Reads plans from text.
//!
//! Line by line, in the order in which they are printed; ids must be the running number.

use super::{ParseError, attention, scan::Line};
use crate::{
    Adds, Arg, BatchAxis, Buffer, BufferId, Checkpoint, Code, Count, Dtype, EarlyStop, Epilogue,
    EpilogueArg, Eval, FORMAT, Function, FunctionId, Launch, LaunchArg, OnNan, Plan, Product, Role,
    Run, Sample, Start, Step, Yield,
};

/// Loops inside loops; more is no plan of ours.
const MAX_DEPTH: usize = 16;

/// The lines of a text.
pub(super) struct Reader<'a> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Split<'a, char>>>,
    last: usize,
}

impl<'a> Reader<'a> {
    fn raw(&mut self) -> Option<(usize, &'a str)> {
        let (idx, text) = self.lines.next()?;
        self.last = idx + 1;
        Some((idx + 1, text))
    }

    /// The next line that is not empty.
    pub(super) fn line(&mut self) -> Result<Line, ParseError> {
        while let Some((number, text)) = self.raw() {
            if !text.is_empty() {
                return Line::new(number, text);
            }
        }
        Err(ParseError { line: self.last, message: "the text ends too early".to_owned() })
    }

    /// A line `name "value"`.
    fn text(&mut self, name: &str) -> Result<String, ParseError> {
        let mut line = self.line()?;
        line.name(name)?;
        let text = line.string()?;
        line.end()?;
        Ok(text)
    }

    /// A line that starts with `name`; `read` takes all of the rest.
    pub(super) fn directive<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Line) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        let mut line = self.line()?;
        line.name(name)?;
        let value = read(&mut line)?;
        line.end()?;
        Ok(value)
    }

    /// A line `name 12`.
    fn number(&mut self, name: &str) -> Result<u64, ParseError> {
        let mut line = self.line()?;
        line.name(name)?;
        let value = line.number()?;
        line.end()?;
        Ok(value)
    }

    /// Whether a line that starts with `name` follows.
    pub(super) fn follows(&mut self, name: &str) -> bool {
        while self.lines.next_if(|(_, text)| text.is_empty()).is_some() {}
        self.lines.peek().is_some_and(|(_, text)| {
            text.trim_start_matches(' ').split(' ').next().is_some_and(|word| word == name)
        })
    }

    fn at_end(&mut self) -> bool {
        while self.lines.next_if(|(_, text)| text.is_empty()).is_some() {}
        self.lines.peek().is_none()
    }
}

/// The plan that a text holds.
pub(super) fn plan(text: &str) -> Result<Plan, ParseError> {
    let mut r = Reader { lines: text.split('\n').enumerate().peekable(), last: 1 };
    let mut head = r.line()?;
    head.name("plan")?;
    let format: u32 = head.number()?;
    if format != FORMAT {
        return Err(head.error(format!(
            "the plan has format {format}, this program reads format {FORMAT}; compile the spec again"
        )));
    }
    head.end()?;
    let (name, compiler, target) = (r.text("name")?, r.text("compiler")?, r.text("target")?);
    let arena_bytes = r.number("arena")?;
    let run = run(&mut r)?;
    let buffers = buffers(&mut r)?;
    let mut code = Vec::new();
    while r.follows("code") {
        code.push(self::code(&mut r, code.len())?);
    }
    let mut functions = Vec::new();
    while r.follows("function") {
        functions.push(function(&mut r, functions.len())?);
    }
    if !r.at_end() {
        return Err(r.line()?.expected("`function`"));
    }
    Ok(Plan { name, compiler, target, buffers, arena_bytes, code, functions, run })
}

fn open(r: &mut Reader<'_>, name: &str) -> Result<(), ParseError> {
    let mut line = r.line()?;
    line.name(name)?;
    line.mark('{')?;
    line.end()
}

/// A line `}`.
pub(super) fn close(r: &mut Reader<'_>) -> Result<(), ParseError> {
    let mut line = r.line()?;
    line.mark('}')?;
    line.end()
}

fn run(r: &mut Reader<'_>) -> Result<Run, ParseError> {
    open(r, "run")?;
    let run = Run {
        steps: r.number("steps")?,
        batch: r.number("batch")?,
        micro_batch: r.number("micro_batch")?,
        accumulate: r.number("accumulate")?,
        context: r.number("context")?,
        seed: r.number("seed")?,
        vocab: r.number("vocab")?,
        identity: r.text("identity")?,
        trajectory: r.text("trajectory")?,
        data: super::data::parse(r)?,
        start: if r.follows("start") { Some(start(r)?) } else { None },
        eval: if r.follows("eval") { Some(eval(r)?) } else { None },
        checkpoint: if r.follows("checkpoint") { Some(checkpoint(r)?) } else { None },
        samples: samples(r)?,
        stop_below_val_loss: number_of(r, "stop_below_val_loss")?,
        stop_after_s: number_of(r, "stop_after_s")?,
        early_stop: if r.follows("early_stop") { Some(early_stop(r)?) } else { None },
        on_nan: on_nan(r)?,
        exact_resume: exact_resume(r)?,
        min_scale: number_of(r, "min_scale")?,
    };
    close(r)?;
    Ok(run)
}

fn exact_resume(r: &mut Reader<'_>) -> Result<bool, ParseError> {
    if !r.follows("exact_resume") {
        return Ok(false);
    }
    let mut line = r.line()?;
    line.name("exact_resume")?;
    line.end()?;
    Ok(true)
}

fn start(r: &mut Reader<'_>) -> Result<Start, ParseError> {
    let mut line = r.line()?;
    line.name("start")?;
    let checkpoint = line.string()?;
    line.name("sha256")?;
    let sha256 = line.string()?;
    line.end()?;
    Ok(Start { checkpoint, sha256 })
}

fn early_stop(r: &mut Reader<'_>) -> Result<EarlyStop, ParseError> {
    let mut line = r.line()?;
    line.name("early_stop")?;
    line.name("patience")?;
    let patience = line.number()?;
    line.name("min_delta")?;
    let min_delta = line.number()?;
    line.end()?;
    Ok(EarlyStop { patience, min_delta })
}

fn number_of(r: &mut Reader<'_>, name: &str) -> Result<Option<f64>, ParseError> {
    if !r.follows(name) {
        return Ok(None);
    }
    let mut line = r.line()?;
    line.name(name)?;
    let value = line.number()?;
    line.end()?;
    Ok(Some(value))
}

fn on_nan(r: &mut Reader<'_>) -> Result<OnNan, ParseError> {
    if !r.follows("on_nan") {
        return Ok(OnNan::Stop);
    }
    let mut line = r.line()?;
    line.name("on_nan")?;
    line.name("skip")?;
    let limit = line.number()?;
    line.end()?;
    Ok(OnNan::Skip { limit })
}

fn eval(r: &mut Reader<'_>) -> Result<Eval, ParseError> {
    let mut line = r.line()?;
    line.name("eval")?;
    line.name("every")?;
    let every = line.number()?;
    let batches = if line.accept_name("batches") { Some(line.number()?) } else { None };
    line.end()?;
    Ok(Eval { every, batches })
}

fn checkpoint(r: &mut Reader<'_>) -> Result<Checkpoint, ParseError> {
    let mut line = r.line()?;
    line.name("checkpoint")?;
    line.name("every")?;
    let every = line.number()?;
    let every_s = if line.accept_name("every_s") { Some(line.number()?) } else { None };
    let keep = if line.accept_name("keep") { Some(line.number()?) } else { None };
    let best_val_loss = line.accept_name("best");
    let path = if line.accept_name("path") { Some(line.string()?) } else { None };
    line.end()?;
    Ok(Checkpoint { path, every, every_s, keep, best_val_loss })
}

fn samples(r: &mut Reader<'_>) -> Result<Vec<Sample>, ParseError> {
    let mut samples = Vec::new();
    while r.follows("sample") {
        let mut line = r.line()?;
        line.name("sample")?;
        line.name("length")?;
        let length = line.number()?;
        line.name("temperature")?;
        let temperature = line.number()?;
        let top_k = if line.accept_name("top_k") { Some(line.number()?) } else { None };
        let top_p = if line.accept_name("top_p") { line.number()? } else { 1.0 };
        let every = if line.accept_name("every") { Some(line.number()?) } else { None };
        let prompt = if line.accept_name("prompt") { Some(line.string()?) } else { None };
        line.end()?;
        samples.push(Sample { prompt, every, length, temperature, top_k, top_p });
    }
    Ok(samples)
}

fn buffers(r: &mut Reader<'_>) -> Result<Vec<Buffer>, ParseError> {
    open(r, "buffers")?;
    let mut buffers = Vec::new();
    while !r.follows("}") {
        let mut line = r.line()?;
        running_id(&mut line, 'b', buffers.len())?;
        let role = role(&mut line)?;
        let dtype = dtype(&mut line)?;
        let shape = line.list()?;
        line.name("at")?;
        let offset = line.number()?;
        line.name("bytes")?;
        let bytes = line.number()?;
        let is_piece = line.accept_name("within");
        let within = if is_piece { Some(BufferId(line.id('b')?)) } else { None };
        let name = line.string()?;
        line.end()?;
        buffers.push(Buffer { name, dtype, shape, role, offset, bytes, within });
    }
    close(r)?;
    Ok(buffers)
}

fn running_id(line: &mut Line, letter: char, expected: usize) -> Result<(), ParseError> {
    let id = line.id(letter)?;
    if usize::try_from(id) == Ok(expected) {
        return Ok(());
    }
    Err(line.error(format!("expected `{letter}{expected}`, found `{letter}{id}`")))
}

fn role(line: &mut Line) -> Result<Role, ParseError> {
    const ROLES: [Role; 11] = [
        Role::Param,
        Role::Cast,
        Role::Grad,
        Role::OptState,
        Role::Counter,
        Role::Metric,
        Role::Input,
        Role::Output,
        Role::Cache,
        Role::Flat,
        Role::Temp,
    ];
    let found = ROLES.into_iter().find(|&role| line.accept_name(super::print::role(role)));
    found.ok_or_else(|| line.expected("a role"))
}

fn dtype(line: &mut Line) -> Result<Dtype, ParseError> {
    let found = Dtype::ALL.into_iter().find(|&dtype| line.accept_name(super::print::dtype(dtype)));
    found.ok_or_else(|| line.expected("`f32`, `f64`, `f16`, `bf16` or `i32`"))
}

fn code(r: &mut Reader<'_>, idx: usize) -> Result<Code, ParseError> {
    let mut line = r.line()?;
    line.name("code")?;
    running_id(&mut line, 'c', idx)?;
    let name = line.string()?;
    if line.accept_name("lines") {
        return Err(line.error("the text lists code by its length only; print the whole plan"));
    }
    line.mark('{')?;
    line.end()?;
    let mut body: Vec<&str> = Vec::new();
    loop {
        match r.raw() {
            Some((_, "}")) => break,
            Some((number, text)) => body.push(text.strip_prefix('|').ok_or_else(|| {
                let message = "expected `|` and a line of code, or `}`".to_owned();
                ParseError { line: number, message }
            })?),
            None => return Err(line.error(format!("the code of `{name}` does not end"))),
        }
    }
    if body.is_empty() {
        return Err(line.error(format!("the code of `{name}` has no line")));
    }
    Ok(Code { name, text: body.join("\n") })
}

fn function(r: &mut Reader<'_>, idx: usize) -> Result<Function, ParseError> {
    let mut line = r.line()?;
    line.name("function")?;
    running_id(&mut line, 'f', idx)?;
    let name = line.string()?;
    line.mark('{')?;
    line.end()?;
    Ok(Function { name, steps: steps(r, 0)? })
}

/// Steps up to the `}` that ends them.
fn steps(r: &mut Reader<'_>, depth: usize) -> Result<Vec<Step>, ParseError> {
    let mut steps = Vec::new();
    loop {
        let mut line = r.line()?;
        if line.accept('}') {
            line.end()?;
            return Ok(steps);
        }
        let keyword = line.plain("a step")?.to_owned();
        steps.push(match keyword.as_str() {
            "kernel" => kernel(&mut line)?,
            "product" => product(&mut line)?,
            "attention" => attention::parse(r, &mut line)?,
            "launch" => launch(&mut line)?,
            "sort" => sort(&mut line)?,
            "call" => Step::Call(FunctionId(line.id('f')?)),
            "yield" => Step::Yield(yielded(&mut line)?),
            "loop" => {
                line.name("accumulate")?;
                line.mark('{')?;
                line.end()?;
                deeper(&line, depth)?;
                Step::Loop { count: Count::Accumulate, body: self::steps(r, depth + 1)? }
            }
            "tiles" => {
                let (count, advance) = (line.number()?, advance(&mut line)?);
                line.mark('{')?;
                line.end()?;
                deeper(&line, depth)?;
                Step::Tiles { count, body: self::steps(r, depth + 1)?, advance }
            }
            other => return Err(line.error(format!("unknown step `{other}`"))),
        });
        line.end()?;
    }
}

fn deeper(line: &Line, depth: usize) -> Result<(), ParseError> {
    if depth < MAX_DEPTH {
        return Ok(());
    }
    Err(line.error(format!("loops are nested deeper than {MAX_DEPTH}")))
}

/// What moves on with each iteration of tiles.
fn advance(line: &mut Line) -> Result<Vec<(BufferId, u64)>, ParseError> {
    let mut moves = Vec::new();
    line.name("advance")?;
    line.mark('(')?;
    while !line.accept(')') {
        if !moves.is_empty() {
            line.mark(',')?;
        }
        moves.push((BufferId(line.id('b')?), line.number()?));
    }
    Ok(moves)
}

fn adds(line: &mut Line) -> Adds {
    if !line.accept_name("adds") {
        Adds::Never
    } else if line.accept_name("after_first") {
        Adds::AfterFirst
    } else {
        Adds::Always
    }
}

fn yielded(line: &mut Line) -> Result<Yield, ParseError> {
    if line.accept_name("batch") {
        Ok(Yield::Batch)
    } else if line.accept_name("metrics") {
        Ok(Yield::Metrics)
    } else {
        Err(line.expected("`batch` or `metrics`"))
    }
}

/// A place in a buffer.
pub(super) fn arg(line: &mut Line) -> Result<Arg, ParseError> {
    let buffer = BufferId(line.id('b')?);
    let offset = if line.accept('+') { line.number()? } else { 0 };
    Ok(Arg { buffer, offset })
}

fn args(line: &mut Line) -> Result<Vec<Arg>, ParseError> {
    list(line, arg)
}

/// What stands in brackets, with commas between.
fn list<T>(
    line: &mut Line,
    one: impl Fn(&mut Line) -> Result<T, ParseError>,
) -> Result<Vec<T>, ParseError> {
    let mut args = Vec::new();
    line.mark('(')?;
    while !line.accept(')') {
        if !args.is_empty() {
            line.mark(',')?;
        }
        args.push(one(line)?);
    }
    Ok(args)
}

fn three<T>(line: &Line, args: Vec<T>) -> Result<[T; 3], ParseError> {
    let found = args.len();
    args.try_into().map_err(|_| line.error(format!("expected 3 operands, found {found}")))
}

/// A name and a number.
pub(super) fn field(line: &mut Line, name: &str) -> Result<u64, ParseError> {
    line.name(name)?;
    line.number()
}

/// Where a step came from, if it is written.
pub(super) fn origin(line: &mut Line) -> Result<String, ParseError> {
    if line.accept_name("from") { line.string() } else { Ok(String::new()) }
}

fn kernel(line: &mut Line) -> Result<Step, ParseError> {
    let code = line.id('c')?;
    let args = args(line)?;
    let (extent, grain) = (field(line, "extent")?, field(line, "grain")?);
    Ok(Step::Kernel { code, args, extent, grain, origin: origin(line)? })
}

fn launch(line: &mut Line) -> Result<Step, ParseError> {
    let code = line.id('c')?;
    let one = |line: &mut Line| {
        if line.accept_name("iteration") {
            Ok(LaunchArg::Iteration)
        } else {
            arg(line).map(LaunchArg::Memory)
        }
    };
    let args = list(line, one)?;
    let blocks = field(line, "blocks")?;
    line.name("threads")?;
    let threads = line.number()?;
    let (shared_bytes, flops) = (field(line, "shared")?, field(line, "flops")?);
    let launch = Launch { code, args, blocks, threads, shared_bytes, flops };
    Ok(Step::Launch { launch, origin: origin(line)? })
}

fn sort(line: &mut Line) -> Result<Step, ParseError> {
    let args = args(line)?;
    let [ids, order, starts] = three(line, args)?;
    let (n, rows) = (field(line, "n")?, field(line, "rows")?);
    Ok(Step::Sort { ids, n, rows, order, starts })
}

fn strides(line: &mut Line, name: &str) -> Result<[i64; 2], ParseError> {
    line.name(name)?;
    line.array()
}

fn epilogue(line: &mut Line) -> Result<Epilogue, ParseError> {
    let code = line.id('c')?;
    let one = |line: &mut Line| {
        if line.accept_name("sums") {
            Ok(EpilogueArg::Sums)
        } else {
            arg(line).map(EpilogueArg::Memory)
        }
    };
    Ok(Epilogue { code, args: list(line, one)?, cols: field(line, "cols")? })
}

fn product(line: &mut Line) -> Result<Step, ParseError> {
    let place =
        |line: &mut Line| if line.accept_name("_") { Ok(None) } else { arg(line).map(Some) };
    let args = list(line, place)?;
    let [Some(a), Some(b), c] = three(line, args)? else {
        return Err(line.error("a product needs both operands"));
    };
    let (m, n, k) = (field(line, "m")?, field(line, "n")?, field(line, "k")?);
    let (a_strides, b_strides) = (strides(line, "a")?, strides(line, "b")?);
    let c_strides = strides(line, "c")?;
    let k_slice = field(line, "slice")?;
    let adds = adds(line);
    let mut batch = Vec::new();
    while line.accept_name("batch") {
        batch.push(BatchAxis { size: line.number()?, strides: line.array()? });
    }
    let epilogue = if line.accept_name("then") { Some(epilogue(line)?) } else { None };
    let product = Product {
        a,
        b,
        c,
        batch,
        m,
        n,
        k,
        a_strides,
        b_strides,
        c_strides,
        k_slice,
        adds,
        epilogue,
    };
    Ok(Step::Product { product, origin: origin(line)? })
}
