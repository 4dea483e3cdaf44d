//! Precision, loss scaling, averages and numbers that are not finite.

use super::{around, run, says};
use crate::program::{Float, LossScale, OnNan, Precision, Train};

#[track_caller]
fn of(lines: &str) -> Train {
    let (program, out) = run(&around(&format!("steps 1k\nbatch 32\n{lines}")), &[], None);
    program.unwrap_or_else(|| panic!("{lines}: {out}")).train
}

fn dynamic(start: f64, growth: u64, min: f64) -> LossScale {
    LossScale::Dynamic { start, growth, min }
}

#[test]
fn defaults_follow_the_precision() {
    let plain = of("");
    let fp32 = Float::Fp32;
    assert_eq!(plain.precision, Precision { compute: fp32, master: fp32, reduce: fp32 });
    assert_eq!((plain.loss_scale, plain.on_nan), (LossScale::None, OnNan::Stop));
    assert_eq!(plain.ema, None);
    let half = of("precision fp16");
    assert_eq!(half.precision, Precision { compute: Float::Fp16, master: fp32, reduce: fp32 });
    assert_eq!(half.loss_scale, dynamic(65536.0, 2000, 1.0));
    assert_eq!(half.on_nan, OnNan::Skip { limit: 20 });
    let bf16 = of("precision bf16");
    assert_eq!((bf16.loss_scale, bf16.on_nan), (LossScale::None, OnNan::Stop));
    let fixed = of("precision fp16\nloss_scale 1Ki");
    assert_eq!((fixed.loss_scale, fixed.on_nan), (LossScale::Static(1024.0), OnNan::Stop));
}

#[test]
fn policies_become_values() {
    let all = of("precision fp16 master fp16 reduce bf16").precision;
    let (master, reduce) = (Float::Fp16, Float::Bf16);
    assert_eq!(all, Precision { compute: Float::Fp16, master, reduce });
    let scale = |line: &str| of(&format!("precision fp16\n{line}")).loss_scale;
    assert_eq!(scale("loss_scale dynamic"), dynamic(65536.0, 2000, 1.0));
    assert_eq!(scale("loss_scale dynamic from 8 growth 5 min 2"), dynamic(8.0, 5, 2.0));
    assert_eq!(scale("loss_scale dynamic min 1Mi"), dynamic(1048576.0, 2000, 1048576.0));
    assert_eq!(scale("loss_scale 0.5"), LossScale::Static(0.5));
    assert_eq!(of("on_nan skip limit 3").on_nan, OnNan::Skip { limit: 3 });
    assert_eq!(of("on_nan skip").on_nan, OnNan::Skip { limit: 20 });
    assert_eq!(of("precision fp16\non_nan stop").on_nan, OnNan::Stop);
    assert_eq!(of("ema 99.9%").ema, Some(0.999));
    assert_eq!(of("ema none").ema, None);
}

#[test]
fn what_no_policy_can_be() {
    says(
        "precision fp16\nloss_scale none",
        "7:1 E0601 `precision fp16` needs loss scaling\n  remove `loss_scale none`: the default is `loss_scale dynamic`",
    );
    says(
        "loss_scale 1000",
        "6:12 E0302 `loss_scale` must be a power of two, found 1000\n  use `1024`",
    );
    says(
        "loss_scale dynamic from 60k",
        "6:25 E0302 `loss_scale from` must be a power of two, found 60000\n  use `65536`",
    );
    says(
        "loss_scale dynamic from 4 min 8",
        "6:31 E0302 `loss_scale min` 8 is above its start 4\n  use `min 1`",
    );
    says(
        "precision fp16\nloss_scale 8 growth 100",
        "7:21 E0208 a fixed `loss_scale` has no option `growth`\n  remove `growth 100`",
    );
    says(
        "on_nan stop limit 3",
        "6:19 E0208 `on_nan stop` has no option `limit`\n  remove `limit 3`",
    );
    says("on_nan rollback 3", "6:8 E0213 `on_nan rollback` is not built yet");
    says("ema 1", "6:5 E0302 `ema` must be below 1, found 1\n  a usual share is `ema 0.999`");
    says(
        "precision fp8",
        "6:11 E0213 `precision fp8` is not built yet\n  this version has `fp32`, `bf16` or `fp16`",
    );
}

#[test]
fn policies_are_settings_and_can_be_set() {
    let set = |sets: &[&str], name: &str| {
        let (program, out) = run(&around("steps 1k\nbatch 32\nprecision fp16"), sets, None);
        let train = program.unwrap_or_else(|| panic!("{sets:?}: {out}")).train;
        let found = train.settings.iter().find(|s| s.name == name).expect("a setting");
        format!("{}, {}, {}", found.value, found.origin, found.class.word())
    };
    assert_eq!(set(&[], "precision"), "fp16 master fp32 reduce fp32, spec, trajectory");
    assert_eq!(set(&[], "loss_scale"), "dynamic from 65536 growth 2000 min 1, derived, trajectory");
    assert_eq!(set(&[], "on_nan"), "skip limit 20, derived, trajectory");
    assert_eq!(set(&[], "ema"), "none, default, trajectory");
    assert_eq!(
        set(&["train.loss_scale.growth=5"], "loss_scale"),
        "dynamic from 65536 growth 5 min 1, command line, trajectory"
    );
    assert_eq!(set(&["train.precision=bf16"], "loss_scale"), "none, derived, trajectory");
    assert_eq!(
        set(&["train.precision.master=fp16"], "precision"),
        "fp16 master fp16 reduce fp32, command line, trajectory"
    );
    assert_eq!(set(&["train.on_nan.limit=2"], "on_nan"), "skip limit 2, command line, trajectory");
}
