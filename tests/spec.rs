//! Specs as users write them, each a named test with a snapshot of what is said.
//!
//! `tests/spec/design/` holds whole specs; `tests/spec/broken/` has one fault in each file, and
//! the file's name is the claim. A snapshot holds the source and the rendered diagnostics.
//! `tests/spec/stages/` holds specs that compile; their headers say which stages to show.

#[path = "spec/case.rs"]
mod case;
#[path = "spec/facts.rs"]
mod facts;
#[path = "spec/stages.rs"]
mod stages;

use std::path::{Path, PathBuf};

use diag::render::{Style, render};
use diag::{Code, Diagnostic, Level, SourceMap};
use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut trials = vec![];
    for folder in ["design", "broken", "stages"] {
        let cases =
            specs_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec").join(folder));
        assert!(!cases.is_empty(), "tests/spec/{folder} has no case");
        for path in cases {
            let name = format!("{folder}::{}", stem(&path));
            trials.push(Trial::test(name, move || {
                holds(&path, folder);
                Ok(())
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn specs_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder of the cases");
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    let mut specs: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "lt")).collect();
    specs.sort();
    specs
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a file has a name").to_string_lossy().into_owned()
}

/// Checks the case and compares with its snapshot, which lies beside it.
fn holds(path: &Path, folder: &str) {
    let text = String::from_utf8(std::fs::read(path).expect("the case")).expect("a case is UTF-8");
    let name = stem(path);
    let path_in_messages = format!("{name}.lt");
    let shown_of_it = match folder {
        "stages" => stages::show(&path_in_messages, &text),
        _ => {
            let (map, diagnostics) = case::check(&path_in_messages, &text);
            match folder {
                "design" => design_holds(&name, &map, &diagnostics),
                _ => assert!(!diagnostics.is_empty(), "a broken spec is found fault with"),
            }
            match diagnostics.as_slice() {
                [] => "nothing to say".to_owned(),
                _ => render(&map, &diagnostics, Style::Human),
            }
        }
    };
    let both = format!("{}\n--------\n{}", shown(&text), shown_of_it.trim_end());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(path.parent().expect("a file lies in a folder"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, both));
}

/// Source as a snapshot holds it: what does not print is spelled out, long texts are cut.
fn shown(text: &str) -> String {
    const MAX_LINES: usize = 30;
    const MAX_COLUMNS: usize = 120;
    let mut out = String::new();
    for line in text.lines().take(MAX_LINES) {
        for c in line.chars().take(MAX_COLUMNS) {
            match c {
                '\u{20}'.. if !c.is_control() && !is_invisible(c) => out.push(c),
                '\t' => out.push('\t'),
                _ => out.extend(c.escape_unicode()),
            }
        }
        out.push_str(if line.chars().count() > MAX_COLUMNS { " ...\n" } else { "\n" });
    }
    if text.lines().count() > MAX_LINES {
        out.push_str("...\n");
    }
    out
}

/// Marks of direction and order that an editor does not show.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// What must be true of a whole spec, beside its snapshot.
fn design_holds(name: &str, map: &SourceMap, diagnostics: &[Diagnostic]) {
    for d in diagnostics {
        let is_syntax = d.code.name().starts_with("E00") || d.code.name().starts_with("E01");
        assert!(!is_syntax, "{name} parses: {}", d.message);
    }
    if ["01_hello", "02_shakespeare"].contains(&name) {
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
    }
    let other = |d: &&Diagnostic| d.code != Code::E0213 && d.code.level() == Level::Error;
    let others: Vec<_> = diagnostics.iter().filter(other).map(|d| d.code).collect();
    // The classifier of the library says `pool` otherwise than the design.
    let expected: &[Code] = if name == "04_bert" { &[Code::E0305] } else { &[] };
    assert_eq!(others, expected, "{}", render(map, diagnostics, Style::Short));
}
