//! The CLIF of a plan's functions.
//!
//! A function takes the address of its context, whose first words are the entry points of the
//! runtime and the tables of kernels, operands and functions. The text holds no address, so it is
//! the same in every process.

use std::fmt::Write;

use plan::{Arg, Code, Plan, Step};

/// Words of the context, in bytes.
const STEP: u32 = 0;
const COUNT: u32 = 8;
const ITERATE: u32 = 16;
const KERNELS: u32 = 24;
const ARGS: u32 = 32;
const FUNCTIONS: u32 = 40;

/// The functions as text, and what the text refers to.
pub(super) struct Texts {
    /// One for each function.
    pub(super) code: Vec<Code>,
    /// The table of operands.
    pub(super) args: Vec<Arg>,
    /// The table of places.
    pub(super) places: Vec<Vec<usize>>,
}

/// The text of every function, for a machine's calling convention.
pub(super) fn of(plan: &Plan, convention: &str) -> Texts {
    let mut texts = Texts { code: vec![], args: vec![], places: vec![] };
    for (at, function) in plan.functions.iter().enumerate() {
        let mut writer = Writer { texts: &mut texts, body: String::new(), values: 2, blocks: 2 };
        let mut path = vec![at];
        writer.steps(&function.steps, &mut path, false);
        let body = writer.body;
        let text = format!(
            "function %f{at}(i64) -> i64 {convention} {{\n\
             sig0 = (i64, i64) -> i64 {convention}\n\
             sig1 = (i64, i64, i64) -> i64 {convention}\n\
             sig2 = (i64) -> i64 {convention}\n\
             sig3 = (i64, i64, i64) {convention}\n\
             block0(v0: i64):\n{body}  jump block1\n\
             block1:\n  v1 = iconst.i64 0\n  return v1\n\
             block2:\n  v2 = iconst.i64 1\n  return v2\n}}\n"
        );
        texts.code.push(Code { name: format!("f{at}"), text });
    }
    texts
}

/// The body of a function under way, and the last numbers in use; block 1 is its end, block 2 that
/// after an error, each with a value.
struct Writer<'t> {
    texts: &'t mut Texts,
    body: String,
    values: u32,
    blocks: u32,
}

impl Writer<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.body, "  {line}").expect("a string takes any text");
    }

    /// A value, written as `what`.
    fn value(&mut self, what: std::fmt::Arguments<'_>) -> u32 {
        self.values += 1;
        let value = self.values;
        self.line(format_args!("v{value} = {what}"));
        value
    }

    fn block(&mut self) -> u32 {
        self.blocks += 1;
        self.blocks
    }

    fn begin(&mut self, block: u32) {
        writeln!(self.body, "block{block}:").expect("a string takes any text");
    }

    /// Goes on if a call gave 0, else to the end of the function.
    fn check(&mut self, value: u32) {
        let next = self.block();
        self.line(format_args!("brif v{value}, block2, block{next}"));
        self.begin(next);
    }

    /// The value of an entry point of the runtime, called with a place and more.
    fn enter(&mut self, word: u32, place: usize, more: Option<u32>) -> u32 {
        let entry = self.value(format_args!("load.i64 v0+{word}"));
        let place = self.value(format_args!("iconst.i64 {place}"));
        match more {
            None => self.value(format_args!("call_indirect sig0, v{entry}(v0, v{place})")),
            Some(x) => self.value(format_args!("call_indirect sig1, v{entry}(v0, v{place}, v{x})")),
        }
    }

    fn steps(&mut self, steps: &[Step], path: &mut Vec<usize>, is_tiled: bool) {
        for (at, step) in steps.iter().enumerate() {
            path.push(at);
            self.step(step, path, is_tiled);
            path.pop();
        }
    }

    fn step(&mut self, step: &Step, path: &mut Vec<usize>, is_tiled: bool) {
        let place = self.texts.places.len();
        self.texts.places.push(path.clone());
        match step {
            // Inside of tiles, places move.
            Step::Kernel { code, args, extent, grain, .. } if !is_tiled && extent <= grain => {
                self.kernel(*code, args, *extent);
            }
            Step::Kernel { .. } | Step::Product { .. } | Step::Attention { .. } => {
                self.call_back(place);
            }
            Step::Launch { .. } | Step::Sort { .. } | Step::Yield(_) => self.call_back(place),
            Step::Call(callee) => {
                let table = self.value(format_args!("load.i64 v0+{FUNCTIONS}"));
                let callee = self.value(format_args!("load.i64 v{table}+{}", 8 * callee.0));
                let done = self.value(format_args!("call_indirect sig2, v{callee}(v0)"));
                self.check(done);
            }
            Step::Loop { body, .. } => {
                let count = self.enter(COUNT, place, None);
                self.repeat(count, |writer, _| writer.steps(body, path, is_tiled));
            }
            Step::Tiles { count, body, .. } => {
                let count = self.value(format_args!("iconst.i64 {count}"));
                self.repeat(count, |writer, index| {
                    let done = writer.enter(ITERATE, place, Some(index));
                    writer.check(done);
                    writer.steps(body, path, true);
                });
                let zero = self.value(format_args!("iconst.i64 0"));
                let done = self.enter(ITERATE, place, Some(zero));
                self.check(done);
            }
        }
    }

    fn call_back(&mut self, place: usize) {
        let done = self.enter(STEP, place, None);
        self.check(done);
    }

    /// A kernel on this thread, its operands found when the plan is loaded.
    fn kernel(&mut self, code: u32, args: &[Arg], extent: u64) {
        let table = self.value(format_args!("load.i64 v0+{KERNELS}"));
        let entry = self.value(format_args!("load.i64 v{table}+{}", 8 * code));
        let table = self.value(format_args!("load.i64 v0+{ARGS}"));
        let first = self.value(format_args!("iconst.i64 {}", 8 * self.texts.args.len()));
        let first = self.value(format_args!("iadd v{table}, v{first}"));
        let begin = self.value(format_args!("iconst.i64 0"));
        let end = self.value(format_args!("iconst.i64 {extent}"));
        self.line(format_args!("call_indirect sig3, v{entry}(v{first}, v{begin}, v{end})"));
        self.texts.args.extend(args);
    }

    /// Runs a body so often; it gets the value that counts from 0.
    fn repeat(&mut self, count: u32, body: impl FnOnce(&mut Self, u32)) {
        let zero = self.value(format_args!("iconst.i64 0"));
        let (head, inside, after) = (self.block(), self.block(), self.block());
        self.line(format_args!("jump block{head}(v{zero})"));
        self.values += 1;
        let index = self.values;
        writeln!(self.body, "block{head}(v{index}: i64):").expect("a string takes any text");
        let goes_on = self.value(format_args!("icmp ult v{index}, v{count}"));
        self.line(format_args!("brif v{goes_on}, block{inside}, block{after}"));
        self.begin(inside);
        body(self, index);
        let one = self.value(format_args!("iconst.i64 1"));
        let next = self.value(format_args!("iadd v{index}, v{one}"));
        self.line(format_args!("jump block{head}(v{next})"));
        self.begin(after);
    }
}
