//! Numbered inputs, each held to its limits: no panic, little time and memory.
//!
//! `LLMC_CASES=100000` takes more of them than usual and says what was the most that one took;
//! `LLMC_FIRST_CASE=n LLMC_CASES=1` repeats one. The file that a thread looks at lies in the build's
//! temporary folder, also after an overflow of the stack. Memory is the most that the process had
//! at once, so a case is charged for the program itself and for what the other threads hold; one
//! that seems slow or large is looked at again, alone.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

const N_THREADS: usize = 2;

/// What one case may take when nothing else runs.
const LIMIT: Taken = Taken { time: Duration::from_secs(2), bytes: 256 << 20 };

/// What counts as never ending, also on a busy machine.
const HANG: Duration = Duration::from_secs(20);

/// What a case is made of, and what must be so.
pub(crate) struct Suite<'s> {
    /// How its files are called.
    pub(crate) name: &'s str,
    /// Where its files are kept.
    pub(crate) folder: &'s Path,
    /// How many cases there are, unless more are asked for.
    pub(crate) usual: u64,
    /// The end of the name and the bytes of a case's file.
    pub(crate) make: &'s (dyn Fn(u64) -> (String, Vec<u8>) + Sync),
    /// Looks at the file of a case; panics where a promise is broken.
    pub(crate) look: &'s (dyn Fn(u64, &Path, &[u8]) + Sync),
}

/// What a case took.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    time: Duration,
    bytes: u64,
}

/// The case that a thread looks at, and since when.
type Slot = Mutex<Option<(u64, PathBuf, Instant)>>;

/// Cases that broke a promise, or may have.
#[derive(Debug, Default)]
struct Found {
    panicked: Vec<u64>,
    suspects: Vec<u64>,
    /// The slowest case and its time, the largest one and its bytes.
    slowest: (Duration, u64),
    largest: (u64, u64),
}

/// Looks at all cases that are asked for.
pub(crate) fn hold(suite: &Suite<'_>) {
    let first = from_env("LLMC_FIRST_CASE").unwrap_or(0);
    let asked = from_env("LLMC_CASES");
    let n = asked.unwrap_or(suite.usual);
    let start = Instant::now();
    let found = look_at_all(suite, first..first + n);
    let name = suite.name;
    if asked.is_some() {
        let ((time, slow), (bytes, large)) = (found.slowest, found.largest);
        say(&format!(
            "{name}: {n} cases from {first} in {:.0?}; the most: {time:.2?} (case {slow}), \
             {} MiB (case {large}); {} looked at again\n",
            start.elapsed(),
            bytes >> 20,
            found.suspects.len(),
        ));
    }
    let kept = |case: u64| keep(suite, &case.to_string(), case);
    let files: Vec<PathBuf> = found.panicked.iter().map(|case| kept(*case).0).collect();
    assert!(files.is_empty(), "{name}: LLMC_FIRST_CASE={:?}, {files:?}", found.panicked);
    for case in found.suspects {
        let (path, bytes) = kept(case);
        let taken = measured(|| (suite.look)(case, &path, &bytes));
        let is_held = taken.time < LIMIT.time && taken.bytes < LIMIT.bytes;
        assert!(is_held, "{name}: LLMC_FIRST_CASE={case} took {taken:?}: {path:?}");
        let _ = std::fs::remove_file(path);
    }
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a whole number"))
}

/// Looks at the cases on all threads, under a watchdog.
fn look_at_all(suite: &Suite<'_>, cases: std::ops::Range<u64>) -> Found {
    let next = AtomicU64::new(cases.start);
    let is_over = AtomicBool::new(false);
    let slots: Vec<Slot> = (0..N_THREADS).map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| watch(suite.name, &slots, &is_over));
        let spawn = |thread| {
            let (next, slots) = (&next, &slots);
            scope.spawn(move || work(suite, thread, slots, next, cases.end))
        };
        let workers: Vec<_> = (0..N_THREADS).map(spawn).collect();
        let mut all = Found::default();
        for worker in workers {
            let found = worker.join().expect("a worker catches panics");
            all.panicked.extend(found.panicked);
            all.suspects.extend(found.suspects);
            all.slowest = all.slowest.max(found.slowest);
            all.largest = all.largest.max(found.largest);
        }
        is_over.store(true, Ordering::Relaxed);
        all.suspects.sort_unstable();
        all.suspects.dedup();
        all
    })
}

/// Takes cases until there are none left.
fn work(suite: &Suite<'_>, thread: usize, slots: &[Slot], next: &AtomicU64, end: u64) -> Found {
    let mut found = Found::default();
    loop {
        let case = next.fetch_add(1, Ordering::Relaxed);
        if case >= end {
            return found;
        }
        let (path, bytes) = keep(suite, &format!("thread-{thread}"), case);
        *lock(&slots[thread]) = Some((case, path.clone(), Instant::now()));
        let mut is_sound = true;
        let taken = measured(|| {
            let look = || (suite.look)(case, &path, &bytes);
            is_sound = catch_unwind(AssertUnwindSafe(look)).is_ok();
        });
        if !is_sound {
            found.panicked.push(case);
        }
        found.slowest = found.slowest.max((taken.time, case));
        found.largest = found.largest.max((taken.bytes, case));
        if taken.time >= LIMIT.time {
            found.suspects.push(case);
        }
        if taken.bytes >= LIMIT.bytes {
            // Any of those that are looked at may be the one.
            found.suspects.extend(slots.iter().filter_map(|slot| Some(lock(slot).as_ref()?.0)));
        }
        *lock(&slots[thread]) = None;
        let _ = std::fs::remove_file(path);
    }
}

fn lock(slot: &Slot) -> MutexGuard<'_, Option<(u64, PathBuf, Instant)>> {
    slot.lock().expect("no thread panics while it holds this")
}

/// What a call takes: its time, and the most memory that the process had meanwhile.
fn measured(call: impl FnOnce()) -> Taken {
    // Where the system cannot forget its mark, it is that of the whole process: too much, if wrong.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (start, worked_before) = (Instant::now(), worked());
    call();
    let worked = worked_before.and_then(|before| Some(worked()? - before));
    Taken { time: worked.unwrap_or(start.elapsed()), bytes: most_memory() }
}

/// How long this thread has been at work; what else runs on the machine does not count.
fn worked() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// The most memory that this process had since the mark was set, in bytes.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Ends the process, naming the case, when one does not end.
fn watch(name: &str, slots: &[Slot], is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(100));
        for slot in slots {
            let Some((case, path, since)) = lock(slot).clone() else { continue };
            if since.elapsed() > HANG {
                say(&format!("{name}: LLMC_FIRST_CASE={case} does not end: {path:?}\n"));
                std::process::abort();
            }
        }
    }
}

/// Writes past the test's own output, which is lost with the process.
fn say(line: &str) {
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Writes the file of a case to look at.
fn keep(suite: &Suite<'_>, label: &str, case: u64) -> (PathBuf, Vec<u8>) {
    let (ending, bytes) = (suite.make)(case);
    let path = suite.folder.join(format!("{}-{label}{ending}", suite.name));
    std::fs::write(&path, &bytes).expect("a disk");
    (path, bytes)
}
