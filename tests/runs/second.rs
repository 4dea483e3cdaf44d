//! A second `llmc train`: what it does with the folder that is there.

use std::fs;

use crate::folder::{Folder, gpt};

fn finished(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("a.lt", gpt("steps 12\ncheckpoint every 5"));
    folder.llmc(&["train", "a.lt"]).exits(0);
    folder
}

#[test]
fn a_finished_run_is_reported() {
    let folder = finished("finished");
    let before = folder.rows("runs/a");
    let again = folder.llmc(&["train", "a.lt"]).exits(0);
    again.prints("runs/a finished at step 12; nothing to do");
    assert_eq!(folder.rows("runs/a"), before);
    assert!(!folder.at("runs/a-2").exists());
}

#[test]
fn a_changed_run_starts_beside_the_first_and_says_why() {
    let folder = finished("beside");
    let before = folder.hash("runs/a/step-12");
    folder.write("a.lt", gpt("steps 12\ncheckpoint every 5").replace("lr 3e-3", "lr 1e-3"));
    let changed = folder.llmc(&["train", "a.lt"]).exits(0);
    changed.prints("new run in runs/a-2, because lr 3e-3 -> 1e-3");
    assert_ne!(folder.hash("runs/a-2/step-12"), before);
    assert_eq!(folder.hash("runs/a/step-12"), before);
    let again = folder.llmc(&["train", "a.lt"]).exits(0);
    again.prints("runs/a-2 finished at step 12");
    folder.llmc(&["train", "a.lt", "--set", "train.seed=7"]).exits(0).prints("new run in runs/a-3");
}

#[test]
fn a_named_folder_of_another_program_is_refused() {
    let folder = finished("refused");
    let words = ["train", "a.lt", "--out", "runs/a", "--set", "train.lr=1e-3"];
    let before = folder.hash("runs/a/step-12");
    let refused = folder.llmc(&words).exits(2);
    refused.says("runs/a holds a run of another program: lr 3e-3 -> 1e-3");
    refused.says("warning[W0807]: `lr` was 3e-3 in the checkpoint, now it is 1e-3");
    assert_eq!(folder.hash("runs/a/step-12"), before);
    let other = ["train", "a.lt", "--resume", "--set", "train.context=8"];
    let refused = folder.llmc(&other).exits(2);
    refused.says("context 16 -> 8");
    refused.says("error[E0806]: `context` was 16 in the checkpoint, now it is 8");
    let denied = ["train", "a.lt", "--resume", "--set", "train.lr=1e-3", "--deny", "W0807"];
    folder.llmc(&denied).exits(2).says("error[W0807]: `lr` was 3e-3");
}

#[test]
fn resume_goes_on_with_the_change_and_belongs_to_it_from_then_on() {
    let folder = finished("resume");
    let text = gpt("steps 20\ncheckpoint every 5").replace("lr 3e-3", "lr 1e-3");
    folder.write("a.lt", &text);
    let resumed = folder.llmc(&["train", "a.lt", "--resume"]).exits(0);
    resumed.prints("going on from step 12 of runs/a");
    resumed.says("it goes on with the change");
    resumed.says("the training program changed since step 12");
    assert!(!folder.at("runs/a-2").exists());
    assert_eq!(folder.rows("runs/a").len(), 20);
    let kept = fs::read_to_string(folder.at("runs/a/spec.lt")).unwrap();
    assert!(kept.ends_with(&text), "{kept}");
    folder.llmc(&["train", "a.lt"]).exits(0).prints("runs/a finished at step 20");
    let shorter = folder.llmc(&["train", "a.lt", "--resume", "--set", "train.steps=10"]).exits(2);
    shorter.says("runs/a is at step 20, beyond `steps 10`: nothing is left to do");
    assert!(folder.at("runs/a/outcome.json").exists());
}

/// A run of the very program is gone on with, before one of another that the change would fit.
#[test]
fn resume_takes_the_run_of_this_program() {
    let folder = Folder::new("resume-beside");
    let spec = |lr: &str| gpt("steps 12\ncheckpoint every 5").replace("lr 3e-3", lr);
    for lr in ["lr 3e-3", "lr 1e-3"] {
        folder.write("a.lt", spec(lr));
        folder.llmc(&["train", "a.lt"]).exits(0);
    }
    let before = folder.hash("runs/a/step-12");
    let same = folder.llmc(&["train", "a.lt", "--resume"]).exits(0);
    same.prints("runs/a-2 finished at step 12");
    assert!(!same.err.contains("W0807"), "{}", same.err);
    assert_eq!(folder.hash("runs/a/step-12"), before);
    // A folder that is named is the one that is meant.
    let named = ["train", "a.lt", "--resume", "--out", "runs/a"];
    folder.llmc(&named).exits(0).says("`lr` was 3e-3 in the checkpoint, now it is 1e-3");
}

/// The first ending is not that of the longer run which was stopped on its way.
#[test]
fn a_finished_run_that_goes_on_has_not_ended() {
    let folder = finished("longer");
    folder.write("a.lt", gpt("steps 100k\ncheckpoint every 50k"));
    let line = "llmc train a.lt --resume --threads 1 > log & \
                while ! grep -q '^step' log; do :; done; kill -TERM $!; wait $!";
    folder.shell(line).exits(75);
    let next = "llmc train a.lt --threads 1 > next & \
                while ! grep -q '^step' next; do :; done; kill -TERM $!; wait $!; code=$?; \
                cat next; exit $code";
    folder.shell(next).exits(75).prints("going on from step");
}

/// As many different characters, but others: ids would mean something else.
#[test]
fn resume_with_another_vocabulary_is_refused_and_leaves_the_run_alone() {
    let folder = Folder::new("vocabulary");
    folder.write("a.lt", gpt("steps 12").replace("bytes", "chars"));
    folder.llmc(&["train", "a.lt"]).exits(0);
    let kept =
        ["run.json", "vocab.json", "outcome.json"].map(|name| folder.at("runs/a").join(name));
    let read = || kept.each_ref().map(|path| fs::read_to_string(path).unwrap());
    let before = read();
    let text = fs::read_to_string(folder.at("text.txt")).unwrap();
    folder.write("text.txt", text.replace('e', "é"));
    let refused = folder.llmc(&["train", "a.lt", "--resume"]).exits(3);
    refused.says("runs/a: it was trained with another vocabulary");
    assert_eq!(read(), before);
    folder.llmc(&["train", "a.lt"]).exits(0).prints("new run in runs/a-2");
}

#[test]
fn a_directive_that_the_spec_lacks_can_be_set() {
    let folder = Folder::new("set");
    folder.write("a.lt", gpt("steps 20"));
    folder.llmc(&["train", "a.lt", "--set", "train.checkpoint.every=10"]).exits(0);
    assert_eq!(exec::checkpoint::load::steps(&folder.at("runs/a")), [1, 10, 20]);
}

/// The line that differs is shown, in the job that is trained.
#[test]
fn a_change_is_shown_at_its_line_in_its_job() {
    let folder = Folder::new("changed-job");
    let job = |name: &str, lr: &str| {
        format!("train {name} {{\nbatch 4\ncontext 16\nsteps 12\nlr {lr}\n}}\n")
    };
    let head = gpt("").split("train").next().unwrap().to_owned();
    let spec = |lr: &str| format!("{head}{}{}", job("one", "1e-3"), job("two", lr));
    folder.write("a.lt", spec("2e-3"));
    folder.llmc(&["train", "a.lt", "two"]).exits(0);
    folder.write("a.lt", spec("4e-3"));
    let changed = folder.llmc(&["train", "a.lt", "two", "--resume"]).exits(0);
    changed.says("`lr` was 2e-3 in the checkpoint, now it is 4e-3");
    changed.says("a.lt:13:1");
    changed.says("lr 4e-3");
}

/// Nothing of a run is written over by its own `log` lines.
#[test]
fn logs_in_the_folder_of_the_run_are_refused() {
    let folder = finished("log-inside");
    let before = folder.rows("runs/a");
    let lines = "steps 20\ncheckpoint every 5\nlog jsonl \"runs/../runs/a/metrics.jsonl\"";
    folder.write("a.lt", gpt(lines));
    let refused = folder.llmc(&["train", "a.lt", "--resume"]).exits(2);
    refused.says("which only the run itself writes");
    assert_eq!(folder.rows("runs/a"), before);
    folder.write("a.lt", gpt("steps 20\nlog jsonl \"o\"\nlog csv \"./o\""));
    folder.llmc(&["train", "a.lt"]).exits(2).says("two `log` lines name ./o");
}
