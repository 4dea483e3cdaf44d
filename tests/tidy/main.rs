//! Rules about the repository itself, each failing by name.
//!
//! A rule is a function over file texts, so that its own test can plant a violation.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod manifests;
mod rules;
mod source;

use std::path::{Path, PathBuf};

use source::File;

/// Folders of the repository that hold no source of ours.
const SKIPPED: &[&str] = &["target", "runs", ".git", "shared"];

/// Endings of the files that the rules read.
const TEXT: &[&str] = &["rs", "toml", "md", "lt", "lalrpop", "snap", "graph", "clif", "plan"];

/// All text files of the repository, by their path from its root, sorted.
fn repository() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![];
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root.join(&folder)).unwrap();
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if is_text(&name) {
                let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into();
                files.push(File::new(path.to_str().unwrap().replace('\\', "/"), text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn is_text(name: &str) -> bool {
    name == "run" || name.rsplit_once('.').is_some_and(|(_, ending)| TEXT.contains(&ending))
}

fn hold(rule: fn(&[File]) -> Vec<String>) {
    let broken = rule(&repository());
    assert!(broken.is_empty(), "{} violations:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn crates_use_only_what_the_table_allows() {
    hold(manifests::crates_use_only_what_the_table_allows);
}

#[test]
fn dependencies_have_an_owner_and_a_reason() {
    hold(manifests::dependencies_have_an_owner_and_a_reason);
}

#[test]
fn manifests_take_the_lints_of_the_workspace() {
    hold(manifests::take_the_lints_of_the_workspace);
}

#[test]
fn files_are_short() {
    hold(rules::files_are_short);
}

#[test]
fn files_are_named_after_their_idea() {
    hold(rules::files_are_named_after_their_idea);
}

#[test]
fn files_say_what_they_are() {
    hold(rules::files_say_what_they_are);
}

#[test]
fn unsafe_stays_where_it_belongs() {
    hold(rules::unsafe_stays_where_it_belongs);
}

#[test]
fn unsafe_says_why_it_is_sound() {
    hold(rules::unsafe_says_why_it_is_sound);
}

#[test]
fn the_compiler_is_pure() {
    hold(rules::the_compiler_is_pure);
}

#[test]
fn only_the_driver_prints() {
    hold(rules::only_the_driver_prints);
}

#[test]
fn back_ends_name_no_op() {
    hold(rules::back_ends_name_no_op);
}

#[test]
fn tests_are_neither_ignored_nor_expected_to_panic() {
    hold(rules::tests_are_neither_ignored_nor_expected_to_panic);
}

#[test]
fn nothing_is_left_for_later() {
    hold(rules::nothing_is_left_for_later);
}

#[test]
fn nothing_speaks_of_how_it_was_made() {
    hold(rules::nothing_speaks_of_how_it_was_made);
}

#[test]
fn snapshots_have_a_case() {
    hold(rules::snapshots_have_a_case);
}
