//! The same bits from any number of threads, and the same plan from any process.

use std::collections::BTreeSet;
use std::fs;

use exec::executor::Options;
use exec::signal::Stop;
use exec::train;

use crate::folder::{Folder, dropout, gpt, own, spec};
use crate::plans::compiled;

/// The hash of the last checkpoint and the rows of a run with that many threads.
fn train(name: &str, spec: &str, steps: u64, threads: &str) -> (String, Vec<String>) {
    let folder = Folder::new(&format!("threads-{name}-{threads}"));
    folder.write("a.lt", spec);
    folder.llmc(&["train", "a.lt", "--threads", threads]).exits(0);
    (folder.hash(&format!("runs/a/step-{steps}")), folder.rows("runs/a"))
}

#[track_caller]
fn any_number_of_threads(name: &str, spec: &str, steps: u64) {
    let (hash, rows) = train(name, spec, steps, "1");
    assert_eq!(rows.len() as u64, steps);
    for threads in ["2", "3", "8"] {
        let (other, other_rows) = train(name, spec, steps, threads);
        assert_eq!(other_rows, rows, "{threads} threads");
        assert_eq!(other, hash, "{threads} threads");
    }
}

#[test]
fn threads_do_not_change_a_run() {
    any_number_of_threads("plain", &gpt("steps 30\neval every 10 batches 3"), 30);
}

#[test]
fn threads_do_not_change_dropout_and_accumulation() {
    any_number_of_threads("dropout", &dropout("steps 30\neval every 10"), 30);
}

#[test]
fn threads_do_not_change_a_layer_and_a_rule_of_the_user() {
    any_number_of_threads("own", &own("steps 30\neval every 10"), 30);
}

#[test]
fn threads_do_not_change_a_recurrent_model() {
    let model = "lstm_lm(layers: 2, width: 16, drop: 10%)";
    any_number_of_threads("recurrent", &spec(model, "steps 30\neval every 10"), 30);
}

/// Large enough that kernels and products are split over all of them.
#[test]
fn threads_do_not_change_a_wide_model() {
    let spec = gpt("steps 4\nmicro_batch 24").replace("width: 16", "width: 64");
    let spec = spec.replace("batch 4", "batch 24").replace("context 16", "context 40");
    any_number_of_threads("wide", &spec, 4);
}

/// The hash of the last checkpoint and the rows of a run in this process.
fn run(folder: &Folder, plan: &plan::Plan, cell: &str, threads: usize) -> (String, Vec<String>) {
    let at = folder.at(cell);
    fs::create_dir(&at).unwrap();
    let (_, corpus) = data::scan(&plan.run.data, &folder.at(""), None).unwrap();
    let options = Options::threads(threads);
    train::train(plan.clone(), &corpus, &at, &options, &Stop::default(), &mut |_| {}).unwrap();
    (folder.hash(&format!("{cell}/step-{STEPS}")), folder.rows(cell))
}

const STEPS: u64 = 3;

/// A model in three precisions, each three times with five numbers of threads: 45 runs.
fn one_hash_for_each_precision(name: &str, model: impl Fn(&str) -> String) {
    let folder = Folder::new(&format!("matrix-{name}"));
    let mut different = BTreeSet::new();
    for precision in ["fp32", "bf16", "fp16"] {
        let lines =
            format!("precision {precision}\nsteps {STEPS}\ncheckpoint \"runs\" every {STEPS}");
        let plan = compiled(&model(&lines)).plan;
        let mut cells = BTreeSet::new();
        for threads in [1, 2, 3, 5, 8] {
            for repeat in 0..3 {
                let cell = format!("{precision}-{threads}-{repeat}");
                cells.insert(run(&folder, &plan, &cell, threads));
                assert_eq!(cells.len(), 1, "{name} in {precision} with {threads} threads differs");
            }
        }
        different.extend(cells);
    }
    assert_eq!(different.len(), 3, "each precision has numbers of its own");
}

#[test]
fn no_thread_and_no_repeat_changes_a_model_in_any_precision() {
    one_hash_for_each_precision("gpt", gpt);
}

#[test]
fn no_thread_and_no_repeat_changes_dropout_in_any_precision() {
    one_hash_for_each_precision("dropout", dropout);
}

#[test]
fn no_thread_and_no_repeat_changes_a_layer_of_the_user_in_any_precision() {
    one_hash_for_each_precision("own", own);
}

#[test]
fn two_processes_make_the_same_plan() {
    let folder = Folder::new("plan");
    for (name, spec) in
        [("gpt", gpt("steps 9")), ("dropout", dropout("steps 9")), ("own", own("steps 9"))]
    {
        let file = format!("{name}.lt");
        folder.write(&file, &spec);
        let plan = || folder.llmc(&["build", &file, "--emit", "plan"]).exits(0).out;
        let first = plan();
        assert!(first.len() > 10_000, "{name}: a plan of {} bytes", first.len());
        assert!(first == plan(), "{name}: two plans of one spec differ");
    }
}
