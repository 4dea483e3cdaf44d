//! Decides which values a task stores for others and which these recompute.
//!
//! In: fused tasks. Out: the same, with [`Tasks::is_stored`] set. A pointwise value that is not
//! stored is computed by every task that reads it, from what is stored: the same operations on the
//! same numbers, so the same bits.
//!
//! # Note: the rule
//! A task costs the bytes that it stores for others and loads, and one byte for each scalar
//! operation that it computes again: a core moves a byte to or from its outer caches in about the
//! time of one operation in a lane. Starting from everything that is read elsewhere, task by task
//! and the latest value first, a value is no longer stored where that makes the tasks around it
//! cheaper together. Then each reduction and each long function of the task is tried as one more
//! stored value, for what can be computed from it: of a GELU the hyperbolic tangent is kept, and of
//! a norm the means, instead of all that the gradient reads.

use std::collections::BTreeSet;

use ir::body::{Body, ElementIndex};
use ir::graph::Value;
use ir::kernel::{Inst, Reg};
use ir::ops::Lowering;
use ir::types::Dtype;

use crate::coords::{Coords, through};
use crate::fuse::{Kind, Map, Tasks};

/// Operations from which on a function is worth being tried as a stored value.
const LONG_OPS: u64 = 8;

/// Where a task reads a value: at coordinates of its space, or somewhere else.
type Read = (Value, Option<Coords>);

/// Decides what is stored.
pub(crate) fn store(tasks: &mut Tasks<'_>) {
    let (stored, forced) = escapes(tasks);
    tasks.set_stored(stored);
    let order = tasks.in_order();
    let mut reads: Vec<Vec<Read>> = vec![vec![]; order.iter().max().map_or(0, |last| last + 1)];
    for &task in &order {
        reads[task] = Reader::of(tasks, task);
    }
    let n_nodes = tasks.graph.nodes.len();
    let mut search = Search {
        ops: ops(tasks),
        tasks,
        forced,
        met: vec![BTreeSet::new(); reads.len()],
        met_by: vec![BTreeSet::new(); n_nodes],
        reads,
    };
    for &task in &order {
        search.note_met(task);
    }
    for task in order {
        search.task(task);
    }
}

/// Computed values that something outside their task reads; and those of them that have to be in
/// memory, because a product or a copy reads them, or a state becomes one.
fn escapes(tasks: &Tasks<'_>) -> (Vec<bool>, Vec<bool>) {
    let graph = tasks.graph;
    let mut escapes = vec![false; graph.nodes.len()];
    let mut forced = vec![false; graph.nodes.len()];
    let mut read = vec![];
    for task in tasks.in_order() {
        let product = tasks.product(task);
        let is_map = matches!(tasks.task(task).kind, Kind::Rows { .. } | Kind::Columns);
        if let Some((dot, rounded)) = product
            && dot != rounded
        {
            // What rounds it stores it; a map behind it reads it there.
            escapes[rounded.index()] = true;
            forced[rounded.index()] = true;
        }
        for &member in &tasks.task(task).members {
            let is_kernel = is_map || product.is_some_and(|(dot, _)| dot != member);
            read.clear();
            for &arg in &graph[member].args {
                tasks.computed(arg, &mut read);
            }
            for source in read.iter().filter(|&&s| tasks.owner(s) != Some(task)) {
                escapes[source.index()] = true;
                forced[source.index()] |= !is_kernel;
            }
        }
    }
    // Computed again, it would have to be kept alive by what it is computed from.
    for value in tasks.kept() {
        escapes[value.index()] = true;
        forced[value.index()] = true;
    }
    for (_, value) in &graph.stores {
        read.clear();
        tasks.computed(*value, &mut read);
        for source in &read {
            escapes[source.index()] = true;
            forced[source.index()] = true;
        }
    }
    (escapes, forced)
}

/// Scalar operations of each pointwise node, for one element.
fn ops(tasks: &Tasks<'_>) -> Vec<u64> {
    let count = |node: &ir::graph::Node| {
        let Lowering::Pointwise(f) = node.op.lowering() else { return 0 };
        let dtypes: Vec<Dtype> = node.args.iter().map(|&a| tasks.graph[a].ty.dtype).collect();
        let mut body = Body::new();
        let args: Vec<Reg> = dtypes.iter().enumerate().map(|(i, &d)| body.load(i, d)).collect();
        f.emit(&mut body, &args, &mut Anywhere);
        let insts = ir::expand::expand_body(&body.finish(), &dtypes);
        insts.iter().filter(|inst| matches!(inst, Inst::Apply { .. })).count() as u64
    };
    tasks.graph.nodes.iter().map(count).collect()
}

/// Some element.
struct Anywhere;

impl ElementIndex for Anywhere {
    fn axis(&mut self, body: &mut Body, axis: usize) -> Reg {
        body.outer(axis)
    }
}

/// What a task reads of others.
struct Reader<'t, 'g> {
    tasks: &'t Tasks<'g>,
    task: usize,
    seen: BTreeSet<(Value, Coords)>,
    reads: BTreeSet<Read>,
}

impl Reader<'_, '_> {
    fn of(tasks: &Tasks<'_>, task: usize) -> Vec<Read> {
        let mut reader = Reader { tasks, task, seen: BTreeSet::new(), reads: BTreeSet::new() };
        let graph = tasks.graph;
        let members = &tasks.task(task).members;
        match &tasks.task(task).kind {
            Kind::Rows { shape, .. } => {
                for &member in members {
                    reader.args(member, &Coords::of(&graph[member].ty.shape, shape), shape);
                }
            }
            Kind::Columns => {
                let x = graph[members[0]].args[0];
                let space = &graph[x].ty.shape;
                reader.value(x, &Coords::identity(space), space);
            }
            Kind::Dot { map: Some(Map { shape, .. }) } => {
                for &member in members.iter().filter(|&&m| !tasks.is_product(m)) {
                    reader.args(member, &Coords::of(&graph[member].ty.shape, shape), shape);
                }
            }
            Kind::Dot { map: None }
            | Kind::Attention
            | Kind::Scatter
            | Kind::Concat
            | Kind::Copy => {}
        }
        reader.reads.into_iter().collect()
    }

    fn value(&mut self, value: Value, at: &Coords, space: &[u64]) {
        if !self.seen.insert((value, at.clone())) || self.tasks.owner(value) == Some(self.task) {
            return;
        }
        if self.tasks.is_inline(value) {
            return self.args(value, at, space);
        }
        let (base, place) = base_at(self.tasks, value, Some(at.clone()));
        if self.tasks.owner(base).is_some_and(|owner| owner != self.task) {
            self.reads.insert((base, place));
        }
    }

    fn args(&mut self, value: Value, at: &Coords, space: &[u64]) {
        let graph = self.tasks.graph;
        let node = &graph[value];
        match node.op.lowering() {
            Lowering::Gather => {
                let rank = graph[node.args[1]].ty.shape.len();
                let (table, _) = base_at(self.tasks, node.args[0], None);
                if self.tasks.owner(table).is_some() {
                    self.reads.insert((table, None));
                }
                self.value(node.args[1], &at.front(rank), space);
            }
            Lowering::Reduce { .. } => {
                let x = node.args[0];
                self.value(x, &Coords::of(&graph[x].ty.shape, space), space);
            }
            Lowering::Leaf
            | Lowering::Pointwise(_)
            | Lowering::View(_)
            | Lowering::Dot
            | Lowering::Scatter { .. }
            | Lowering::Concat { .. }
            | Lowering::Pad { .. }
            | Lowering::Attention(..) => {
                for (arg, place) in places(self.tasks, value, at) {
                    match place {
                        Some(place) => self.value(arg, &place, space),
                        None => {
                            self.reads.insert((base_at(self.tasks, arg, None).0, None));
                        }
                    }
                }
            }
        }
    }
}

/// The operands of a pointwise node or a view and where they are read.
fn places(tasks: &Tasks<'_>, value: Value, at: &Coords) -> Vec<(Value, Option<Coords>)> {
    let node = &tasks.graph[value];
    let place = |arg: Value| {
        if let Lowering::View(view) = node.op.lowering() {
            return through(&view, &tasks.graph[arg].ty.shape, at);
        }
        let is_scalar = tasks.graph[arg].ty.shape.is_empty();
        Some(if is_scalar { Coords(vec![]) } else { at.clone() })
    };
    node.args.iter().map(|&arg| (arg, place(arg))).collect()
}

/// The node in memory behind a chain of views, and where it is read.
fn base_at(tasks: &Tasks<'_>, value: Value, at: Option<Coords>) -> Read {
    if !tasks.is_view(value) {
        return (value, at);
    }
    let node = &tasks.graph[value];
    let Lowering::View(view) = node.op.lowering() else { unreachable!("a view has a view") };
    let x = node.args[0];
    base_at(tasks, x, at.and_then(|at| through(&view, &tasks.graph[x].ty.shape, &at)))
}

/// The search for what is stored, one task at a time.
struct Search<'t, 'g> {
    tasks: &'t mut Tasks<'g>,
    /// Operations of an element of each node.
    ops: Vec<u64>,
    forced: Vec<bool>,
    /// What each task reads of others, were everything stored.
    reads: Vec<Vec<Read>>,
    /// What each task loads or computes of others, as things are stored now.
    met: Vec<BTreeSet<Value>>,
    /// The tasks that do so, by value.
    met_by: Vec<BTreeSet<usize>>,
}

impl Search<'_, '_> {
    /// Notes what a task loads or computes of others now.
    fn note_met(&mut self, task: usize) {
        let mut walk = Walk::default();
        self.walk(task, &mut walk).expect("what is stored can be read");
        for value in &self.met[task] {
            self.met_by[value.index()].remove(&task);
        }
        for value in &walk.met {
            self.met_by[value.index()].insert(task);
        }
        self.met[task] = walk.met;
    }

    fn task(&mut self, task: usize) {
        let kind = &self.tasks.task(task).kind;
        if !matches!(kind, Kind::Rows { .. } | Kind::Dot { map: Some(_) }) {
            return;
        }
        let members = self.tasks.task(task).members.clone();
        let is_open = |v: &Value| self.tasks.is_stored(*v) && self.may_be_dropped(*v);
        let mut open: Vec<Value> = members.iter().copied().filter(is_open).collect();
        if open.is_empty() {
            return;
        }
        let around = Around { readers: self.readers(task, &members), members };
        let all = self.cost(&around).expect("what is stored can be read");
        let mut best = self.drop(&around, &open, all);
        for &extra in &around.members {
            if self.tasks.is_stored(extra) || !self.is_long(extra) {
                continue;
            }
            let before = self.flags(&around);
            self.tasks.set_stored_one(extra, true);
            let with = self.cost(&around).expect("what is stored can be read");
            let cost = self.drop(&around, &open, with);
            if cost < best {
                best = cost;
                open.extend(self.may_be_dropped(extra).then_some(extra));
            } else {
                for (&member, is_stored) in around.members.iter().zip(before) {
                    self.tasks.set_stored_one(member, is_stored);
                }
            }
        }
        for &reader in &around.readers {
            self.note_met(reader);
        }
    }

    /// Scalars are always stored: kernels that differ only in them share their code.
    fn may_be_dropped(&self, value: Value) -> bool {
        let node = &self.tasks.graph[value];
        // A product is never computed again, but a map behind it may store all that others need.
        let is_open = matches!(node.op.lowering(), Lowering::Pointwise(_) | Lowering::Dot);
        is_open && !node.ty.shape.is_empty() && !self.forced[value.index()]
    }

    /// Whether what follows from a value may be worth it that the value is stored.
    fn is_long(&self, value: Value) -> bool {
        let is_reduce = matches!(self.tasks.graph[value].op.lowering(), Lowering::Reduce { .. });
        is_reduce || self.ops[value.index()] >= LONG_OPS
    }

    fn flags(&self, around: &Around) -> Vec<bool> {
        around.members.iter().map(|&m| self.tasks.is_stored(m)).collect()
    }

    /// Stores no longer, the latest first, what is cheaper computed again; gives the cost.
    fn drop(&mut self, around: &Around, open: &[Value], mut best: u64) -> u64 {
        for &value in open.iter().rev().filter(|v| around.members.contains(v)) {
            if !self.tasks.is_stored(value) {
                continue;
            }
            self.tasks.set_stored_one(value, false);
            match self.cost(around) {
                Some(cost) if cost < best => best = cost,
                Some(_) | None => self.tasks.set_stored_one(value, true),
            }
        }
        best
    }

    /// The tasks that read what a task computes, or compute it again.
    fn readers(&self, task: usize, members: &[Value]) -> Vec<usize> {
        let readers = members.iter().flat_map(|member| &self.met_by[member.index()]);
        let readers: BTreeSet<usize> = readers.copied().filter(|&other| other != task).collect();
        readers.into_iter().collect()
    }

    /// The bytes that a task stores, and those that its readers load and the operations that they
    /// compute again; none when a reader cannot.
    fn cost(&self, around: &Around) -> Option<u64> {
        let stored = around.members.iter().filter(|&&m| self.tasks.is_stored(m));
        let mut cost: u64 = stored.map(|&m| self.bytes(m)).sum();
        for &reader in &around.readers {
            let mut walk = Walk::default();
            self.walk(reader, &mut walk)?;
            cost += walk.ops + walk.loads.iter().map(|&v| self.bytes(v)).sum::<u64>();
        }
        Some(cost)
    }

    fn bytes(&self, value: Value) -> u64 {
        let ty = &self.tasks.graph[value].ty;
        ty.len() * ty.dtype.bytes()
    }

    fn walk(&self, task: usize, walk: &mut Walk) -> Option<()> {
        self.reads[task].iter().try_for_each(|(value, at)| self.visit(*value, at.as_ref(), walk))
    }

    /// Loads a value, or computes it at a place.
    fn visit(&self, value: Value, at: Option<&Coords>, walk: &mut Walk) -> Option<()> {
        walk.met.insert(value);
        if !self.tasks.is_recomputed(value) && !self.tasks.is_inline(value) {
            walk.loads.insert(value);
            return Some(());
        }
        let at = at?;
        if !walk.computed.insert((value, at.clone())) {
            return Some(());
        }
        let node = &self.tasks.graph[value];
        if !matches!(node.op.lowering(), Lowering::Pointwise(_) | Lowering::View(_)) {
            return None;
        }
        walk.ops += self.ops[value.index()] * node.ty.len();
        places(self.tasks, value, at).into_iter().try_for_each(|(arg, place)| {
            let (base, place) = base_at(self.tasks, arg, place);
            self.visit(base, place.as_ref(), walk)
        })
    }
}

/// A task's values and who reads them.
struct Around {
    members: Vec<Value>,
    readers: Vec<usize>,
}

/// What one task loads and computes again.
#[derive(Default)]
struct Walk {
    loads: BTreeSet<Value>,
    computed: BTreeSet<(Value, Coords)>,
    /// Loaded or computed.
    met: BTreeSet<Value>,
    ops: u64,
}
