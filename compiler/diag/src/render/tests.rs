//! How each style looks.

use super::{Style, render};
use crate::{Code, Diagnostic, FileId, SourceMap, Span};

const SPEC: &str = "train {\n  batch      64\n  warmup     2000\n  steps      1k\n}\n";

fn warmup() -> (SourceMap, Diagnostic) {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", SPEC);
    let d = Diagnostic::new(Code::W0512, place(file, SPEC, "warmup     2000"), "warmup never ends")
        .primary("2000 steps of warmup")
        .label(place(file, SPEC, "steps      1k"), "the run has only 1000 steps")
        .note("warmup counts optimizer steps")
        .fix("`warmup 10%` scales with `steps`", place(file, SPEC, "2000"), "10%");
    (map, d)
}

fn place(file: FileId, text: &str, what: &str) -> Span {
    let at = text.find(what).unwrap() as u32;
    Span::new(file, at, at + what.len() as u32)
}

#[test]
fn human() {
    let (map, d) = warmup();
    insta::assert_snapshot!(render(&map, &[d], Style::Human), @r#"
    warning[W0512]: warmup never ends
      ┌─ spec.lt:3:3
      │
    3 │   warmup     2000
      │   ^^^^^^^^^^^^^^^ 2000 steps of warmup
    4 │   steps      1k
      │   ------------- the run has only 1000 steps
      │
      = note: warmup counts optimizer steps
      = help: `warmup 10%` scales with `steps`
    "#);
}

#[test]
fn carets_stand_under_characters_of_two_columns() {
    let text = "# 训练设置\ntrain { checkpoint \"模型/结果\" every 50; lr 学习率 }\n";
    let mut map = SourceMap::new();
    let file = map.add("训练.lt", text);
    let error = Diagnostic::new(Code::E0301, place(file, text, "学习率"), "`lr` takes a number")
        .primary("这里需要一个数")
        .label(place(file, text, "\"模型/结果\""), "a path of its own")
        .help("例如 `lr 3e-4`");
    let warning = Diagnostic::new(Code::W0513, place(file, text, "every 50"), "从不保存")
        .label(place(file, text, "训练设置"), "说明");
    insta::assert_snapshot!(render(&map, &[error, warning], Style::Human), @r#"
    warning[W0513]: 从不保存
      ┌─ 训练.lt:2:28
      │
    1 │ # 训练设置
      │   -------- 说明
    2 │ train { checkpoint "模型/结果" every 50; lr 学习率 }
      │                                ^^^^^^^^

    error[E0301]: `lr` takes a number
      ┌─ 训练.lt:2:41
      │
    2 │ train { checkpoint "模型/结果" every 50; lr 学习率 }
      │                    -----------              ^^^^^^ 这里需要一个数
      │                    │                          
      │                    a path of its own
      │
      = help: 例如 `lr 3e-4`
    "#);
}

#[test]
fn colour_holds_the_same_text() {
    let (map, d) = warmup();
    let text = render(&map, &[d], Style::HumanColour);
    assert!(text.contains("\u{1b}[") && text.contains("warmup never ends"));
}

#[test]
fn short() {
    let (map, d) = warmup();
    insta::assert_snapshot!(render(&map, &[d], Style::Short), @r#"
    spec.lt:3:3: warning[W0512]: warmup never ends
    "#);
}

#[test]
fn json_is_one_object_a_line() {
    let (map, d) = warmup();
    let text = render(&map, &[d.clone(), d], Style::Json);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let label = &lines[0]["labels"][1];
    assert_eq!((label["line"].as_u64(), label["col"].as_u64()), (Some(4), Some(3)));
    assert_eq!(lines[0]["fixes"][0]["edits"][0]["text"], "10%");
    assert_eq!(lines[0]["code"], "W0512");
    assert_eq!(lines[0]["level"], "warning");
}

#[test]
fn sorted_by_place_and_capped() {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", "x".repeat(300));
    let at = |i| Diagnostic::new(Code::E0202, Span::new(file, i, i + 1), format!("error at {i}"));
    let diags: Vec<_> = (0..250).rev().map(at).collect();
    let text = render(&map, &diags, Style::Short);
    assert!(text.starts_with("spec.lt:1:1: error[E0202]: error at 0\n"));
    assert_eq!(text.lines().count(), 101);
    assert!(text.ends_with("and 150 more diagnostics\n"));
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let mut map = SourceMap::new();
    let text = format!("{}wrong{}", "é ".repeat(1_000_000), " y".repeat(1_000_000));
    let file = map.add("spec.lt", text.clone());
    let d = Diagnostic::new(Code::E0202, place(file, &text, "wrong"), "`wrong` is not defined");
    let out = render(&map, &[d], Style::Human);
    assert!(out.len() < 1200, "{}", out.len());
    assert!(out.contains("spec.lt:1:2000001") && out.contains("^^^^^\n"), "{out}");
}

#[test]
fn nothing_reaches_the_terminal() {
    let mut map = SourceMap::new();
    let text = "a \u{1b}[31m \u{202e} wrong\r\nnext";
    let file = map.add("spec.lt", text);
    let d = Diagnostic::new(Code::E0202, place(file, text, "wrong"), "not \u{1b}[0m defined");
    let out = render(&map, &[d], Style::Human);
    assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}') && !out.contains('\r'));
    insta::assert_snapshot!(out, @r#"
    error[E0202]: not �[0m defined
      ┌─ spec.lt:1:11
      │
    1 │ a �[31m � wrong
      │           ^^^^^
    "#);
}

#[test]
fn a_label_ends_with_its_line() {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", SPEC);
    let whole = Span::new(file, 0, SPEC.len() as u32);
    let d = Diagnostic::new(Code::E0209, whole, "`train` needs `lr`").primary("not in here");
    insta::assert_snapshot!(render(&map, &[d], Style::Human), @r#"
    error[E0209]: `train` needs `lr`
      ┌─ spec.lt:1:1
      │
    1 │ train {
      │ ^^^^^^^ not in here
    "#);
}

#[test]
fn places_in_two_files_and_at_the_end() {
    let mut map = SourceMap::new();
    let one = map.add("a.lt", "use \"b.lt\"\n");
    let two = map.add("b.lt", "use \"a.lt\"");
    let d = Diagnostic::new(Code::E0205, Span::new(one, 11, 11), "a cycle")
        .label(Span::new(two, 10, 10), "here");
    insta::assert_snapshot!(render(&map, &[d], Style::Human), @r#"
    error[E0205]: a cycle
      ┌─ a.lt:2:1
      │
    2 │ 
      │ ^
      │
      ┌─ b.lt:1:11
      │
    1 │ use "a.lt"
      │           - here
    "#);
}

#[test]
fn empty_file() {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", "");
    let d = Diagnostic::new(Code::E0209, Span::new(file, 0, 0), "nothing to do");
    insta::assert_snapshot!(render(&map, &[d], Style::Human), @r#"
    error[E0209]: nothing to do
      ┌─ spec.lt:1:1
      │
    1 │ 
      │ ^
    "#);
}

#[test]
fn sarif_is_one_log_with_rules_places_and_fixes() {
    let (map, d) = warmup();
    let log = render(&map, &[d], Style::Sarif);
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "W0512");
    let result = &run["results"][0];
    assert_eq!((&result["level"], &result["ruleIndex"]), (&"warning".into(), &0.into()));
    let region =
        serde_json::json!({ "startLine": 3, "startColumn": 3, "endLine": 3, "endColumn": 18 });
    assert_eq!(result["locations"][0]["physicalLocation"]["region"], region);
    assert_eq!(result["relatedLocations"][0]["message"]["text"], "the run has only 1000 steps");
    let change = &result["fixes"][0]["artifactChanges"][0];
    assert_eq!(change["artifactLocation"]["uri"], "spec.lt");
    assert_eq!(change["replacements"][0]["insertedContent"]["text"], "10%");
}

#[test]
fn sarif_without_a_finding_is_a_log_too() {
    let log = render(&SourceMap::new(), &[], Style::Sarif);
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    assert_eq!(log["runs"][0]["results"], serde_json::json!([]));
}

#[test]
fn github_gets_errors_first_and_no_more_than_it_shows() {
    let mut map = SourceMap::new();
    let file = map.add("a,b:c.lt", SPEC);
    let of = |code| Diagnostic::new(code, place(file, SPEC, "64"), "100 % of it").help("one\ntwo");
    let found: Vec<Diagnostic> =
        (0..12).map(|_| of(Code::W0512)).chain([of(Code::E0302)]).collect();
    let text = render(&map, &found, Style::GitHub);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 12);
    assert_eq!(
        lines[0],
        "::error file=a%2Cb%3Ac.lt,line=2,col=14,endLine=2,endColumn=16,title=E0302::\
         100 %25 of it%0Aone%0Atwo"
    );
    assert!(lines[1].starts_with("::warning "), "{text}");
    assert_eq!(lines[11], "::notice::and 2 more");
}
