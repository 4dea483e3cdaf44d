//! Ten thousand broken specs: none makes the front end panic or hang.
//!
//! `LLMC_MUTATIONS=1000000` runs longer; `LLMC_SEED=n LLMC_MUTATIONS=1` repeats one input. The
//! input that a thread looks at lies in the build's temporary folder, also after an overflow of
//! the stack.

#[path = "spec/facts.rs"]
mod facts;
#[path = "mutations/mutate.rs"]
mod mutate;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use diag::Level;
use diag::render::{Style, render};
use llmc::Front;
use sha2::{Digest, Sha256};

const N_INPUTS: u64 = 10_000;
const N_THREADS: usize = 2;

/// What one input may take when nothing else runs; what takes longer is looked at again, alone.
const LIMIT: Duration = Duration::from_secs(2);

/// What counts as never ending, also on a busy machine.
const HANG: Duration = Duration::from_secs(20);

/// Cases that are slow on purpose: they are at the limit of what a check computes.
const SLOW: &[&str] = &["repeats_in_repeats.lt"];

/// The input that a thread looks at, and since when.
type Current = Mutex<Option<(u64, String, Instant)>>;

/// Seeds whose inputs broke a promise.
#[derive(Default)]
struct Faults {
    panicked: Vec<u64>,
    slow: Vec<u64>,
}

#[test]
fn mutated_specs_neither_panic_nor_hang() {
    let seeds = corpus();
    let first = from_env("LLMC_SEED").unwrap_or(0);
    let end = first + from_env("LLMC_MUTATIONS").unwrap_or(N_INPUTS);
    let faults = check_all(&seeds, first, end);
    assert!(faults.panicked.is_empty(), "LLMC_SEED={:?} in {:?}", faults.panicked, folder());
    for seed in faults.slow {
        let text = mutate::mutate(&seeds, seed);
        let start = Instant::now();
        said(&text);
        let took = start.elapsed();
        assert!(took < LIMIT, "LLMC_SEED={seed} takes {took:?}: {:?}", keep(seed, &text));
    }
}

#[test]
fn a_seed_makes_one_input() {
    let seeds = corpus();
    let inputs: BTreeSet<String> = (0..200).map(|seed| mutate::mutate(&seeds, seed)).collect();
    assert!(inputs.len() > 190, "seeds make different inputs");
    assert_eq!(mutate::mutate(&seeds, 7), mutate::mutate(&seeds, 7));
}

/// Whole specs, broken specs, and the standard library.
fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![];
    for folder in ["examples", "stdlib", "tests/spec/design", "tests/spec/broken"] {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder of specs");
        paths.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "lt"));
    paths.retain(|path| !SLOW.iter().any(|slow| path.ends_with(slow)));
    paths.sort();
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).expect("a spec")).into_owned();
    paths.into_iter().map(text).collect()
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a whole number"))
}

/// Checks the inputs `first..end` on all threads, under a watchdog.
fn check_all(seeds: &[String], first: u64, end: u64) -> Faults {
    let next = AtomicU64::new(first);
    let is_over = AtomicBool::new(false);
    let current: Vec<Current> = (0..N_THREADS).map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&current, &is_over));
        let spawn = |(n, slot)| {
            let next = &next;
            scope.spawn(move || work(n, seeds, next, end, slot))
        };
        let workers: Vec<_> = current.iter().enumerate().map(spawn).collect();
        let mut all = Faults::default();
        for worker in workers {
            let Faults { panicked, slow } = worker.join().expect("a worker catches panics");
            all.panicked.extend(panicked);
            all.slow.extend(slow);
        }
        is_over.store(true, Ordering::Relaxed);
        all
    })
}

/// Takes inputs until there are none left.
fn work(n: usize, seeds: &[String], next: &AtomicU64, end: u64, slot: &Current) -> Faults {
    let mut faults = Faults::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return faults;
        }
        let text = mutate::mutate(seeds, seed);
        write(&format!("mutation-thread-{n}.lt"), &text);
        let start = Instant::now();
        *lock(slot) = Some((seed, text.clone(), start));
        if catch_unwind(AssertUnwindSafe(|| survive(&text, seed))).is_err() {
            keep(seed, &text);
            faults.panicked.push(seed);
        }
        *lock(slot) = None;
        if start.elapsed() > LIMIT {
            faults.slow.push(seed);
        }
    }
}

fn lock(slot: &Current) -> MutexGuard<'_, Option<(u64, String, Instant)>> {
    slot.lock().expect("no thread panics while it holds this")
}

/// Checks and renders one input; every so often twice, which must say the same.
fn survive(text: &str, seed: u64) {
    let first = said(text);
    if seed.is_multiple_of(64) {
        assert_eq!(first, said(text), "a second check says the same");
    }
}

/// What is said about a spec; every place that is pointed at must exist.
fn said(text: &str) -> String {
    let front = Front::parse("mutated.lt", text, &[]);
    let checked = front.check(Some(&facts::made_up(&front)));
    let has_errors = checked.diagnostics.iter().any(|d| d.code.level() == Level::Error);
    assert!(!(has_errors && checked.program.is_some()), "a program has no errors");
    for label in checked.diagnostics.iter().flat_map(|d| &d.labels) {
        front.map.text(label.span);
    }
    for edit in checked.diagnostics.iter().flat_map(|d| &d.fixes).flat_map(|f| &f.edits) {
        front.map.text(edit.span);
    }
    render(&front.map, &checked.diagnostics, Style::Human)
}

/// Ends the process, naming the input, when one does not end.
fn watch(current: &[Current], is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(100));
        for slot in current {
            let Some((seed, text, since)) = lock(slot).clone() else { continue };
            if since.elapsed() > HANG {
                let hash: String =
                    Sha256::digest(&text).iter().take(8).map(|b| format!("{b:02x}")).collect();
                let kept = keep(seed, &text);
                let message = format!("LLMC_SEED={seed} ({hash}) does not end: {kept:?}\n");
                std::io::Write::write_all(&mut std::io::stderr(), message.as_bytes()).ok();
                std::process::abort();
            }
        }
    }
}

/// Where inputs are kept.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Keeps an input to look at.
fn keep(seed: u64, text: &str) -> PathBuf {
    write(&format!("mutation-{seed}.lt"), text)
}

fn write(name: &str, text: &str) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, text).expect("a disk");
    path
}
