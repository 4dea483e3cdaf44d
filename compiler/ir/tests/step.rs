//! The verifier takes the order of a step and names each planted violation.

use ir::builder::Builder;
use ir::graph::{Graph, Module, Role, State, Value};
use ir::ops::stage::Stage;
use ir::types::{Dtype, Type};
use ir::verify::verify;

fn ty() -> Type {
    Type::new(Dtype::F32, [2, 3])
}

fn scalar(b: &mut Builder, name: &str) -> Value {
    b.state(name, Type::scalar(Dtype::F64))
}

/// What a test may bend in an otherwise right step of two weights.
#[derive(Clone, Copy, PartialEq)]
enum Bend {
    Nothing,
    UnscaleWithoutTokens,
    UnscaleWithoutScale,
    NormOfSums,
    UncheckedNorm,
    ClipOfUnchecked,
    ClipBySums,
    ClipOfNoGradient,
    AccumulateOfProduct,
    NormOfOneGradient,
    StoreOfClipped,
    StoreUnchecked,
    StoreOfWeight,
    CopyUnchecked,
    SkipToAnother,
    NeverCleared,
    StageInMicro,
}

/// One function: sums `w` and `v` go through all stages into both weights.
fn update(bend: Bend) -> Graph {
    let mut b = Builder::new("update");
    let names = ["w", "v"];
    let mut grads = names.map(|name| b.state(&format!("grad.{name}"), ty()));
    let sums = grads;
    if bend == Bend::AccumulateOfProduct {
        grads[0] = b.mul(grads[0], grads[0]);
    }
    for stage in [Stage::Accumulate, Stage::Reduce] {
        grads = grads.map(|g| b.push(stage, &[g]));
    }
    let inverse = inverse(&mut b, bend);
    let wide = b.broadcast(inverse, &[2, 3]);
    grads = grads.map(|g| b.mul(g, wide));
    grads = grads.map(|g| b.push(Stage::Unscale, &[g]));
    let measured = if bend == Bend::NormOfSums { &sums } else { &grads };
    let n_measured = if bend == Bend::NormOfOneGradient { 1 } else { 2 };
    let mut norm = norm_square(&mut b, &measured[..n_measured]);
    if bend != Bend::UncheckedNorm {
        norm = b.push(Stage::Check, &[norm]);
    }
    if bend != Bend::ClipOfUnchecked {
        grads = grads.map(|g| b.push(Stage::Check, &[g]));
    }
    let limit = b.scalar_f32(1.0);
    let is_sound = b.lt(norm, limit);
    let small = if bend == Bend::ClipBySums { norm_square(&mut b, &sums) } else { norm };
    let coefficient = b.min(small, limit);
    let wide = b.broadcast(coefficient, &[2, 3]);
    grads = grads.map(|g| b.mul(g, wide));
    if bend == Bend::ClipOfNoGradient {
        grads[0] = b.state("w", ty());
    }
    grads = grads.map(|g| b.push(Stage::Clip, &[g]));
    for (name, grad) in names.into_iter().zip(grads) {
        let before = b.state(name, ty());
        let after = b.sub(before, grad);
        let after = b.push(Stage::Rule, &[after]);
        let flag = b.broadcast(is_sound, &[2, 3]);
        let kept = if bend == Bend::SkipToAnother { b.state("v", ty()) } else { before };
        let committed = b.select(flag, after, kept);
        let value = if bend == Bend::StoreOfClipped {
            grad
        } else if bend == Bend::StoreUnchecked {
            after
        } else if bend == Bend::StoreOfWeight {
            b.neg(before)
        } else {
            committed
        };
        b.store(name, value);
        let copied = if bend == Bend::CopyUnchecked { after } else { committed };
        let copy = b.cast(copied, Dtype::Bf16);
        b.store(&format!("cast.{name}"), copy);
        if bend != Bend::NeverCleared {
            let zero = b.zeros_like(before);
            b.store(&format!("grad.{name}"), zero);
        }
    }
    b.finish()
}

/// 1 / (scale × tokens), f32.
fn inverse(b: &mut Builder, bend: Bend) -> Value {
    let one = b.scalar_f64(1.0);
    let tokens = if bend == Bend::UnscaleWithoutTokens { one } else { scalar(b, "token_sum") };
    let scale = if bend == Bend::UnscaleWithoutScale { one } else { scalar(b, "loss_scale") };
    let below = b.mul(tokens, scale);
    let inverse = b.div(one, below);
    b.cast(inverse, Dtype::F32)
}

fn norm_square(b: &mut Builder, grads: &[Value]) -> Value {
    let zero = b.scalar_f32(0.0);
    grads.iter().fold(zero, |sum, &grad| {
        let square = b.mul(grad, grad);
        let part = b.sum(square, &[0, 1]);
        let part = b.reshape(part, &[]);
        b.add(sum, part)
    })
}

/// Adds the scale to the sums, as gradients of something.
fn micro(bend: Bend) -> Graph {
    let mut b = Builder::new("micro");
    let scale = scalar(&mut b, "loss_scale");
    let scale = b.cast(scale, Dtype::F32);
    for name in ["w", "v"] {
        let name = format!("grad.{name}");
        let before = b.state(&name, ty());
        let mut grad = b.broadcast(scale, &[2, 3]);
        if bend == Bend::StageInMicro {
            grad = b.push(Stage::Accumulate, &[grad]);
        }
        let sum = b.add(before, grad);
        b.store(&name, sum);
    }
    b.finish()
}

/// What the verifier says, once each.
fn faults(bend: Bend) -> Vec<String> {
    let state =
        |name: &str, ty: Type, role| State { name: name.to_owned(), ty, role, within: None };
    let f64s = Type::scalar(Dtype::F64);
    let states = vec![
        state("w", ty(), Role::Param),
        state("v", ty(), Role::Param),
        state("cast.w", Type::new(Dtype::Bf16, [2, 3]), Role::Cast),
        state("cast.v", Type::new(Dtype::Bf16, [2, 3]), Role::Cast),
        state("grad.w", ty(), Role::Grad),
        state("grad.v", ty(), Role::Grad),
        state("token_sum", f64s.clone(), Role::Metric),
        state("loss_scale", f64s, Role::Counter),
    ];
    let functions = vec![micro(bend), update(bend)];
    let module = Module { states, functions, origins: vec![String::new()] };
    let errors = verify(&module).err().unwrap_or_default();
    let mut texts: Vec<String> = errors.iter().map(|e| e.fault.to_string()).collect();
    texts.dedup();
    texts
}

#[test]
fn the_right_order_is_accepted() {
    assert_eq!(faults(Bend::Nothing), [] as [&str; 0]);
}

#[test]
fn unscaling_divides_by_all_that_micro_scaled_by() {
    assert_eq!(faults(Bend::UnscaleWithoutTokens), ["`unscale` leaves out `token_sum`"]);
    assert_eq!(faults(Bend::UnscaleWithoutScale), ["`unscale` leaves out `loss_scale`"]);
}

#[test]
fn the_norm_is_of_unscaled_gradients_and_the_clip_goes_by_the_checked_norm() {
    assert_eq!(faults(Bend::NormOfSums), ["`check` before `accumulate`"]);
    let found = faults(Bend::UncheckedNorm);
    assert_eq!(found[0], "gradients after `unscale` meet those after `check`");
    let found = faults(Bend::ClipBySums);
    assert_eq!(found, ["sums of `micro` meet gradients after `check`"]);
    let found = faults(Bend::ClipOfUnchecked);
    assert_eq!(found[0], "gradients after `unscale` meet those after `check`");
}

#[test]
fn stages_are_of_gradients() {
    assert_eq!(faults(Bend::ClipOfNoGradient), ["`clip` of what is no gradient"]);
    assert_eq!(faults(Bend::AccumulateOfProduct), ["`accumulate` of what is no sum of `micro`"]);
    assert!(faults(Bend::StageInMicro).contains(&"`accumulate` outside of `update`".to_owned()));
}

#[test]
fn the_flag_is_of_every_gradient() {
    assert_eq!(faults(Bend::NormOfOneGradient), ["`check` leaves out `grad.v`"]);
}

#[test]
fn weights_are_what_the_rule_gave_or_what_they_were() {
    let both = |what: &str| ["w", "v"].map(|name| what.replace('_', name));
    assert_eq!(faults(Bend::StoreOfClipped), both("`_` is stored before `rule`"));
    assert_eq!(faults(Bend::StoreUnchecked), both("`_` is stored whatever `check` finds"));
    assert_eq!(faults(Bend::StoreOfWeight), both("`_` is stored before `rule`"));
    assert_eq!(faults(Bend::CopyUnchecked), both("`cast._` is stored whatever `check` finds"));
    assert_eq!(faults(Bend::SkipToAnother), ["a skipped step changes `w`"]);
}

#[test]
fn sums_start_each_step_anew() {
    let wanted =
        ["v", "w"].map(|n| format!("`micro` adds to `grad.{n}` and `update` does not clear it"));
    assert_eq!(faults(Bend::NeverCleared), wanted);
}
