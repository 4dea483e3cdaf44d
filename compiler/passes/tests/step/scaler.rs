//! The loss scaler against a short model, over every pattern of overflows.

use std::collections::BTreeMap;

use ir::eval::tensor::Tensor;
use sema::LossScale;

use crate::program::{Run, small};

const GROWTH: u64 = 3;
const MIN: f64 = 8.0;
const START: f64 = 64.0;
const LENGTH: u32 = 16;

/// What the design says of the scaler.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scaler {
    scale: f64,
    clean: u64,
    applied: u64,
    skipped: u64,
    in_row: u64,
    used: f64,
}

impl Scaler {
    fn step(&mut self, overflows: bool) {
        self.used = self.scale;
        if overflows {
            (self.scale, self.clean) = ((self.scale / 2.0).max(MIN), 0);
            (self.skipped, self.in_row) = (self.skipped + 1, self.in_row + 1);
            return;
        }
        (self.applied, self.clean, self.in_row) = (self.applied + 1, self.clean + 1, 0);
        if self.clean == GROWTH {
            (self.scale, self.clean) = (self.scale * 2.0, 0);
        }
    }

    fn of(run: &Run) -> Self {
        assert_eq!(run.get("skipped_updates"), run.get("skipped_overflow"));
        Self {
            scale: run.get("loss_scale"),
            clean: run.get("clean_updates") as u64,
            applied: run.get("applied_updates") as u64,
            skipped: run.get("skipped_updates") as u64,
            in_row: run.get("skips_in_row") as u64,
            used: run.get("used_scale"),
        }
    }
}

const KEPT: [&str; 12] = [
    "loss_scale",
    "used_scale",
    "clean_updates",
    "applied_updates",
    "consumed_batches",
    "skipped_updates",
    "skipped_overflow",
    "skipped_nonfinite",
    "skipped_empty",
    "skips_in_row",
    "skip_cause",
    "finite",
];

fn scaled(policy: LossScale) -> Run {
    let mut run = Run::new(small("", |train| train.loss_scale = policy));
    run.cut("update", &KEPT);
    run.set("token_sum", &[14.0]);
    run.set("loss_sum", &[28.0]);
    run
}

fn step(run: &mut Run, overflows: bool) {
    run.set("grad.shift", &[1.0, if overflows { f64::INFINITY } else { 2.0 }]);
    run.call("update");
}

/// A run and its model after some patterns, and how many those are.
struct Point {
    states: BTreeMap<String, Tensor>,
    model: Scaler,
    patterns: u64,
}

impl Point {
    /// The bits of all its numbers.
    fn key(&self) -> Vec<u64> {
        self.states.values().flat_map(|t| t.numbers()).map(f64::to_bits).collect()
    }
}

/// Every pattern so far with one more step; patterns that lead to the same bits go on as one.
fn longer(run: &mut Run, points: &[Point]) -> Vec<Point> {
    let mut next: BTreeMap<Vec<u64>, Point> = BTreeMap::new();
    for (point, overflows) in points.iter().flat_map(|p| [(p, false), (p, true)]) {
        run.states.clone_from(&point.states);
        let mut model = point.model;
        model.step(overflows);
        step(run, overflows);
        assert_eq!(Scaler::of(run), model);
        assert_eq!(run.get("skip_cause"), f64::from(u8::from(overflows)));
        assert_eq!(run.get("finite"), f64::from(u8::from(!overflows)));
        let new = Point { states: run.states.clone(), model, patterns: point.patterns };
        next.entry(new.key()).and_modify(|p| p.patterns += point.patterns).or_insert(new);
    }
    next.into_values().collect()
}

#[test]
fn every_pattern_of_overflows_moves_the_scale_as_designed() {
    let mut run = scaled(LossScale::Dynamic { start: START, growth: GROWTH, min: MIN });
    let model = Scaler { scale: START, clean: 0, applied: 0, skipped: 0, in_row: 0, used: 0.0 };
    let mut points = vec![Point { states: run.states.clone(), model, patterns: 1 }];
    for _ in 0..LENGTH {
        points = longer(&mut run, &points);
    }
    assert_eq!(points.iter().map(|p| p.patterns).sum::<u64>(), 1 << LENGTH);
}
