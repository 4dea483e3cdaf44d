//! What a spec promises of its run: `resume`, `budget`, `numerics`; and vocabularies with padding.

use std::fs;

use crate::folder::{Folder, gpt};

/// Trains until it has written a step, then asks it to end.
fn interrupted(folder: &Folder, words: &str) -> crate::folder::Ended {
    let line = format!(
        "rm -f log; llmc train {words} --threads 1 > log & \
         until grep -qs '^step' log; do :; done; kill -TERM $!; wait $!; code=$?; cat log; exit $code"
    );
    folder.shell(&line).exits(75)
}

#[test]
fn exact_runs_go_on_and_refuse_what_changes_their_bits() {
    let folder = Folder::new("exact");
    folder.write("a.lt", gpt("steps 100k\ncheckpoint every 50k\nresume exact"));
    interrupted(&folder, "a.lt");
    interrupted(&folder, "a.lt").prints("going on from step");
    let changed = folder.llmc(&["train", "a.lt", "--resume", "--set", "train.lr=1e-3"]).exits(3);
    changed.says("`resume exact`: the training program changed; `resume auto`");
    // The folder is what it was.
    interrupted(&folder, "a.lt").prints("going on from step");
    let auto = "a.lt --set train.resume=auto --resume --set train.lr=1e-3";
    interrupted(&folder, auto).prints("going on from step");
}

#[test]
fn runs_that_never_resume_start_beside_and_say_how_to_go_on() {
    let folder = Folder::new("never");
    folder.write("a.lt", gpt("steps 100k\ncheckpoint every 50k\nresume never"));
    interrupted(&folder, "a.lt");
    let second = interrupted(&folder, "a.lt");
    second.prints("new run in runs/a-2, because every start is a new run");
    second.prints("go on with: llmc train a.lt --out runs/a-2 --resume");
    let third = interrupted(&folder, "a.lt --out runs/a-2 --resume");
    third.prints("going on from step");
    assert!(!folder.at("runs/a-3").exists());
}

#[test]
fn a_run_beyond_its_budget_is_told_so_once_it_is_timed() {
    let folder = Folder::new("budget");
    folder.write("a.lt", gpt("steps 10M\ncheckpoint every 5M\nbudget 1min"));
    interrupted_by_budget(&folder);
    // What was measured is known to the next check.
    let checked = folder.llmc(&["check", "a.lt"]).exits(0);
    checked.says("warning[W0903]: est. ");
    folder.llmc(&["check", "a.lt", "--set", "train.budget=1000day"]).exits(0);
    let other = folder.llmc(&["check", "a.lt", "--set", "train.batch=8"]).exits(0);
    assert!(!other.err.contains("W0903"), "{}", other.err);
}

fn interrupted_by_budget(folder: &Folder) {
    let denied = folder.llmc(&["train", "a.lt", "--deny", "W0903"]).exits(2);
    denied.says("error[W0903]: est. ");
    denied.says("tokens/s, budget 1m00s");
    denied.prints("go on with: llmc train a.lt");
    assert!(!exec::checkpoint::load::steps(&folder.at("runs/a")).is_empty());
}

#[test]
fn fast_sums_need_a_gpu() {
    let folder = Folder::new("fast");
    folder.write("a.lt", gpt("steps 10\nprecision bf16\nnumerics fast"));
    let refused = folder.llmc(&["train", "a.lt", "--device", "cpu"]).exits(2);
    refused.says("error[E0606]: `numerics fast` needs a GPU, and this is a CPU");
    folder.llmc(&["build", "a.lt", "--target", "sm_90"]).exits(0);
}

/// A model with more numbers than there are ids writes with the ids alone.
#[test]
fn text_has_no_ids_that_pad_the_vocabulary() {
    let folder = Folder::new("padded");
    let spec = gpt("steps 2").replace("bytes)", "chars) { pad_vocab 512 }");
    folder.write("a.lt", &spec);
    folder.llmc(&["train", "a.lt"]).exits(0);
    let shown = folder.llmc(&["show", "a.lt"]).exits(0);
    shown.prints("data.vocab      512");
    let hot = ["generate", "runs/a", "A", "--length", "200", "--temperature", "9"];
    let text = folder.llmc(&hot).exits(0).out;
    assert_eq!(text.chars().count(), 202, "each id is a character: {text}");
    let plain = fs::read_to_string(folder.at("text.txt")).unwrap();
    assert!(text.chars().all(|c| plain.contains(c)), "{text}");
}
