//! Weights stored in 16 bits: the rule runs in f32, its result is rounded.

use sema::{Float, Precision};

use crate::program::{Run, small};

#[test]
fn a_narrow_weight_is_the_f32_result_of_the_rule_rounded_once() {
    let mut run = Run::new(small("clip none", |train| {
        train.precision = Precision { master: Float::Bf16, ..train.precision };
        train.ema = Some(0.5);
    }));
    run.plant_sums();
    run.set("shift", &[1.0, 1.0]);
    run.set("ema.shift", &[1.0, 1.0]);
    // The rate is 0.5; below 1 a bf16 has steps of 2^-8, so 2^-11 is lost and 2^-6 + 2^-10 is not.
    run.set("grad.shift", &[2f64.powi(-10), 2f64.powi(-5) + 2f64.powi(-9)]);
    run.call("update");
    assert_eq!(run.get("finite"), 1.0);
    assert_eq!(run.numbers("shift"), [1.0, 1.0 - 2f64.powi(-6)]);
    // Moments and averages are f32; the average is of what is stored.
    let seen = [2f64.powi(-10), 2f64.powi(-5) + 2f64.powi(-9)];
    assert_eq!(run.numbers("optimizer.seen.shift"), seen);
    assert_eq!(run.numbers("ema.shift"), [1.0, 1.0 - 2f64.powi(-7)]);
}

#[test]
fn a_skipped_step_keeps_narrow_weights() {
    let mut run = Run::new(small("", |train| {
        train.precision = Precision { master: Float::Fp16, ..train.precision };
    }));
    run.plant_sums();
    let before = run.numbers("table");
    run.set("grad.table", &[1.0, 1.0, 1.0, f64::NAN]);
    run.call("update");
    assert_eq!((run.get("skip_cause"), run.numbers("table")), (2.0, before));
}
