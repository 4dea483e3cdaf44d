//! Builds the functions of a training program, from `init` to `prefill`.
//!
//! In: a checked [`Program`]. Out: a [`Module`] with the state that the functions share. The order
//! of an optimizer step is the one NUMERICS fixes: sums over target tokens in `micro`; in `update`
//! one division, finite check, norm, clip, rule at lr(t), counters.

mod clip;
mod forward;
mod init;
mod micro;
mod optimizer;
mod rate;
mod update;

use diag::{Diagnostic, SourceMap};
use ir::builder::Builder;
use ir::graph::{Module, Role, State, Value};
use ir::types::{Dtype, Type};
use sema::Program;
use sema::trace::Param;

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
    /// The product of a plateau schedule's factors.
    pub const PLATEAU: &str = "plateau.factor";
    /// Sum of the loss over target tokens since the last update.
    pub const LOSS_SUM: &str = "loss_sum";
    /// Target tokens since the last update.
    pub const TOKEN_SUM: &str = "token_sum";
}

/// Everything the passes need to know beside the program's own values.
#[derive(Debug)]
pub struct Training<'a> {
    /// The checked program.
    pub program: &'a Program,
    /// Where origins point.
    pub map: &'a SourceMap,
}

/// The module of a training program.
pub(crate) fn module(training: &Training<'_>) -> Result<Module, Vec<Diagnostic>> {
    let Training { program, map } = training;
    let train = &program.train;
    let mut origins = Origins::new(map);
    let micro = Forward::trace(program, train.micro_batch, train.context)?;
    let rules = Rules::trace(program, &micro.model.params)?;
    let states = states(program, &micro.model.params, &rules);
    let functions = vec![
        init::build(&states, &micro.model.params, &rules, &mut origins),
        micro::build(program, &micro, &mut origins),
        update::build(program, &micro.model.params, &rules, &mut origins)?,
        forward::eval(&micro, &mut origins),
        forward::prefill(&Forward::trace(program, 1, train.context)?, program.vocab, &mut origins),
    ];
    Ok(Module { states, functions, origins: origins.into_texts() })
}

/// The name of a parameter's gradient.
fn grad_name(param: &Param) -> String {
    format!("grad.{}", param.path)
}

/// The name of a moment of a parameter.
fn moment_name(param: &Param, moment: &str) -> String {
    format!("optimizer.{moment}.{}", param.path)
}

fn states(program: &Program, params: &[Param], rules: &Rules) -> Vec<State> {
    let (rows, context) = (program.train.micro_batch, program.train.context);
    let mut states = vec![];
    let mut add = |name: &str, ty: Type, role: Role| {
        states.push(State { name: name.to_owned(), ty, role });
    };
    for param in params {
        add(&param.path, Type::new(Dtype::F32, param.shape.clone()), Role::Param);
    }
    for (param, rule) in params.iter().zip(&rules.each) {
        for state in &rule.states {
            let ty = Type::new(Dtype::F32, state.ty.shape.clone());
            add(&moment_name(param, &state.name), ty, Role::OptState);
        }
    }
    add(names::SEED, Type::scalar(Dtype::I32), Role::Counter);
    for name in [names::APPLIED, names::SKIPPED, names::CONSUMED] {
        add(name, Type::scalar(Dtype::F64), Role::Counter);
    }
    for param in params {
        add(&grad_name(param), Type::new(Dtype::F32, param.shape.clone()), Role::Grad);
    }
    for name in [names::LOSS_SUM, names::TOKEN_SUM] {
        add(name, Type::scalar(Dtype::F64), Role::Metric);
    }
    for name in METRICS {
        add(name, Type::scalar(Dtype::F64), Role::Metric);
    }
    for name in ["ids", "targets", "eval.ids", "eval.targets"] {
        add(name, Type::new(Dtype::I32, [rows, context]), Role::Input);
    }
    add("row", Type::scalar(Dtype::I32), Role::Input);
    add("prefill.ids", Type::new(Dtype::I32, [1, context]), Role::Input);
    add("prefill.last", Type::scalar(Dtype::I32), Role::Input);
    add("prefill.logits", Type::new(Dtype::F32, [program.vocab]), Role::Output);
    states
}

/// The scalars the host reads.
const METRICS: [&str; 9] = [
    "loss",
    "tokens",
    "lr",
    "grad_norm",
    "clip_coef",
    "loss_scale",
    "finite",
    "eval.loss_sum",
    "eval.tokens",
];

/// The parameters as values of a function.
fn read_params(b: &mut Builder, params: &[Param]) -> Vec<Value> {
    let read = |p: &Param| b.state(&p.path, Type::new(Dtype::F32, p.shape.clone()));
    params.iter().map(read).collect()
}

/// An f64 scalar state.
fn read_scalar(b: &mut Builder, name: &str) -> Value {
    b.state(name, Type::scalar(Dtype::F64))
}
