//! Which lints are said, by the spec and by the command line.

use crate::folder::{Ended, Folder};

fn with(name: &str, line: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("text.txt", "to be or not to be\n".repeat(40));
    let spec = format!(
        "model gpt(layers: 1, width: 8, heads: 2)\n\
         data text(\"text.txt\", tokenizer: bytes)\n\
         train {{\n  batch 4\n  context 8\n  steps 10\n  lr 1e-3\n  warmup 20\n{line}}}\n"
    );
    folder.write("a.lt", spec);
    folder
}

fn check(folder: &Folder, flags: &[&str]) -> Ended {
    let args = [&["check", "a.lt", "--error-format", "short"], flags].concat();
    folder.llmc(&args)
}

#[test]
fn a_denied_lint_ends_check_plan_and_train() {
    let folder = with("denied", "");
    let said = check(&folder, &[]).exits(0);
    assert_eq!(said.err, "a.lt:8:3: warning[W0512]: warmup never ends\n");
    for command in ["check", "build", "plan", "train"] {
        let said = folder.llmc(&[command, "a.lt", "--deny", "warnings"]).exits(2);
        assert!(said.err.starts_with("error[W0512]: warmup never ends"), "{}", said.err);
    }
    assert!(!folder.at("runs").exists(), "nothing was trained");
}

#[test]
fn a_flag_that_names_a_lint_beats_the_spec_and_the_spec_beats_warnings() {
    let folder = with("precedence", "  allow W0512 \"the run is a trial\"\n");
    let said = |flags: &[&str], code| check(&folder, flags).exits(code).err;
    assert_eq!(said(&[], 0), "");
    assert_eq!(said(&["--deny", "warnings"], 0), "");
    assert!(said(&["--deny", "W0512"], 2).contains("error[W0512]"));
    assert!(said(&["--warn", "W0512"], 0).contains("warning[W0512]"));
    let errors = said(&["--allow", "E0501"], 2);
    assert!(errors.contains("E0501 is an error"), "{errors}");
}

#[test]
fn an_idle_allow_is_said_and_removed() {
    let folder = with("idle", "  allow W0511 \"not so far off\"\n");
    let said = check(&folder, &["--allow", "W0512"]).exits(0).err;
    assert!(said.contains("a.lt:9:9: warning[W0217]: `allow W0511` silences nothing"), "{said}");
    check(&folder, &["--fix"]).exits(0);
    assert!(!std::fs::read_to_string(folder.at("a.lt")).unwrap().contains("W0511"));
}

#[test]
fn an_allow_of_a_block_that_is_not_looked_at_stays() {
    let folder = with("others", "");
    let job = |name: &str, line: &str| {
        format!("train {name} {{\n  {line}\n  batch 4\n  context 8\n  steps 10\n  lr 1e-3\n}}\n")
    };
    let spec = "allow W0511 \"of the whole\"\n\
                model gpt(layers: 1, width: 8, heads: 2)\n\
                data one = text(\"text.txt\") { allow W0708 \"small\" }\n\
                data other = text(\"text.txt\", tokenizer: bytes)\n";
    let spec = [
        spec,
        &job("first", "data one; allow W0511 \"of the first\""),
        &job("second", "data other; allow W0512 \"of the second\""),
    ]
    .concat();
    folder.write("a.lt", spec);
    let said = check(&folder, &[]).exits(0).err;
    assert_eq!(said, "a.lt:13:21: warning[W0217]: `allow W0512` silences nothing\n");
}

#[test]
fn an_allow_of_a_used_file_is_not_one_of_the_spec() {
    let folder = with("used", "");
    folder.write("base.lt", "allow W0512 \"of the base\"\nfn half(x: real) -> real { x / 2 }\n");
    let spec = std::fs::read_to_string(folder.at("a.lt")).unwrap();
    folder.write("a.lt", format!("use \"base.lt\" as base\n{spec}"));
    let said = check(&folder, &[]).exits(0).err;
    assert_eq!(said, "a.lt:9:3: warning[W0512]: warmup never ends\n");
}
