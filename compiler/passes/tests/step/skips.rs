//! Causes of skipped steps, what a skip leaves, and the ring of recent ones.

use ir::graph::Role;
use sema::LossScale;

use crate::program::{Run, small};

const DYNAMIC: LossScale = LossScale::Dynamic { start: 8.0, growth: 2, min: 1.0 };
const STATIC: LossScale = LossScale::Static(8.0);

/// The cause of a step with these numbers, and whether it moved a weight or moment.
fn cause(policy: LossScale, change: &[(&str, &[f64])]) -> (f64, bool) {
    let mut run = Run::new(small("", |train| {
        train.loss_scale = policy;
        train.ema = Some(0.5);
    }));
    run.plant_sums();
    run.set("grad.shift", &[1.0, 2.0]);
    for (name, numbers) in change {
        run.set(name, numbers);
    }
    let trained = |run: &Run| {
        let of = |role| run.names(role).into_iter().map(|n| run.numbers(&n)).collect::<Vec<_>>();
        [of(Role::Param), of(Role::OptState)].concat()
    };
    let before = trained(&run);
    let applied = run.get("applied_updates");
    run.call("update");
    let cause = run.get("skip_cause");
    let skipped = ["skipped_overflow", "skipped_nonfinite", "skipped_empty"];
    let counts = skipped.map(|name| run.get(name));
    let wanted = [1.0, 2.0, 3.0].map(|of| f64::from(u8::from(of == cause)));
    assert_eq!(counts, wanted, "{change:?}");
    assert_eq!(run.get("skipped_updates"), counts.iter().sum::<f64>());
    assert_eq!(run.get("applied_updates") - applied, run.get("finite"));
    assert_eq!(run.get("consumed_batches"), 1.0);
    (cause, trained(&run) != before)
}

#[test]
fn a_step_is_skipped_for_the_first_cause_that_holds() {
    let inf = f64::INFINITY;
    for policy in [LossScale::None, STATIC, DYNAMIC] {
        let of_norm = if policy == LossScale::None { 2.0 } else { 1.0 };
        assert_eq!(cause(policy, &[]), (0.0, true));
        for bad in [inf, -inf, f64::NAN] {
            assert_eq!(cause(policy, &[("grad.shift", &[0.0, bad])]), (of_norm, false));
            assert_eq!(cause(policy, &[("loss_sum", &[bad])]), (2.0, false));
            let both: [(&str, &[f64]); 2] = [("loss_sum", &[bad]), ("grad.shift", &[bad, bad])];
            assert_eq!(cause(policy, &both), (2.0, false));
        }
        assert_eq!(cause(policy, &[("token_sum", &[0.0]), ("loss_sum", &[0.0])]), (3.0, false));
    }
    assert_eq!(cause(DYNAMIC, &[("loss_scale", &[inf])]), (2.0, false));
}

#[test]
fn a_rate_that_is_not_finite_moves_no_weight() {
    for lr in [f64::INFINITY, f64::NAN] {
        let mut run = Run::new(small("", |train| train.lr = lr));
        run.plant_sums();
        let before = run.numbers("table");
        run.set("grad.table", &[1.0, 2.0, 3.0, 4.0]);
        run.call("update");
        assert_eq!((run.get("skip_cause"), run.numbers("table")), (2.0, before));
    }
}

/// Finite sums whose mean is no f32 are caught as well: the check is of what the rule gets.
#[test]
fn what_overflows_when_it_is_unscaled_is_an_overflow() {
    let small_scale = LossScale::Static(2f64.powi(-60));
    assert_eq!(cause(small_scale, &[("grad.shift", &[1e30, 0.0])]), (1.0, false));
}

#[test]
fn a_scale_of_any_power_of_two_changes_no_bit() {
    let after = |policy: LossScale, scale: f64| {
        let mut run = Run::new(small("clip none", |train| train.loss_scale = policy));
        for (ids, targets) in [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
            let batch = |x: f64| (0..16).map(|i| f64::from((i + x as i32) % 2)).collect::<Vec<_>>();
            run.set("ids", &batch(ids));
            run.set("targets", &batch(targets));
            run.call("micro");
            run.call("update");
            assert_eq!([run.get("finite"), run.get("used_scale")], [1.0, scale]);
        }
        [run.numbers("shift"), run.numbers("table"), run.numbers("optimizer.seen.table")]
    };
    let plain = after(LossScale::None, 1.0);
    for scale in [2f64.powi(-8), 1024.0, 2f64.powi(24)] {
        assert_eq!(after(LossScale::Static(scale), scale), plain);
        let dynamic = LossScale::Dynamic { start: scale, growth: 100, min: scale };
        assert_eq!(after(dynamic, scale), plain);
    }
}

#[test]
fn only_overflows_move_a_dynamic_scale_and_nothing_a_static_one() {
    let mut run = Run::new(small("", |train| train.loss_scale = DYNAMIC));
    let step = |run: &mut Run, change: &[(&str, &[f64])]| {
        run.plant_sums();
        run.set("grad.shift", &[1.0, 2.0]);
        for (name, numbers) in change {
            run.set(name, numbers);
        }
        run.call("update");
        (run.get("loss_scale"), run.get("clean_updates"), run.get("skips_in_row"))
    };
    let overflow: &[(&str, &[f64])] = &[("grad.shift", &[0.0, f64::INFINITY])];
    let nonfinite: &[(&str, &[f64])] = &[("loss_sum", &[f64::NAN])];
    let empty: &[(&str, &[f64])] = &[("token_sum", &[0.0])];
    assert_eq!(step(&mut run, &[]), (8.0, 1.0, 0.0));
    assert_eq!(step(&mut run, nonfinite), (8.0, 1.0, 1.0));
    assert_eq!(step(&mut run, empty), (8.0, 1.0, 2.0));
    assert_eq!(step(&mut run, &[]), (16.0, 0.0, 0.0));
    assert_eq!(step(&mut run, overflow), (8.0, 0.0, 1.0));
    // The largest f32 power of two stays: twice that is no f32.
    run.set("loss_scale", &[2f64.powi(127)]);
    run.set("clean_updates", &[1.0]);
    assert_eq!(step(&mut run, &[]), (2f64.powi(127), 0.0, 0.0));

    let mut fixed = Run::new(small("", |train| train.loss_scale = STATIC));
    let none: &[(&str, &[f64])] = &[];
    for change in [none, overflow, none, nonfinite, none, none] {
        assert_eq!(step(&mut fixed, change).0, 8.0);
    }
    assert_eq!(fixed.get("skipped_overflow"), 1.0);
}

#[test]
fn recent_skips_are_those_of_the_last_200_batches() {
    let mut run = Run::new(small("", |_| {}));
    run.cut("update", &["recent_skips", "recent_skipped", "consumed_batches", "finite"]);
    run.plant_sums();
    let mut history = vec![];
    for step in 0..430u32 {
        let is_bad = step % 7 == 3 || (190..230).contains(&step);
        run.set("grad.shift", &[0.0, if is_bad { f64::NAN } else { 1.0 }]);
        run.call("update");
        history.push(is_bad);
        let recent = history.iter().rev().take(200).filter(|&&bad| bad).count();
        assert_eq!(run.get("recent_skipped"), recent as f64, "after step {step}");
    }
}
