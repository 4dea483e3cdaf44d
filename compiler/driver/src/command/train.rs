//! `llmc train`: compiles, decides where to train, trains, and says how to go on.

use std::io::{IsTerminal, Write};
use std::path::Path;

use exec::error::Error;
use exec::log::Row;
use exec::progress::{Pace, line};
use exec::run_dir::{self, Decision, OnChange, RunInfo};
use exec::signal::Stop;
use exec::train::{Event, Outcome, train};
use passes::usage::count;
use sema::Resume;

use super::Failure;
use super::build::plan_or_report;
use super::out::{say, say_part, tell};
use super::source::{Ready, ready, request};
use crate::budget::Watch;
use crate::changes::{self, Weights};
use crate::cli;
use crate::job;
use crate::logs::Logs;
use crate::machine::Site;

pub(super) fn run(args: &cli::Train) -> Result<(), Failure> {
    let mut ready = ready(&args.source)?;
    ready.out.clone_from(&args.out);
    let folder = job::folder(&ready.program, args.out.as_deref());
    job::keep_micro_batch(&mut ready.program.train, &folder);
    let (settings, map) = (&ready.program.train, &ready.front.map);
    let (site, device) = Site::of_program(args.machine.device, settings, map)?;
    let plan = plan_or_report(&mut ready, &args.source, &site)?;
    let settings = &ready.program.train;
    let corpus = ready.corpus.as_ref().expect("a program that trains has data");
    let request = request(&args.source, String::new());
    let info = job::info(settings, &plan, corpus, &ready.front, &request);
    let folder = match on_change(args, settings) {
        OnChange::GoOn => job::folder_of(&folder, args.out.as_deref(), &info)?,
        OnChange::Sibling | OnChange::Anew | OnChange::Refuse => folder,
    };
    say_changes(args, &mut ready, &info, &folder)?;
    let settings = &ready.program.train;
    let corpus = ready.corpus.as_ref().expect("a program that trains has data");
    let text = &ready.front.map.file(ready.front.file).text;
    let on_change = on_change(args, settings);
    let (decision, _lock) = job::open(&folder, &info, on_change, corpus, settings, text)?;
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
    let stop = Stop::on_signals().map_err(|e| Error::io("watch signals for", &dir, e))?;
    let options = job::options(args.machine.threads, device);
    let settings = &ready.program.train;
    let mut show = Show::new(&dir, settings.steps, every(settings));
    let mut logs = Logs::new(&settings.logs, &dir)?;
    let (mut watch, mut is_too_long) = (Watch::default(), false);
    let mut report = |event: Event| {
        let (mut failures, mut over) = (vec![], None);
        if let Event::Step(row) = &event {
            (failures, over) = (logs.add(row), watch.add(settings, row));
        }
        show.event(event);
        failures.into_iter().for_each(|failure| show.event(Event::Warning(failure)));
        if let Some(over) = over {
            show.end_line();
            is_too_long = ready.tell(&args.source, vec![over]);
        }
        if is_too_long {
            stop.request();
        }
    };
    let outcome = train(plan, corpus, &dir, &options, &stop, &mut report);
    show.end_line();
    match finish(&dir, args, &ready, outcome?) {
        Err(_) if is_too_long => Err(Failure::Spec(2)),
        ended => ended,
    }
}

/// How often the terminal shows a step, where the spec says.
fn every(train: &sema::Train) -> Option<u64> {
    train.logs.iter().filter(|log| log.file.is_none()).find_map(|log| log.every)
}

/// Where a run shall go on in its folder, says what changed since its checkpoint.
///
/// Weights that do not fit are refused when the folder is opened.
fn say_changes(
    args: &cli::Train,
    ready: &mut Ready,
    info: &RunInfo,
    folder: &Path,
) -> Result<(), Failure> {
    let Ok(then) = run_dir::info(folder) else { return Ok(()) };
    let is_same = then.identity == info.identity && then.trajectory == info.trajectory;
    let on_change = on_change(args, &ready.program.train);
    let is_beside = match on_change {
        OnChange::Sibling | OnChange::Anew => true,
        OnChange::Refuse | OnChange::GoOn => false,
    };
    if is_same || is_beside {
        return Ok(());
    }
    let weights = if then.identity == info.identity { Weights::Fit } else { Weights::Differ };
    if (weights, on_change) == (Weights::Fit, OnChange::GoOn) {
        // What cannot go on is not said to go on with the change.
        let corpus = ready.corpus.as_ref().expect("a program that trains has data");
        job::is_new_to(folder, info, corpus, &ready.program.train)?;
    }
    let is_data_same = then.data.is_empty() || then.data == info.data;
    let then = changes::Then { settings: &then.settings, is_data_same };
    let found = changes::since(&ready.program.train, then, weights, on_change);
    let is_refused = ready.say(&args.source, found) && weights == Weights::Fit;
    if is_refused { Err(Failure::Spec(2)) } else { Ok(()) }
}

/// Says how the run ended and how to go on.
fn finish(dir: &Path, args: &cli::Train, ready: &Ready, outcome: Outcome) -> Result<(), Failure> {
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
            if ready.program.data.gives_text() {
                say(format_args!("generate with: llmc generate {shown} \"your prompt\""));
            }
            Ok(())
        }
        Outcome::Preempted { step, saved } => {
            let kept = if saved { "saved" } else { "already saved" };
            say(format_args!("stopped at step {step}, {kept} in {shown}"));
            say(format_args!("go on with: llmc train {}", again(args, ready, dir)));
            Err(Error::Preempted.into())
        }
    }
}

/// The arguments that go on with this run.
fn again(args: &cli::Train, ready: &Ready, dir: &Path) -> String {
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
    let is_anew = ready.program.train.resume == Resume::Never;
    if let Some(out) = args.out.as_deref().or(is_anew.then_some(dir)) {
        words.push(format!("--out {}", quoted(&out.to_string_lossy())));
    }
    if is_anew {
        words.push("--resume".to_owned());
    }
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-=+".contains(c));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn on_change(args: &cli::Train, settings: &sema::Train) -> OnChange {
    match (&args.out, args.resume) {
        (_, true) => OnChange::GoOn,
        (Some(_), false) if settings.resume != Resume::Never => OnChange::Refuse,
        (_, false) => job::on_change(settings),
    }
}

/// Shows a run: one line that is rewritten on a terminal, a line now and then elsewhere.
struct Show {
    folder: String,
    steps: u64,
    /// Where the spec says.
    every: Option<u64>,
    pace: Pace,
    is_terminal: bool,
    /// A line without its end is on the screen.
    open: bool,
}

impl Show {
    fn new(folder: &Path, steps: u64, every: Option<u64>) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let folder = folder.display().to_string();
        Self { folder, steps, every, pace: Pace::new(steps), is_terminal, open: false }
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
            Event::Resumed { step } => {
                say(format_args!("going on from step {step} of {}", self.folder));
            }
            Event::Warning(text) => tell(format_args!("warning: {text}\n")),
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
