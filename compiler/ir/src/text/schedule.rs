//! Text of schedules: buffers, kernels, and functions with one task a line.

mod attention;

use std::fmt::Write;

use super::graph::{role, role_name};
use super::kernel::{kernel, print_kernel};
use super::lexer::{Cursor, TextError, list, quote};
use crate::schedule::{
    Adds, Arg, BatchAxis, Buffer, BufferId, Epilogue, EpilogueArg, Function, Product, Schedule,
    Task,
};

/// The text of a schedule.
pub fn print_schedule(schedule: &Schedule) -> String {
    print_noted(schedule, |_, _| vec![])
}

/// The same with comments: lines about a task of a function, how often each kernel is used.
pub fn print_noted(schedule: &Schedule, about: impl Fn(&Function, &Task) -> Vec<String>) -> String {
    let mut out = String::from("schedule\n");
    for (i, buffer) in schedule.buffers.iter().enumerate() {
        let role = buffer.role.map_or("temporary", role_name);
        let (name, dtype, shape) = (quote(&buffer.name), buffer.dtype, list(&buffer.shape));
        let within = buffer.within.map(|arg| format!(" within {}", print_arg(arg)));
        let within = within.unwrap_or_default();
        let _ = writeln!(out, "${i} = {role} {name} : {dtype}{shape}{within}");
    }
    for (i, kernel) in schedule.kernels.iter().enumerate() {
        let _ = write!(out, "# {i}, {}\n{}", used(schedule, i), print_kernel(kernel));
    }
    for function in &schedule.functions {
        let _ = writeln!(out, "fn {} {{", quote(&function.name));
        for task in &function.tasks {
            let about = |task: &Task| about(function, task);
            print_noted_task(&mut out, "  ", task, &about);
        }
        out.push_str("}\n");
    }
    out
}

/// How often a kernel is used, for people.
fn used(schedule: &Schedule, kernel: usize) -> String {
    let mut uses = Uses::default();
    for task in schedule.functions.iter().flat_map(|f| &f.tasks) {
        uses.count(task, kernel);
    }
    let times = |n: usize| if n == 1 { "once".to_owned() } else { format!("{n} times") };
    let parts = [
        (uses.tasks, "alone"),
        (uses.epilogues, "behind a product"),
        (uses.tiles, "on the tiles of an attention"),
    ];
    let parts = parts.into_iter().filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(n, what)| format!("{} {what}", times(n))).collect();
    format!("used {}", if parts.is_empty() { "by nobody".to_owned() } else { parts.join(", ") })
}

/// The uses of one kernel.
#[derive(Default)]
struct Uses {
    tasks: usize,
    epilogues: usize,
    tiles: usize,
}

impl Uses {
    fn count(&mut self, task: &Task, wanted: usize) {
        match task {
            Task::Kernel { kernel, .. } => self.tasks += usize::from(*kernel == wanted),
            Task::Product { product, .. } => {
                let kernel = product.epilogue.as_ref().map(|e| e.kernel);
                self.epilogues += usize::from(kernel == Some(wanted));
            }
            Task::Attention { attention, .. } => {
                let kernels = attention.pass.kernels();
                self.tiles += kernels.iter().filter(|tile| tile.kernel == wanted).count();
            }
            Task::Sort { .. } => {}
            Task::Tiles { body, .. } => body.iter().for_each(|task| self.count(task, wanted)),
        }
    }
}

fn print_arg(arg: Arg) -> String {
    match arg.offset {
        0 => format!("${}", arg.buffer.0),
        offset => format!("${}+{offset}", arg.buffer.0),
    }
}

fn print_noted_task(
    out: &mut String,
    indent: &str,
    task: &Task,
    about: &dyn Fn(&Task) -> Vec<String>,
) {
    for line in about(task) {
        let _ = writeln!(out, "{indent}# {line}");
    }
    let _ = writeln!(out, "{indent}{}", print_task(task, about));
}

fn print_task(task: &Task, about: &dyn Fn(&Task) -> Vec<String>) -> String {
    match task {
        Task::Kernel { kernel, args, origin } => {
            let args: Vec<String> = args.iter().map(|&a| print_arg(a)).collect();
            format!("kernel {kernel} ({}){}", args.join(", "), print_origin(origin))
        }
        Task::Product { product: p, origin } => {
            let batch: Vec<String> = p
                .batch
                .iter()
                .map(|axis| format!(" {}{}", axis.size, list(&axis.strides)))
                .collect();
            format!(
                "product {}{} = {}{} x {}{} m {} n {} k {}{} batch ({}){}{}",
                p.c.map_or("_".to_owned(), print_arg),
                list(&p.c_strides),
                print_arg(p.a),
                list(&p.a_strides),
                print_arg(p.b),
                list(&p.b_strides),
                p.m,
                p.n,
                p.k,
                print_adds(p.adds),
                batch.join(",").trim_start(),
                p.epilogue.as_ref().map(print_epilogue).unwrap_or_default(),
                print_origin(origin)
            )
        }
        Task::Attention { attention, origin } => attention::print(attention, &print_origin(origin)),
        Task::Sort { ids, n, rows, order, starts } => {
            let [ids, order, starts] = [*ids, *order, *starts].map(print_arg);
            format!("sort {ids} n {n} rows {rows} order {order} starts {starts}")
        }
        Task::Tiles { count, body, advance } => {
            let moves: Vec<String> =
                advance.iter().map(|(buffer, by)| format!("${} {by}", buffer.0)).collect();
            let mut out = format!("tiles {count} advance ({}) {{\n", moves.join(", "));
            for task in body {
                print_noted_task(&mut out, "    ", task, about);
            }
            out + "  }"
        }
    }
}

fn print_adds(adds: Adds) -> &'static str {
    match adds {
        Adds::Never => "",
        Adds::AfterFirst => " adds after_first",
        Adds::Always => " adds",
    }
}

fn print_epilogue(epilogue: &Epilogue) -> String {
    let arg = |arg: &EpilogueArg| match arg {
        EpilogueArg::Memory(arg) => print_arg(*arg),
        EpilogueArg::Sums => "sums".to_owned(),
    };
    let args: Vec<String> = epilogue.args.iter().map(arg).collect();
    format!(" then {} cols {} ({})", epilogue.kernel, epilogue.cols, args.join(", "))
}

fn print_origin(origin: &str) -> String {
    if origin.is_empty() { String::new() } else { format!(" @{}", quote(origin)) }
}

/// The schedule that prints as `text`.
pub fn parse_schedule(text: &str) -> Result<Schedule, TextError> {
    let mut c = Cursor::new(text)?;
    let mut schedule = Schedule::default();
    c.keyword("schedule")?;
    while c.is_sign('$') {
        let error = c.error(format!("`${}`", schedule.buffers.len()));
        if buffer_id(&mut c)?.0 as usize != schedule.buffers.len() {
            return Err(error);
        }
        schedule.buffers.push(buffer(&mut c)?);
    }
    while c.is_word("kernel") {
        schedule.kernels.push(kernel(&mut c)?);
    }
    while c.takes_word("fn") {
        let name = c.text()?;
        let mut tasks = vec![];
        c.sign('{')?;
        while !c.takes('}') {
            tasks.push(task(&mut c, Depth::Function)?);
        }
        schedule.functions.push(Function { name, tasks });
    }
    c.end().map(|()| schedule)
}

fn buffer(c: &mut Cursor) -> Result<Buffer, TextError> {
    c.sign('=')?;
    let error = c.error("a role or `temporary`");
    let word = c.word()?;
    let role = role(&word);
    if role.is_none() && word != "temporary" {
        return Err(error);
    }
    let name = c.text()?;
    c.sign(':')?;
    let ty = c.ty()?;
    let within = if c.takes_word("within") { Some(arg(c)?) } else { None };
    Ok(Buffer { name, dtype: ty.dtype, shape: ty.shape, role, within })
}

fn buffer_id(c: &mut Cursor) -> Result<BufferId, TextError> {
    c.sign('$')?;
    c.parsed().map(BufferId)
}

fn arg(c: &mut Cursor) -> Result<Arg, TextError> {
    let buffer = buffer_id(c)?;
    let offset = if c.takes('+') { c.parsed()? } else { 0 };
    Ok(Arg { buffer, offset })
}

/// Where a task stands: tiles hold no tiles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Function,
    Tiles,
}

fn task(c: &mut Cursor, depth: Depth) -> Result<Task, TextError> {
    let error = c.error("`kernel`, `product`, `attention`, `sort` or `tiles`");
    match c.word()?.as_str() {
        "kernel" => {
            let kernel = c.parsed()?;
            Ok(Task::Kernel { kernel, args: args(c, arg)?, origin: origin(c)? })
        }
        "product" => {
            let product = product(c)?;
            Ok(Task::Product { product, origin: origin(c)? })
        }
        "attention" if depth == Depth::Function => {
            let attention = Box::new(attention::parse(c)?);
            Ok(Task::Attention { attention, origin: origin(c)? })
        }
        "tiles" if depth == Depth::Function => tiles(c),
        "sort" if depth == Depth::Function => {
            let ids = arg(c)?;
            let (n, rows) = (named(c, "n")?, named(c, "rows")?);
            c.keyword("order")?;
            let order = arg(c)?;
            c.keyword("starts")?;
            Ok(Task::Sort { ids, n, rows, order, starts: arg(c)? })
        }
        _ => Err(error),
    }
}

fn tiles(c: &mut Cursor) -> Result<Task, TextError> {
    let count = c.parsed()?;
    let (mut advance, mut body) = (vec![], vec![]);
    c.keyword("advance")?;
    c.sign('(')?;
    while !c.takes(')') {
        if !advance.is_empty() {
            c.sign(',')?;
        }
        advance.push((buffer_id(c)?, c.parsed()?));
    }
    c.sign('{')?;
    while !c.takes('}') {
        body.push(task(c, Depth::Tiles)?);
    }
    Ok(Task::Tiles { count, body, advance })
}

fn adds(c: &mut Cursor) -> Adds {
    match (c.takes_word("adds"), c.takes_word("after_first")) {
        (true, true) => Adds::AfterFirst,
        (true, false) => Adds::Always,
        (false, _) => Adds::Never,
    }
}

fn origin(c: &mut Cursor) -> Result<String, TextError> {
    if c.takes('@') { c.text() } else { Ok(String::new()) }
}

fn named(c: &mut Cursor, name: &str) -> Result<u64, TextError> {
    c.keyword(name)?;
    c.parsed()
}

fn strides<const N: usize>(c: &mut Cursor) -> Result<[i64; N], TextError> {
    let error = c.error(format!("{N} strides"));
    c.list()?.try_into().map_err(|_| error)
}

fn product(c: &mut Cursor) -> Result<Product, TextError> {
    let result = if c.takes('_') { None } else { Some(arg(c)?) };
    let c_strides = strides(c)?;
    c.sign('=')?;
    let (a, a_strides) = (arg(c)?, strides(c)?);
    c.keyword("x")?;
    let (b, b_strides) = (arg(c)?, strides(c)?);
    let (m, n, k) = (named(c, "m")?, named(c, "n")?, named(c, "k")?);
    let adds = adds(c);
    c.keyword("batch")?;
    let axis = |c: &mut Cursor| Ok(BatchAxis { size: c.parsed()?, strides: strides(c)? });
    let batch = args(c, axis)?;
    let epilogue = if c.takes_word("then") { Some(epilogue(c)?) } else { None };
    Ok(Product { a, b, c: result, batch, m, n, k, a_strides, b_strides, c_strides, adds, epilogue })
}

fn epilogue(c: &mut Cursor) -> Result<Epilogue, TextError> {
    let kernel = c.parsed()?;
    let cols = named(c, "cols")?;
    let one = |c: &mut Cursor| {
        if c.takes_word("sums") { Ok(EpilogueArg::Sums) } else { arg(c).map(EpilogueArg::Memory) }
    };
    Ok(Epilogue { kernel, cols, args: args(c, one)? })
}

/// What stands in brackets, with commas between.
fn args<T>(
    c: &mut Cursor,
    one: impl Fn(&mut Cursor) -> Result<T, TextError>,
) -> Result<Vec<T>, TextError> {
    let mut args = vec![];
    c.sign('(')?;
    while !c.takes(')') {
        if !args.is_empty() {
            c.sign(',')?;
        }
        args.push(one(c)?);
    }
    Ok(args)
}
