//! Plans that were compiled before, by content, in the user's cache folder.
//!
//! In: a program's texts and facts. Out: its plan, read back or compiled. The runtime keeps there
//! what drivers made of the code of plans ([`exec::kept`]). `LLMC_CACHE` names another folder, or
//! is `off`.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use diag::{Diagnostic, SourceMap};
use exec::kept::{self, CUBIN, Kept, Kind, PLAN};
use passes::fit::Room;
use plan::Plan;
use sema::{Facts, Program};

use crate::compile::{BackEnd, compile_within};

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
    let Some(kept) = of_user() else {
        let compiled = compile_within(program, map, facts, room, back_end)?;
        return Ok((compiled.plan, compiled.warnings));
    };
    let key = key(&kept.build, map, facts, room, back_end, &resolved(program));
    let mut warnings = vec![];
    let plan = plan_of(&kept, &key, || {
        let compiled = compile_within(program, map, facts, room, back_end)?;
        warnings = compiled.warnings;
        Ok::<_, Vec<Diagnostic>>(compiled.plan)
    })?;
    if !warnings.is_empty() {
        // The next start has to say the same.
        kept.forget(PLAN, &key);
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
    /// How many modules of devices.
    pub n_modules: usize,
    /// Of all files.
    pub bytes: u64,
}

/// What the user's cache holds; `None` where there is none.
pub fn held() -> Option<Held> {
    let kept = of_user()?;
    // A folder that is not there yet holds nothing.
    let files = kept.files().unwrap_or_default();
    let n = |kind: Kind| {
        files.iter().filter(|f| f.path.extension().is_some_and(|e| e == kind.ending)).count()
    };
    let (n_plans, n_modules) = (n(PLAN), n(CUBIN));
    let bytes = files.iter().map(|file| file.bytes).sum();
    Some(Held { folder: kept.folder, n_plans, n_modules, bytes })
}

/// The user's cache, unless there is none.
pub fn of_user() -> Option<Kept> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = folder(var("LLMC_CACHE"), var("XDG_CACHE_HOME"), var("HOME"))?;
    Some(Kept { folder, most_bytes: MOST_BYTES, build: build()? })
}

/// The plan of a key; one that is not here is made and kept.
fn plan_of<E>(kept: &Kept, key: &str, make: impl FnOnce() -> Result<Plan, E>) -> Result<Plan, E> {
    let text = kept.read(PLAN, key).and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(plan) = text.and_then(|text| Plan::parse(&text).ok()) {
        return Ok(plan);
    }
    let plan = make()?;
    kept.write(PLAN, key, plan.print().as_bytes());
    Ok(plan)
}

/// What else a program came out as: by the environment, or by the run that goes on.
fn resolved(program: &Program) -> String {
    let kept = program.train.stated.goes_on.then_some(program.train.micro_batch);
    let Program { data, train, .. } = program;
    format!("{kept:?} {data:?} {:?} {:?}", train.checkpoint, train.samples)
}

/// This build of the compiler: two of one version may differ while it is worked on.
fn build() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    let about = fs::metadata(path).ok()?;
    let written = about.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{} {} {}", env!("CARGO_PKG_VERSION"), about.len(), written.as_nanos()))
}

/// A hash of all that decides a plan: the build, every text that was read, what the data hold, the
/// machine and its memory, and what the program came out as beside.
fn key(
    build: &str,
    map: &SourceMap,
    facts: Option<&Facts>,
    room: Room,
    back_end: BackEnd,
    resolved: &str,
) -> String {
    let others = format!("{facts:?} {room:?} {back_end:?} {resolved}");
    let texts = map.iter().flat_map(|(_, file)| [file.name.as_str(), file.text.as_str()]);
    kept::key([build].into_iter().chain(texts).chain([others.as_str()]))
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
