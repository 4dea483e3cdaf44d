//! Whole runs of a tiny program: straight, stopped, killed, on a bad disk.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;
use crate::{
    checkpoint::manifest::Manifest,
    scratch::{Scratch, corpus_of},
    tiny,
};

const OPTIONS: Options = Options::threads(1);

fn corpus(scratch: &Scratch) -> Corpus {
    let text: Vec<u8> = (0..400u32).map(|i| (data::rng::mix(u64::from(i)) % 90) as u8).collect();
    corpus_of(scratch.path(), &text)
}

fn go(
    plan: Plan,
    corpus: &Corpus,
    dir: &Path,
    on: &mut dyn FnMut(&Event, &Stop),
) -> Result<Outcome, Error> {
    std::fs::create_dir_all(dir).unwrap();
    let stop = Stop::default();
    train(plan, corpus, dir, &OPTIONS, &stop.clone(), &mut |event| on(&event, &stop))
}

/// The checkpoint's hash and the log without its times.
fn result(dir: &Path, outcome: Outcome) -> (String, Vec<Row>) {
    let Outcome::Finished(ended) = outcome else { panic!("the run did not finish") };
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| {
        let row: Row = serde_json::from_str(line).unwrap();
        Row { tokens_per_s: 0.0, seconds: 0.0, ..row }
    });
    (ended.checkpoint.unwrap(), rows.collect())
}

fn straight(scratch: &Scratch, corpus: &Corpus) -> (String, Vec<Row>) {
    let dir = scratch.path().join("straight");
    let outcome = go(tiny::plan(), corpus, &dir, &mut |_, _| {}).unwrap();
    result(&dir, outcome)
}

#[test]
fn a_run_ends_with_its_last_checkpoint_and_every_line() {
    let scratch = Scratch::new("train_straight");
    let corpus = corpus(&scratch);
    let (hash, rows) = straight(&scratch, &corpus);
    let steps: Vec<u64> = rows.iter().map(|row| row.step).collect();
    assert_eq!(steps, (1..=12).collect::<Vec<u64>>());
    let with_val = rows.iter().filter(|row| row.val_loss.is_some()).map(|row| row.step);
    assert_eq!(with_val.collect::<Vec<u64>>(), [4, 8, 12]);
    let dir = scratch.path().join("straight");
    let found = load::newest(&dir).unwrap().unwrap();
    assert_eq!((found.manifest.step, &found.manifest.sha256), (12, &hash));
    assert_eq!(found.manifest.cursor, 48);
    assert!(dir.join("outcome.json").exists());
    let other = scratch.path().join("again");
    let outcome = go(tiny::plan(), &corpus, &other, &mut |_, _| {}).unwrap();
    assert_eq!(result(&other, outcome), (hash, rows));
}

#[test]
fn stopping_and_going_on_changes_no_bit() {
    let scratch = Scratch::new("train_stop");
    let corpus = corpus(&scratch);
    let expected = straight(&scratch, &corpus);
    for k in 1..12 {
        let dir = scratch.path().join(format!("stop-{k}"));
        let stopped = go(tiny::plan(), &corpus, &dir, &mut |event, stop| {
            if matches!(event, Event::Step(row) if row.step == k) {
                stop.request();
            }
        });
        assert_eq!(stopped.unwrap(), Outcome::Preempted { step: k, saved: true });
        let outcome = go(tiny::plan(), &corpus, &dir, &mut |_, _| {}).unwrap();
        assert_eq!(result(&dir, outcome), expected, "stopped after step {k}");
    }
}

/// A folder whose run was stopped after step 5.
fn stopped(scratch: &Scratch, corpus: &Corpus, name: &str) -> PathBuf {
    let dir = scratch.path().join(name);
    let stopped = go(tiny::plan(), corpus, &dir, &mut |event, stop| {
        if matches!(event, Event::Step(row) if row.step == 5) {
            stop.request();
        }
    });
    assert_eq!(stopped.unwrap(), Outcome::Preempted { step: 5, saved: true });
    dir
}

#[test]
fn what_changes_bits_is_said_and_refused_where_exactness_is_promised() {
    let scratch = Scratch::new("train_exact");
    let corpus = corpus(&scratch);
    let (same, mut other) = (tiny::plan(), tiny::plan());
    other.run.trajectory = "another".to_owned();
    let other_scratch = Scratch::new("train_exact_data");
    let other_corpus = corpus_of(other_scratch.path(), &[7; 400]);
    let elsewhere = |dir: &Path| {
        let found = load::newest(dir).unwrap().unwrap();
        let products = "of another machine".to_owned();
        let (_, text) = Manifest { products, ..found.manifest }.seal();
        std::fs::write(found.path.join("manifest.json"), text).unwrap();
    };
    type Change<'c> = (&'c str, &'c Plan, &'c Corpus, &'c dyn Fn(&Path));
    let changes: [Change<'_>; 3] = [
        ("training program", &other, &corpus, &|_| {}),
        ("data", &same, &other_corpus, &|_| {}),
        ("family of matrix products", &same, &corpus, &elsewhere),
    ];
    for (at, (what, plan, corpus_now, change)) in changes.into_iter().enumerate() {
        let dir = stopped(&scratch, &corpus, &at.to_string());
        change(&dir);
        let said = format!("the {what} changed since step 5");
        let mut exact = plan.clone();
        exact.run.exact_resume = true;
        let refused = go(exact, corpus_now, &dir, &mut |_, _| {}).unwrap_err().to_string();
        assert!(refused.contains(&format!("`resume exact`: {said}")), "{refused}");
        let mut warnings = vec![];
        go(plan.clone(), corpus_now, &dir, &mut |event, _| {
            if let Event::Warning(text) = event {
                warnings.push(text.clone());
            }
        })
        .unwrap();
        assert_eq!(warnings, [said]);
    }
}

#[test]
fn being_killed_and_going_on_changes_no_bit() {
    let scratch = Scratch::new("train_kill");
    let corpus = corpus(&scratch);
    let expected = straight(&scratch, &corpus);
    for k in 0..20 {
        let dir = scratch.path().join(format!("kill-{k}"));
        let mut events = 0;
        let killed = catch_unwind(AssertUnwindSafe(|| {
            go(tiny::plan(), &corpus, &dir, &mut |_, _| {
                events += 1;
                if events > k {
                    resume_unwind(Box::new(()));
                }
            })
        }));
        assert!(killed.is_err(), "there is an event {k}");
        let outcome = go(tiny::plan(), &corpus, &dir, &mut |_, _| {}).unwrap();
        assert_eq!(result(&dir, outcome), expected, "killed at event {k}");
    }
}

/// A program whose gradient is beyond f64 from the first batch on.
fn diverging() -> Plan {
    let mut plan = tiny::plan();
    let text = plan.code[1].text.replace("v20 = f64const 0x1.8p-1", "v20 = f64const 0x1.8p500");
    plan.code[1].text = text;
    plan
}

#[test]
fn a_step_that_is_not_finite_ends_the_run_with_a_diagnosis() {
    let scratch = Scratch::new("train_diverge");
    let corpus = corpus(&scratch);
    let dir = scratch.path().join("run");
    let error = go(diverging(), &corpus, &dir, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.exit_code(), 5);
    let text = error.to_string();
    for part in [
        "step 1, batch 1: loss, gradient, rate or scale is not finite; the update was not applied",
        "the same step gave the same bits again",
        "not finite: loss, gradient of g (1 of 1)",
        "largest finite magnitude: 3.000e0, in weight w",
        "try: a lower `lr`",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let rows: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), rows[0].step, rows[0].batch), (1, 0, 1));
    assert_eq!((rows[0].cause, rows[0].loss), (Some(Cause::Nonfinite), None));
    assert_eq!(rows[0].tensor.as_deref(), Some("gradient of g"));
}

#[test]
fn weights_that_are_lost_at_the_first_step_leave_nothing_to_go_on_from() {
    let scratch = Scratch::new("train_lost");
    let corpus = corpus(&scratch);
    let ends = |name: &str, plan: Plan| {
        let error = go(plan, &corpus, &scratch.path().join(name), &mut |_, _| {}).unwrap_err();
        assert_eq!(error.exit_code(), 5);
        error.to_string()
    };
    let mut in_update = tiny::plan();
    let text = in_update.code[2].text.replace("v31 = f32const 0x1.8p-1", "v31 = f32const +Inf");
    in_update.code[2].text = text;
    let text = ends("in-update", in_update);
    assert!(text.contains("step 1 was not saved, and nothing before it"), "{text}");
    let mut in_init = diverging();
    let text = in_init.code[0].text.replace("fcvt_from_sint.f32 v5", "f32const +Inf");
    in_init.code[0].text = text;
    let text = ends("in-init", in_init);
    assert!(text.contains("nothing was saved yet"), "{text}");
    assert!(!text.contains("checkpoints are sound"), "{text}");
}

#[test]
fn a_second_start_says_how_the_first_ended_and_tries_again() {
    let scratch = Scratch::new("train_again");
    let corpus = corpus(&scratch);
    let dir = scratch.path().join("run");
    let warnings = |plan: Plan| {
        let mut warnings = vec![];
        let result = go(plan, &corpus, &dir, &mut |event, _| {
            if let Event::Warning(text) = event {
                warnings.push(text.clone());
            }
        });
        (warnings, result.map_err(|e| e.exit_code()).map(|_| ()))
    };
    assert_eq!(warnings(diverging()), (vec![], Err(5)));
    let (second, result) = warnings(diverging());
    assert_eq!((second.len(), result), (1, Err(5)));
    let start = "this run ended before, after step 0 and batch 1: diverged: step 1";
    assert!(second[0].starts_with(start), "{}", second[0]);
    let (third, result) = warnings(tiny::plan());
    assert_eq!((third, result), (second, Ok(())));
    assert!(!dir.join("failure.json").exists());
}

#[test]
fn skipped_steps_move_no_schedule_and_end_the_run_when_there_are_too_many() {
    let scratch = Scratch::new("train_skip");
    let corpus = corpus(&scratch);
    let dir = scratch.path().join("run");
    let mut plan = diverging();
    plan.run.on_nan = plan::OnNan::Skip { limit: 3 };
    let mut saves = vec![];
    let error = go(plan, &corpus, &dir, &mut |event, _| {
        if let Event::Saved { step, .. } = event {
            saves.push(*step);
        }
    })
    .unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("3 steps in a row were skipped (not finite)"), "{error}");
    assert!(saves.is_empty(), "{saves:?}");
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let rows: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        rows.iter().map(|r| (r.step, r.batch)).collect::<Vec<_>>(),
        [(0, 1), (0, 2), (0, 3)]
    );
    assert!(rows.iter().all(|row| row.skipped && row.val_loss.is_none()));
}

/// Makes the saves of some steps fail: a file lies where their folder would be.
fn block(dir: &Path, steps: &[u64]) {
    for step in steps {
        let name = format!("step-{step}.tmp-{}", std::process::id());
        std::fs::write(dir.join(name), "").unwrap();
    }
}

#[test]
fn two_failed_saves_are_warnings_and_the_third_stops() {
    let scratch = Scratch::new("train_disk");
    let corpus = corpus(&scratch);
    for (blocked, stops) in [([3, 4, 6], true), ([3, 4, 9], false)] {
        let dir = scratch.path().join(format!("run-{stops}"));
        let mut warnings = 0;
        let result = go(tiny::plan(), &corpus, &dir, &mut |event, _| match event {
            Event::Saved { step: 1, .. } => block(&dir, &blocked),
            Event::Warning(_) => warnings += 1,
            Event::Started { .. }
            | Event::Took { .. }
            | Event::Resumed { .. }
            | Event::Step(_)
            | Event::Saved { .. }
            | Event::Sample { .. } => {}
        });
        let newest = load::newest(&dir).unwrap().unwrap().manifest.step;
        if stops {
            assert_eq!(result.unwrap_err().exit_code(), 4);
            assert_eq!((warnings, newest), (2, 1));
        } else {
            assert!(matches!(result.unwrap(), Outcome::Finished(_)));
            assert_eq!((warnings, newest), (3, 12));
        }
    }
}

#[test]
fn a_text_that_is_too_short_is_refused() {
    let scratch = Scratch::new("train_short");
    let corpus = corpus_of(scratch.path(), b"abcd");
    let error = go(tiny::plan(), &corpus, &scratch.path().join("run"), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("has 3 tokens; a context of 4 needs 5"), "{error}");
}

#[test]
fn validation_below_the_limit_ends_the_run() {
    let scratch = Scratch::new("train_below");
    let corpus = corpus(&scratch);
    let mut plan = tiny::plan();
    plan.run.stop_below_val_loss = Some(f64::INFINITY);
    let outcome = go(plan, &corpus, &scratch.path().join("run"), &mut |_, _| {}).unwrap();
    let Outcome::Finished(ended) = outcome else { panic!("the run did not finish") };
    assert_eq!((ended.step, ended.reason.as_str()), (4, "val_loss"));
}

#[test]
fn a_loss_that_no_longer_falls_ends_the_run_interrupted_or_not() {
    // No loss falls by so much: the first evaluation, at step 4, stays the last that was better.
    let stop = plan::EarlyStop { patience: 4, min_delta: 1e9 };
    let mut plan = tiny::plan();
    plan.run.early_stop = Some(stop);
    let ends = |outcome: Outcome| match outcome {
        Outcome::Finished(ended) => (ended.step, ended.reason),
        Outcome::Preempted { .. } => (0, String::new()),
    };
    let scratch = Scratch::new("train_early");
    let corpus = corpus(&scratch);
    let straight = go(plan.clone(), &corpus, &scratch.path().join("a"), &mut |_, _| {}).unwrap();
    assert_eq!(ends(straight), (8, "early_stop".to_owned()));
    let folder = scratch.path().join("b");
    let mut at_six = |event: &Event, stop: &Stop| {
        if matches!(event, Event::Step(row) if row.step == 6) {
            stop.request();
        }
    };
    let first = go(plan.clone(), &corpus, &folder, &mut at_six).unwrap();
    assert_eq!(ends(first), (0, String::new()));
    let second = go(plan, &corpus, &folder, &mut |_, _| {}).unwrap();
    assert_eq!(ends(second), (8, "early_stop".to_owned()));
}
