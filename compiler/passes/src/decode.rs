//! Derives `prefill` and `decode`, which write text, from a model's graph.
//!
//! In: a graph that reads `prefill.ids` `[1, t]` and stores the logits `[1, t, v]` after every
//! place of the text. Out: `prefill`, which stores those after the place `prefill.last` only, and
//! fills the caches with the keys and values of each attention; and `decode`, which does the same
//! for one more token `decode.id` at `decode.position` out of the caches.
//!
//! Both ask for one row of the logits, and the question is handed down from results to operands
//! (`places.rs`): what works place by place is computed for the row only, what does not depend on
//! the text is sliced, and a causal attention needs one query, all keys and all values. What else
//! joins places of the text stands in the way of `decode`; `prefill` alone then writes text.

mod places;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use ir::graph::{Graph, Origin, Role, State, Value};

use crate::dce::dce;
use places::{Operand, Places, places};
use rows::{Context, decode, prefill};

/// The name of the input that holds a text.
pub const IDS: &str = "prefill.ids";

/// What a model's graph becomes.
#[derive(Debug)]
pub struct Derived {
    /// `prefill`.
    pub prefill: Graph,
    /// `decode`, or the first op that stands in its way.
    pub decode: Result<Graph, Blocked>,
    /// What both share: none without `decode`.
    pub caches: Vec<State>,
}

/// Why a model cannot go on with one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The name of the op.
    pub op: &'static str,
    /// The place of the spec that it came from.
    pub origin: Origin,
    /// What it does.
    pub why: Why,
}

/// What an op does that one new token cannot be added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It joins places of the text in another way than an attention.
    Joins,
    /// It is an attention to places that come later.
    LooksAhead,
}

/// See the module.
pub fn derive(graph: &Graph) -> Derived {
    let graph = &dce(graph);
    let survey = Survey::of(graph);
    let caches = if survey.blocked.is_none() { survey.caches(graph) } else { BTreeMap::new() };
    let context = Context { graph, survey: &survey, caches: &caches };
    let prefill = dce(&prefill(&context));
    let decode = match &survey.blocked {
        None => Ok(dce(&decode(&context))),
        Some(blocked) => Err(blocked.clone()),
    };
    let state = |(&value, name): (&Value, &String)| State {
        name: name.clone(),
        ty: graph[value].ty.clone(),
        role: Role::Cache,
        within: None,
    };
    Derived { prefill, decode, caches: caches.iter().map(state).collect() }
}

/// What is needed for one row of the logits.
#[derive(Debug, Default)]
struct Survey {
    /// By value, whether it depends on the text.
    reads_ids: Vec<bool>,
    /// Values of which one row is needed, along this axis.
    rows: BTreeSet<(Value, usize)>,
    /// Values that are needed as they are.
    wholes: BTreeSet<Value>,
    /// Keys and values of attentions.
    cached: Vec<Value>,
    blocked: Option<Blocked>,
}

impl Survey {
    fn of(graph: &Graph) -> Self {
        let mut survey = Self { reads_ids: reads_ids(graph), ..Self::default() };
        let (_, logits) = graph.stores.first().expect("a model stores its logits");
        let mut open = vec![(*logits, 1)];
        while let Some((value, axis)) = open.pop() {
            if survey.rows.insert((value, axis)) {
                survey.visit(graph, value, axis, &mut open);
            }
        }
        survey
    }

    fn visit(&mut self, graph: &Graph, value: Value, axis: usize, open: &mut Vec<(Value, usize)>) {
        let args = &graph[value].args;
        match places(graph, value, axis) {
            Places::Text | Places::Leaf => {}
            Places::Each(operands) => {
                for (&arg, operand) in args.iter().zip(operands) {
                    match operand {
                        Operand::Row(axis) => open.push((arg, axis)),
                        Operand::Whole => self.take_whole(graph, value, arg),
                    }
                }
            }
            Places::Attention => {
                open.extend(args.iter().take(3).map(|&arg| (arg, 2)));
                self.cached.extend(&args[1..3]);
                self.wholes.extend(&args[1..3]);
            }
            Places::Joined(why) => {
                self.wholes.insert(value);
                if self.reads_ids[value.index()] {
                    self.block(graph, value, why);
                }
            }
        }
    }

    fn take_whole(&mut self, graph: &Graph, reader: Value, value: Value) {
        self.wholes.insert(value);
        if self.reads_ids[value.index()] {
            // A product joins what it reads; what only moves numbers reads what was joined before.
            let is_mover = places::is_elementwise(&graph[reader]);
            let joining = if is_mover { self.joining(graph, value) } else { reader };
            self.block(graph, joining, Why::Joins);
        }
    }

    /// The op that joined the places of a text into `value`: the last that is not elementwise.
    fn joining(&self, graph: &Graph, value: Value) -> Value {
        let mut at = value;
        while places::is_elementwise(&graph[at]) {
            let next = graph[at].args.iter().find(|arg| self.reads_ids[arg.index()]);
            match next {
                Some(&next) => at = next,
                None => return value,
            }
        }
        at
    }

    /// The first op in the order of the graph is the one to tell of.
    fn block(&mut self, graph: &Graph, value: Value, why: Why) {
        let node = &graph[value];
        let blocked = Blocked { op: node.op.name(), origin: node.origin, why };
        match &self.blocked {
            Some(first) if first.origin <= blocked.origin => {}
            Some(_) | None => self.blocked = Some(blocked),
        }
    }

    /// The values that are kept from place to place, by the names of their states.
    fn caches(&self, graph: &Graph) -> BTreeMap<Value, String> {
        let sorted: BTreeSet<Value> = self.cached.iter().copied().collect();
        assert!(sorted.iter().all(|&v| graph[v].ty.shape.len() == 4), "what is kept has four axes");
        let named = |(i, value): (usize, Value)| (value, format!("cache.{i}"));
        sorted.into_iter().enumerate().map(named).collect()
    }
}

/// By value, whether it depends on the text.
fn reads_ids(graph: &Graph) -> Vec<bool> {
    let mut reads: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        reads.push(places::is_text(node) || node.args.iter().any(|arg| reads[arg.index()]));
    }
    reads
}
