//! Whole files: the design's examples parse, and printing them is a fixpoint.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods, reason = "tests")]

use diag::SourceMap;
use std::path::Path;

fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/spec/design");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Snapshots lie beside them.
    files.retain(|path| path.extension().is_some_and(|ending| ending == "lt"));
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn parse(text: &str) -> (std::sync::Arc<syntax::ast::Spec>, usize) {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", text);
    let (spec, diags) = syntax::parse(&map, file);
    for d in &diags {
        let (line, col) = map.line_col(file, d.span().start);
        eprintln!("{line}:{col}: {} {}", d.code.name(), d.message);
    }
    (spec, diags.len())
}

#[test]
fn examples_parse() {
    let all = examples();
    assert_eq!(all.len(), 10);
    for (name, text) in all {
        assert_eq!(parse(&text).1, 0, "{name}");
    }
}

#[test]
fn printing_is_a_fixpoint() {
    for (name, text) in examples() {
        let (spec, _) = parse(&text);
        let printed = syntax::print_spec(&spec);
        let (again, n_diags) = parse(&printed);
        assert_eq!(n_diags, 0, "{name}:\n{printed}");
        assert_eq!(syntax::print_spec(&again), printed, "{name}");
        assert_eq!(spec.stmts.len(), again.stmts.len());
        assert_eq!(spec.exprs.len(), again.exprs.len());
        for (a, b) in spec.stmts.iter().zip(&again.stmts) {
            assert_eq!(a.doc, b.doc);
        }
    }
}

#[test]
fn crlf_and_byte_order_mark_change_nothing() {
    for (name, text) in examples() {
        let (plain, _) = parse(&text);
        let (spec, n_diags) = parse(&format!("\u{feff}{}", text.replace('\n', "\r\n")));
        assert_eq!(n_diags, 0, "{name}");
        assert_eq!(syntax::print_spec(&spec), syntax::print_spec(&plain), "{name}");
    }
}

/// Deletes, doubles and swaps pieces of the examples; nothing may panic, and what parses prints
/// to something that parses.
#[test]
fn mutated_files_never_panic() {
    let all = examples();
    let pieces = ["(", ")", "[", "]", "{", "}", "\"", "\n", "-", "if", "else", "é", "#", ",", "="];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for round in 0..3000 {
        let text = &all[round % all.len()].1;
        let mut text: Vec<char> = text.chars().collect();
        for _ in 0..=next(4) {
            let at = next(text.len());
            match next(4) {
                0 => drop(text.drain(at..(at + next(12)).min(text.len()))),
                1 => text.splice(at..at, pieces[next(pieces.len())].chars()).for_each(drop),
                2 => {
                    let other = next(text.len());
                    text.swap(at, other);
                }
                _ => text.truncate(text.len() - next(text.len() / 2)),
            }
        }
        let text: String = text.into_iter().collect();
        let mut map = SourceMap::new();
        let file = map.add("spec.lt", text);
        let (spec, diags) = syntax::parse(&map, file);
        let printed = syntax::print_spec(&spec);
        if diags.is_empty() {
            let file = map.add("printed.lt", printed.clone());
            let (again, diags) = syntax::parse(&map, file);
            assert!(diags.is_empty(), "{printed}");
            assert_eq!(syntax::print_spec(&again), printed);
        }
    }
}
