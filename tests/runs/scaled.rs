//! Runs in fp16 whose loss scale starts too high: what overflows is skipped, and no more.

use exec::checkpoint::load;
use exec::log::{Cause, Row};
use plan::Plan;

use crate::bench::Bench;
use crate::plans::compiled;
use crate::poison::{Bad, Place, When, plant};

/// 2^26, of which a single target token gets 2^19: more than fp16 holds.
const HIGH: f64 = 67_108_864.0;

fn spec(lines: &str) -> String {
    format!(
        "model gpt(layers: 1, width: 8, heads: 2, drop: 10%)\n\
         data text(\"text.txt\", tokenizer: bytes)\n\
         train {{\nprecision fp16\nbatch 8\nmicro_batch 2\ncontext 16\nlr 3e-3\nwarmup 3\n\
         steps 12\ncheckpoint every 4\neval every 4 batches 2\n{lines}\n}}\n"
    )
}

/// Everything that has a state of its own.
fn rich() -> Plan {
    let lines = "loss_scale dynamic from 67108864 growth 3\nema 0.9\n\
                 schedule plateau(patience: 1)\nmetric grad_norms, noise_scale";
    let mut plan = compiled(&spec(lines)).plan;
    plant(&mut plan, "micro", Place::First, "targets", Bad::NoTarget, When::Batch(9));
    plant(&mut plan, "micro", Place::Last, "loss_sum", Bad::Nan, When::MicroBatch(11, 3));
    plan
}

#[test]
fn an_overflow_skips_the_step_and_halves_the_scale_once() {
    let lines = "loss_scale dynamic from 67108864";
    let plan = compiled(&spec(lines)).plan;
    let left = Bench::new("overflow", &plan).train(plan, "run");
    left.hash();
    let n = left.rows.iter().take_while(|row| row.skipped).count();
    assert!(n >= 2, "{:?}", left.rows[0]);
    for (i, row) in left.rows.iter().enumerate() {
        let halvings = i32::try_from(i.min(n)).unwrap();
        assert_eq!(row.loss_scale, Some(HIGH * 0.5f64.powi(halvings)), "batch {}", row.batch);
        assert_eq!(row.skipped, i < n, "batch {}", row.batch);
    }
    for row in &left.rows[..n] {
        assert_eq!((row.step, row.cause, row.grad_norm), (0, Some(Cause::Overflow), None));
        assert_eq!(row.lr, left.rows[n].lr, "the warm-up waits");
        assert!(row.tensor.as_deref().unwrap().starts_with("gradient of "), "{row:?}");
        assert!(row.loss.is_some() && row.val_loss.is_none());
    }
    let steps: Vec<u64> = left.rows[n..].iter().map(|row| row.step).collect();
    assert_eq!(steps, (1..=12).collect::<Vec<u64>>());
}

#[test]
fn an_overflow_at_the_smallest_scale_ends_the_run() {
    let lines = "loss_scale dynamic from 67108864 min 33554432";
    let plan = compiled(&spec(lines)).plan;
    let bench = Bench::new("smallest", &plan);
    let left = bench.train(plan, "run");
    let (code, error) = left.error();
    assert_eq!((code, left.rows.len()), (5, 2), "{error}");
    for part in [
        "step 1, batch 2: the gradient overflows at the smallest loss scale, 33554432",
        "the same step gave the same bits again",
        "not finite: gradient norm, gradient of ",
        "try: `precision bf16` instead of fp16",
    ] {
        assert!(error.contains(part), "no `{part}` in {error}");
    }
    // No step was applied, so there is nothing that the seed does not give.
    assert!(load::newest(&bench.folder.at("run")).unwrap().is_none());
}

/// The measures of a row agree with each other.
fn is_measured(row: &Row) {
    let norms: Vec<f64> = row.grad_norms.values().map(|norm| norm.unwrap()).collect();
    assert!(norms.len() > 10, "{row:?}");
    let whole = norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt();
    let norm = row.grad_norm.unwrap();
    assert!((whole - norm).abs() <= 1e-9 * norm, "{whole} and {norm}");
    assert!(row.noise_scale.is_some(), "{row:?}");
}

/// Scaler, averages, plateau, moments, dropout and sums, with skips of every cause on the way.
#[test]
fn a_run_in_fp16_stopped_after_any_batch_ends_in_the_same_bits() {
    let bench = Bench::new("fp16-stopped", &rich());
    let straight = bench.train(rich(), "straight");
    let hash = straight.hash();
    let n = straight.rows.len();
    for cause in [Cause::Overflow, Cause::Empty, Cause::Nonfinite] {
        assert!(straight.rows.iter().any(|row| row.cause == Some(cause)), "{cause}");
    }
    straight.rows.iter().filter(|row| !row.skipped).for_each(is_measured);
    for k in 1..n as u64 {
        let run = format!("stop-{k}");
        let first = bench.train_until(rich(), &run, k);
        assert_eq!(first.rows, straight.rows[..first.rows.len()], "until {k}");
        let rest = bench.train(rich(), &run);
        let from = usize::try_from(rest.rows[0].batch).unwrap() - 1;
        assert_eq!(rest.rows, straight.rows[from..], "from {k}");
        assert_eq!(rest.hash(), hash, "from {k}");
    }
}
