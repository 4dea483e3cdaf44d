//! Mistakes made with other trainers, and what is said to them here.
//!
//! A case in `tests/mistakes/` starts with the public thread where it was seen and with a line on
//! what went wrong there; its snapshot holds what is said and what `check --fix` makes of it.
//! Checked with the real data of the examples, and compiled.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use diag::render::{Style, render};
use diag::{Diagnostic, SourceMap};
use libtest_mimic::{Arguments, Trial};
use llmc::Front;

/// What the corpus must hold at least.
const CASES: usize = 40;
const MENDED: usize = 25;

/// As many as `check --fix` takes.
const ROUNDS: usize = 20;

fn main() {
    let cases = cases();
    let mut trials = vec![Trial::test("most_are_mended", || {
        most_are_mended();
        Ok(())
    })];
    for path in cases {
        let name = stem(&path);
        trials.push(Trial::test(name, move || {
            holds(&path);
            Ok(())
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the folder of the cases");
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    let mut specs: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "lt")).collect();
    specs.sort();
    specs
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a file has a name").to_string_lossy().into_owned()
}

/// What is said of a spec, with the data of the examples, to the end of its compilation.
fn check(text: &str) -> (Front, SourceMap, Vec<Diagnostic>) {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let front = Front::parse("spec.lt", text, &[]);
    let (checked, data) = front.check_with_data(&base).expect("the data of the examples");
    let mut found = checked.diagnostics;
    if let Some(program) = &checked.program {
        let facts = data.as_ref().map(|(facts, _)| facts);
        let compiled = llmc::compile(program, &front.map, facts);
        found.extend(compiled.map_or_else(|errors| errors, |compiled| compiled.warnings));
    }
    let map = front.map.clone();
    (front, map, found)
}

/// The spec after all edits that are certain.
fn mended(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..ROUNDS {
        let (front, _, found) = check(&text);
        let (next, made) = diag::fix::apply(front.file, &text, &found);
        if made.is_empty() {
            break;
        }
        text = next;
    }
    text
}

/// The text of a case without what its header says of it.
fn read(path: &Path) -> (String, Vec<String>) {
    let whole = std::fs::read_to_string(path).expect("a case is UTF-8");
    let header: Vec<String> =
        whole.lines().take_while(|line| line.starts_with("# ")).map(str::to_owned).collect();
    let text = whole.lines().skip(header.len()).map(|line| format!("{line}\n")).collect();
    (text, header)
}

fn holds(path: &Path) {
    let (text, header) = read(path);
    let [seen, there] = header.as_slice() else { panic!("a case has two lines of header") };
    assert!(seen.starts_with("# seen: https://github.com/"), "{seen}");
    assert!(there.strip_prefix("# there: ").is_some_and(|t| t.len() > 10), "{there}");
    let (_, map, found) = check(&text);
    assert!(!found.is_empty(), "a mistake is said");
    for d in &found {
        let has_a_way_out = !d.help.is_empty() || !d.notes.is_empty() || d.labels.len() > 1;
        assert!(
            has_a_way_out || !d.labels[0].message.is_empty(),
            "{}: {}",
            d.code.name(),
            d.message
        );
    }
    let said = render(&map, &found, Style::Human);
    let after = mended(&text);
    let mut shown = format!("{}\n\n{}--------\n{}", header.join("\n"), text, said.trim_end());
    if after != text {
        let (_, map, left) = check(&after);
        let left = render(&map, &left, Style::Short);
        let left = if left.is_empty() { "nothing to say\n".to_owned() } else { left };
        shown += &format!("\n-------- after the edits\n{after}--------\n{left}");
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(stem(path), shown));
}

fn most_are_mended() {
    let cases = cases();
    let threads: BTreeSet<String> = cases.iter().map(|path| read(path).1[0].clone()).collect();
    assert_eq!(threads.len(), cases.len(), "each case has a thread of its own");
    assert!(cases.len() >= CASES, "{} cases", cases.len());
    let is_mended = |path: &&PathBuf| {
        let text = read(path).0;
        let after = mended(&text);
        after != text && check(&after).2.is_empty()
    };
    let whole: Vec<String> = cases.iter().filter(is_mended).map(|path| stem(path)).collect();
    assert!(whole.len() >= MENDED, "only {} are mended: {whole:?}", whole.len());
}
