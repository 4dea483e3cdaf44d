//! Plans that were compiled before, by content, in the user's cache folder.
//!
//! In: a program's texts and facts. Out: its plan, read back or compiled. A file holds a line with
//! its key and the hash of what follows, then the plan's text; one that is damaged, cut short or
//! of another key is compiled again and written anew. Nothing that goes wrong here is an error: the
//! cache only saves time. `LLMC_CACHE` names another folder, or is `off`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use diag::{Diagnostic, SourceMap};
use passes::fit::Room;
use plan::Plan;
use sema::{Facts, Program};
use sha2::{Digest, Sha256};

use crate::compile::{BackEnd, compile_within};

/// What files start with; another layout is another word.
const FORMAT: &str = "llmc-plan-1";
/// How the files end.
const ENDING: &str = "plan";
/// Bytes of all files; the longest unused go first.
const MOST_BYTES: u64 = 256 << 20;

/// The plan of a checked program, for a machine with so much memory, and what could be better.
///
/// `program` must be what these texts and facts say, as [`crate::Front`] makes it.
pub fn plan(
    program: &Program,
    map: &SourceMap,
    facts: Option<&Facts>,
    room: Room,
    back_end: BackEnd,
) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let Some((cache, build)) = Cache::of_user().zip(build()) else {
        let compiled = compile_within(program, map, facts, room, back_end)?;
        return Ok((compiled.plan, compiled.warnings));
    };
    let key = key(&build, map, facts, room, back_end, kept(program));
    let mut warnings = vec![];
    let plan = cache.plan(&key, || {
        let compiled = compile_within(program, map, facts, room, back_end)?;
        warnings = compiled.warnings;
        Ok::<_, Vec<Diagnostic>>(compiled.plan)
    })?;
    if !warnings.is_empty() {
        // The next start has to say the same.
        let _ = fs::remove_file(cache.path(&key));
    }
    Ok((plan, warnings))
}

/// What the cache holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Where.
    pub folder: PathBuf,
    /// How many plans.
    pub n_plans: usize,
    /// Of all their files.
    pub bytes: u64,
}

/// What the user's cache holds; `None` where there is none.
pub fn held() -> Option<Held> {
    let Cache { folder, most_bytes: _ } = Cache::of_user()?;
    // A folder that is not there yet holds nothing.
    let files = files(&folder).unwrap_or_default();
    let bytes = files.iter().map(|(_, _, bytes)| bytes).sum();
    Some(Held { folder, n_plans: files.len(), bytes })
}

/// The micro-batch of the run that goes on.
fn kept(program: &Program) -> Option<u64> {
    program.train.stated.goes_on.then_some(program.train.micro_batch)
}

/// This build of the compiler: two of one version may differ while it is worked on.
fn build() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    let about = fs::metadata(path).ok()?;
    let written = about.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{} {} {}", env!("CARGO_PKG_VERSION"), about.len(), written.as_nanos()))
}

/// A hash of all that decides a plan: the build, every text that was read, what the data hold, the
/// machine and its memory, and the micro-batch of a run that goes on.
fn key(
    build: &str,
    map: &SourceMap,
    facts: Option<&Facts>,
    room: Room,
    back_end: BackEnd,
    kept: Option<u64>,
) -> String {
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    };
    add(build);
    for (_, file) in map.iter() {
        add(&file.name);
        add(&file.text);
    }
    add(&format!("{facts:?} {room:?} {back_end:?} {kept:?}"));
    hex(hasher)
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder of plans.
#[derive(Debug)]
struct Cache {
    folder: PathBuf,
    most_bytes: u64,
}

impl Cache {
    /// That of the user, unless there is none.
    fn of_user() -> Option<Cache> {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let folder = folder(var("LLMC_CACHE"), var("XDG_CACHE_HOME"), var("HOME"))?;
        Some(Cache { folder, most_bytes: MOST_BYTES })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key).with_extension(ENDING)
    }

    /// The plan of a key; one that is not here is made and kept.
    fn plan<E>(&self, key: &str, make: impl FnOnce() -> Result<Plan, E>) -> Result<Plan, E> {
        if let Some(plan) = self.read(key) {
            return Ok(plan);
        }
        let plan = make()?;
        // A full disk or a folder of somebody else's costs the next start some time.
        let _ = self.write(key, &plan).and_then(|()| self.prune());
        Ok(plan)
    }

    /// The plan of a key, if its file is whole.
    fn read(&self, key: &str) -> Option<Plan> {
        let path = self.path(key);
        let content = fs::read_to_string(&path).ok()?;
        let (head, text) = content.split_once('\n')?;
        let plan =
            if head == self::head(key, text) { Plan::parse(text).ok()? } else { return None };
        // What is used stays.
        let _ =
            File::options().append(true).open(path).and_then(|f| f.set_modified(SystemTime::now()));
        Some(plan)
    }

    fn write(&self, key: &str, plan: &Plan) -> io::Result<()> {
        let text = plan.print();
        let content = format!("{}\n{text}", head(key, &text));
        fs::create_dir_all(&self.folder)?;
        let draft = self.folder.join(format!("{key}.tmp-{}", std::process::id()));
        let written = fs::write(&draft, content).and_then(|()| fs::rename(&draft, self.path(key)));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// Removes files until the rest is small enough, drafts that others left behind among them.
    fn prune(&self) -> io::Result<()> {
        let mut files = files(&self.folder)?;
        files.sort();
        let mut total: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, path, bytes) in files {
            if total <= self.most_bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

/// The files of a cache: when each was used last, where it is, and its size.
fn files(folder: &Path) -> io::Result<Vec<(SystemTime, PathBuf, u64)>> {
    let mut files = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, about) = (entry.path(), entry.metadata()?);
        if about.is_file() && is_ours(&path) {
            files.push((about.modified()?, path, about.len()));
        }
    }
    Ok(files)
}

/// The first line of a file.
fn head(key: &str, text: &str) -> String {
    format!("{FORMAT} {key} {}", hex(Sha256::new_with_prefix(text)))
}

/// Whether the cache made a file of this name: a key, and how plans or drafts end.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split_once('.').is_some_and(|(key, ending)| {
        let is_key = key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit());
        is_key && (ending == ENDING || ending.starts_with("tmp-"))
    })
}

/// Where plans are kept, by what the environment says.
fn folder(
    named: Option<OsString>,
    caches: Option<OsString>,
    home: Option<OsString>,
) -> Option<PathBuf> {
    match named {
        Some(named) if named == "off" => None,
        Some(named) => Some(PathBuf::from(named)),
        None => {
            let caches = caches.map(PathBuf::from).filter(|path| path.is_absolute());
            let caches = caches.or_else(|| Some(PathBuf::from(home?).join(".cache")));
            caches.map(|caches| caches.join("llmc"))
        }
    }
}

#[cfg(test)]
mod tests;
