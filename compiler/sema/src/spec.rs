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
mod lengths;
mod lines;
mod lints;
mod overrides;
mod policies;
mod regular;
mod rules;
mod schedule;
mod sets;
mod settings;
mod train;
mod values;
mod words;

use diag::{Code, Diagnostic, Level, SourceMap};
use syntax::ast;

use crate::library::{Library, Provenance};
use crate::program::{DataSource, Facts, Program};
use crate::schema::Home;
use crate::trace::{Elem, Type};
use crate::value::{StaticArg, StaticEnv};

pub use allow::allows;
pub(crate) use bind::is_later;
pub use overrides::Override;
pub(crate) use words::not_built;

/// What every part of the check reads, and the diagnostics they all add to.
#[derive(Debug)]
struct Checker<'a> {
    name: &'a str,
    spec: &'a ast::Spec,
    map: &'a SourceMap,
    library: Library,
    env: StaticEnv,
    facts: Option<&'a Facts>,
    /// Names bound by `use`, which is not built: nothing is said about their members.
    imported: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Adds what a declaration says, without what follows from an import that is not built.
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

/// Checks a spec and resolves it to a program.
///
/// `name` is the file's stem. Without `facts` everything is checked that does not need the data;
/// there is then no program where it depends on them: a vocabulary of characters, a length in
/// epochs. A spec without an error and without a `train` block has no program either.
pub fn check(
    name: &str,
    spec: &ast::Spec,
    overrides: &[Override],
    std: &[&ast::Spec],
    map: &SourceMap,
    facts: Option<&Facts>,
) -> (Option<Program>, Vec<Diagnostic>) {
    let sources: Vec<_> =
        std.iter().map(|s| (*s, Provenance::Std)).chain([(spec, Provenance::User)]).collect();
    let (library, diagnostics) = Library::load(&sources, map);
    let env = StaticEnv::new();
    let imported = vec![];
    let mut cx = Checker { name, spec, map, library, env, facts, imported, diagnostics };
    cx.diagnostics.extend(allow::allows(spec, map).1);
    let program = run(&mut cx, overrides);
    let program = program.filter(|_| !cx.has_errors());
    let mut diagnostics = cx.diagnostics;
    diagnostics.sort_by_key(|d| (d.span().file, d.span().start));
    (program, diagnostics)
}

/// The data of the training job alone, so that the driver can read it before the full check.
///
/// Its diagnostics are among those of [`check`]; there is no source where there is an error.
pub fn data_request(
    name: &str,
    spec: &ast::Spec,
    overrides: &[Override],
    map: &SourceMap,
) -> (Option<DataSource>, Vec<Diagnostic>) {
    let (library, env) = (Library::default(), StaticEnv::new());
    let (imported, diagnostics) = (vec![], vec![]);
    let mut cx = Checker { name, spec, map, library, env, facts: None, imported, diagnostics };
    let blocks = file::classify(&mut cx);
    let job = blocks.trains.first();
    let lines = job.map(|job| lines::read(&mut cx, job, Home::Train, overrides));
    // Faults outside the data block are the full check's to report.
    cx.diagnostics.clear();
    let chosen = data::choose(&mut cx, &blocks, lines.as_ref());
    let all = data::resolve_all(&mut cx, &blocks, overrides);
    let source = chosen.and_then(|c| all.into_iter().find(|r| r.word == c.word));
    let source = source.map(|s| s.source).filter(|_| !cx.has_errors());
    (source, cx.diagnostics)
}

fn run<'a>(cx: &mut Checker<'a>, overrides: &'a [Override]) -> Option<Program> {
    let blocks = file::classify(cx);
    overrides::check_paths(cx, &blocks, overrides);
    file::require_blocks(cx, &blocks);

    let lines = blocks.trains.first().map(|job| lines::read(cx, job, Home::Train, overrides));
    if let Some(lines) = &lines {
        lints::check_lines(cx, lines);
    }
    let chosen = data::choose(cx, &blocks, lines.as_ref());
    let all = data::resolve_all(cx, &blocks, overrides);
    let source = chosen.and_then(|c| all.into_iter().find(|r| r.word == c.word));
    data::publish(cx, &blocks, source.as_ref());

    let models = bind::models(cx, &blocks);
    let (job, lines) = (blocks.trains.first()?, lines?);
    let mut model = bind::choose_model(cx, &blocks, &models, &lines);
    regular::dropout(cx, &lines, model.as_mut());
    let mut train = train::resolve(cx, job, &lines, model.as_ref(), source.as_ref())?;
    let (model, source) = (model?, source?);
    train.settings = settings::all(cx, &lines, &train, &source, &model);
    lints::check(cx, &lines, &train);
    data::lints(cx, &source, &train);
    let (vocab, classes) = (source.vocab?, source.classes);
    if classes.is_none() && source.source.has_labels() {
        return None;
    }
    let (data, name) = (source.source, cx.name.to_owned());
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
