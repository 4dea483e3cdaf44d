//! Checks by data flow the order in which gradients become weights.
//!
//! In: a module without other faults. A value that depends on gradient sums stands after one of the
//! stages of [`Stage::ORDER`]; a mark moves it one stage on, anything else leaves it where it is.
//! Values after different stages never meet, but in the selection that applies or skips the step:
//! its condition stands after `check`, what it applies after `rule`. So a norm is one of unscaled
//! gradients, and a clip goes by a norm that was checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Fault, VerifyError};
use crate::graph::{Graph, Module, Node, Role, Value};
use crate::ops::stage::Stage;
use crate::ops::{Lowering, Op};

/// The function that is checked.
pub const UPDATE: &str = "update";
/// The function that leaves sums of gradients.
pub const MICRO: &str = "micro";
/// The state that counts target tokens; unscaling divides by it.
pub const TOKENS: &str = "token_sum";
/// The state that gradients are scaled by, when `micro` reads it; unscaling divides by it.
pub const SCALE: &str = "loss_scale";

/// A broken rule of the optimizer step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepFault {
    /// A stage comes before one that precedes it.
    Before {
        /// The stage.
        stage: Stage,
        /// The next one in order.
        missing: Stage,
    },
    /// A stage comes after one that it precedes, or after itself.
    After {
        /// The stage.
        stage: Stage,
        /// What the value has been through.
        last: Stage,
    },
    /// A stage of a value that depends on no gradient.
    NoGradient {
        /// The stage.
        stage: Stage,
    },
    /// Gradients after two different stages meet.
    Mixed {
        /// The earlier stage; none for sums as `micro` left them.
        first: Option<Stage>,
        /// The later stage.
        second: Stage,
    },
    /// `accumulate` marks something else than a sum of `micro`.
    NotSummed,
    /// What `unscale` marks does not depend on this state.
    Scaled {
        /// Its name.
        by: String,
    },
    /// A weight or moment is stored before it went through the rule.
    Stored {
        /// Its name.
        state: String,
        /// The next stage in order.
        missing: Stage,
    },
    /// A weight or moment is stored whether the step is sound or not.
    Unchecked {
        /// Its name.
        state: String,
    },
    /// A step that is skipped leaves something else than the old value.
    NotKept {
        /// Its name.
        state: String,
    },
    /// The condition of a selection does not depend on this gradient.
    Unwatched {
        /// Its name.
        grad: String,
    },
    /// `micro` adds to a gradient that `update` does not clear.
    NotCleared {
        /// Its name.
        grad: String,
    },
    /// A stage in another function.
    Outside {
        /// The stage.
        stage: Stage,
    },
}

impl fmt::Display for StepFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before { stage, missing } => {
                write!(f, "`{}` before `{}`", stage.name(), missing.name())
            }
            Self::After { stage, last } if stage == last => write!(f, "`{}` twice", stage.name()),
            Self::After { stage, last } => {
                write!(f, "`{}` after `{}`", stage.name(), last.name())
            }
            Self::NoGradient { stage } => write!(f, "`{}` of what is no gradient", stage.name()),
            Self::Mixed { first: Some(first), second } => {
                let (first, second) = (first.name(), second.name());
                write!(f, "gradients after `{first}` meet those after `{second}`")
            }
            Self::Mixed { first: None, second } => {
                write!(f, "sums of `{MICRO}` meet gradients after `{}`", second.name())
            }
            Self::NotSummed => write!(f, "`accumulate` of what is no sum of `{MICRO}`"),
            Self::Scaled { by } => write!(f, "`unscale` leaves out `{by}`"),
            Self::Stored { state, missing } => {
                write!(f, "`{state}` is stored before `{}`", missing.name())
            }
            Self::Unchecked { state } => write!(f, "`{state}` is stored whatever `check` finds"),
            Self::NotKept { state } => write!(f, "a skipped step changes `{state}`"),
            Self::Unwatched { grad } => write!(f, "`check` leaves out `{grad}`"),
            Self::NotCleared { grad } => {
                write!(f, "`{MICRO}` adds to `{grad}` and `{UPDATE}` does not clear it")
            }
            Self::Outside { stage } => write!(f, "`{}` outside of `{UPDATE}`", stage.name()),
        }
    }
}

/// Where a value stands: `None` without gradients, else how many stages it has been through.
type Level = Option<usize>;

const CHECKED: usize = 4;
const RULED: usize = 6;
/// After the selection that applies or skips.
const COMMITTED: usize = 7;

/// The stages in order, and what each level's next one is; the last level has none.
fn next(level: usize) -> Stage {
    Stage::ORDER[level.min(RULED - 1)]
}

/// The last stage of a level above 0.
fn last(level: usize) -> Option<Stage> {
    level.min(RULED).checked_sub(1).map(|at| Stage::ORDER[at])
}

/// Checks the functions of a module that has an `update`.
pub(super) fn verify_step(module: &Module, errors: &mut Vec<VerifyError>) {
    if !module.functions.iter().any(|f| f.name == UPDATE) {
        return;
    }
    for graph in &module.functions {
        let mut walk = Walk { module, graph, levels: vec![], errors };
        if graph.name == UPDATE {
            walk.update();
        } else {
            walk.other();
        }
    }
}

struct Walk<'a> {
    module: &'a Module,
    graph: &'a Graph,
    levels: Vec<Level>,
    errors: &'a mut Vec<VerifyError>,
}

impl Walk<'_> {
    fn report(&mut self, value: Option<Value>, fault: StepFault) {
        let function = self.graph.name.clone();
        self.errors.push(VerifyError { function, value, fault: Fault::Step(fault) });
    }

    /// A function that has no part in the order.
    fn other(&mut self) {
        for (value, stage) in self.marks() {
            self.report(Some(value), StepFault::Outside { stage });
        }
    }

    fn update(&mut self) {
        for index in 0..self.graph.nodes.len() {
            let level = self.level(value(index));
            self.levels.push(level);
        }
        let marked = |wanted: Stage| {
            let of_stage = self.marks().into_iter().filter(move |(_, stage)| *stage == wanted);
            of_stage.map(|(at, _)| at).collect::<Vec<Value>>()
        };
        let (summed, unscaled) = (marked(Stage::Accumulate), marked(Stage::Unscale));
        self.are_summed(&summed);
        self.are_unscaled(&unscaled);
        self.stores();
        self.is_cleared();
    }

    fn marks(&self) -> Vec<(Value, Stage)> {
        let mark = |(index, node): (usize, &Node)| {
            let Op::Stage(stage) = node.op else { return None };
            Some((value(index), stage))
        };
        self.graph.nodes.iter().enumerate().filter_map(mark).collect()
    }

    fn role(&self, name: &str) -> Option<Role> {
        self.module.state(name).map(|state| state.role)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other ops carry gradients along")]
    fn level(&mut self, at: Value) -> Level {
        let node = &self.graph[at];
        match &node.op {
            Op::State(read) => (self.role(&read.name) == Some(Role::Grad)).then_some(0),
            Op::Stage(stage) => Some(self.marked(at, *stage, self.levels[node.args[0].index()])),
            Op::Select(_) => self.selected(at),
            _ => self.joined(at),
        }
    }

    /// The level behind a mark.
    fn marked(&mut self, at: Value, stage: Stage, before: Level) -> usize {
        let own = stage.index() + 1;
        match before {
            Some(level) if level + 1 == own => {}
            // A rule may keep a state that no gradient moves.
            None if stage == Stage::Rule => {}
            None => self.report(Some(at), StepFault::NoGradient { stage }),
            Some(level) if level < own => {
                self.report(Some(at), StepFault::Before { stage, missing: next(level) });
            }
            Some(level) => {
                let last = last(level).expect("a level behind a mark is above 0");
                self.report(Some(at), StepFault::After { stage, last });
                return level;
            }
        }
        own
    }

    /// The level of a selection: it commits when a checked condition chooses what the rule gave.
    fn selected(&mut self, at: Value) -> Level {
        let args = &self.graph[at].args;
        let [condition, chosen, kept] = [0, 1, 2].map(|i| self.levels[args[i].index()]);
        if (condition, chosen, kept) == (Some(CHECKED), Some(RULED), None) {
            return Some(COMMITTED);
        }
        self.joined(at)
    }

    /// The one level of all operands that have one.
    fn joined(&mut self, at: Value) -> Level {
        let levels = self.graph[at].args.iter().filter_map(|a| self.levels[a.index()]);
        let (low, high) = (levels.clone().min()?, levels.max()?);
        if low != high {
            let second = last(high).expect("a level above another is above 0");
            self.report(Some(at), StepFault::Mixed { first: last(low), second });
        }
        Some(high)
    }

    /// What `accumulate` marks is a sum of `micro` as it is.
    fn are_summed(&mut self, marked: &[Value]) {
        for &at in marked {
            let source = behind_views(self.graph, self.graph[at].args[0]);
            if read_of(&self.graph[source]).is_none() {
                self.report(Some(at), StepFault::NotSummed);
            }
        }
    }

    /// What `unscale` marks depends on all that `micro` scaled by.
    fn are_unscaled(&mut self, marked: &[Value]) {
        let micro = self.module.functions.iter().find(|f| f.name == MICRO);
        let is_scaled = micro.is_some_and(|micro| all_reads(micro).contains(SCALE));
        for by in [Some(TOKENS), is_scaled.then_some(SCALE)].into_iter().flatten() {
            let depends = depends_on(self.graph, by);
            for &at in marked.iter().filter(|at| !depends[at.index()]) {
                self.report(Some(at), StepFault::Scaled { by: by.to_owned() });
            }
        }
    }

    /// Weights and moments are what the rule gave, or what they were; copies are of such.
    fn stores(&mut self) {
        let mut conditions: BTreeMap<Value, &str> = BTreeMap::new();
        for (name, stored) in &self.graph.stores {
            let is_copy = match self.role(name) {
                Some(Role::Param | Role::OptState) => false,
                Some(Role::Cast) => true,
                Some(
                    Role::Grad
                    | Role::Counter
                    | Role::Metric
                    | Role::Input
                    | Role::Output
                    | Role::Cache,
                )
                | None => continue,
            };
            let state = name.clone();
            let fault = match self.levels[stored.index()] {
                Some(COMMITTED) if is_copy => continue,
                Some(COMMITTED) => match self.keeps(name, *stored) {
                    Some(condition) => {
                        conditions.entry(condition).or_insert(name);
                        continue;
                    }
                    None => StepFault::NotKept { state },
                },
                Some(RULED) => StepFault::Unchecked { state },
                level => StepFault::Stored { state, missing: next(level.unwrap_or(RULED)) },
            };
            self.report(Some(*stored), fault);
        }
        for condition in conditions.into_keys() {
            self.watches_all(condition);
        }
    }

    /// The condition of the selection that keeps the old value of `name`.
    fn keeps(&self, name: &str, stored: Value) -> Option<Value> {
        let node = &self.graph[stored];
        let (Op::Select(_), [condition, _, kept]) = (&node.op, node.args.as_slice()) else {
            return None;
        };
        let is_old = matches!(&self.graph[*kept].op, Op::State(read) if read.name == name);
        // A broadcast flag is the flag.
        is_old.then(|| behind_views(self.graph, *condition))
    }

    /// A step is skipped when any gradient is not finite.
    fn watches_all(&mut self, condition: Value) {
        let watched = reads(self.graph, condition);
        let is_left_out =
            |name: &&str| self.role(name) == Some(Role::Grad) && !watched.contains(name);
        let all = all_reads(self.graph);
        let left_out: Vec<String> =
            all.iter().filter(|n| is_left_out(n)).map(|&n| n.to_owned()).collect();
        for grad in left_out {
            self.report(Some(condition), StepFault::Unwatched { grad });
        }
    }

    /// Sums that `micro` adds to start each step anew: `update` clears them, or `micro` selects.
    fn is_cleared(&mut self) {
        let Some(micro) = self.module.functions.iter().find(|f| f.name == MICRO) else { return };
        let adds = micro.nodes.iter().filter(|n| !matches!(n.op, Op::Select(_)));
        let added: BTreeSet<&str> =
            adds.flat_map(|n| &n.args).filter_map(|a| read_of(&micro[*a])).collect();
        let is_cleared = |name: &str| self.graph.stores.iter().any(|(other, _)| other == name);
        let is_kept = |name: &&str| self.role(name) == Some(Role::Grad) && !is_cleared(name);
        let kept: Vec<String> = added.into_iter().filter(is_kept).map(str::to_owned).collect();
        for grad in kept {
            self.report(None, StepFault::NotCleared { grad });
        }
    }
}

fn value(index: usize) -> Value {
    Value(u32::try_from(index).expect("node counts fit"))
}

fn read_of(node: &Node) -> Option<&str> {
    let Op::State(read) = &node.op else { return None };
    Some(&read.name)
}

/// The value that views show.
fn behind_views(graph: &Graph, mut value: Value) -> Value {
    while let Lowering::View(_) = graph[value].op.lowering() {
        value = graph[value].args[0];
    }
    value
}

/// The names of all states that a function reads.
fn all_reads(graph: &Graph) -> BTreeSet<&str> {
    graph.nodes.iter().filter_map(read_of).collect()
}

/// Which values depend on a state.
fn depends_on(graph: &Graph, state: &str) -> Vec<bool> {
    let mut depends: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let own = read_of(node) == Some(state);
        let by_operand = node.args.iter().any(|a| depends[a.index()]);
        depends.push(own || by_operand);
    }
    depends
}

/// The names of all states that a value depends on.
fn reads(graph: &Graph, value: Value) -> BTreeSet<&str> {
    let mut is_needed = vec![false; value.index() + 1];
    is_needed[value.index()] = true;
    for index in (0..=value.index()).rev() {
        if is_needed[index] {
            for arg in &graph.nodes[index].args {
                is_needed[arg.index()] = true;
            }
        }
    }
    let needed = graph.nodes.iter().zip(&is_needed).filter(|(_, n)| **n);
    needed.filter_map(|(node, _)| read_of(node)).collect()
}
