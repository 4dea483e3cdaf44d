//! Runs that Rust code watches, stops, goes on with and reads.

use std::ops::ControlFlow::{Break, Continue};
use std::path::PathBuf;

use llmc::build::{self, call, string};
use llmc::{Compiled, Error, Outcome, Run, Spec};

/// A folder for a run; what an earlier test left there is gone.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("embed-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn compiled(name: &str, steps: u64) -> Compiled {
    let spec = build::Spec::new()
        .model(call("gpt").with("layers", 1).with("width", 16).with("heads", 2))
        .data(call("text").arg(string("examples/data/shakespeare.txt")))
        .train(|t| {
            t.set("batch", 4)
                .set("context", 8)
                .set("lr", 1e-2)
                .set("eval", ("every", 5, "batches", 2))
                .set("checkpoint", ("every", 8))
                .set("steps", steps)
        });
    let spec = Spec::built("tiny", &spec).run_in(folder(name));
    spec.check().unwrap().compile().unwrap()
}

#[test]
fn a_run_is_watched_stopped_and_gone_on_with_to_the_same_bits() {
    let whole = compiled("whole", 12).training().start().unwrap();
    let part = compiled("part", 12);
    let (mut steps, mut evals, mut saved) = (vec![], vec![], vec![]);
    let run = part
        .training()
        .on_step(|row| {
            steps.push(row.step);
            if row.step == 7 { Break(()) } else { Continue(()) }
        })
        .on_eval(|step, loss| {
            evals.push(step);
            if loss.is_finite() { Continue(()) } else { Break(()) }
        })
        .on_checkpoint(|step, path| {
            saved.push((step, path.is_dir()));
            Continue(())
        })
        .start()
        .unwrap();
    assert_eq!(steps, (1..=7).collect::<Vec<_>>());
    assert_eq!((evals, saved), (vec![5], vec![(1, true), (7, true)]));
    assert_eq!(*run.outcome(), Outcome::Preempted { step: 7, saved: true });
    drop(run);
    let mut run = part.training().start().unwrap();
    assert_eq!(run.ended().unwrap().step, 12);
    let losses = |run: &Run| -> Vec<Option<f64>> {
        run.metrics().unwrap().iter().map(|row| row.loss).collect()
    };
    assert_eq!(losses(&run), losses(&whole));
    let mut whole = whole;
    for weight in part.parameters() {
        let (a, b) = (run.weights(&weight.path).unwrap(), whole.weights(&weight.path).unwrap());
        assert_eq!(a, b, "{}", weight.path);
        assert_eq!(a.values.len() as u64 * 4, weight.bytes, "{}", weight.path);
    }
    assert_eq!(run.generate("A", 9, 1).unwrap(), whole.generate("A", 9, 1).unwrap());
}

#[test]
fn a_finished_run_and_its_folder_give_the_same_model() {
    let compiled = compiled("again", 6);
    let mut first = compiled.training().start().unwrap();
    let mut again = compiled.training().on_step(|_| panic!("it has ended")).start().unwrap();
    let mut opened = Run::open(first.folder()).unwrap();
    let path = &compiled.parameters()[0].path;
    let weight = first.weights(path).unwrap();
    assert!(weight.values.iter().any(|x| *x != 0.0));
    for run in [&mut again, &mut opened] {
        assert_eq!(run.weights(path).unwrap(), weight);
        assert_eq!(run.ended(), first.ended());
        assert_eq!(run.checkpoints(), first.checkpoints());
    }
}

#[test]
fn two_runs_at_once_do_not_disturb_each_other() {
    let alone = compiled("alone", 5).training().threads(1).start().unwrap().metrics().unwrap();
    let (a, b) = (compiled("left", 5), compiled("right", 5));
    let losses = std::thread::scope(|scope| {
        let rows = |c: &Compiled| c.training().threads(1).start().unwrap().metrics().unwrap();
        let runs = [&a, &b].map(|c| scope.spawn(move || rows(c)));
        runs.map(|run| run.join().unwrap())
    });
    for rows in losses {
        assert_eq!(rows.len(), alone.len());
        assert!(rows.iter().zip(&alone).all(|(a, b)| a.loss == b.loss));
    }
}

#[test]
fn a_plan_is_inspected_without_a_run() {
    let compiled = compiled("inspected", 5);
    let weights = compiled.parameters();
    let table = weights.iter().find(|w| w.path == "tok_emb.weight").unwrap();
    assert_eq!((table.shape.as_slice(), table.bytes), ([256, 16].as_slice(), 256 * 16 * 4));
    let taken = compiled.footprint();
    assert_eq!(taken.kinds.iter().map(|(_, bytes)| bytes).sum::<u64>(), taken.arena_bytes);
    assert!(taken.process_bytes > taken.arena_bytes);
    let lr = compiled.settings().iter().find(|s| s.name == "lr").unwrap();
    assert_eq!((lr.value.as_str(), lr.origin.as_str()), ("0.01", "spec"));
    assert!(compiled.flops_a_token() > 0);
    assert!(!compiled.folder().exists(), "nothing is written before a run");
}

#[test]
fn failures_have_their_kinds_and_exit_codes() {
    let wrong = Spec::from_text("wrong.lt", "train {\n  steps many\n}").check().unwrap();
    assert!(!wrong.is_ready());
    let error = wrong.compile().unwrap_err();
    assert!(matches!(&error, Error::Spec(report) if report.has_errors()));
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("wrong.lt:2:9"), "{error}");
    let absent = Spec::from_file("examples/absent.lt").unwrap_err();
    assert!(matches!(absent, Error::Usage(_)), "{absent}");
    let empty = Spec::from_text("empty.lt", "").check().unwrap().compile().unwrap_err();
    assert_eq!(empty.exit_code(), 2);
    let compiled = compiled("busy", 5);
    let mut run = compiled
        .training()
        .on_step(|_| {
            let second = compiled.training().start().unwrap_err();
            assert_eq!(second.exit_code(), 4, "{second}");
            Break(())
        })
        .start()
        .unwrap();
    let unknown = run.weights("blocks").unwrap_err();
    assert_eq!(unknown.to_string(), "the model has no weight `blocks`");
    assert_eq!(Run::open("examples").unwrap_err().exit_code(), 3);
}
