//! `init`: weights from the seed, moments and counters at their start.
//!
//! Memory is all zeros before it runs, so what starts at 0 is not written: a run begins sooner by
//! the time that takes, since the system clears pages when they are first touched.

use ir::builder::Builder;
use ir::graph::{Graph, Role, State, Value};
use ir::types::{Dtype, Type};
use sema::Program;
use sema::trace::{Init, Param};

use super::optimizer::Rules;
use super::{ema_name, moment_name, names, scaler};
use crate::lower::stream;
use crate::origins::Origins;

/// The function.
pub(super) fn build(
    program: &Program,
    states: &[State],
    (params, frozen): (&[Param], &[Param]),
    rules: &Rules,
    origins: &mut Origins<'_>,
) -> Graph {
    let mut b = Builder::new("init");
    let seed = b.state(names::SEED, Type::scalar(Dtype::I32));
    for (param, rule) in params.iter().zip(&rules.each) {
        b.origin = origins.intern(param.span, &param.path);
        let value = start(&mut b, seed, &param.path, param.init, &param.shape);
        let value = b.cast(value, super::dtype(program.train.precision.master));
        b.store(&param.path, value);
        if program.train.ema.is_some() {
            let average = b.cast(value, Dtype::F32);
            b.store(&ema_name(param), average);
        }
        for state in &rule.states {
            let name = moment_name(param, &state.name);
            if !is_zero(state.init) {
                let value = start(&mut b, seed, &name, state.init, &state.ty.shape);
                b.store(&name, value);
            }
        }
    }
    for param in frozen {
        b.origin = origins.intern(param.span, &param.path);
        let value = start(&mut b, seed, &param.path, param.init, &param.shape);
        let value = b.cast(value, super::dtype(program.train.precision.master));
        b.store(&param.path, value);
    }
    for state in states {
        let first = match state.role {
            Role::Counter => counter(program, &state.name),
            // A piece is set with its parent.
            Role::Grad => state.within.is_none().then_some(0.0),
            Role::Metric => Some(0.0),
            Role::Param
            | Role::Cast
            | Role::OptState
            | Role::Input
            | Role::Output
            | Role::Cache => None,
        };
        if let Some(first) = first.filter(|first| *first != 0.0) {
            let value = b.full(first, state.ty.dtype, &state.ty.shape);
            b.store(&state.name, value);
        }
    }
    b.finish()
}

/// Where a counter starts; the host sets the seed.
fn counter(program: &Program, name: &str) -> Option<f64> {
    match name {
        names::SEED => None,
        names::LOSS_SCALE => Some(scaler::start(program.train.loss_scale)),
        _ => {
            let of_plateau = super::plateau(program).iter().find(|(other, _)| *other == name);
            Some(of_plateau.map_or(0.0, |(_, start)| *start))
        }
    }
}

fn is_zero(init: Init) -> bool {
    match init {
        Init::Zeros => true,
        Init::Constant(value) => value.to_bits() == 0,
        Init::Ones | Init::Uniform(_) | Init::Normal(_) => false,
    }
}

fn start(b: &mut Builder, seed: Value, path: &str, init: Init, shape: &[u64]) -> Value {
    match init {
        Init::Zeros => b.full(0.0, Dtype::F32, shape),
        Init::Ones => b.full(1.0, Dtype::F32, shape),
        Init::Constant(value) => b.full(value, Dtype::F32, shape),
        Init::Uniform(bound) => {
            let u = uniform(b, seed, path, shape);
            affine(b, u, 2.0 * bound, -bound)
        }
        Init::Normal(std) => {
            let z = normal(b, seed, path, shape);
            let std = b.full_like(std, z);
            b.mul(z, std)
        }
    }
}

fn uniform(b: &mut Builder, seed: Value, path: &str, shape: &[u64]) -> Value {
    let zero = b.scalar_i32(0);
    b.random(stream(path), shape, seed, zero, zero)
}

/// `x * scale + offset`.
fn affine(b: &mut Builder, x: Value, scale: f64, offset: f64) -> Value {
    let scale = b.full_like(scale, x);
    let offset = b.full_like(offset, x);
    let scaled = b.mul(x, scale);
    b.add(scaled, offset)
}

/// Standard normal numbers (Box and Muller 1958): `sqrt(-2 ln(1 - u)) cos(2 pi v)`.
fn normal(b: &mut Builder, seed: Value, path: &str, shape: &[u64]) -> Value {
    let u = uniform(b, seed, &format!("{path}/radius"), shape);
    let v = uniform(b, seed, &format!("{path}/angle"), shape);
    // 1 - u lies in (0, 1], so its logarithm is finite.
    let rest = affine(b, u, -1.0, 1.0);
    let log = b.log(rest);
    let square = affine(b, log, -2.0, 0.0);
    let radius = b.sqrt(square);
    let angle = affine(b, v, std::f64::consts::TAU, 0.0);
    let cos = b.cos(angle);
    b.mul(radius, cos)
}
