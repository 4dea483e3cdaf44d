//! Where stored values go: straight into their state, or copied at the end.
//!
//! A function reads states as they were before the call. A task may write a state directly when
//! every other reader of it can run before, and when the task's own reads of it are at the places
//! that it writes.

use std::collections::BTreeMap;

use ir::graph::Value;

use crate::fuse::{Kind, Tasks};

/// A copy at the end of the function.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) state: String,
    pub(crate) value: Value,
}

/// What is written when.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    /// Values computed straight into a state.
    pub(crate) direct: Vec<(Value, String)>,
    /// Copied after all tasks.
    pub(crate) late: Vec<Late>,
    /// Old values of states: read before all tasks, written after them.
    pub(crate) early: Vec<(String, Value)>,
}

impl Stores {
    /// Decides, and adds the order between readers and writers that the decision needs.
    pub(crate) fn decide(tasks: &mut Tasks<'_>) -> Self {
        let mut stores = Self::default();
        let graph = tasks.graph;
        let readers = readers(tasks);
        for (state, value) in &graph.stores {
            let is_taken = stores.direct.iter().any(|(v, _)| v == value);
            let (mut sources, mut leaves) = (vec![], vec![]);
            tasks.sources(*value, &mut sources);
            tasks.leaves(*value, &mut leaves);
            if !is_taken && is_direct(tasks, &readers, state, *value) {
                stores.direct.push((*value, state.clone()));
            } else if sources.is_empty() && !leaves.is_empty() {
                stores.early.push((state.clone(), *value));
            } else {
                stores.late.push(Late { state: state.clone(), value: *value });
            }
        }
        stores
    }
}

fn is_direct(
    tasks: &mut Tasks<'_>,
    readers: &BTreeMap<String, Vec<usize>>,
    state: &str,
    value: Value,
) -> bool {
    let Some(writer) = tasks.owner(value) else { return false };
    let readers = readers.get(state).map_or(&[][..], Vec::as_slice);
    let reads_itself = readers.contains(&writer);
    let is_map = match &tasks.task(writer).kind {
        Kind::Rows { reduces, .. } => !reduces,
        // A product is written before what is behind it reads.
        Kind::Dot { map } => {
            map.as_ref().is_some_and(|map| !map.reduces) && !tasks.is_product(value)
        }
        Kind::Columns | Kind::Attention | Kind::Scatter | Kind::Concat | Kind::Copy => false,
    };
    if reads_itself && !(is_map && reads_in_place(tasks, writer, state, value)) {
        return false;
    }
    let others: Vec<usize> = readers.iter().copied().filter(|&r| r != writer).collect();
    if others.iter().any(|&reader| tasks.depends(reader, writer)) {
        return false;
    }
    others.iter().all(|&reader| tasks.order(reader, writer))
}

/// The tasks that read each state.
fn readers(tasks: &Tasks<'_>) -> BTreeMap<String, Vec<usize>> {
    let mut readers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for task in tasks.in_order() {
        let mut leaves = vec![];
        for &member in &tasks.task(task).members {
            let args = &tasks.graph[member].args;
            for &arg in args.iter().filter(|&&arg| tasks.owner(arg) != Some(task)) {
                tasks.leaves(arg, &mut leaves);
            }
        }
        for leaf in leaves {
            if let ir::ops::Op::State(state) = &tasks.graph[leaf].op {
                let all = readers.entry(state.name.clone()).or_default();
                if all.last() != Some(&task) {
                    all.push(task);
                }
            }
        }
    }
    readers
}

fn is_state(tasks: &Tasks<'_>, leaf: Value, state: &str) -> bool {
    matches!(&tasks.graph[leaf].op, ir::ops::Op::State(s) if s.name == state)
}

/// Whether a task reads a state only at the places that it writes: as an operand of its shape, of a
/// member or of what is computed again for one.
fn reads_in_place(tasks: &Tasks<'_>, task: usize, state: &str, value: Value) -> bool {
    let members = &tasks.task(task).members;
    members.iter().all(|&member| args_are_in_place(tasks, task, member, state, value))
}

fn args_are_in_place(
    tasks: &Tasks<'_>,
    task: usize,
    reader: Value,
    state: &str,
    value: Value,
) -> bool {
    let graph = tasks.graph;
    let shape = &graph[value].ty.shape;
    let is_plain = graph[reader].ty.shape == *shape
        && matches!(graph[reader].op.lowering(), ir::ops::Lowering::Pointwise(_));
    // Members are asked for themselves.
    let mut others = graph[reader].args.iter().filter(|&&arg| tasks.owner(arg) != Some(task));
    others.all(|&arg| {
        let mut leaves = vec![];
        tasks.leaves(arg, &mut leaves);
        let reads = leaves.iter().any(|&leaf| is_state(tasks, leaf, state));
        let is_same = graph[arg].ty.shape == *shape;
        let element = tasks.widened(arg).unwrap_or(arg);
        let is_operand = || is_state(tasks, element, state);
        let is_again = || {
            tasks.is_recomputed(element) && args_are_in_place(tasks, task, element, state, value)
        };
        !reads || (is_plain && is_same && (is_operand() || is_again()))
    })
}
