//! Builds the functions of a training program, from `init` to `prefill`.
//!
//! In: a checked [`Program`]. Out: a [`Module`] with the state that the functions share. The order
//! of an optimizer step is the one NUMERICS fixes: sums over target tokens in `micro`; in `update`
//! one division, finite check, norm, clip, rule at lr(t), counters.

mod clip;
mod counters;
mod forward;
mod init;
mod measures;
mod micro;
mod optimizer;
mod plateau;
mod rate;
mod scaler;
mod step;
mod update;

use diag::{Diagnostic, SourceMap};
use ir::builder::Builder;
use ir::graph::{Module, Role, State, Value, Within};
use ir::types::{Dtype, Type};
use sema::trace::attention::Stored;
use sema::trace::{Param, Trace};
use sema::{Float, Measure, Program, Schedule};

use crate::decode::Blocked;
use crate::origins::Origins;
use forward::Forward;
use optimizer::Rules;

/// Names of the states that are no parameter, gradient or moment; the runtime reads and writes
/// them by these names (see `plan::Run`).
pub mod names {
    /// Seed of weights, dropout and data order.
    pub const SEED: &str = "seed";
    /// Applied optimizer steps.
    pub const APPLIED: &str = "applied_updates";
    /// Skipped optimizer steps.
    pub const SKIPPED: &str = "skipped_updates";
    /// Optimizer steps whose data was consumed.
    pub const CONSUMED: &str = "consumed_batches";
    /// Skipped because the scaled gradient overflowed.
    pub const SKIPPED_OVERFLOW: &str = "skipped_overflow";
    /// Skipped because loss, rate or scale was not finite, or the norm without a scaler.
    pub const SKIPPED_NONFINITE: &str = "skipped_nonfinite";
    /// Skipped because there was no target token.
    pub const SKIPPED_EMPTY: &str = "skipped_empty";
    /// Skipped steps since the last applied one.
    pub const SKIPS_IN_ROW: &str = "skips_in_row";
    /// For each of the last 200 steps, 1 when it was skipped; a ring by consumed batches, f32.
    pub const RECENT_SKIPS: &str = "recent_skips";
    /// How many of the last 200 steps were skipped.
    pub const RECENT_SKIPPED: &str = "recent_skipped";
    /// 0 applied, 1 overflow, 2 not finite, 3 no target token.
    pub const SKIP_CAUSE: &str = "skip_cause";
    /// The scale of the losses of the next step.
    pub const LOSS_SCALE: &str = "loss_scale";
    /// The scale that the last step used.
    pub const USED_SCALE: &str = "used_scale";
    /// Updates applied since a dynamic scale last changed.
    pub const CLEAN: &str = "clean_updates";
    /// The product of a plateau schedule's factors.
    pub const PLATEAU: &str = "plateau.factor";
    /// The lowest validation loss so far, for a plateau schedule.
    pub const PLATEAU_BEST: &str = "plateau.best";
    /// Applied updates when that loss, or the factor, last moved.
    pub const PLATEAU_SINCE: &str = "plateau.since";
    /// The validation loss that the host hands to `plateau`.
    pub const VAL_LOSS: &str = "val_loss";
    /// Squared norms of the mean gradients of micro-batches, summed since the last update.
    pub const NOISE_SQUARES: &str = "noise.squares";
    /// How many micro-batches that sum has.
    pub const NOISE_BATCHES: &str = "noise.batches";
    /// The gradient-noise scale in tokens.
    pub const NOISE_SCALE: &str = "noise_scale";
    /// Sum of the loss over target tokens since the last update.
    pub const LOSS_SUM: &str = "loss_sum";
    /// Target tokens since the last update.
    pub const TOKEN_SUM: &str = "token_sum";
    /// Rows of an evaluation whose label has the largest number.
    pub const EVAL_CORRECT: &str = "eval.correct";
    /// Micro-batches since the last update, where a step has more than one.
    pub const SUMMED: &str = "summed_batches";
}

/// Everything the passes need to know beside the program's own values.
#[derive(Debug)]
pub struct Training<'a> {
    /// The checked program.
    pub program: &'a Program,
    /// Where origins point.
    pub map: &'a SourceMap,
}

/// A training program as graphs, and what they know of the model.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) module: Module,
    /// For each origin the path of the module around it.
    pub(crate) scopes: Vec<String>,
    pub(crate) params: Vec<Param>,
    /// What keeps it from having `decode`, when it has none.
    pub(crate) blocked: Option<Blocked>,
    /// Where scores are stored, and why they are no attention in tiles.
    pub(crate) notes: Vec<String>,
}

/// The graphs of a training program.
pub(crate) fn parts(training: &Training<'_>) -> Result<Parts, Vec<Diagnostic>> {
    let Training { program, map } = training;
    let train = &program.train;
    let mut origins = Origins::new(map);
    let micro = Forward::trace(program, train.micro_batch, train.context)?;
    let (learnt, frozen) = parted(program, &micro.model.params);
    let rules = Rules::trace(program, &learnt)?;
    let mut states = states(program, (&learnt, &frozen), &rules);
    let mut functions = vec![
        init::build(program, &states, (&learnt, &frozen), &rules, &mut origins),
        micro::build(program, &micro, &mut origins),
        update::build(program, &learnt, &rules, &mut origins)?,
        forward::eval(program, &micro, &mut origins),
    ];
    let mut blocked = None;
    if program.writes_text() {
        let one = Forward::trace(program, 1, train.context)?;
        let text = forward::text(program, &one, &mut origins);
        states.extend(text.caches);
        functions.push(text.prefill);
        match text.decode {
            Ok(decode) => {
                states.extend(decode_inputs());
                functions.push(decode);
            }
            Err(why) => blocked = Some(why),
        }
    }
    if let &Schedule::Plateau { factor, patience, min, .. } = &train.schedule {
        functions.push(plateau::build(factor, patience, min));
    }
    let notes = stored_scores(&micro.model, &mut origins);
    let (origins, scopes) = origins.into_parts();
    let params = micro.model.params;
    Ok(Parts { module: Module { states, functions, origins }, scopes, params, blocked, notes })
}

/// Notes on each softmax between two products that does not become an attention in tiles.
fn stored_scores(model: &Trace, origins: &mut Origins<'_>) -> Vec<String> {
    let stored = model.attentions().into_iter().filter_map(Result::err);
    let note = |Stored { weights, reason }| {
        let instr = &model[weights];
        let origin = origins.intern(instr.span, &instr.scope);
        format!("model: the scores of {} are stored: {reason}", origins.text(origin))
    };
    stored.map(note).collect()
}

/// The token that `decode` goes on with, and its place.
fn decode_inputs() -> [State; 2] {
    [("decode.id", Type::new(Dtype::I32, [1, 1])), ("decode.position", Type::scalar(Dtype::I32))]
        .map(|(name, ty)| State { name: name.to_owned(), ty, role: Role::Input, within: None })
}

/// The weights that the rules update, and those that stay as they are.
///
/// A frozen weight has no gradient, no moment and no average.
fn parted(program: &Program, params: &[Param]) -> (Vec<Param>, Vec<Param>) {
    params.iter().cloned().partition(|param| !program.train.is_frozen(param))
}

/// The name of a parameter's gradient.
fn grad_name(param: &Param) -> String {
    format!("grad.{}", param.path)
}

/// The name of a parameter's average.
fn ema_name(param: &Param) -> String {
    format!("ema.{}", param.path)
}

/// The name of a moment of a parameter.
fn moment_name(param: &Param, moment: &str) -> String {
    format!("optimizer.{moment}.{}", param.path)
}

fn states(program: &Program, (params, frozen): (&[Param], &[Param]), rules: &Rules) -> Vec<State> {
    let (rows, context) = (program.train.micro_batch, program.train.context);
    let mut states = vec![];
    trained(program, params, rules, &mut states);
    for param in frozen {
        let (name, ty) = (param.path.clone(), stored(program, param));
        states.push(State { name, ty, role: Role::Param, within: None });
    }
    let mut add = |name: &str, ty: Type, role: Role| {
        states.push(State { name: name.to_owned(), ty, role, within: None });
    };
    add(names::SEED, Type::scalar(Dtype::I32), Role::Counter);
    for name in COUNTERS.into_iter().chain(plateau(program).iter().map(|(name, _)| *name)) {
        add(name, Type::scalar(Dtype::F64), Role::Counter);
    }
    add(names::RECENT_SKIPS, Type::new(Dtype::F32, [plan::RECENT]), Role::Counter);
    for name in sums(program).into_iter().chain(METRICS) {
        add(name, Type::scalar(Dtype::F64), Role::Metric);
    }
    if measures::has_noise(program) {
        add(names::NOISE_SCALE, Type::scalar(Dtype::F64), Role::Metric);
    }
    for param in params.iter().filter(|_| measures::has(program, Measure::GradNorms)) {
        add(&measures::norm_name(param), Type::scalar(Dtype::F64), Role::Metric);
    }
    for [ids, targets] in [["ids", "targets"], ["eval.ids", "eval.targets"]] {
        add(ids, Type::new(Dtype::I32, [rows, context]), Role::Input);
        let shape = program.target_shape(rows, context);
        add(targets, Type::new(Dtype::I32, shape), Role::Input);
    }
    if program.classes.is_some() {
        add(names::EVAL_CORRECT, Type::scalar(Dtype::F64), Role::Metric);
    }
    add("row", Type::scalar(Dtype::I32), Role::Input);
    if !plateau(program).is_empty() {
        add(names::VAL_LOSS, Type::scalar(Dtype::F64), Role::Input);
    }
    if program.writes_text() {
        add("prefill.ids", Type::new(Dtype::I32, [1, context]), Role::Input);
        add("prefill.last", Type::scalar(Dtype::I32), Role::Input);
        add("prefill.logits", Type::new(Dtype::F32, [program.vocab]), Role::Output);
    }
    states
}

/// Weights, moments, averages and gradients; those of an elementwise rule lie in flat states.
fn trained(program: &Program, params: &[Param], rules: &Rules, states: &mut Vec<State>) {
    let mut add = |name: String, ty: Type, role: Role, within: Option<Within>| {
        states.push(State { name, ty, role, within });
    };
    let (master, has_ema) = (dtype(program.train.precision.master), program.train.ema.is_some());
    for unit in rules.flat() {
        let ty = |dtype| Type::new(dtype, unit.shape.clone());
        add(unit.weight.clone(), ty(master), Role::Param, None);
        for moment in &unit.moments {
            add(moment.clone(), ty(Dtype::F32), Role::OptState, None);
        }
        if has_ema {
            add(unit.ema.clone(), ty(Dtype::F32), Role::OptState, None);
        }
        add(unit.grad.clone(), ty(Dtype::F32), Role::Grad, None);
    }
    for (at, (param, rule)) in params.iter().zip(&rules.each).enumerate() {
        let fp32 = Type::new(Dtype::F32, param.shape.clone());
        let weight = rules.within(at, |unit| &unit.weight);
        add(param.path.clone(), stored(program, param), Role::Param, weight);
        for (i, state) in rule.states.iter().enumerate() {
            let ty = Type::new(Dtype::F32, state.ty.shape.clone());
            let within = rules.within(at, |unit| &unit.moments[i]);
            add(moment_name(param, &state.name), ty, Role::OptState, within);
        }
        if has_ema {
            let within = rules.within(at, |unit| &unit.ema);
            add(ema_name(param), fp32.clone(), Role::OptState, within);
        }
        add(grad_name(param), fp32, Role::Grad, rules.within(at, |unit| &unit.grad));
    }
}

/// The counters of a plateau schedule and where they start.
fn plateau(program: &Program) -> &'static [(&'static str, f64)] {
    match program.train.schedule {
        Schedule::Plateau { .. } => &plateau::COUNTERS,
        Schedule::Fn(_) => &[],
    }
}

/// The f64 scalars that `micro` adds to and `update` sets back.
fn sums(program: &Program) -> Vec<&'static str> {
    let mut names = vec![names::LOSS_SUM, names::TOKEN_SUM];
    if program.train.accumulate > 1 {
        names.push(names::SUMMED);
    }
    if measures::has_noise(program) {
        names.extend([names::NOISE_SQUARES, names::NOISE_BATCHES]);
    }
    names
}

/// The f64 scalars that are saved.
const COUNTERS: [&str; 9] = [
    names::APPLIED,
    names::SKIPPED,
    names::CONSUMED,
    names::SKIPPED_OVERFLOW,
    names::SKIPPED_NONFINITE,
    names::SKIPPED_EMPTY,
    names::SKIPS_IN_ROW,
    names::LOSS_SCALE,
    names::CLEAN,
];

/// The scalars the host reads.
const METRICS: [&str; 11] = [
    "loss",
    "tokens",
    "lr",
    "grad_norm",
    "clip_coef",
    names::USED_SCALE,
    "finite",
    names::SKIP_CAUSE,
    names::RECENT_SKIPPED,
    "eval.loss_sum",
    "eval.tokens",
];

/// The stored type of a float.
fn dtype(float: Float) -> Dtype {
    match float {
        Float::Fp32 => Dtype::F32,
        Float::Bf16 => Dtype::Bf16,
        Float::Fp16 => Dtype::F16,
    }
}

/// The type in which a parameter is kept.
fn stored(program: &Program, param: &Param) -> Type {
    Type::new(dtype(program.train.precision.master), param.shape.clone())
}

/// The parameters as values of a function.
fn read_params(b: &mut Builder, program: &Program, params: &[Param]) -> Vec<Value> {
    let read = |p: &Param| b.state(&p.path, stored(program, p));
    params.iter().map(read).collect()
}

/// What is evaluated and sampled from: the averages of the parameters, when there are any.
fn read_averages(b: &mut Builder, program: &Program, params: &[Param]) -> Vec<Value> {
    if program.train.ema.is_none() {
        return read_params(b, program, params);
    }
    let read = |p: &Param| match program.train.is_frozen(p) {
        true => b.state(&p.path, stored(program, p)),
        false => b.state(&ema_name(p), Type::new(Dtype::F32, p.shape.clone())),
    };
    params.iter().map(read).collect()
}

/// An f64 scalar state.
fn read_scalar(b: &mut Builder, name: &str) -> Value {
    b.state(name, Type::scalar(Dtype::F64))
}
