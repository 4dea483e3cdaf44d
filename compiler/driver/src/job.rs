//! What the command line and embedders share of a run: its folder, its start.
//!
//! In: a checked program and its plan. Out: a folder that is this run's, locked, and an executor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data::Corpus;
use data::Vocabulary;
use exec::checkpoint::load;
use exec::executor::{Executor, Options};
use exec::lock::Lock;
use exec::run_dir::{self, Decision, OnChange, RunInfo};
use exec::train::not_exact;
use passes::fit::Room;
use plan::Plan;
use sema::{Facts, Program, Resume, Task, Train};

use crate::budget::work;
use crate::cache;
use crate::cli::Device;
use crate::error::Error;
use crate::front::uses::Files;
use crate::front::{Front, Request, run_folder};
use crate::machine::{Site, grids};
use crate::report::Report;

/// The folder of a run: the one that is named from outside, or by the spec, or `runs/NAME`.
pub fn folder(program: &Program, named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| run_folder(program), Path::to_owned)
}

/// What becomes of a folder that the spec names and that holds a run.
pub fn on_change(train: &Train) -> OnChange {
    match train.resume {
        Resume::Never => OnChange::Anew,
        Resume::Auto | Resume::Exact => OnChange::Sibling,
    }
}

/// A run that goes on has the micro-batch that it started with, whatever fits here.
pub fn keep_micro_batch(train: &mut Train, folder: &Path) {
    if let Some(n) = run_dir::micro_batch(folder, &settings(train))
        && train.may_keep_micro_batch(n)
    {
        train.keep_micro_batch(n);
    }
}

/// What the settings of a program came out as, but for what is only watched.
pub fn settings(train: &Train) -> BTreeMap<String, String> {
    let kept = train.settings.iter().filter(|s| s.class != sema::SettingClass::Observation);
    kept.map(|s| (s.name.clone(), s.value.clone())).collect()
}

/// Which program a folder is to belong to.
pub fn info(
    train: &Train,
    plan: &Plan,
    corpus: &Corpus,
    front: &Front,
    request: &Request,
) -> RunInfo {
    RunInfo {
        name: plan.name.clone(),
        compiler: plan.compiler.clone(),
        identity: plan.run.identity.clone(),
        trajectory: plan.run.trajectory.clone(),
        settings: settings(train),
        work: work(train),
        sets: request.sets.clone(),
        options: request.options.clone(),
        job: request.job.clone(),
        environment: front.environment.clone(),
        data: corpus.hash().to_owned(),
        classes: corpus.classes().to_vec(),
        uses: front.texts.clone(),
    }
}

/// The folder that a run goes on in with what changed: the one that is named from outside, else
/// that of this very program where there is one.
pub fn folder_of(
    folder: &Path,
    named: Option<&Path>,
    info: &RunInfo,
) -> Result<PathBuf, exec::error::Error> {
    match named {
        Some(_) => Ok(folder.to_owned()),
        None => run_dir::of_program(folder, info),
    }
}

/// Decides where a run goes on or begins, locks that folder, and writes what it holds from the
/// start.
pub fn open(
    folder: &Path,
    info: &RunInfo,
    on_change: OnChange,
    corpus: &Corpus,
    train: &Train,
    text: &str,
) -> Result<(Decision, Lock), Error> {
    let (decision, lock) = run_dir::open(folder, info, on_change)?;
    let dir = decision.folder();
    if !matches!(decision, Decision::Finished(..)) && is_new_to(dir, info, corpus, train)? {
        run_dir::create(dir, info, &resolved(train, text), corpus.vocabulary())?;
    }
    Ok((decision, lock))
}

/// Whether the folder is no run's yet, or that of a run which goes on as another program.
///
/// A run that cannot go on so is refused.
pub(crate) fn is_new_to(
    dir: &Path,
    info: &RunInfo,
    corpus: &Corpus,
    train: &Train,
) -> Result<bool, exec::error::Error> {
    if !dir.join("run.json").exists() {
        return Ok(true);
    }
    // Before anything of the folder changes: its checkpoints mean nothing without their ids.
    if run_dir::vocabulary(dir)? != *corpus.vocabulary() {
        let what = "it was trained with another vocabulary, so its weights mean other text; bring \
                    back its data and tokenizer, or train in another folder: `--out DIR`";
        return Err(exec::error::Error::checkpoint(dir, what));
    }
    let there = run_dir::info(dir)?;
    if !there.classes.is_empty() && there.classes != info.classes {
        let [then, now] = [&there.classes, &info.classes].map(|names| names.join(", "));
        let what = format!(
            "its classes were {then}, now they are {now}, so its outputs mean others; bring back \
             its data, or train in another folder: `--out DIR`"
        );
        return Err(exec::error::Error::checkpoint(dir, what));
    }
    let is_new = there.trajectory != info.trajectory;
    if is_new && train.resume == Resume::Exact {
        return Err(not_exact(dir, "the training program changed"));
    }
    let done = load::steps(dir).last().copied().unwrap_or(0);
    if is_new && done > train.steps {
        let (steps, dir) = (train.steps, dir.display());
        let what =
            format!("{dir} is at step {done}, beyond `steps {steps}`: nothing is left to do");
        return Err(exec::error::Error::Folder(what));
    }
    Ok(is_new)
}

/// A spec as it was read, under a table of what every setting came out as.
fn resolved(train: &Train, text: &str) -> String {
    let mut out = String::from("# Resolved settings:\n");
    for s in &train.settings {
        out.push_str(&format!("#   {:<14} {:<34} {}\n", s.name, s.value, s.origin));
    }
    out.push('\n');
    out.push_str(text);
    out
}

/// How to run: with the threads that are asked for, or all cores.
pub fn options(threads: Option<usize>, device: Device) -> Options {
    let all = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = threads.unwrap_or_else(all).max(1);
    Options { threads, grids: grids(device), kept: cache::of_user() }
}

/// A run's newest checkpoint, ready to write text.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub executor: Executor,
    /// What its ids mean.
    pub vocabulary: Vocabulary,
    /// Whether it learned from questions and answers.
    pub is_dialogue: bool,
    /// The step of the checkpoint.
    pub step: u64,
    /// Why newer ones were not taken.
    pub warnings: Vec<String>,
}

/// Loads the newest checkpoint of a run from its folder alone.
pub fn load(dir: &Path, threads: Option<usize>, device: Option<Device>) -> Result<Loaded, Error> {
    if !dir.join("run.json").is_file() {
        let what = "this is not the folder of a run; `llmc train` makes one";
        return Err(exec::error::Error::checkpoint(dir, what).into());
    }
    let info = run_dir::info(dir)?;
    let found = load::newest(dir)?.ok_or_else(|| {
        Error::Usage(format!("{} has no checkpoint yet; train it first", dir.display()))
    })?;
    let vocabulary = run_dir::vocabulary(dir)?;
    let path = dir.join("spec.lt");
    let read = |e| exec::error::Error::io("read", &path, e);
    let text = std::fs::read_to_string(&path).map_err(read)?;
    let front = Front::read(&Request {
        path: path.to_string_lossy().into_owned(),
        text,
        sets: info.sets.clone(),
        options: info.options.clone(),
        job: info.job.clone(),
        files: Files::Texts(info.uses.clone()),
        environment: Some(info.environment.clone()),
    });
    let data = front.data_request();
    if data.as_ref().is_some_and(|data| data.task != Task::NextToken) {
        let what = "it learned labels or hidden tokens, not to write text";
        return Err(Error::Usage(format!("{}: {what}", dir.display())));
    }
    let is_dialogue = data.is_some_and(|data| data.has_completions());
    let facts = facts(&front, &vocabulary);
    let checked = front.check(Some(&facts));
    let Some(mut program) = checked.program else {
        return Err(Error::Spec(Report { map: front.map, diagnostics: checked.diagnostics }));
    };
    let micro_batch = info.settings.get("micro_batch").and_then(|n| n.parse().ok());
    if let Some(n) = micro_batch
        && program.train.may_keep_micro_batch(n)
    {
        program.train.keep_micro_batch(n);
    }
    // What trained elsewhere may be too large to train here.
    let (site, device) = Site::of_program(device, &program.train, &front.map)?;
    let (room, back_end) = (Room::UNBOUNDED, site.back_end);
    let done = cache::plan(&program, &front.map, Some(&facts), room, back_end);
    let (plan, _) =
        done.map_err(|diagnostics| Error::Spec(Report { map: front.map.clone(), diagnostics }))?;
    let mut executor = Executor::load(plan.clone(), &options(threads, device))?;
    load::restore(&found, &plan, executor.memory_mut())?;
    executor.refresh()?;
    let (step, warnings) = (found.manifest.step, found.warnings);
    Ok(Loaded { executor, vocabulary, is_dialogue, step, warnings })
}

/// What the data was known to hold when the run started, without opening it again.
fn facts(front: &Front, vocabulary: &Vocabulary) -> Facts {
    let splits = front.data_request().map(|d| d.splits).unwrap_or_default();
    // Lengths in epochs do not matter for generation; any number of tokens will do.
    let many: Vec<_> = splits.into_iter().map(|(name, _)| (name, 1 << 30)).collect();
    let (tokens, documents) = (many.clone(), many);
    let pad = vocabulary.pad().map(u64::from);
    Facts { vocab: Some(vocabulary.size()), pad, tokens, documents, ..Facts::default() }
}
