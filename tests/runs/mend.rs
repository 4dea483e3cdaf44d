//! `llmc check --fix`, and messages for programs.

use crate::folder::Folder;

const SPEC: &str = "\
model gpt(layers: 1, width: 8, heads: 2)
data text(\"text.txt\", tokenizer: bytes)
train {
  batch 4
  context 8
  learning_rate 1e-3
  acumulate 2
  precision: bf16
  steps 10
}
";

fn with(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("text.txt", "to be or not to be\n".repeat(40));
    folder.write("a.lt", SPEC);
    folder
}

#[test]
fn certain_edits_are_made_and_the_rest_is_checked() {
    let folder = with("mend");
    folder.llmc(&["check", "a.lt"]).exits(2);
    let ended = folder.llmc(&["check", "--fix", "a.lt"]).exits(0);
    assert_eq!(ended.out.lines().filter(|line| line.contains(": E02")).count(), 3);
    let text = std::fs::read_to_string(folder.at("a.lt")).unwrap();
    let wanted = SPEC
        .replace("learning_rate", "lr")
        .replace("acumulate", "accumulate")
        .replace("precision:", "precision");
    assert_eq!(text, wanted);
}

#[test]
fn a_text_that_is_no_spec_stays() {
    let folder = with("mend_no_spec");
    let text = "She said \u{201c}yes\u{201d}.\nlr 1e-3\n";
    folder.write("prose.txt", text);
    let ended = folder.llmc(&["check", "--fix", "prose.txt"]).exits(2);
    assert!(ended.err.contains("`.lt`"), "{}", ended.err);
    assert_eq!(std::fs::read_to_string(folder.at("prose.txt")).unwrap(), text);
}

#[test]
fn what_is_allowed_stays_unless_it_is_denied() {
    let folder = with("mend_allowed");
    let spec = "\
model gpt(layers: 1, width: 8, heads: 2)
data text(\"text.txt\", tokenizer: bytes)
train {
  batch 4
  context 8
  steps 10
  warmup 20
}
";
    folder.write("b.lt", spec);
    folder.llmc(&["check", "--fix", "b.lt"]).exits(0);
    assert_eq!(std::fs::read_to_string(folder.at("b.lt")).unwrap(), spec);
    folder.llmc(&["check", "--fix", "--deny", "W0512", "b.lt"]).exits(0);
    let mended = std::fs::read_to_string(folder.at("b.lt")).unwrap();
    assert_eq!(mended, spec.replace("warmup 20", "warmup 10%"));
}

#[test]
fn messages_for_programs_parse() {
    let folder = with("messages");
    let ended = folder.llmc(&["check", "a.lt", "--error-format", "sarif"]).exits(2);
    let log: serde_json::Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), 3, "{log}");
    let ended = folder.llmc(&["check", "a.lt", "--error-format", "github"]).exits(2);
    assert_eq!(ended.err.matches("::error file=a.lt,line=").count(), 3, "{}", ended.err);
}
