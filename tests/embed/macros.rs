//! Specs inside Rust code, and what the Rust compiler says of wrong ones.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the compiler says of a case.
fn said(case: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embed/cases");
    let mut rustc = Command::new("rustc");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{case}.rmeta"));
    rustc.args(["--edition", "2024", "--emit", "metadata", "--color", "never"]).arg("-o").arg(out);
    let mut given = std::ffi::OsString::from("macros=");
    given.push(library());
    rustc.arg("--extern").arg(given).arg(format!("{case}.rs")).current_dir(folder);
    let output = rustc.output().unwrap();
    assert!(!output.status.success(), "{case} compiles");
    String::from_utf8(output.stderr).unwrap()
}

/// The macros as they were built with this test: the newest, where several lie there.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("libmacros-") && name.ends_with(std::env::consts::DLL_SUFFIX)
    };
    let files = std::fs::read_dir(test.parent().unwrap()).unwrap().map(|e| e.unwrap().path());
    let written = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    files.filter(ours).max_by_key(written).expect("the macros are built before their tests")
}

#[test]
fn a_shape_error_is_shown_at_its_token() {
    insta::assert_snapshot!("a_shape_error_is_shown_at_its_token", said("shape_error"));
}

#[test]
fn what_cannot_be_read_is_shown_at_its_tokens() {
    insta::assert_snapshot!("what_cannot_be_read_is_shown_at_its_tokens", said("unread"));
}

#[test]
fn an_error_of_an_included_spec_names_its_line() {
    insta::assert_snapshot!("an_error_of_an_included_spec_names_its_line", said("included"));
}

#[test]
fn a_spec_that_is_not_there_is_named() {
    insta::assert_snapshot!("a_spec_that_is_not_there_is_named", said("absent"));
}

#[test]
fn a_spec_in_place_is_the_spec_of_its_text() {
    let spec = llmc::spec! {
        // A comment of Rust.
        model gpt(layers: 1, width: 16, heads: 2)
        data  text("examples/data/shakespeare.txt")   # one of the language

        train {
          batch   4
          context 8
          warmup  2k
          steps   3
        }
    };
    let checked = spec.check().unwrap();
    assert!(checked.is_ready(), "{}", checked.report());
    // What is only known with the data, or is no error, is said with its place here.
    let lint = checked.report().findings().find(|f| f.code == "W0512").unwrap();
    let line = include_str!("macros.rs").lines().nth(lint.line - 1).unwrap();
    assert_eq!((lint.file.as_str(), line.trim()), (file!(), "warmup  2k"));
}

#[test]
fn an_included_spec_finds_its_data() {
    let checked = llmc::include_spec!("cases/tiny.lt").check().unwrap();
    assert!(checked.is_ready(), "{}", checked.report());
}
