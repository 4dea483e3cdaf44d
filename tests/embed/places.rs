//! Messages of specs that Rust code built point at that code.

use llmc::build::{self, call, layer, percent, string};
use llmc::{Finding, Spec};

fn found(spec: &build::Spec) -> Vec<Finding> {
    Spec::built("built", spec).check().unwrap().report().findings().collect()
}

/// The text of this file from a finding on, to the end of its line.
fn source(finding: &Finding) -> String {
    assert_eq!(finding.file, file!(), "{}", finding.message);
    let line = include_str!("places.rs").lines().nth(finding.line - 1).unwrap();
    line.chars().skip(finding.column - 1).collect()
}

/// A spec without a fault, but for what is added.
fn hello(train: impl FnOnce(build::Block) -> build::Block) -> build::Spec {
    build::Spec::new()
        .model(call("gpt").with("layers", 2).with("width", 16).with("heads", 2))
        .data(call("text").arg(string("examples/data/shakespeare.txt")))
        .train(|t| train(t.set("batch", 4).set("context", 8).set("steps", 10)))
}

#[test]
fn a_directive_is_found_in_its_call() {
    let spec = hello(|t| t.set("lr", 1e-3).set("acumulate", 8));
    let all = found(&spec);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].code, "E0203");
    assert!(source(&all[0]).starts_with("acumulate\", 8)"), "{:?}", all[0]);
}

#[test]
fn a_value_and_an_argument_are_found_on_their_lines() {
    let spec = hello(|t| {
        t.set("warmup", percent(5))
            .set("optimizer", call("adamw").with("beta1", 0.9).with("beta3", 0.99))
            .set("dropout", 10)
    });
    let all = found(&spec);
    let places: Vec<String> = all.iter().map(source).collect();
    assert_eq!(all.iter().map(|f| f.code).collect::<Vec<_>>(), ["E0305", "E0302"]);
    assert!(places[0].starts_with("beta3\", 0.99)"), "{places:?}");
    assert!(places[1].starts_with("10)"), "{places:?}");
}

#[test]
fn a_line_of_a_text_is_found_in_the_text() {
    let spec = hello(|t| t).text_of(
        "
        layer twice(d: dim)(x: [.., d]) -> [.., d] {
          up = linear(d, 2 * d)
          down = linear(d, 2 * d)
          x |> up |> down
        }
        ",
    );
    let all = found(&spec);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].code, "E0401");
    assert_eq!(source(&all[0]), "down");
}

#[test]
fn a_declaration_is_found_in_its_calls() {
    let scaled = layer("scaled")
        .config("d", "dim")
        .takes("x", "[.., d]")
        .gives("[.., d]")
        .body(|b| b.param("scale", "[e]", "ones").text("x * scale"));
    let all = found(&hello(|t| t).declare(scaled));
    assert!(!all.is_empty());
    assert!(source(&all[0]).starts_with("e]\", \"ones\")"), "{all:?}");
}

#[test]
fn a_word_that_is_no_line_is_refused_at_its_call() {
    for word in ["lr # ", "lr\nclip", "", "a b\n"] {
        let spec = hello(|t| t.set(word, 1));
        let all = found(&spec);
        let first = all.first().unwrap_or_else(|| panic!("`{word}` is accepted"));
        assert!(all.iter().any(|f| f.is_error), "`{word}`");
        let source = source(first).trim_start().to_owned();
        assert!(
            source.starts_with("set(word, 1)") || source.starts_with("1)"),
            "`{word}`: {source}"
        );
    }
}

#[test]
fn a_message_shows_the_line_of_the_rust_source() {
    let spec = hello(|t| t.set("acumulate", 8));
    let text = Spec::built("built", &spec).check().unwrap().report().to_string();
    assert!(text.contains("let spec = hello(|t| t.set(\"acumulate\", 8));"), "{text}");
    assert!(text.contains("did you mean `accumulate`?"), "{text}");
}

#[test]
fn without_the_source_the_line_of_the_spec_stands_at_the_place() {
    let built = hello(|t| t.set("acumulate", 8)).build();
    let front = llmc::Front::parse("built.lt", &built.text, &[]);
    let found = front.check(None).diagnostics;
    let line = line!() - 3;
    let (map, moved) = built.places.relocate(&front.map, front.file, &found, &mut |_| None);
    let text = diag::render::render(&map, &moved, diag::render::Style::Human);
    assert!(text.contains(&format!("{}:{line}:", file!())), "{text}");
    assert!(text.contains("acumulate 8\n"), "{text}");
    let short = diag::render::render(&map, &moved, diag::render::Style::Short);
    assert!(short.starts_with(&format!("{}:{line}:29: error[E0203]", file!())), "{short}");
}
