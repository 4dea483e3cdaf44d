//! Specs as text in, diagnostics and settings out.

use diag::SourceMap;

use super::{Override, check};
use crate::program::{Facts, Program};

/// A library of the least that a spec needs.
const STD: &str = r#"
layer gpt(layers: int, width: dim, heads: int, vocab: int = data.vocab)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  param emb: [vocab, width] = normal(0.02)
  param head: [width, vocab] = normal(0.02)
  gather(emb, ids) @ head
}
fn cross_entropy(logits: [..s, v], target: tok(v)[..s]) -> fp32[..s] {
  logsumexp(fp32(logits), over: v) - pick(logits, target)
}
rule adamw(beta1: prob = 0.9, beta2: prob = 0.999, eps: real = 1e-8, weight_decay: real = 0)(w: [..s], g: [..s], lr: real, t: int) -> [..s] {
  w - lr * (g + weight_decay * w)
}
rule sgd(momentum: prob = 0)(w: [..s], g: [..s], lr: real, t: int) -> [..s] { w - lr * g }
fn cosine(to: prob = 10%)(step: int, total: int) -> real { to + (1 - to) * step / total }
fn constant()(step: int, total: int) -> real { 1 }
"#;

/// The lines around a `train` block.
fn around(lines: &str) -> String {
    format!(
        "model gpt(layers: 2, width: 4, heads: 2)\ndata text(\"a.txt\")\ntrain {{\n{lines}\n}}\n"
    )
}

fn run(text: &str, sets: &[&str], facts: Option<&Facts>) -> (Option<Program>, String) {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", text);
    let std_file = map.add("std/test.lt", STD);
    let mut out = String::new();
    let mut overrides = vec![];
    for set in sets {
        let (parsed, diagnostics) = Override::parse(&mut map, set);
        overrides.extend(parsed);
        out.push_str(&list(&map, &diagnostics));
    }
    let (spec, syntax) = syntax::parse(&map, file);
    let (std, _) = syntax::parse(&map, std_file);
    let (program, found) = check("spec", &spec, &overrides, &[&std], &map, facts);
    out.push_str(&list(&map, &syntax));
    out.push_str(&list(&map, &found));
    (program, out)
}

/// One line a diagnostic: place, code, message; then its help.
fn list(map: &SourceMap, diagnostics: &[diag::Diagnostic]) -> String {
    let mut out = String::new();
    for d in diagnostics {
        let (line, column) = map.line_col(d.span().file, d.span().start);
        out.push_str(&format!("{line}:{column} {} {}\n", d.code.name(), d.message));
        for help in &d.help {
            out.push_str(&format!("  {help}\n"));
        }
    }
    out
}

/// Codes and messages of a `train` block that is fine but for these lines.
fn train(lines: &str) -> String {
    run(&around(&format!("steps 1k\nbatch 32\n{lines}")), &[], None).1
}

#[track_caller]
fn says(lines: &str, expect: &str) {
    assert_eq!(train(lines).trim_end(), expect.trim_matches('\n'), "{lines}");
}

#[test]
fn counts_are_checked_for_kind_and_range() {
    says("accumulate 0", "6:12 E0302 `accumulate` must be within 1..65536, found 0");
    says("accumulate -1", "6:12 E0302 `accumulate` must be within 1..65536, found -1");
    says("accumulate 1e9", "6:12 E0302 `accumulate` must be within 1..65536, found 1e9");
    says("accumulate 8.5", "6:12 E0301 `accumulate` takes a whole number, found `8.5`");
    says(
        "accumulate eight",
        "6:12 E0301 `accumulate` takes a whole number, found the name `eight`",
    );
    says("micro_batch 4GiB", "6:13 E0303 `micro_batch` takes a plain count, found `4GiB`");
    says("seed", "6:1 E0301 `seed` needs a value");
}
