//! `llmc build`: compiles, and prints a stage or the time of each step.

use std::time::Instant;

use diag::Diagnostic;
use passes::usage::size;
use plan::Plan;

use super::Failure;
use super::out::{say, say_part};
use super::source::{Ready, parse, ready, report};
use crate::budget::known;
use crate::cache;
use crate::cli::{Build, Source, Stage, Target};
use crate::compile::{BackEnd, Compiled, compile_within};
use crate::emit::emit;
use crate::front::Checked;
use crate::job::folder;
use crate::machine::Site;

pub(super) fn run(args: &Build) -> Result<(), Failure> {
    if args.emit == Some(Stage::Ast) {
        let front = parse(&args.source)?;
        let checked = Checked { program: None, diagnostics: front.diagnostics.clone() };
        report(&front, &checked, args.source.error_format);
        print(&syntax::print_spec(&front.spec));
        return match checked.has_errors() {
            true => Err(Failure::of(&checked.diagnostics)),
            false => Ok(()),
        };
    }
    let start = Instant::now();
    let mut ready = ready(&args.source)?;
    let front_time = start.elapsed();
    if args.emit == Some(Stage::Program) {
        ready.say(&args.source, vec![]);
        print(&ready.program.print());
        return Ok(());
    }
    let back_end = back_end(args)?;
    let compiled = compile_or_report(&mut ready, &args.source, &Site::host(back_end))?;
    match args.emit {
        Some(stage) => print(&emit(&compiled, stage)),
        None if !args.time => summary(&compiled),
        None => {}
    }
    if args.time {
        times(front_time, &compiled)?;
    }
    Ok(())
}

/// What to compile for; the code of a GPU that nobody named is that of a common one.
fn back_end(args: &Build) -> Result<BackEnd, Failure> {
    let named = args.target.map(Target::back_end);
    match (named, args.emit) {
        (None, Some(Stage::Ptx)) => Ok(BackEnd::Gpu(ptx_builder::Target::Sm90)),
        (Some(BackEnd::Cpu), Some(Stage::Ptx)) => {
            Err(Failure::Usage("a CPU runs no PTX: leave out `--target cpu`".to_owned()))
        }
        (Some(BackEnd::Gpu(_)), Some(Stage::Clif)) => {
            Err(Failure::Usage("a GPU runs no CLIF: use `--emit ptx`".to_owned()))
        }
        (named, _) => Ok(named.unwrap_or(BackEnd::Cpu)),
    }
}

/// The plan of a checked spec for a site; what there is to say of it is printed.
///
/// The program then has what followed from the memory.
pub(super) fn compile_or_report(
    ready: &mut Ready,
    source: &Source,
    site: &Site,
) -> Result<Compiled, Failure> {
    let &Site { room, back_end, .. } = site;
    let Ready { front, program, facts, .. } = &*ready;
    let done = compile_within(program, &front.map, facts.as_ref(), room, back_end);
    let compiled = done.map_err(|diagnostics| refuse(ready, source, diagnostics))?;
    let measured = known(&compiled.train, &folder(&ready.program, ready.out.as_deref()));
    warn(ready, source, compiled.warnings.iter().cloned().chain(measured).collect())?;
    ready.program.train = compiled.train.clone();
    site.settle(&mut ready.program.train);
    Ok(compiled)
}

/// The same, when the plan alone will do: it may have been compiled before.
pub(super) fn plan_or_report(
    ready: &mut Ready,
    source: &Source,
    site: &Site,
) -> Result<Plan, Failure> {
    let &Site { room, back_end, .. } = site;
    let Ready { front, program, facts, .. } = &*ready;
    let done = cache::plan(program, &front.map, facts.as_ref(), room, back_end);
    let (plan, warnings) = done.map_err(|diagnostics| refuse(ready, source, diagnostics))?;
    let mut train = ready.program.train.clone();
    if train.micro_batch != plan.run.micro_batch {
        train.choose_micro_batch(plan.run.micro_batch);
    }
    let measured = known(&train, &folder(&ready.program, ready.out.as_deref()));
    ready.program.train = train;
    warn(ready, source, warnings.into_iter().chain(measured).collect())?;
    site.settle(&mut ready.program.train);
    Ok(plan)
}

fn refuse(ready: &mut Ready, source: &Source, diagnostics: Vec<Diagnostic>) -> Failure {
    let failure = Failure::of(&diagnostics);
    ready.say(source, diagnostics);
    failure
}

fn warn(ready: &mut Ready, source: &Source, found: Vec<Diagnostic>) -> Result<(), Failure> {
    if ready.say(source, found) { Err(Failure::Spec(2)) } else { Ok(()) }
}

fn print(text: &str) {
    say_part(format_args!("{text}"));
}

fn summary(compiled: &Compiled) {
    let plan = &compiled.plan;
    let steps: usize = plan.functions.iter().map(|f| f.steps.len()).sum();
    say(format_args!(
        "{}: {} functions, {} steps, {} kernels, an arena of {}",
        plan.name,
        plan.functions.len(),
        steps,
        plan.code.len(),
        size(plan.arena_bytes),
    ));
}

/// The time of every step; machine code is made as `train` would make it.
fn times(front: std::time::Duration, compiled: &Compiled) -> Result<(), Failure> {
    let start = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let options = exec::executor::Options::threads(threads);
    exec::executor::Executor::load(compiled.plan.clone(), &options)?;
    let load = start.elapsed();
    let mut rows = vec![("parse, check, data", front)];
    rows.extend(compiled.times.iter().map(|(name, time)| (name.as_str(), *time)));
    rows.push(("machine code", load));
    let total: std::time::Duration = rows.iter().map(|(_, time)| *time).sum();
    rows.push(("total", total));
    for (name, time) in rows {
        say(format_args!("{:>9.2} ms  {name}", time.as_secs_f64() * 1e3));
    }
    Ok(())
}
