//! The update rule of every parameter, and which parameters are updated as one.
//!
//! A rule that works element by element does not see where one parameter ends: all parameters of
//! such a rule and one configuration lie in *flat* states of rows of [`COLS`], and `update` runs
//! one kernel over all of them, whether the rule is of the library or of the user.

use std::collections::BTreeMap;

use diag::Diagnostic;
use ir::graph::Within;
use sema::Program;
use sema::trace::{Instr, Param, Prim, Trace};

use super::{ema_name, grad_name, moment_name};

/// Elements of a flat state at most: in f64 they stay below what a tensor may have.
const MAX_FLAT: u64 = 1 << 36;

/// Elements a row of a flat state.
const COLS: u64 = 1024;

/// One traced rule for each parameter, and what is updated as one.
#[derive(Debug)]
pub(super) struct Rules {
    /// For the shape of each parameter.
    pub(super) each: Vec<Trace>,
    /// In order of their first parameters.
    pub(super) units: Vec<Unit>,
}

/// States that one application of a rule updates: of one parameter, or flat ones.
#[derive(Debug)]
pub(super) struct Unit {
    /// The state that holds the weights.
    pub(super) weight: String,
    /// The state that holds the sums of gradients.
    pub(super) grad: String,
    /// The state that holds the averages, when there are any.
    pub(super) ema: String,
    /// The states of the rule, in its order.
    pub(super) moments: Vec<String>,
    /// Of all of them, but moments of another shape.
    pub(super) shape: Vec<u64>,
    /// The rule for that shape.
    pub(super) rule: Trace,
    /// Its parameters, and where each starts, in elements.
    pub(super) members: Vec<(usize, u64)>,
    /// Whether parameters lie within its states.
    pub(super) is_flat: bool,
}

impl Rules {
    pub(super) fn trace(program: &Program, params: &[Param]) -> Result<Self, Vec<Diagnostic>> {
        let asked: Vec<Asked> = params.iter().map(|p| Asked::of(program, p)).collect();
        let trace = |(asked, p): (&Asked, &Param)| asked.trace(program, &p.shape);
        let each = asked.iter().zip(params).map(trace).collect::<Result<Vec<_>, _>>()?;
        let mut units = vec![];
        for members in alike(program, params, &asked)? {
            let unit = match members.as_slice() {
                &[one] => Unit::single(&params[one], one, &each[one]),
                _ => Unit::flat(program, params, &asked, &members, units.len())?,
            };
            units.push(unit);
        }
        Ok(Self { each, units })
    }

    /// The flat units.
    pub(super) fn flat(&self) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(|unit| unit.is_flat)
    }

    /// Where a state of a parameter lies in the flat one that `of` picks.
    pub(super) fn within(&self, param: usize, of: impl Fn(&Unit) -> &str) -> Option<Within> {
        self.flat().find_map(|unit| {
            let &(_, offset) = unit.members.iter().find(|(member, _)| *member == param)?;
            Some(Within { state: of(unit).to_owned(), offset })
        })
    }
}

/// A rule with its configuration, as a parameter asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    group: usize,
    is_decayed: bool,
}

impl Asked {
    fn of(program: &Program, param: &Param) -> Self {
        let train = &program.train;
        let group = train.groups.iter().position(|g| g.on.contains(param));
        let group = group.expect("a checked program has a rule for every parameter");
        Self { group, is_decayed: train.is_decayed(param) }
    }

    /// The rule for a row of weights, when it makes each element from its own alone.
    ///
    /// A rule that names an axis may compute with its size, which a row does not have.
    fn trace_row(self, program: &Program) -> Result<Option<Trace>, Vec<Diagnostic>> {
        if !program.rule_is_of_any_shape(self.group) {
            return Ok(None);
        }
        let trace = self.trace(program, &[COLS])?;
        Ok(is_elementwise(&trace).then_some(trace))
    }

    fn trace(self, program: &Program, shape: &[u64]) -> Result<Trace, Vec<Diagnostic>> {
        program.trace_rule(self.group, shape, self.is_decayed)
    }
}

/// Parameters that are updated as one.
fn alike(
    program: &Program,
    params: &[Param],
    asked: &[Asked],
) -> Result<Vec<Vec<usize>>, Vec<Diagnostic>> {
    let mut rows: BTreeMap<Asked, Option<Trace>> = BTreeMap::new();
    let mut found: Vec<(Option<Trace>, Vec<usize>, u64)> = vec![];
    for (param, &asked) in asked.iter().enumerate() {
        let len: u64 = params[param].shape.iter().product::<u64>() + Within::ALIGN;
        let row = match rows.get(&asked) {
            Some(row) => row.clone(),
            None => {
                let row = asked.trace_row(program)?;
                rows.insert(asked, row.clone());
                row
            }
        };
        let is_like = |(other, _, all): &&mut (Option<Trace>, Vec<usize>, u64)| {
            row.is_some() && *other == row && *all + len <= MAX_FLAT
        };
        match found.iter_mut().find(is_like) {
            Some((_, members, all)) => {
                members.push(param);
                *all += len;
            }
            None => found.push((row, vec![param], len)),
        }
    }
    Ok(found.into_iter().map(|(_, members, _)| members).collect())
}

/// Whether a rule, traced for a row of weights, makes each element from its own alone.
fn is_elementwise(trace: &Trace) -> bool {
    let row = [COLS];
    let is_whole = |shape: &[u64]| shape == row;
    trace.inputs[..2].iter().all(|input| is_whole(&input.ty.shape))
        && trace.states.iter().all(|state| is_whole(&state.ty.shape))
        && trace.instrs.iter().all(|instr| is_pointwise(trace, instr))
}

fn is_pointwise(trace: &Trace, instr: &Instr) -> bool {
    match &instr.prim {
        Prim::Input(_)
        | Prim::State(_)
        | Prim::Const(_)
        | Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::PowInt(_)
        | Prim::Select
        | Prim::Cast => true,
        Prim::Broadcast => trace.instrs[instr.args[0].0 as usize].ty.shape.is_empty(),
        Prim::Param(_)
        | Prim::Reshape
        | Prim::Permute(_)
        | Prim::Slice { .. }
        | Prim::Concat { .. }
        | Prim::Reduce { .. }
        | Prim::Softmax { .. }
        | Prim::Dot
        | Prim::Gather
        | Prim::Pick
        | Prim::Iota { .. }
        | Prim::Dropout(_) => false,
    }
}

impl Unit {
    /// One parameter with states of its own.
    fn single(param: &Param, at: usize, rule: &Trace) -> Self {
        Self {
            weight: param.path.clone(),
            grad: grad_name(param),
            ema: ema_name(param),
            moments: rule.states.iter().map(|s| moment_name(param, &s.name)).collect(),
            shape: param.shape.clone(),
            rule: rule.clone(),
            members: vec![(at, 0)],
            is_flat: false,
        }
    }

    /// Parameters one after the other.
    fn flat(
        program: &Program,
        params: &[Param],
        asked: &[Asked],
        members: &[usize],
        number: usize,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut end = 0;
        let mut place = |&member: &usize| {
            let offset = end;
            let len: u64 = params[member].shape.iter().product();
            end = (offset + len).next_multiple_of(Within::ALIGN);
            (member, offset)
        };
        let members: Vec<(usize, u64)> = members.iter().map(&mut place).collect();
        let shape = vec![end.div_ceil(COLS), COLS];
        let rule = asked[members[0].0].trace(program, &shape)?;
        // No path of a parameter has a slash.
        let name = |what: &str| format!("flat.{number}/{what}");
        Ok(Self {
            weight: name("weight"),
            grad: name("grad"),
            ema: name("ema"),
            moments: rule.states.iter().map(|s| name(&format!("optimizer.{}", s.name))).collect(),
            shape,
            rule,
            members,
            is_flat: true,
        })
    }
}
