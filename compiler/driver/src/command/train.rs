//! `llmc train`: compiles, decides where to train, trains, and says how to go on.

mod logs;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use data::Corpus;
use exec::error::Error;
use exec::executor::Options;
use exec::log::Row;
use exec::progress::{Pace, line};
use exec::run_dir::{self, Decision, OnChange, RunInfo};
use exec::signal::Stop;
use exec::train::{Event, Outcome, train};
use passes::usage::count;
use plan::Plan;

use logs::Logs;

use super::Failure;
use super::build::plan_or_report;
use super::out::{say, say_part};
use super::source::{Ready, ready};
use crate::cache;
use crate::cli;
use crate::front::run_folder;
use crate::machine::{Site, grids};

pub(super) fn run(args: &cli::Train) -> Result<(), Failure> {
    let mut ready = ready(&args.source)?;
    keep_micro_batch(args, &mut ready);
    let (settings, map) = (&ready.program.train, &ready.front.map);
    let (site, device) = Site::of_program(args.machine.device, settings, map)?;
    let plan = plan_or_report(&mut ready, &args.source, &site)?;
    let info = info(args, &ready, &plan);
    let (decision, _lock) = run_dir::open(&folder(args, &ready), &info, on_change(args))?;
    let dir = decision.folder().to_owned();
    match &decision {
        Decision::Finished(_, ended) => {
            let done = format!("{} finished at step {}", dir.display(), ended.step);
            say(format_args!(
                "{done}; nothing to do. Change the spec, or name another folder with --out"
            ));
            return Ok(());
        }
        Decision::NewSibling(_, why) => {
            say(format_args!("new run in {}, because {why}", dir.display()))
        }
        Decision::Fresh(_) | Decision::Resume(..) => {}
    }
    let corpus = ready.corpus.as_ref().expect("a program that trains has data");
    if is_new_to(&dir, &info, corpus)? {
        let text = &ready.front.map.file(ready.front.file).text;
        run_dir::create(&dir, &info, &resolved(&ready, text), corpus.vocabulary())?;
    }
    let stop = Stop::on_signals().map_err(|e| Error::io("watch signals for", &dir, e))?;
    let options = options(&args.machine, device);
    let settings = &ready.program.train;
    let mut show = Show::new(settings.steps, every(settings));
    let mut logs = Logs::new(&settings.logs, &dir);
    let mut report = |event: Event| {
        let failures = match &event {
            Event::Step(row) => logs.add(row),
            _ => vec![],
        };
        show.event(event);
        failures.into_iter().for_each(|failure| show.event(Event::Warning(failure)));
    };
    let outcome = train(plan, corpus, &dir, &options, &stop, &mut report);
    show.end_line();
    finish(&dir, args, outcome?)
}

/// How often the terminal shows a step, where the spec says.
fn every(train: &sema::Train) -> Option<u64> {
    train.logs.iter().filter(|log| log.file.is_none()).find_map(|log| log.every)
}

/// Whether the folder is no run's yet, or that of a run which goes on as another program.
fn is_new_to(dir: &Path, info: &RunInfo, corpus: &Corpus) -> Result<bool, Error> {
    if !dir.join("run.json").exists() {
        return Ok(true);
    }
    // Before anything of the folder changes: its checkpoints mean nothing without their ids.
    if run_dir::vocabulary(dir)? != *corpus.vocabulary() {
        return Err(Error::checkpoint(dir, "it was trained with another vocabulary"));
    }
    Ok(run_dir::info(dir)?.trajectory != info.trajectory)
}

/// Says how the run ended and how to go on.
fn finish(dir: &Path, args: &cli::Train, outcome: Outcome) -> Result<(), Failure> {
    let shown = dir.display();
    match outcome {
        Outcome::Finished(ended) => {
            let number = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.4}"));
            say(format_args!(
                "done: step {}, loss {}, val loss {}",
                ended.step,
                number(ended.loss),
                number(ended.val_loss)
            ));
            say(format_args!("run folder {shown}"));
            say(format_args!("generate with: llmc generate {shown} \"your prompt\""));
            Ok(())
        }
        Outcome::Preempted { step, saved } => {
            let kept = if saved { "saved" } else { "already saved" };
            say(format_args!("stopped at step {step}, {kept} in {shown}"));
            say(format_args!("go on with: llmc train {}", again(args)));
            Err(Error::Preempted.into())
        }
    }
}

/// The arguments that go on with this run.
fn again(args: &cli::Train) -> String {
    let mut words = vec![quoted(&args.source.spec.to_string_lossy())];
    words.extend(args.source.job.as_deref().map(quoted));
    for (name, value) in args.source.options() {
        let name = name.replace('_', "-");
        match value {
            Some(value) => words.push(format!("--arg {}", quoted(&format!("{name}={value}")))),
            None => words.push(format!("--arg {}", quoted(&name))),
        }
    }
    if let Some(root) = &args.source.root {
        words.push(format!("--root {}", quoted(&root.to_string_lossy())));
    }
    for set in &args.source.sets {
        words.push(format!("--set {}", quoted(set)));
    }
    if let Some(device) = args.machine.device {
        words.push(format!("--device {}", device.name()));
    }
    if let Some(out) = &args.out {
        words.push(format!("--out {}", quoted(&out.to_string_lossy())));
    }
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-=+".contains(c));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn folder(args: &cli::Train, ready: &Ready) -> PathBuf {
    args.out.clone().unwrap_or_else(|| run_folder(&ready.program))
}

/// A run that goes on has the micro-batch that it started with, whatever fits here.
fn keep_micro_batch(args: &cli::Train, ready: &mut Ready) {
    let found = run_dir::micro_batch(&folder(args, ready), &settings(ready));
    let train = &mut ready.program.train;
    if let Some(n) = found
        && train.may_keep_micro_batch(n)
    {
        train.keep_micro_batch(n);
    }
}

fn on_change(args: &cli::Train) -> OnChange {
    match (&args.out, args.resume) {
        (_, true) => OnChange::GoOn,
        (Some(_), false) => OnChange::Refuse,
        (None, false) => OnChange::Sibling,
    }
}

/// What the settings of a program came out as, but for what is only watched.
fn settings(ready: &Ready) -> BTreeMap<String, String> {
    let all = ready.program.train.settings.iter();
    let kept = all.filter(|s| s.class != sema::SettingClass::Observation);
    kept.map(|s| (s.name.clone(), s.value.clone())).collect()
}

fn info(args: &cli::Train, ready: &Ready, plan: &Plan) -> RunInfo {
    RunInfo {
        name: plan.name.clone(),
        compiler: plan.compiler.clone(),
        identity: plan.run.identity.clone(),
        trajectory: plan.run.trajectory.clone(),
        settings: settings(ready),
        sets: args.source.sets.clone(),
        options: args.source.options(),
        job: args.source.job.clone(),
        environment: ready.front.environment.clone(),
        uses: ready.front.texts.clone(),
    }
}

/// The spec as it was read, under a table of what every setting came out as.
fn resolved(ready: &Ready, text: &str) -> String {
    let mut out = String::from("# Resolved settings:\n");
    for s in &ready.program.train.settings {
        out.push_str(&format!("#   {:<14} {:<34} {}\n", s.name, s.value, s.origin));
    }
    out.push('\n');
    out.push_str(text);
    out
}

/// How to run: with the threads that are asked for, or all cores.
pub(super) fn options(machine: &cli::Machine, device: cli::Device) -> Options {
    let all = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = machine.threads.unwrap_or_else(all).max(1);
    Options { threads, grids: grids(device), kept: cache::of_user() }
}

/// Shows a run: one line that is rewritten on a terminal, a line now and then elsewhere.
struct Show {
    steps: u64,
    /// Where the spec says.
    every: Option<u64>,
    pace: Pace,
    is_terminal: bool,
    /// A line without its end is on the screen.
    open: bool,
}

impl Show {
    fn new(steps: u64, every: Option<u64>) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        Self { steps, every, pace: Pace::new(steps), is_terminal, open: false }
    }

    fn event(&mut self, event: Event) {
        if !matches!(event, Event::Step(_)) {
            self.end_line();
        }
        match event {
            Event::Step(row) => self.step(&row),
            Event::Started { parameters } => {
                say(format_args!("training {} parameters", count(parameters)));
            }
            Event::Took { from, n_taken, fresh } => took(&from, n_taken, &fresh),
            Event::Resumed { step } => say(format_args!("going on from step {step}")),
            Event::Warning(text) => eprintln!("warning: {text}"),
            Event::Saved { step, path } => {
                say(format_args!("saved step {step} in {}", path.display()));
            }
            Event::Sample { step, prompt, text } => {
                say(format_args!("--- sample at step {step} ---\n{prompt}{text}\n---"));
            }
        }
    }

    fn step(&mut self, row: &Row) {
        let text = line(row, self.steps);
        if self.is_terminal {
            say_part(format_args!("\r\x1b[K{} {text}", bar(row.step, self.steps)));
            let _ = std::io::stdout().flush();
            self.open = true;
            if row.val_loss.is_some() || row.skipped {
                self.end_line();
            }
        } else if self.is_due(row) {
            say(format_args!("{text}"));
        }
    }

    fn is_due(&mut self, row: &Row) -> bool {
        match self.every {
            Some(every) => row.step.is_multiple_of(every) || row.val_loss.is_some() || row.skipped,
            None => self.pace.due(row),
        }
    }

    fn end_line(&mut self) {
        if self.open {
            say(format_args!(""));
            self.open = false;
        }
    }
}

/// Says what a run starts with.
fn took(from: &Path, n_taken: usize, fresh: &[String]) {
    /// More would hide the next lines.
    const SHOWN: usize = 8;
    let total = n_taken + fresh.len();
    say(format_args!("starting with {n_taken} of {total} tensors of {}", from.display()));
    for line in fresh.iter().take(SHOWN) {
        say(format_args!("  {line}"));
    }
    if let Some(more) = fresh.len().checked_sub(SHOWN).filter(|&n| n > 0) {
        say(format_args!("  and {more} more"));
    }
}

/// How much of the run is done, as a bar.
fn bar(step: u64, steps: u64) -> String {
    const WIDTH: u64 = 20;
    let done = (step * WIDTH / steps.max(1)).min(WIDTH);
    let part = |n: u64, c: &str| c.repeat(usize::try_from(n).expect("a bar is short"));
    format!("[{}{}]", part(done, "█"), part(WIDTH - done, "·"))
}
