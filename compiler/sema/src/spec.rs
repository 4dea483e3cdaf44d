//! Checks a spec: blocks and directives in, a [`Program`] out.
//!
//! The order is: classify the lines of the file, read the data block, read the training block with
//! what the data is known to hold, bind the model, and trace it once at the sizes of the run.
//! A fault in one directive never hides a fault in another, and is never reported twice.

mod allow;
mod args;
mod batch;
mod bind;
mod data;
mod file;
mod foreign;
mod habits;
mod input;
mod interface;
mod jobs;
mod kinds;
mod lengths;
mod lines;
mod lints;
mod options;
mod origin;
mod overrides;
mod policies;
mod promises;
mod quantity;
mod regular;
mod rules;
mod schedule;
mod sets;
mod settings;
mod shares;
mod stopping;
mod train;
mod units;
mod values;
mod words;

use std::rc::Rc;
use std::sync::Arc;

use diag::{Code, Diagnostic, Level, SourceMap, without_repeats};
use syntax::ast;

use crate::library::Library;
use crate::program::{DataSource, Facts, Program};
use crate::schema::Home;
use crate::trace::{Elem, Type};
use crate::value::{StaticArg, StaticEnv};

pub use allow::allows;
pub(crate) use bind::is_later;
use file::{BlockNode, Blocks};
pub use input::{CliOption, Import, Input, variables};
pub use interface::{ArgInfo, Interface, JobInfo, interface};
pub use origin::origin;
pub use overrides::Override;
use units::Unit;
pub(crate) use words::not_built;

/// What every part of the check reads, and the diagnostics they all add to.
#[derive(Debug)]
struct Checker<'a> {
    input: &'a Input<'a>,
    name: &'a str,
    /// The file that is being read.
    spec: &'a Arc<ast::Spec>,
    map: &'a SourceMap,
    library: Library,
    /// The names of that file.
    env: StaticEnv,
    facts: Option<&'a Facts>,
    /// Names bound by `use` lines whose file was not read: nothing is said about their members.
    imported: Vec<String>,
    /// All files, the spec first.
    units: Vec<Unit<'a>>,
    /// The number of the file that is being read.
    unit: usize,
    /// The blocks of every file.
    blocks: Rc<Vec<Blocks>>,
    /// The names of the blocks of the spec.
    block_names: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    /// With every file classified and every argument at its value.
    fn new(input: &'a Input<'a>, facts: Option<&'a Facts>, library: Library) -> Self {
        let units = units::load(input);
        let Input { name, spec, map, .. } = *input;
        let imported = units[0].missing.clone();
        let (env, blocks, block_names) = (StaticEnv::new(), Rc::new(vec![]), vec![]);
        let (unit, diagnostics) = (0, vec![]);
        let mut cx = Checker {
            input,
            name,
            spec,
            map,
            library,
            env,
            facts,
            imported,
            units,
            unit,
            blocks,
            block_names,
            diagnostics,
        };
        let all = 0..cx.units.len();
        let blocks: Vec<Blocks> = all.map(|unit| cx.within(unit, file::classify)).collect();
        cx.block_names = blocks[0].names();
        for unit in units::in_order(&cx.units) {
            let prefix = cx.units[unit].prefix.clone();
            cx.within(unit, |cx| {
                cx.absorb();
                options::resolve(cx, &blocks[unit].args, &prefix);
            });
        }
        let known = cx.arg_paths(&blocks);
        options::check_names(&mut cx, &known);
        cx.one_file_each(&blocks);
        cx.blocks = Rc::new(blocks);
        cx.copy_heads();
        cx
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Adds what a declaration says, without what follows from an import that could not be read.
    fn report_all(&mut self, diagnostics: Vec<Diagnostic>) {
        for d in diagnostics {
            let text = self.map.text(d.span());
            let imported = self.imported.iter().any(|name| {
                text.strip_prefix(name.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('.'))
            });
            if !(imported && d.code == Code::E0202) {
                self.diagnostics.push(d);
            }
        }
    }

    fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.level == Level::Error)
    }
}

/// Where so much is wrong with one job, the others wait.
const ENOUGH: usize = 1000;

/// Checks a spec and resolves it to a program.
///
/// Without `facts` everything is checked that does not need the data; there is then no program
/// where it depends on them: a vocabulary of characters, a length in epochs. A spec without an
/// error and without a `train` block has no program either. Every job is checked unless one is
/// named; the program is that of the one to run.
pub fn check(input: &Input<'_>, facts: Option<&Facts>) -> (Option<Program>, Vec<Diagnostic>) {
    let sources = units::sources(input, &units::load(input));
    let (library, declared) = Library::load(&sources, input.map);
    let mut cx = Checker::new(input, facts, library.clone());
    // Nothing is traced of declarations that are wrong.
    cx.diagnostics.splice(0..0, declared.iter().cloned());
    let blocks = cx.blocks.clone();
    let job = jobs::choose(&mut cx, &blocks[0]);
    let program = run(&mut cx, job);
    let program = program.filter(|_| !cx.has_errors());
    let mut diagnostics = std::mem::take(&mut cx.diagnostics);
    for unit in &cx.units {
        diagnostics.extend(allow::allows(unit.spec, input.map).1);
    }
    let others = jobs::others(&blocks[0], job).filter(|_| input.job.is_none());
    for other in others {
        if diagnostics.iter().filter(|d| d.level == Level::Error).count() > ENOUGH {
            break;
        }
        // The facts are those of the data of the job that runs.
        let mut cx = Checker::new(input, None, library.clone());
        cx.diagnostics.splice(0..0, declared.iter().cloned());
        run(&mut cx, Some(other));
        diagnostics.extend(cx.diagnostics);
    }
    let mut diagnostics = without_repeats(diagnostics);
    diagnostics.sort_by_key(|d| (d.span().file, d.span().start));
    (program.filter(|_| !has_errors(&diagnostics)), diagnostics)
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.level == Level::Error)
}

/// The data of the training job alone, so that the driver can read it before the full check.
///
/// Its diagnostics are among those of [`check`]; there is no source where there is an error.
pub fn data_request(input: &Input<'_>) -> (Option<DataSource>, Vec<Diagnostic>) {
    let mut cx = Checker::new(input, None, Library::default());
    let blocks = cx.blocks.clone();
    let job = jobs::choose(&mut cx, &blocks[0]);
    let lines = job.map(|job| lines::read(&mut cx, job, Home::Train, input.overrides));
    // Faults outside the data block are the full check's to report.
    cx.diagnostics.clear();
    let chosen = jobs::data(&mut cx, job, lines.as_ref());
    let source = chosen.and_then(|block| {
        let all =
            cx.within(block.unit, |cx| data::resolve_all(cx, &blocks[block.unit], input.overrides));
        all.into_iter().find(|r| r.word == block.word)
    });
    let source = source.map(|s| s.source).filter(|_| !cx.has_errors());
    (source, cx.diagnostics)
}

/// Everything of the spec, for one of its jobs.
fn run<'a>(cx: &mut Checker<'a>, job: Option<&BlockNode>) -> Option<Program> {
    let (blocks, overrides) = (cx.blocks.clone(), cx.input.overrides);
    overrides::check_paths(cx, &blocks[0], overrides);
    file::require_blocks(cx, &blocks[0]);

    bind::announce(cx);
    let lines = job.map(|job| lines::read(cx, job, Home::Train, overrides));
    if let Some(lines) = &lines {
        lints::check_lines(cx, lines);
    }
    let chosen = jobs::data(cx, job, lines.as_ref());
    let mut source = None;
    let mut models = vec![vec![]; blocks.len()];
    for unit in units::in_order(&cx.units) {
        let own = cx.within(unit, |cx| {
            cx.absorb();
            let all = data::resolve_all(cx, &blocks[unit], overrides);
            let is_chosen =
                |r: &data::Resolved<'_>| chosen.as_ref().is_some_and(|c| c.word == r.word);
            let own = all.into_iter().find(is_chosen);
            data::publish(cx, &blocks[unit], own.as_ref());
            models[unit] = bind::models(cx, &blocks[unit]);
            bind::publish(cx, &models[unit]);
            own
        });
        source = own.or(source);
    }

    let (job, lines) = (job?, lines?);
    let mut model = jobs::model(cx, job, &models, &lines);
    regular::dropout(cx, &lines, model.as_mut());
    let mut train = train::resolve(cx, job, &lines, model.as_ref(), source.as_ref())?;
    let (model, source) = (model?, source?);
    train.settings = settings::all(cx, &lines, &train, &source, &model);
    lints::check(cx, &lines, &train);
    data::lints(cx, &lines, &source, &train);
    let (vocab, classes) = (source.vocab?, source.classes);
    if classes.is_none() && source.source.has_labels() {
        return None;
    }
    let (data, name) = (source.source, jobs::run_name(cx, job));
    let (library, model_name, model) = (cx.library.clone(), model.name, model.call);
    let program = Program { name, library, model, model_name, vocab, classes, data, train };
    if !cx.has_errors() {
        trace_once(cx, &lines, &program);
    }
    Some(program)
}

/// Traces everything at the sizes of the run, so that what only fails there is reported now.
fn trace_once(cx: &mut Checker<'_>, lines: &lines::Lines<'_>, program: &Program) {
    let unknown = |call: &crate::Call| call.args.iter().any(|(_, a)| *a == StaticArg::Unknown);
    let (batch, time) = (program.train.micro_batch, program.train.context);
    if unknown(&program.model) || !bind::vocab_fits(cx, program) {
        return;
    }
    let model = match program.trace_model(batch, time) {
        Ok(trace) => trace,
        Err(diagnostics) => return cx.report_all(diagnostics),
    };
    let logits = model.outputs.first().map(|id| model.instrs[id.0 as usize].ty.clone());
    bind::check_output(cx, program, logits.as_ref());
    bind::check_sight(cx, program, &model);
    if cx.has_errors() {
        return;
    }
    sets::check(cx, lines, program, &model.params);
    origin::check_weights(cx, program, &model.params);
    if let Err(diagnostics) = program.trace_loss(1, time) {
        cx.report_all(diagnostics);
    }
    match program.trace_schedule() {
        Ok(schedule) => lints::check_traces(cx, lines, program, &model, schedule.as_ref()),
        Err(diagnostics) => cx.report_all(diagnostics),
    }
    trace_rules(cx, program, &model.params);
}

/// Traces every rule for the shapes of the weights that it updates, each shape once.
fn trace_rules(cx: &mut Checker<'_>, program: &Program, params: &[crate::trace::Param]) {
    let groups = &program.train.groups;
    let mut seen = std::collections::BTreeSet::new();
    for param in params {
        let Some(group) = groups.iter().position(|g| g.on.contains(param)) else { continue };
        if !seen.insert((group, &param.shape)) {
            continue;
        }
        if let Err(diagnostics) = program.trace_rule(group, &param.shape, true) {
            return cx.report_all(diagnostics);
        }
    }
}

/// The type of a batch of ids.
pub(crate) fn ids(vocab: u64, batch: u64, time: u64) -> Type {
    Type { elem: Elem::Ids(vocab), shape: vec![batch, time] }
}

#[cfg(test)]
mod tests;
