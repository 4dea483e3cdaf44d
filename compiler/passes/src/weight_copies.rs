//! Keeps copies of weights in the 16 bits that products and gathers read.
//!
//! In: the module of a training program. Out: the same numbers. Where a function would round a
//! whole weight it reads the state `cast.PATH` instead. `update` writes it with the weight, and the
//! function `refresh` makes it from the weight: it is not saved, so whoever runs the plan calls
//! `refresh` after `init` and after a checkpoint is loaded.
//!
//! Weights of rank 0 and 1 have no copy: no product reads them, and arithmetic takes them as kept.

use std::collections::BTreeMap;

use ir::builder::Builder;
use ir::graph::{Graph, Module, Node, Role, State, Within};
use ir::ops::Op;
use ir::types::Type;

use crate::dce::dce;

/// The functions that read weights and change none.
const READERS: [&str; 4] = ["micro", "eval", "prefill", "decode"];

/// Adds the states and `refresh`; see the module.
pub(crate) fn weight_copies(module: &mut Module) {
    let weights: BTreeMap<String, Type> = module
        .states
        .iter()
        .filter(|s| s.role == Role::Param && s.ty.shape.len() >= 2)
        .map(|s| (s.name.clone(), s.ty.clone()))
        .collect();
    let mut copies: BTreeMap<String, Type> = BTreeMap::new();
    for graph in module.functions.iter_mut().filter(|g| READERS.contains(&g.name.as_str())) {
        read_copies(graph, &weights, &mut copies);
        *graph = dce(graph);
    }
    if copies.is_empty() {
        return;
    }
    let mut written: BTreeMap<String, Copy> = BTreeMap::new();
    for (weight, ty) in &copies {
        let state = module.state(weight).expect("a weight is a state");
        let within =
            state.within.as_ref().map(|w| Within { state: flat_name(&w.state), ..w.clone() });
        let parent = state.within.as_ref().and_then(|w| module.state(&w.state));
        let source = parent.unwrap_or(state);
        let name = within.as_ref().map_or_else(|| copy_name(weight), |w| w.state.clone());
        let whole = Type::new(ty.dtype, source.ty.shape.clone());
        written.insert(source.name.clone(), Copy { name, from: source.ty.clone(), to: whole });
        let name = copy_name(weight);
        module.states.push(State { name, ty: ty.clone(), role: Role::Cast, within });
    }
    for copy in written.values() {
        if module.state(&copy.name).is_none() {
            let (name, ty) = (copy.name.clone(), copy.to.clone());
            module.states.push(State { name, ty, role: Role::Cast, within: None });
        }
    }
    for graph in module.functions.iter_mut().filter(|g| g.name == "update") {
        *graph = write_copies(graph, &written);
    }
    module.functions.push(refresh(&written));
}

/// What `update` and `refresh` write: the copy of a weight, or of the flat state of many.
struct Copy {
    name: String,
    from: Type,
    to: Type,
}

fn copy_name(weight: &str) -> String {
    format!("cast.{weight}")
}

/// The flat state for the copies of the weights in `parent`.
fn flat_name(parent: &str) -> String {
    format!("{parent}.cast")
}

/// Replaces roundings of whole weights, and notes of which.
fn read_copies(
    graph: &mut Graph,
    weights: &BTreeMap<String, Type>,
    copies: &mut BTreeMap<String, Type>,
) {
    for at in 0..graph.nodes.len() {
        let node = &graph.nodes[at];
        if !matches!(node.op, Op::Cast(_)) || !node.ty.dtype.is_narrow() {
            continue;
        }
        if let Op::State(read) = &graph[node.args[0]].op
            && weights.contains_key(&read.name)
        {
            let (ty, origin) = (node.ty.clone(), node.origin);
            let copy = ir::ops::state::State { name: copy_name(&read.name), ty: ty.clone() };
            copies.insert(read.name.clone(), ty.clone());
            graph.nodes[at] = Node { op: copy.into(), args: vec![], ty, origin };
        }
    }
}

/// `update`, which stores a copy of each weight that it stores.
fn write_copies(graph: &Graph, copies: &BTreeMap<String, Copy>) -> Graph {
    let mut b = Builder::from_graph(graph.clone());
    for (state, value) in &graph.stores {
        if let Some(copy) = copies.get(state) {
            let value = b.cast(*value, copy.to.dtype);
            b.store(&copy.name, value);
        }
    }
    b.finish()
}

/// The function that makes every copy from its weight.
fn refresh(copies: &BTreeMap<String, Copy>) -> Graph {
    let mut b = Builder::new("refresh");
    for (weight, copy) in copies {
        let value = b.state(weight, copy.from.clone());
        let value = b.cast(value, copy.to.dtype);
        b.store(&copy.name, value);
    }
    b.finish()
}
