//! The update rule of every parameter.

use diag::Diagnostic;
use sema::trace::{Param, Trace};
use sema::{ParamSet, Program};

/// One traced rule for each parameter.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) each: Vec<Trace>,
}

impl Rules {
    pub(super) fn trace(program: &Program, params: &[Param]) -> Result<Self, Vec<Diagnostic>> {
        let trace = |p: &Param| program.trace_rule(&p.shape, is_decayed(program, p));
        Ok(Self { each: params.iter().map(trace).collect::<Result<_, _>>()? })
    }
}

/// Whether `weight_decay` is on for a parameter.
fn is_decayed(program: &Program, param: &Param) -> bool {
    match program.train.weight_decay_on {
        ParamSet::All => true,
        ParamSet::Matrices => param.shape.len() >= 2,
        ParamSet::Nothing => false,
    }
}
