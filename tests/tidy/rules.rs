//! Rules over texts: each takes all files and returns a line for each violation.

use std::collections::BTreeSet;

use crate::source::{File, has_word};

/// Lines of the longest file.
const MAX_LINES: usize = 1000;

/// Files that are one flat table and may be longer.
const FLAT_TABLES: &[&str] = &[];

/// Names that say nothing.
const NAMELESS: &[&str] = &["utils.rs", "util.rs", "helpers.rs", "common.rs", "misc.rs"];

/// Where unsafe code may stand: what runs compiled kernels, the map of a data file, and the driver
/// of the tests.
const UNSAFE: &[&str] = &[
    "runtime/exec/src/device/cpu",
    "runtime/exec/src/device/cuda",
    "runtime/data/src/mmap.rs",
    "tests/driver/src",
];

/// What opens files, reads the clock, spawns threads, or has no order.
const IMPURE: &[&str] = &[
    "std::fs",
    "File::open",
    "Instant::now",
    "SystemTime",
    "thread::spawn",
    "thread::scope",
    "HashMap",
    "HashSet",
    "std::env::var",
    "std::net",
    "std::process",
];

/// Macros that write to the terminal.
const PRINTING: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!"];

pub(crate) fn files_are_short(files: &[File]) -> Vec<String> {
    let rust = files.iter().filter(|f| f.is_rust() && !FLAT_TABLES.contains(&f.path.as_str()));
    rust.map(|f| (f, f.text.lines().count()))
        .filter(|(_, n_lines)| *n_lines > MAX_LINES)
        .map(|(f, n_lines)| format!("{}: {n_lines} lines, at most {MAX_LINES}", f.path))
        .collect()
}

pub(crate) fn files_are_named_after_their_idea(files: &[File]) -> Vec<String> {
    let nameless = files.iter().filter(|f| NAMELESS.contains(&f.name()));
    nameless.map(|f| format!("{}: name it after what it holds", f.path)).collect()
}

pub(crate) fn files_say_what_they_are(files: &[File]) -> Vec<String> {
    let rust = files.iter().filter(|f| f.is_rust());
    rust.filter_map(|f| {
        let first = f.text.lines().next().unwrap_or_default();
        let Some(sentence) = first.strip_prefix("//! ") else {
            return Some(format!("{}: does not start with `//!`", f.path));
        };
        let length = sentence.chars().count();
        (length > 80).then(|| format!("{}: {length} characters in its first line", f.path))
    })
    .collect()
}

pub(crate) fn unsafe_stays_where_it_belongs(files: &[File]) -> Vec<String> {
    let outside =
        |f: &&File| f.is_rust() && !UNSAFE.iter().any(|allowed| f.path.starts_with(allowed));
    find(files.iter().filter(outside), |line| has_word(line, "unsafe").then_some("unsafe code"))
}

pub(crate) fn unsafe_says_why_it_is_sound(files: &[File]) -> Vec<String> {
    let mut broken = vec![];
    for file in files.iter().filter(|f| f.is_rust()) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (number, code) in file.code() {
            let opens = code.contains("unsafe {") || code.contains("unsafe impl");
            let above = &lines[number.saturating_sub(9)..number];
            if opens && !above.iter().any(|line| line.contains("SAFETY:")) {
                broken.push(format!("{}:{number}: no `SAFETY:` comment", file.path));
            }
        }
    }
    broken
}

pub(crate) fn the_compiler_is_pure(files: &[File]) -> Vec<String> {
    find(files.iter().filter(|f| is_pure(f)), |line| {
        IMPURE.iter().copied().find(|word| has_word(line, word))
    })
}

/// Sources of the compiler, its driver and the tests beside them aside.
fn is_pure(file: &File) -> bool {
    let of_a_crate = file.path.starts_with("compiler/") && file.path.contains("/src/");
    let tests = file.name() == "tests.rs" || file.path.contains("/tests/");
    // A macro runs inside of the Rust compiler and reads the file that it is given.
    let has_files = ["compiler/driver/", "compiler/macros/"];
    let has_files = has_files.iter().any(|folder| file.path.starts_with(folder));
    file.is_rust() && of_a_crate && !has_files && !tests
}

pub(crate) fn only_the_driver_prints(files: &[File]) -> Vec<String> {
    let silent = |f: &&File| {
        f.is_rust() && f.path.contains("src/") && !f.path.starts_with("compiler/driver/")
    };
    find(files.iter().filter(silent), |line| {
        PRINTING.iter().copied().find(|word| {
            let name = word.trim_end_matches('!');
            has_word(line, name) && line.contains(word)
        })
    })
}

pub(crate) fn back_ends_name_no_op(files: &[File]) -> Vec<String> {
    let back_end = |f: &&File| f.path.starts_with("compiler/codegen/src/");
    find(files.iter().filter(back_end), |line| line.contains("ir::ops").then_some("`ir::ops`"))
}

pub(crate) fn tests_are_neither_ignored_nor_expected_to_panic(files: &[File]) -> Vec<String> {
    find(files.iter().filter(|f| f.is_rust()), |line| {
        ["#[ignore", "#[should_panic"].into_iter().find(|attribute| line.contains(attribute))
    })
}

pub(crate) fn nothing_is_left_for_later(files: &[File]) -> Vec<String> {
    // Joined here, or this file would be a violation itself.
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];
    find_text(files, |line| words.into_iter().find(|word| has_word(line, word)))
}

pub(crate) fn nothing_speaks_of_how_it_was_made(files: &[File]) -> Vec<String> {
    let parts = [
        concat!("/wo", "rk/"),
        concat!("/tmp", "/"),
        concat!("issue", " #"),
        concat!("work", "place"),
        concat!("language", " model wrote"),
    ];
    let words = [concat!("age", "nt"), concat!("age", "nts"), concat!("assist", "ant")];
    find_text(files, |line| {
        let lower = line.to_lowercase();
        let part = parts.into_iter().find(|part| lower.contains(part));
        part.or_else(|| words.into_iter().find(|word| has_word(&lower, word)))
    })
}

pub(crate) fn snapshots_have_a_case(files: &[File]) -> Vec<String> {
    let paths: BTreeSet<&str> = files.iter().map(|f| f.path.as_str()).collect();
    let mut broken = vec![];
    for snap in files.iter().filter(|f| f.path.ends_with(".snap")) {
        let beside = format!("{}.lt", snap.path.trim_end_matches(".snap"));
        // A snapshot of a code has its page.
        let page = beside.replace("tests/codes/", "compiler/diag/codes/").replace(".lt", ".md");
        let has_case = paths.contains(beside.as_str()) || paths.contains(page.as_str());
        if has_case || is_named_in_its_source(snap, files) {
            continue;
        }
        broken.push(format!("{}: no case owns it", snap.path));
    }
    broken
}

/// Whether a test that the snapshot's header points at still speaks of its name.
fn is_named_in_its_source(snap: &File, files: &[File]) -> bool {
    let Some(source) = snap.text.lines().find_map(|l| l.strip_prefix("source: ")) else {
        return false;
    };
    let stem = snap.name().trim_end_matches(".snap");
    let last = stem.rsplit("__").next().unwrap_or(stem);
    // The second snapshot of a test ends in `-2`.
    let name = last.rsplit_once('-').map_or(last, |(name, _)| name);
    let owner = files.iter().find(|f| f.path.ends_with(source.trim().trim_matches('"')));
    owner.is_some_and(|f| has_word(&f.text, name) || has_word(&f.text, last))
}

/// Every line of code that `check` names a fault of.
fn find<'a>(
    files: impl Iterator<Item = &'a File>,
    check: impl Fn(&str) -> Option<&'static str>,
) -> Vec<String> {
    let mut broken = vec![];
    for file in files {
        for (number, line) in file.code() {
            if let Some(what) = check(&line) {
                broken.push(format!("{}:{number}: {what}", file.path));
            }
        }
    }
    broken
}

/// Every line of any text that `check` names a fault of.
fn find_text(files: &[File], check: impl Fn(&str) -> Option<&'static str>) -> Vec<String> {
    let mut broken = vec![];
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(what) = check(line) {
                broken.push(format!("{}:{}: `{what}`", file.path, at + 1));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plants `text` at `path` and returns what the rule says.
    fn plant(rule: fn(&[File]) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
        rule(&[File::new(path, text.to_owned())])
    }

    #[test]
    fn a_long_file_is_named() {
        let broken = plant(files_are_short, "compiler/ir/src/a.rs", &"\n".repeat(1001));
        assert_eq!(broken, ["compiler/ir/src/a.rs: 1001 lines, at most 1000"]);
        assert!(plant(files_are_short, "a.rs", &"\n".repeat(1000)).is_empty());
    }

    #[test]
    fn a_name_without_an_idea_is_caught() {
        let rule = files_are_named_after_their_idea;
        assert_eq!(plant(rule, "compiler/ir/src/utils.rs", "").len(), 1);
        assert!(plant(rule, "compiler/ir/src/verify.rs", "").is_empty());
    }

    #[test]
    fn a_missing_or_long_first_line_is_caught() {
        let rule = files_say_what_they_are;
        assert_eq!(plant(rule, "a.rs", "use std::io;\n").len(), 1);
        assert_eq!(plant(rule, "a.rs", &format!("//! {}\n", "x".repeat(81))).len(), 1);
        assert!(plant(rule, "a.rs", "//! What it is.\n").is_empty());
    }

    #[test]
    fn unsafe_outside_its_places_is_caught() {
        let rule = unsafe_stays_where_it_belongs;
        assert_eq!(
            plant(rule, "compiler/ir/src/a.rs", "//! A.\nunsafe { f() }"),
            ["compiler/ir/src/a.rs:2: unsafe code"]
        );
        assert!(plant(rule, "compiler/ir/src/a.rs", "// unsafe\n#![deny(unsafe_code)]").is_empty());
        assert!(plant(rule, "runtime/exec/src/device/cpu/pool.rs", "unsafe { f() }").is_empty());
    }

    #[test]
    fn unsafe_without_a_reason_is_caught() {
        let rule = unsafe_says_why_it_is_sound;
        assert_eq!(plant(rule, "a.rs", "let a = 1;\nunsafe { f() }").len(), 1);
        assert!(plant(rule, "a.rs", "// SAFETY: f takes nothing.\nunsafe { f() }").is_empty());
    }

    #[test]
    fn what_is_not_pure_is_caught_outside_the_driver() {
        let rule = the_compiler_is_pure;
        for text in
            ["use std::fs;", "let t = Instant::now();", "std::thread::spawn(f)", "HashMap::new()"]
        {
            assert_eq!(plant(rule, "compiler/sema/src/a.rs", text).len(), 1, "{text}");
            assert!(plant(rule, "compiler/driver/src/a.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn printing_is_caught_outside_the_driver() {
        let rule = only_the_driver_prints;
        assert_eq!(plant(rule, "runtime/exec/src/a.rs", "println!()").len(), 1);
        assert_eq!(plant(rule, "compiler/ir/src/a.rs", "eprintln!()").len(), 1);
        assert!(plant(rule, "compiler/driver/src/a.rs", "println!()").is_empty());
        assert!(plant(rule, "compiler/ir/src/a.rs", "writeln!(f)").is_empty());
    }

    #[test]
    fn an_op_in_a_back_end_is_caught() {
        let text = "use ir::ops::Softmax;";
        assert_eq!(plant(back_ends_name_no_op, "compiler/codegen/src/a.rs", text).len(), 1);
        assert!(plant(back_ends_name_no_op, "compiler/passes/src/a.rs", text).is_empty());
    }

    #[test]
    fn an_ignored_test_is_caught() {
        let rule = tests_are_neither_ignored_nor_expected_to_panic;
        assert_eq!(plant(rule, "a.rs", &format!("#[{}]", "ignore")).len(), 1);
        assert_eq!(plant(rule, "a.rs", &format!("#[{}]", "should_panic")).len(), 1);
    }

    #[test]
    fn work_left_for_later_is_caught() {
        let text = format!("// {}: later", concat!("TO", "DO"));
        assert_eq!(plant(nothing_is_left_for_later, "a.rs", &text).len(), 1);
        assert!(plant(nothing_is_left_for_later, "a.rs", "let todos = 1;").is_empty());
    }

    #[test]
    fn words_about_the_making_are_caught() {
        let rule = nothing_speaks_of_how_it_was_made;
        assert_eq!(plant(rule, "README.md", concat!("see Issue", " #12")).len(), 1);
        assert_eq!(plant(rule, "a.rs", concat!("// /wo", "rk/x")).len(), 1);
        assert!(plant(rule, "a.rs", "// magenta issue").is_empty());
    }

    #[test]
    fn a_snapshot_without_a_case_is_caught() {
        let case = File::new("tests/spec/broken/a.lt", String::new());
        let snap = |path: &str, text: &str| File::new(path, text.to_owned());
        let files =
            [case, snap("tests/spec/broken/a.snap", ""), snap("tests/spec/broken/b.snap", "")];
        assert_eq!(snapshots_have_a_case(&files), ["tests/spec/broken/b.snap: no case owns it"]);
        let source = File::new("compiler/ir/tests/ops.rs", "fn relu_prints() {}".to_owned());
        let header = "---\nsource: compiler/ir/tests/ops.rs\n---\n";
        let owned = snap("compiler/ir/tests/snapshots/ops__relu_prints.snap", header);
        let lost = snap("compiler/ir/tests/snapshots/ops__gelu_prints.snap", header);
        assert_eq!(snapshots_have_a_case(&[source, owned, lost]).len(), 1);
    }
}
