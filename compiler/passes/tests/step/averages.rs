//! Averages of the weights: where they start, how they move, who reads them.

use ir::ops::Op;

use crate::program::{Run, small};

fn averaged() -> Run {
    let mut run = Run::new(small("clip none", |train| train.ema = Some(0.75)));
    run.plant_sums();
    run
}

#[test]
fn an_average_starts_as_its_weight_and_follows_it() {
    let mut run = averaged();
    let start = run.numbers("table");
    assert!(start.iter().all(|&w| w != 0.0));
    assert_eq!(run.numbers("ema.table"), start);
    let mut wanted = start;
    for grad in [[1.0, -2.0, 0.5, 4.0], [-1.0, 3.0, 0.25, 8.0]] {
        run.plant_sums();
        run.set("grad.table", &grad);
        run.call("update");
        let weights = run.numbers("table");
        // In f32, as the device adds.
        for (e, w) in wanted.iter_mut().zip(&weights) {
            *e = f64::from(0.75 * *e as f32 + 0.25 * *w as f32);
        }
        assert_eq!(run.numbers("ema.table"), wanted);
    }
}

#[test]
fn a_skipped_step_moves_no_average() {
    let mut run = averaged();
    run.set("table", &[1.0, 2.0, 3.0, 4.0]);
    let before = run.numbers("ema.table");
    run.set("grad.table", &[1.0, f64::NAN, 0.0, 0.0]);
    run.call("update");
    assert_eq!(run.get("finite"), 0.0);
    assert_eq!(run.numbers("ema.table"), before);
}

#[test]
fn evaluation_and_samples_read_the_averages_and_training_the_weights() {
    for (ema, prefix) in [(Some(0.5), "ema."), (None, "")] {
        let module = small("", |train| train.ema = ema);
        for (function, prefix) in [("eval", prefix), ("prefill", prefix), ("micro", "")] {
            let graph = module.functions.iter().find(|f| f.name == function).unwrap();
            let reads = |name: &str| {
                graph.nodes.iter().any(|n| matches!(&n.op, Op::State(s) if s.name == name))
            };
            assert!(reads(&format!("{prefix}table")), "{function}, {ema:?}");
            assert_eq!(reads("table"), prefix.is_empty(), "{function}, {ema:?}");
        }
    }
}
