//! The page of every code: its failing spec fails so, its mended spec passes.

#[path = "spec/case.rs"]
mod case;
#[path = "spec/facts.rs"]
mod facts;

use std::path::Path;

use diag::render::{Style, render};
use diag::{Code, Diagnostic, Level, SourceMap};
use exec::run_dir::OnChange;
use llmc::Front;
use llmc::budget::{Pace, over};
use llmc::changes::{Then, Weights, since};
use llmc::job::settings;

/// Codes of what only a look at the files shows; their examples are checked with the real data.
const NEEDS_FILES: &[Code] = &[Code::E0702, Code::E0709];

fn check(code: Code, text: &str) -> (SourceMap, Vec<Diagnostic>) {
    if let Some(set) = case::header(text, "# checkpoint:").next() {
        return resumed(text, set);
    }
    if let Some(step_s) = case::header(text, "# measured:").next() {
        return timed(text, step_s);
    }
    if !NEEDS_FILES.contains(&code) {
        return case::check("page.lt", text);
    }
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let front = Front::parse("page.lt", text, &[]);
    let (checked, _) = front.check_with_data(&base).expect("the data of the examples");
    (front.map, checked.diagnostics)
}

/// What is said of a spec that goes on from a checkpoint which was made with one `--set`.
fn resumed(text: &str, set: &str) -> (SourceMap, Vec<Diagnostic>) {
    let program = |sets: &[String]| {
        let front = Front::parse("page.lt", text, sets);
        let facts = facts::made_up(&front);
        let program = front.check(Some(&facts)).program.expect("the example is sound");
        let plan = llmc::compile(&program, &front.map, Some(&facts)).expect("it compiles").plan;
        (front, program, plan.run.identity, plan.run.trajectory)
    };
    let (_, then, identity, trajectory) = program(&[set.to_owned()]);
    let (front, now, new_identity, new_trajectory) = program(&[]);
    if (&identity, &trajectory) == (&new_identity, &new_trajectory) {
        return (front.map, vec![]);
    }
    let weights = if identity == new_identity { Weights::Fit } else { Weights::Differ };
    let then = settings(&then.train);
    let then = Then { settings: &then, is_data_same: true };
    let found = since(&now.train, then, weights, OnChange::Sibling);
    (front.map, found)
}

/// What is said of a spec whose steps take so long.
fn timed(text: &str, step_s: &str) -> (SourceMap, Vec<Diagnostic>) {
    let front = Front::parse("page.lt", text, &[]);
    let checked = front.check(Some(&facts::made_up(&front)));
    let train = checked.program.expect("the example is sound").train;
    let step_s = step_s.trim_end_matches('s').trim().parse().expect("seconds");
    let pace = Pace { step_s, step: 0, seconds: 0.0 };
    let mut found = checked.diagnostics;
    found.extend(over(&train, pace));
    (front.map, found)
}

/// What is only known when a sound spec is compiled.
fn compile(text: &str) -> Vec<Diagnostic> {
    let (front, facts) = case::read("page.lt", text);
    let program = front.check(Some(&facts)).program.expect("it was checked");
    llmc::compile(&program, &front.map, Some(&facts)).err().unwrap_or_default()
}

/// What is wrong with the page of a code, if anything.
fn fault(code: Code) -> Option<String> {
    let (failing, passing) = code.examples();
    let (map, found) = check(code, &failing);
    let codes: Vec<Code> = found.iter().map(|d| d.code).collect();
    let fits = match code.level() {
        Level::Error => !codes.is_empty() && codes.iter().all(|c| *c == code),
        Level::Warning => {
            codes.contains(&code) && codes.iter().all(|c| c.level() == Level::Warning)
        }
    };
    let name = code.name();
    if !fits {
        let said = render(&map, &found, Style::Human);
        return Some(format!("{name}: the failing example says\n{said}"));
    }
    let (map, mut found) = check(code, &passing);
    if found.is_empty() && !NEEDS_FILES.contains(&code) {
        found = compile(&passing);
    }
    let said = render(&map, &found, Style::Human);
    (!found.is_empty()).then(|| format!("{name}: the passing example says\n{said}"))
}

/// What people and programs see of each code: the failing example of its page.
#[test]
fn every_code_looks_as_it_did() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("codes");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for &code in Code::ALL {
        let (map, found) = check(code, &code.examples().0);
        let found: Vec<Diagnostic> = found.into_iter().filter(|d| d.code == code).collect();
        assert!(!found.is_empty(), "the page of {} shows it", code.name());
        let human = render(&map, &found, Style::Human);
        let lines = render(&map, &found, Style::Json);
        let json = lines.lines().map(|line| {
            let mut one: serde_json::Value = serde_json::from_str(line).expect("an object a line");
            one.as_object_mut().expect("an object").remove("rendered");
            one.to_string()
        });
        let both = format!("{human}--------\n{}", json.collect::<Vec<_>>().join("\n"));
        settings.bind(|| insta::assert_snapshot!(code.name(), both));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codes");
    let kept = std::fs::read_dir(folder).expect("the snapshots").count();
    assert_eq!(kept, Code::ALL.len(), "a snapshot for each code and no other");
}

#[test]
fn every_page_shows_its_code_and_the_way_out() {
    let faults: Vec<String> = Code::ALL.iter().filter_map(|code| fault(*code)).collect();
    assert!(faults.is_empty(), "{} pages:\n{}", faults.len(), faults.join("\n"));
}
