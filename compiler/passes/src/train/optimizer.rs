//! The update rule of every parameter.

use diag::Diagnostic;
use sema::Program;
use sema::trace::{Param, Trace};

/// One traced rule for each parameter.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) each: Vec<Trace>,
}

impl Rules {
    pub(super) fn trace(program: &Program, params: &[Param]) -> Result<Self, Vec<Diagnostic>> {
        let trace = |p: &Param| {
            let decayed = program.train.weight_decay_on.contains(p);
            program.trace_rule(group(program, p), &p.shape, decayed)
        };
        Ok(Self { each: params.iter().map(trace).collect::<Result<_, _>>()? })
    }
}

/// The group whose rule updates a parameter.
fn group(program: &Program, param: &Param) -> usize {
    let found = program.train.groups.iter().position(|g| g.on.contains(param));
    found.expect("a checked program has a rule for every parameter")
}
