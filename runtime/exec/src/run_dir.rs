//! The folder of a run, and what a second `llmc train` does with it.
//!
//! `DIR` holds `run.json` (which program this is), `spec.lt` (its text, resolved), `vocab.json`,
//! `metrics.jsonl`, `lock`, the checkpoints `step-N/`, `outcome.json` once it is finished, and
//! `failure.json` while the last start of it ended in numbers or a machine beyond use.
//! Nothing is trained further, or overwritten, because a name was the same.

use data::Vocabulary;
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{checkpoint::load, error::Error, lock::Lock};

/// Which program a folder belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The spec's name.
    pub name: String,
    /// The compiler.
    pub compiler: String,
    /// Hash of what must be equal for a checkpoint to fit.
    pub identity: String,
    /// Hash of what changes the numbers.
    pub trajectory: String,
    /// Resolved settings by directive, to say what changed.
    pub settings: BTreeMap<String, String>,
    /// The settings that the time of a step depends on.
    #[serde(default)]
    pub work: BTreeMap<String, String>,
    /// Overrides of the command line, with which `spec.lt` means this program.
    pub sets: Vec<String>,
    /// Values of its arguments, by name.
    #[serde(default)]
    pub options: Vec<(String, Option<String>)>,
    /// The job that was asked for.
    #[serde(default)]
    pub job: Option<String>,
    /// Variables of the environment that it names.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
    /// Hash of its data.
    #[serde(default)]
    pub data: String,
    /// The classes of its data by number.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Texts of the files that it uses, by their path from its folder.
    #[serde(default)]
    pub uses: BTreeMap<String, String>,
}

/// How a finished run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Optimizer steps.
    pub step: u64,
    /// `steps`, `val_loss`, `time` or `early_stop`: what ended it.
    pub reason: String,
    /// Loss of the last step.
    pub loss: Option<f64>,
    /// Last validation loss.
    pub val_loss: Option<f64>,
    /// Hash of the last checkpoint.
    pub checkpoint: Option<String>,
}

/// How a run ended that could not go on; the next start says so and tries again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Applied updates.
    pub step: u64,
    /// Consumed batches.
    pub batch: u64,
    /// What was said.
    pub error: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { step, batch, error } = self;
        // The lines below the first are advice, and were read.
        let first = error.lines().next().unwrap_or_default();
        write!(
            f,
            "this run ended before, after step {step} and batch {batch}: {first}; it is tried \
             again from its last checkpoint, and the same numbers end the same way"
        )
    }
}

/// What to do when the folder belongs to a program that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// Start in `DIR-2`, `DIR-3` …: the folder was named by the spec.
    Sibling,
    /// The same beside a run of the same program, too: each start is a new run.
    Anew,
    /// Refuse with the difference: the folder was named by the user.
    Refuse,
    /// Go on with the change when only the trajectory differs.
    GoOn,
}

/// Where to train and from what.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A new run here.
    Fresh(PathBuf),
    /// Go on from the newest checkpoint, about this step.
    Resume(PathBuf, u64),
    /// Nothing to do.
    Finished(PathBuf, Ended),
    /// A new run beside the one that differs, and in what.
    NewSibling(PathBuf, String),
}

impl Decision {
    /// The folder.
    pub fn folder(&self) -> &Path {
        match self {
            Decision::Fresh(path)
            | Decision::Resume(path, _)
            | Decision::Finished(path, _)
            | Decision::NewSibling(path, _) => path,
        }
    }
}

/// Decides and takes the lock, in a way that no other process comes between.
pub fn open(dir: &Path, info: &RunInfo, on_change: OnChange) -> Result<(Decision, Lock), Error> {
    loop {
        let before = decide(dir, info, on_change)?;
        let folder = before.folder();
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let lock = Lock::take(folder)?;
        if decide(dir, info, on_change)?.folder() == folder {
            return Ok((decide(dir, info, on_change)?, lock));
        }
    }
}

/// What a run of this program does with `dir`; changes nothing.
pub fn decide(dir: &Path, info: &RunInfo, on_change: OnChange) -> Result<Decision, Error> {
    let why = match look(dir, info)? {
        Look::Free => return Ok(Decision::Fresh(dir.to_owned())),
        Look::Same(_) if on_change == OnChange::Anew => "every start is a new run".to_owned(),
        Look::Same(decision) => return Ok(decision),
        Look::Differs { why, same_model } => match on_change {
            OnChange::Sibling | OnChange::Anew => why,
            OnChange::GoOn if same_model => {
                let step = load::steps(dir).last().copied().unwrap_or(0);
                return Ok(Decision::Resume(dir.to_owned(), step));
            }
            OnChange::GoOn | OnChange::Refuse => {
                let dir = dir.display();
                return Err(Error::Folder(format!("{dir} holds a run of another program: {why}")));
            }
        },
    };
    for sibling in siblings(dir) {
        match look(&sibling, info)? {
            Look::Free => return Ok(Decision::NewSibling(sibling, why)),
            Look::Same(decision) if on_change != OnChange::Anew => return Ok(decision),
            Look::Same(_) | Look::Differs { .. } => {}
        }
    }
    unreachable!("a folder has fewer siblings than there are numbers")
}

/// The folder that a run goes on in where the user names none: that of this very program, be it
/// `dir` or beside it, else `dir`.
pub fn of_program(dir: &Path, info: &RunInfo) -> Result<PathBuf, Error> {
    let beside = siblings(dir).take_while(|sibling| sibling.exists());
    for folder in std::iter::once(dir.to_owned()).chain(beside) {
        match look(&folder, info)? {
            Look::Same(_) => return Ok(folder),
            // A run that is gone is begun again, not that beside it gone on with.
            Look::Free => break,
            Look::Differs { .. } => {}
        }
    }
    Ok(dir.to_owned())
}

/// `DIR-2`, `DIR-3` and so on.
fn siblings(dir: &Path) -> impl Iterator<Item = PathBuf> {
    (2u64..).map(|n| {
        let mut sibling = dir.as_os_str().to_owned();
        sibling.push(format!("-{n}"));
        PathBuf::from(sibling)
    })
}

/// The micro-batch of a run in `dir`, or beside it, whose program has the same settings but for it.
///
/// It is part of the numbers: a machine with more memory goes on with it.
pub fn micro_batch(dir: &Path, settings: &BTreeMap<String, String>) -> Option<u64> {
    let others = |all: &BTreeMap<String, String>| {
        let mut all = all.clone();
        all.retain(|name, _| name != "micro_batch" && name != "accumulate");
        all
    };
    let folders = [dir.to_owned()].into_iter().chain(siblings(dir)).take_while(|dir| dir.exists());
    let mut runs = folders.filter_map(|dir| info(&dir).ok());
    let same = runs.find(|run| others(&run.settings) == others(settings))?;
    same.settings.get("micro_batch")?.parse().ok()
}

enum Look {
    Free,
    Same(Decision),
    Differs { why: String, same_model: bool },
}

fn look(dir: &Path, info: &RunInfo) -> Result<Look, Error> {
    let Ok(entries) = fs::read_dir(dir) else {
        if dir.exists() {
            return Err(Error::Folder(format!("{} is not a folder", dir.display())));
        }
        return Ok(Look::Free);
    };
    let path = dir.join("run.json");
    if !path.exists() {
        // A start that was cut off leaves these, and nothing worth keeping.
        const STARTED: [&str; 6] =
            ["lock", "spec.lt", "spec.tmp", "vocab.json", "vocab.tmp", "run.tmp"];
        let ours = |e: &fs::DirEntry| STARTED.iter().any(|name| e.file_name() == *name);
        let other = entries.flatten().find(|e| !ours(e));
        return match other {
            None => Ok(Look::Free),
            Some(_) => {
                let dir = dir.display();
                Err(Error::Folder(format!("{dir} is not empty and not the folder of a run")))
            }
        };
    }
    let there: RunInfo = read_json(&path)?;
    if there.identity != info.identity || there.trajectory != info.trajectory {
        let same_model = there.identity == info.identity;
        return Ok(Look::Differs { why: difference(&there, info), same_model });
    }
    let outcome = dir.join("outcome.json");
    if outcome.exists() {
        return Ok(Look::Same(Decision::Finished(dir.to_owned(), read_json(&outcome)?)));
    }
    Ok(Look::Same(match load::steps(dir).last() {
        Some(&step) => Decision::Resume(dir.to_owned(), step),
        None => Decision::Fresh(dir.to_owned()),
    }))
}

/// What is different in one line, as in `lr 3e-3 -> 1e-3`.
fn difference(there: &RunInfo, here: &RunInfo) -> String {
    let names: std::collections::BTreeSet<&String> =
        there.settings.keys().chain(here.settings.keys()).collect();
    let value = |info: &RunInfo, name: &String| {
        info.settings.get(name).cloned().unwrap_or_else(|| "none".to_owned())
    };
    let changed: Vec<String> = names
        .into_iter()
        .filter(|name| there.settings.get(*name) != here.settings.get(*name))
        .map(|name| format!("{name} {} -> {}", value(there, name), value(here, name)))
        .collect();
    if !changed.is_empty() {
        return changed.join(", ");
    }
    let what = match there.identity == here.identity {
        true if there.data != here.data => "the data",
        true => "the training program",
        false => "the model",
    };
    format!("{what} changed")
}

/// Writes what a run's folder holds from the start, or from where it goes on as another program.
pub fn create(
    dir: &Path,
    info: &RunInfo,
    spec: &str,
    vocabulary: &Vocabulary,
) -> Result<(), Error> {
    // A finished run that goes on has not ended any more.
    let outcome = dir.join("outcome.json");
    if outcome.exists() {
        fs::remove_file(&outcome).map_err(|e| Error::io("remove", &outcome, e))?;
    }
    write(&dir.join("spec.lt"), spec)?;
    write(&dir.join("vocab.json"), &vocabulary.to_json())?;
    // Last: with it the folder is a run's.
    write(&dir.join("run.json"), &json(info))
}

/// Notes that a run is finished.
pub fn finish(dir: &Path, ended: &Ended) -> Result<(), Error> {
    write(&dir.join("outcome.json"), &json(ended))
}

/// How a run ended, once it has.
pub fn outcome(dir: &Path) -> Result<Option<Ended>, Error> {
    let path = dir.join("outcome.json");
    if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
}

/// Notes why a run could not go on.
pub fn fail(dir: &Path, failure: &Failure) -> Result<(), Error> {
    write(&dir.join("failure.json"), &json(failure))
}

/// Why the last start could not go on, when it could not.
pub fn failure(dir: &Path) -> Result<Option<Failure>, Error> {
    let path = dir.join("failure.json");
    if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
}

/// Takes the note away: the run has come further.
pub fn forget_failure(dir: &Path) -> Result<(), Error> {
    match fs::remove_file(dir.join("failure.json")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", dir.join("failure.json"), error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The vocabulary that a run was trained with.
pub fn vocabulary(dir: &Path) -> Result<Vocabulary, Error> {
    let path = dir.join("vocab.json");
    let text = fs::read_to_string(&path).map_err(|e| Error::checkpoint(&path, e))?;
    Vocabulary::from_json(&text).map_err(|e| Error::checkpoint(&path, e))
}

/// Which program a folder belongs to.
pub fn info(dir: &Path) -> Result<RunInfo, Error> {
    read_json(&dir.join("run.json"))
}

fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain fields have a JSON form");
    text.push('\n');
    text
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).map_err(|e| Error::checkpoint(path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::checkpoint(path, e))
}

/// Writes a small file under another name first: it is there as a whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let aside = path.with_extension("tmp");
    let written = fs::File::create(&aside).and_then(|mut file| {
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|e| Error::io("write", &aside, e))?;
    fs::rename(&aside, path).map_err(|e| Error::io("rename", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn program(identity: &str, lr: &str) -> RunInfo {
        RunInfo {
            name: "r".to_owned(),
            compiler: "llmc".to_owned(),
            identity: identity.to_owned(),
            trajectory: format!("{identity} {lr}"),
            settings: BTreeMap::from([("lr".to_owned(), lr.to_owned())]),
            work: BTreeMap::new(),
            sets: vec![],
            options: vec![],
            job: None,
            environment: vec![],
            data: String::new(),
            classes: vec![],
            uses: BTreeMap::new(),
        }
    }

    fn start(dir: &Path, info: &RunInfo) {
        fs::create_dir_all(dir).unwrap();
        create(dir, info, "model gpt()", &Vocabulary::bytes()).unwrap();
    }

    #[test]
    fn the_same_program_goes_on_until_it_is_finished() {
        let scratch = Scratch::new("run_dir_same");
        let dir = scratch.path().join("runs/a");
        let info = program("m", "1e-3");
        let (decision, lock) = open(&dir, &info, OnChange::Sibling).unwrap();
        assert_eq!(decision, Decision::Fresh(dir.clone()));
        start(&dir, &info);
        assert!(matches!(open(&dir, &info, OnChange::Sibling), Err(Error::Busy { .. })));
        drop(lock);
        fs::create_dir(dir.join("step-40")).unwrap();
        let decision = decide(&dir, &info, OnChange::Sibling).unwrap();
        assert_eq!(decision, Decision::Resume(dir.clone(), 40));
        let ended = Ended {
            step: 50,
            reason: "steps".into(),
            loss: Some(1.5),
            val_loss: None,
            checkpoint: None,
        };
        finish(&dir, &ended).unwrap();
        let decision = decide(&dir, &info, OnChange::Sibling).unwrap();
        assert_eq!(decision, Decision::Finished(dir.clone(), ended));
        assert_eq!(vocabulary(&dir).unwrap(), Vocabulary::bytes());
    }

    #[test]
    fn a_changed_program_gets_a_sibling_and_goes_on_there() {
        let scratch = Scratch::new("run_dir_sibling");
        let dir = scratch.path().join("a");
        start(&dir, &program("m", "1e-3"));
        let changed = program("m", "2e-3");
        let sibling = scratch.path().join("a-2");
        let decision = decide(&dir, &changed, OnChange::Sibling).unwrap();
        assert_eq!(decision, Decision::NewSibling(sibling.clone(), "lr 1e-3 -> 2e-3".to_owned()));
        start(&sibling, &changed);
        fs::create_dir(sibling.join("step-7")).unwrap();
        let decision = decide(&dir, &changed, OnChange::Sibling).unwrap();
        assert_eq!(decision, Decision::Resume(sibling, 7));
    }

    #[test]
    fn a_folder_the_user_named_is_refused_or_gone_on_with() {
        let scratch = Scratch::new("run_dir_refuse");
        let dir = scratch.path().join("a");
        start(&dir, &program("m", "1e-3"));
        let error = decide(&dir, &program("m", "2e-3"), OnChange::Refuse).unwrap_err();
        assert!(error.to_string().ends_with("another program: lr 1e-3 -> 2e-3"));
        assert_eq!(error.exit_code(), 2);
        let went_on = decide(&dir, &program("m", "2e-3"), OnChange::GoOn).unwrap();
        assert_eq!(went_on, Decision::Resume(dir.clone(), 0));
        let error = decide(&dir, &program("other", "1e-3"), OnChange::GoOn).unwrap_err();
        assert!(error.to_string().ends_with("the model changed"), "{error}");
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone() {
        let scratch = Scratch::new("run_dir_other");
        fs::write(scratch.path().join("thesis.txt"), "x").unwrap();
        let error = decide(scratch.path(), &program("m", "1"), OnChange::Sibling).unwrap_err();
        assert!(error.to_string().contains("not empty"));
    }
}
