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
use ir::graph::{Graph, Module, Node, Role, State};
use ir::ops::Op;
use ir::types::Type;

use crate::dce::dce;

/// The functions that read weights and change none.
const READERS: [&str; 3] = ["micro", "eval", "prefill"];

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
    let states = copies.iter().map(|(weight, ty)| State {
        name: copy_name(weight),
        ty: ty.clone(),
        role: Role::Cast,
    });
    module.states.extend(states);
    for graph in module.functions.iter_mut().filter(|g| g.name == "update") {
        *graph = write_copies(graph, &copies);
    }
    module.functions.push(refresh(&weights, &copies));
}

fn copy_name(weight: &str) -> String {
    format!("cast.{weight}")
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
fn write_copies(graph: &Graph, copies: &BTreeMap<String, Type>) -> Graph {
    let mut b = Builder::from_graph(graph.clone());
    for (state, value) in &graph.stores {
        if let Some(ty) = copies.get(state) {
            let copy = b.cast(*value, ty.dtype);
            b.store(&copy_name(state), copy);
        }
    }
    b.finish()
}

/// The function that makes every copy from its weight.
fn refresh(weights: &BTreeMap<String, Type>, copies: &BTreeMap<String, Type>) -> Graph {
    let mut b = Builder::new("refresh");
    for (weight, ty) in copies {
        let value = b.state(weight, weights[weight].clone());
        let copy = b.cast(value, ty.dtype);
        b.store(&copy_name(weight), copy);
    }
    b.finish()
}
