//! The page of every code: its failing spec fails so, its mended spec passes.

#[path = "spec/case.rs"]
mod case;
#[path = "spec/facts.rs"]
mod facts;

use std::path::Path;

use diag::render::{Style, render};
use diag::{Code, Diagnostic, Level, SourceMap};
use llmc::Front;

/// Codes of what only a look at the files shows; their examples are checked with the real data.
const NEEDS_FILES: &[Code] = &[Code::E0702];

fn check(code: Code, text: &str) -> (SourceMap, Vec<Diagnostic>) {
    if !NEEDS_FILES.contains(&code) {
        return case::check("page.lt", text);
    }
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let front = Front::parse("page.lt", text, &[]);
    let (checked, _) = front.check_with_data(&base).expect("the data of the examples");
    (front.map, checked.diagnostics)
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

#[test]
fn every_page_shows_its_code_and_the_way_out() {
    let faults: Vec<String> = Code::ALL.iter().filter_map(|code| fault(*code)).collect();
    assert!(faults.is_empty(), "{} pages:\n{}", faults.len(), faults.join("\n"));
}
