//! Inputs made to break a parser: too deep, too long, too large.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests of time and stack")]

use diag::render::{Style, render};
use diag::{Code, SourceMap};
use std::time::{Duration, Instant};

fn codes(text: &str) -> Vec<Code> {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", text);
    let (spec, diags) = syntax::parse(&map, file);
    drop(syntax::print_spec(&spec));
    assert!(render(&map, &diags, Style::Human).len() < 4096 * diags.len().clamp(1, 100));
    diags.iter().map(|d| d.code).collect()
}

/// Runs on the stack of a small thread.
fn codes_small_stack(text: String) -> Vec<Code> {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(move || codes(&text)).unwrap().join().unwrap()
}

#[test]
fn a_million_open_brackets() {
    for bracket in ["(", "{", "[", "f(", "x[", "(\n", "{\n", "if a {\n"] {
        // The least of three: what else the machine does takes no less time than none.
        let time = |_| {
            let text = bracket.repeat(1_000_000 / bracket.len());
            let started = Instant::now();
            assert_eq!(codes_small_stack(text), [Code::E0106], "{bracket:?}");
            started.elapsed()
        };
        let least = (0..3).map(time).min().expect("three times");
        // A tenth of a second alone; the machine may be busy.
        assert!(least < Duration::from_millis(400), "{bracket:?}: {least:?}");
    }
}

#[test]
fn nesting_within_the_limit() {
    for (open, close) in [("(", ")"), ("[", "]"), ("f(", ")")] {
        let text = |n: usize| format!("x = {}1{}\n", open.repeat(n), close.repeat(n));
        assert_eq!(codes_small_stack(text(64)), []);
        assert_eq!(codes_small_stack(text(65)), [Code::E0106]);
    }
    let text = format!("{}x\n{}", "train {\n".repeat(64), "}\n".repeat(64));
    assert_eq!(codes_small_stack(text), []);
}

#[test]
fn chains_of_operators() {
    let chains = ["1+", "a.", "not ", "- ", "-", "2^", "a|>", "a or ", "1 ..", "a(1)", "a in "];
    for link in chains {
        let text = format!("x = {}a\n", link.repeat(10_000));
        assert_eq!(codes_small_stack(text).last(), Some(&Code::E0106), "{link}");
    }
    assert_eq!(codes(&format!("x = {}1\n", "1+".repeat(256))), []);
    assert_eq!(codes(&format!("x = {}1\n", "1+".repeat(257))), [Code::E0106]);
    assert_eq!(codes(&format!("x = [{}]\n", "1+1, ".repeat(5_000))), []);
    assert_eq!(codes(&format!("x = f(\n{})\n", "1+1,\n".repeat(5_000))), []);
}

#[test]
fn many_small_things() {
    assert_eq!(codes_small_stack("# a comment\n".repeat(87_000)), []);
    assert_eq!(codes_small_stack("#\n".repeat(500_000)), []);
    assert_eq!(codes_small_stack("##\n".repeat(300_000)), []);
    assert_eq!(codes_small_stack("\n".repeat(1_000_000)), []);
    assert_eq!(codes_small_stack("x 1\n".repeat(200_000)), []);
    assert_eq!(codes_small_stack(format!("x \"{}\"\n", "\\n".repeat(30_000))), []);
    assert_eq!(codes_small_stack(format!("x \"{}\"\n", "{a}".repeat(20_000))), []);
    assert_eq!(codes_small_stack("x ".repeat(30_000)), []);
}

#[test]
fn a_hundred_thousand_comment_lines() {
    assert_eq!(codes_small_stack("# comment\n".repeat(100_000)), []);
}

#[test]
fn many_errors() {
    let started = Instant::now();
    for line in ["x = )\n", "x = =\n", "x \"\n", "$\n", "x = (]\n"] {
        let n_codes = codes_small_stack(line.repeat(10_000)).len();
        assert_eq!(n_codes, 10_000, "{line:?}");
    }
    // What is said of one error does not grow with the others, nor does what it takes to go on.
    for line in ["train = {}\n", "data: {}\n", "train {} a\n", "if a {} b\n"] {
        assert_eq!(codes_small_stack(line.repeat(30_000)).len(), 30_000, "{line:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn large_texts() {
    assert_eq!(codes(&"# comment\n".repeat(5_000_000)), [Code::E0005]);
    assert_eq!(codes(&"x".repeat(1 << 20)), [Code::E0005, Code::E0005]);
    assert_eq!(codes(&"#".repeat(70_000)), [Code::E0005]);
    assert_eq!(codes(&format!("# {}", "é".repeat(40_000))), [Code::E0005]);
    assert_eq!(codes(&format!("x {}$\n", " ".repeat(60_000))), [Code::E0001]);
}

#[test]
fn empty_texts() {
    for text in ["", "\n", "\u{feff}", "#", "##", ";", ";;\n", "\r\n", "\u{feff}\u{feff}"] {
        let n_codes = codes(text).len();
        assert_eq!(n_codes, usize::from(text == "\u{feff}\u{feff}"), "{text:?}");
    }
}

#[test]
fn lines_of_a_block() {
    let text = |n: usize| format!("a {{\n{}}}\n", "b 1\n".repeat(n));
    assert_eq!(codes(&text(4096)), []);
    assert_eq!(codes(&text(4097)), [Code::E0005]);
}
