//! Ten thousand broken specs: none makes the front end panic, hang or swell.
//!
//! `LLMC_CASES` takes more of them, see `tests/mutations/cases.rs`.

#[path = "mutations/cases.rs"]
mod cases;
#[path = "spec/facts.rs"]
mod facts;
#[path = "mutations/mutate.rs"]
mod mutate;

use std::collections::BTreeSet;
use std::path::Path;

use diag::Level;
use diag::render::{Style, render};
use llmc::Front;

/// Cases that are slow on purpose: they are at the limit of what a check computes.
const SLOW: &[&str] =
    &["functions_that_double.lt", "loop_of_a_billion.lt", "repeats_in_repeats.lt"];

/// Bytes that a diagnostic takes at most.
const MOST_SAID: usize = 4096;

#[test]
fn mutated_specs_neither_panic_nor_hang() {
    let seeds = corpus();
    cases::hold(&cases::Suite {
        name: "mutation",
        folder: Path::new(env!("CARGO_TARGET_TMPDIR")),
        usual: 10_000,
        make: &|case| (".lt".to_owned(), mutate::mutate(&seeds, case).into_bytes()),
        look: &|case, _, bytes| survive(std::str::from_utf8(bytes).expect("a text"), case),
    });
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

/// Checks and renders one input; every so often twice, which must say the same.
fn survive(text: &str, case: u64) {
    let first = said(text);
    if case.is_multiple_of(64) {
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
    let said = render(&front.map, &checked.diagnostics, Style::Human);
    let most = MOST_SAID * checked.diagnostics.len().clamp(1, 100);
    assert!(said.len() <= most, "{} bytes are said", said.len());
    said
}
