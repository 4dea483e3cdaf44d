//! Joins maps to the products whose results they read, to run behind them.
//!
//! In: tasks, each value stored or not still open. Out: the same with fewer tasks. A map joins when
//! it walks the elements of the result in their order, reads all that it reads of the product at
//! its own place, and no third task stands between. So do rows with reductions where a block holds
//! whole rows. A map that reads two products runs behind the later one.

use ir::graph::Value;
use ir::ops::{Lowering, View};
use ir::schedule::Target;

use super::apart::Why;
use super::{Kind, Map, NodeRole, Tasks};

/// Joins what can be joined.
pub(super) fn join(tasks: &mut Tasks<'_>, target: &Target) {
    let order = tasks.in_order();
    for &consumer in &order {
        if !matches!(tasks.task(consumer).kind, Kind::Rows { .. }) {
            continue;
        }
        let mut sources = vec![];
        for &member in &tasks.task(consumer).members {
            for &arg in &tasks.graph[member].args {
                tasks.sources(arg, &mut sources);
            }
        }
        sources.retain(|&task| matches!(tasks.task(task).kind, Kind::Dot { .. }));
        sources.sort_by_key(|task| order.iter().position(|t| t == task));
        sources.dedup();
        for &product in sources.iter().rev() {
            match fits(tasks, product, consumer, target) {
                Ok(map) => {
                    tasks.merge(product, consumer, Kind::Dot { map: Some(map) });
                    break;
                }
                Err(why) => tasks.set_apart(product, consumer, why),
            }
        }
    }
}

/// The map behind a product that a task becomes with what is there already.
fn fits(tasks: &Tasks<'_>, product: usize, consumer: usize, target: &Target) -> Result<Map, Why> {
    let (first, second) = (tasks.task(product), tasks.task(consumer));
    let (Kind::Dot { map }, Kind::Rows { shape, reduces }) = (&first.kind, &second.kind) else {
        return Err(Why::Axes);
    };
    let (dot, result) = tasks.product(product).expect("the task of a product has one");
    let sizes = &tasks.graph[dot].ty.shape;
    let [m, n] = [sizes[sizes.len() - 2], sizes[sizes.len() - 1]];
    let is_same = map.as_ref().is_none_or(|map| map.shape == *shape);
    let last = shape.last().filter(|_| is_same && !shape.contains(&0));
    let last = *last.filter(|_| split(shape, m, n).is_some()).ok_or(Why::Axes)?;
    if *reduces && last != n {
        return Err(Why::Parts(last, n));
    }
    if *reduces && n > target.epilogue_cols[1] {
        return Err(Why::Rows(n));
    }
    if !*reduces && block(last, n, target).is_none() {
        return Err(Why::Columns(last));
    }
    let n_members = first.members.len() + second.members.len();
    if n_members > tasks.max_members {
        return Err(Why::Members(n_members));
    }
    if !reads_in_place(tasks, consumer, product, result, shape) {
        return Err(Why::Places);
    }
    if let Some(between) = tasks.path_around(product, consumer) {
        return Err(Why::Around(between));
    }
    let reduces = *reduces || map.as_ref().is_some_and(|map| map.reduces);
    Ok(Map { shape: shape.clone(), reduces })
}

/// Where the rows and where the columns of a product of `m` by `n` start among the axes of a space
/// that has its elements in the same order.
pub(crate) fn split(shape: &[u64], m: u64, n: u64) -> Option<[usize; 2]> {
    let start = |end: usize, size: u64| {
        (0..=end).rev().find(|&at| shape[at..end].iter().product::<u64>() == size)
    };
    let cols = start(shape.len(), n)?;
    Some([start(cols, m)?, cols])
}

/// Columns of a block: a part of neighbouring ones of the `n` that a product has, as many as allowed.
pub(crate) fn block(neighbours: u64, n: u64, target: &Target) -> Option<u64> {
    let [multiple, most] = target.epilogue_cols;
    let fits = |&cols: &u64| {
        neighbours.is_multiple_of(cols) && (cols == n || cols.is_multiple_of(multiple))
    };
    (1..=most.min(neighbours)).rev().find(fits)
}

/// Whether all that `consumer` reads of the task of a product is at its own place.
fn reads_in_place(
    tasks: &Tasks<'_>,
    consumer: usize,
    product: usize,
    result: Value,
    shape: &[u64],
) -> bool {
    tasks.task(consumer).members.iter().all(|&member| {
        let node = &tasks.graph[member];
        let is_map = matches!(node.op.lowering(), Lowering::Pointwise(_) | Lowering::Reduce { .. });
        node.args.iter().all(|&arg| {
            let read = Read { product, result, shape };
            let is_same = is_map && tasks.graph[arg].ty.shape == shape;
            read.is_in_place(tasks, arg, is_same, is_same)
        })
    })
}

/// What is read of the task of a product, over a space.
struct Read<'a> {
    product: usize,
    result: Value,
    shape: &'a [u64],
}

impl Read<'_> {
    /// `is_ordered`: the elements of the value are read in their order; `is_same`: they have the
    /// axes of the space as well.
    fn is_in_place(
        &self,
        tasks: &Tasks<'_>,
        value: Value,
        is_ordered: bool,
        is_same: bool,
    ) -> bool {
        let node = &tasks.graph[value];
        match tasks.roles[value.index()] {
            NodeRole::Leaf | NodeRole::Inline => true,
            NodeRole::Computed if tasks.owner(value) != Some(self.product) => true,
            // The result is addressed by strides, so other axes in the same order will do.
            NodeRole::Computed if value == self.result => is_ordered,
            NodeRole::Computed => is_same && node.ty.shape == self.shape,
            NodeRole::Widened => self.is_in_place(tasks, node.args[0], is_ordered, is_same),
            NodeRole::View => {
                let Lowering::View(view) = node.op.lowering() else { return false };
                let keeps_order = matches!(view, View::Reshape(_));
                self.is_in_place(tasks, node.args[0], is_ordered && keeps_order, false)
            }
        }
    }
}
