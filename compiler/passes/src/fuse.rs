//! Decides which nodes of a graph become one kernel.
//!
//! In: a simplified graph. Out: [`Tasks`] in an order that respects every read and write. Pointwise
//! nodes, gathers and row reductions over the same rows join one task; constants and indices, and
//! what only depends on them, are recomputed where they are used; what only feeds column
//! reductions is computed inside them. What a task leaves for others is stored once, 16 bits that
//! are widened in 16 bits, or computed again by them: see [`crate::recompute`].

pub(crate) mod apart;
pub(crate) mod maps;
mod roles;

use std::collections::{BTreeMap, BTreeSet};

use ir::graph::{Graph, Node, Value};
use ir::ops::attend::Part;
use ir::ops::{Lowering, Op};
use ir::schedule::Target;
use ir::types::Dtype;

use self::apart::{Apart, Why};
use self::roles::{NodeRole, roles};
use crate::bits::Bits;
use crate::coords::{Coords, through};
use crate::recompute::store;
use crate::split_reductions::is_row_reduction;

/// What runs as one piece.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Fused pointwise nodes, gathers and row reductions over one full shape.
    Rows {
        /// The shape that elements of the group have.
        shape: Vec<u64>,
        /// Whether a member reduces the last axis.
        reduces: bool,
    },
    /// One column reduction.
    Columns,
    /// One product, perhaps the cast to 16 bits that alone reads it, and perhaps a map behind it.
    Dot {
        /// The space of what runs on each block of the result.
        map: Option<Map>,
    },
    /// An attention: its result and the sums of its rows, or all of its gradients.
    Attention,
    /// One sorted scatter.
    Scatter,
    /// Operands copied one after the other.
    Concat,
    /// The operand of a reshape that no strides express, copied into row-major order.
    Copy,
}

/// A map, or whole rows with their reductions, over the result of a product.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Map {
    /// The shape that elements have.
    pub(crate) shape: Vec<u64>,
    /// Whether a member reduces the last axis.
    pub(crate) reduces: bool,
}

/// A task and the nodes it computes, ascending.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) kind: Kind,
    pub(crate) members: Vec<Value>,
    /// Every task that must run before, directly or not.
    deps: Bits,
}

/// Views that may be read only after another value is known.
pub(crate) type Waits = BTreeMap<Value, Value>;

/// The roles of nodes and the tasks that compute them.
#[derive(Debug)]
pub(crate) struct Tasks<'a> {
    pub(crate) graph: &'a Graph,
    roles: Vec<NodeRole>,
    tasks: Vec<Option<Task>>,
    owner: Vec<Option<usize>>,
    /// How often nodes and stores read each node.
    uses: Vec<usize>,
    /// Computed values that are in memory for other tasks to read.
    stored: Vec<bool>,
    /// What readers of a view wait for beside its operand.
    waits: &'a Waits,
    apart: Vec<Apart>,
    /// Members of one task at most.
    max_members: usize,
}

/// Groups the nodes of `graph` into tasks.
pub(crate) fn fuse<'a>(graph: &'a Graph, waits: &'a Waits, target: &Target) -> Tasks<'a> {
    let roles = roles(graph);
    let owner = vec![None; graph.nodes.len()];
    let (uses, stored, apart) = (uses(graph), vec![], vec![]);
    let max_members = target.kernel_nodes;
    let mut tasks =
        Tasks { graph, roles, tasks: vec![], owner, uses, stored, waits, apart, max_members };
    for index in 0..graph.nodes.len() {
        if tasks.roles[index] == NodeRole::Computed {
            tasks.place(Value(u32::try_from(index).expect("node counts fit")));
        }
    }
    maps::join(&mut tasks, target);
    store(&mut tasks);
    tasks
}

fn uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.nodes.len()];
    let stored = graph.stores.iter().map(|(_, value)| value);
    for value in graph.nodes.iter().flat_map(|node| &node.args).chain(stored) {
        uses[value.index()] += 1;
    }
    uses
}

impl Tasks<'_> {
    /// The node that reads a value, when nothing else does and no state becomes it.
    pub(crate) fn only_reader(&self, value: Value) -> Option<Value> {
        let reads = |node: &&Node| node.args.contains(&value);
        let at = || self.graph.nodes.iter().position(|node| reads(&node));
        let reader = (self.uses[value.index()] == 1).then(at).flatten()?;
        Some(Value(u32::try_from(reader).expect("node counts fit")))
    }

    /// Whether a node is recomputed where it is used.
    pub(crate) fn is_inline(&self, value: Value) -> bool {
        matches!(self.roles[value.index()], NodeRole::Inline | NodeRole::Widened)
    }

    /// The operand of 16 bits of a node that is widened where it is read.
    pub(crate) fn widened(&self, value: Value) -> Option<Value> {
        (self.roles[value.index()] == NodeRole::Widened).then(|| self.graph[value].args[0])
    }

    /// Whether a node is only another way to index its operand.
    pub(crate) fn is_view(&self, value: Value) -> bool {
        self.roles[value.index()] == NodeRole::View
    }

    /// Whether a computed value is in memory for others than its task.
    pub(crate) fn is_stored(&self, value: Value) -> bool {
        self.stored[value.index()]
    }

    /// Whether whoever reads a computed value computes it again.
    pub(crate) fn is_recomputed(&self, value: Value) -> bool {
        self.roles[value.index()] == NodeRole::Computed && !self.stored[value.index()]
    }

    /// Says for each node whether it is stored.
    pub(crate) fn set_stored(&mut self, stored: Vec<bool>) {
        self.stored = stored;
    }

    /// Says whether a value is stored.
    pub(crate) fn set_stored_one(&mut self, value: Value, is_stored: bool) {
        self.stored[value.index()] = is_stored;
    }

    /// The product of a task and its result: the product itself or the cast that rounds it.
    pub(crate) fn product(&self, task: usize) -> Option<(Value, Value)> {
        let Task { kind: Kind::Dot { .. }, members, .. } = self.task(task) else { return None };
        let is_dot = |&&v: &&Value| matches!(self.graph[v].op, Op::Dot(_));
        let dot = *members.iter().find(is_dot).expect("a product is a member of its task");
        let is_rounding = |&&v: &&Value| self.rounded(v) == Some(dot);
        Some((dot, members.iter().find(is_rounding).copied().unwrap_or(dot)))
    }

    /// Whether a value is a product or the cast that rounds one.
    pub(crate) fn is_product(&self, value: Value) -> bool {
        let product = self.owner(value).and_then(|task| self.product(task));
        product.is_some_and(|(dot, result)| value == dot || value == result)
    }

    /// The task that computes a node.
    pub(crate) fn owner(&self, value: Value) -> Option<usize> {
        self.owner[value.index()]
    }

    /// A task by its index.
    pub(crate) fn task(&self, index: usize) -> &Task {
        self.tasks[index].as_ref().expect("a merged task is not asked for")
    }

    /// The tasks that are left, in an order in which each follows what it depends on.
    pub(crate) fn in_order(&self) -> Vec<usize> {
        let mut done = Bits::default();
        // Tasks that wait, by one of those that they wait for.
        let mut behind: Vec<Vec<usize>> = vec![vec![]; self.tasks.len()];
        // The one of the earliest node is next among those that can run.
        let mut ready: BTreeSet<(Value, usize)> = BTreeSet::new();
        let mut woken: Vec<usize> =
            (0..self.tasks.len()).filter(|&t| self.tasks[t].is_some()).collect();
        let n_left = woken.len();
        let mut order = vec![];
        loop {
            for task in woken.drain(..) {
                // The latest, since it is likely the last to come: few are looked at twice.
                match self.task(task).deps.last_outside(&done) {
                    Some(before) => behind[before].push(task),
                    None => _ = ready.insert((self.task(task).members[0], task)),
                }
            }
            let Some((_, task)) = ready.pop_first() else { break };
            done.insert(task);
            order.push(task);
            woken.append(&mut behind[task]);
        }
        assert_eq!(order.len(), n_left, "tasks have no cycle");
        order
    }

    /// Tasks that a value's reader must wait for.
    pub(crate) fn sources(&self, value: Value, into: &mut Vec<usize>) {
        let mut computed = vec![];
        self.computed(value, &mut computed);
        into.extend(computed.iter().filter_map(|v| self.owner[v.index()]));
    }

    /// Tasks that a value's reader must wait for without reading them.
    fn waited(&self, value: Value, into: &mut Vec<usize>) {
        if let Some(&after) = self.waits.get(&value) {
            self.sources(after, into);
        }
        if matches!(
            self.roles[value.index()],
            NodeRole::Inline | NodeRole::Widened | NodeRole::View
        ) {
            for &arg in &self.graph[value].args {
                self.waited(arg, into);
            }
        }
    }

    /// Computed values that are kept for tasks behind a barrier.
    pub(crate) fn kept(&self) -> Vec<Value> {
        let mut kept = vec![];
        for &view in self.waits.keys() {
            self.computed(view, &mut kept);
        }
        kept
    }

    /// Computed values that a value reads, itself included.
    pub(crate) fn computed(&self, value: Value, into: &mut Vec<Value>) {
        match self.roles[value.index()] {
            NodeRole::Leaf => {}
            NodeRole::Computed => into.push(value),
            NodeRole::Inline | NodeRole::Widened | NodeRole::View => {
                for &arg in &self.graph[value].args {
                    self.computed(arg, into);
                }
            }
        }
    }

    /// Whether `task` must run after `other`.
    pub(crate) fn depends(&self, task: usize, other: usize) -> bool {
        self.task(task).deps.contains(other)
    }

    /// States that a value reads, through views and whatever is recomputed.
    pub(crate) fn leaves(&self, value: Value, into: &mut Vec<Value>) {
        let mut seen = BTreeSet::new();
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            match self.roles[value.index()] {
                NodeRole::Leaf => into.push(value),
                NodeRole::Computed if self.stored[value.index()] => {}
                NodeRole::Computed | NodeRole::Inline | NodeRole::Widened | NodeRole::View
                    if seen.insert(value) =>
                {
                    open.extend(&self.graph[value].args);
                }
                NodeRole::Computed | NodeRole::Inline | NodeRole::Widened | NodeRole::View => {}
            }
        }
    }

    /// Makes `after` wait for `before`; says whether that is possible.
    pub(crate) fn order(&mut self, before: usize, after: usize) -> bool {
        if before == after || self.task(after).deps.contains(before) {
            return true;
        }
        if self.task(before).deps.contains(after) {
            return false;
        }
        let mut deps = self.task(before).deps.clone();
        deps.insert(before);
        self.add_deps(after, &deps);
        true
    }

    fn add_deps(&mut self, task: usize, deps: &Bits) {
        for (index, other) in self.tasks.iter_mut().enumerate() {
            if let Some(other) = other
                && (index == task || other.deps.contains(task))
            {
                other.deps.union(deps);
            }
        }
    }

    fn place(&mut self, value: Value) {
        let kind = self.kind(value);
        let mut direct = vec![];
        for &arg in &self.graph[value].args {
            self.sources(arg, &mut direct);
        }
        direct.sort_unstable();
        direct.dedup();
        let mut waited = vec![];
        for &arg in &self.graph[value].args {
            self.waited(arg, &mut waited);
        }
        let mut deps = Bits::default();
        for &task in direct.iter().chain(&waited) {
            deps.insert(task);
            deps.union(&self.task(task).deps);
        }
        let new = self.tasks.len();
        self.tasks.push(Some(Task { kind, members: vec![value], deps }));
        self.owner[value.index()] = Some(new);
        if self.is_lone_scalar(value) {
            self.gather_scalar(new);
        }
        if let Some(product) = self.rounded_product(value) {
            let kind = self.task(product).kind.clone();
            self.merge(product, new, kind);
            return;
        }
        if let Some(same) = self.same_attention(value) {
            self.merge(same, new, Kind::Attention);
            return;
        }
        // Latest first: the nearest producer is the likeliest to share the loop.
        for &producer in direct.iter().rev() {
            let current = self.owner[value.index()].expect("just placed");
            if self.tasks[producer].is_some() && producer != current {
                self.try_merge(producer, current);
            }
        }
    }

    /// Whether a value is a scalar that reads nothing: a constant that has to be in memory.
    fn is_lone_scalar(&self, value: Value) -> bool {
        let node = &self.graph[value];
        node.args.is_empty() && node.ty.shape.is_empty()
    }

    /// Joins the constants into one task: nothing leads to them, so no order can forbid it.
    fn gather_scalar(&mut self, new: usize) {
        let fits =
            |task: &Task| task.members.len() < self.max_members && task.deps == Bits::default();
        let earlier = (0..new).rev().find(|&t| {
            self.tasks[t].as_ref().is_some_and(|task| {
                fits(task) && task.members.iter().all(|&m| self.is_lone_scalar(m))
            })
        });
        if let Some(earlier) = earlier {
            let kind = self.task(earlier).kind.clone();
            self.merge(earlier, new, kind);
        }
    }

    /// The task of the product or attention that this value rounds, when nothing else reads it.
    fn rounded_product(&self, value: Value) -> Option<usize> {
        self.rounded(value).and_then(|x| self.owner(x))
    }

    /// The product or attention that this value rounds, when nothing else reads it.
    fn rounded(&self, value: Value) -> Option<Value> {
        let Op::Cast(cast) = &self.graph[value].op else { return None };
        let x = self.graph[value].args[0];
        let is_product = cast.to.is_narrow()
            && self.graph[x].ty.dtype == Dtype::F32
            && matches!(self.graph[x].op, Op::Dot(_) | Op::Attention(_));
        (is_product && self.uses[x.index()] == 1).then_some(x)
    }

    /// The task of the attention that this value is another result of: the sums of its rows beside
    /// the result, or one of its gradients beside the others.
    ///
    /// Both wait for the same operands, so no order forbids it.
    fn same_attention(&self, value: Value) -> Option<usize> {
        let Lowering::Attention(attend, part) = self.graph[value].op.lowering() else {
            return None;
        };
        let args = &self.graph[value].args;
        let is_same = |task: &Task| {
            task.members.iter().filter(|&&m| m != value).any(|&member| {
                let node = &self.graph[member];
                match (node.op.lowering(), part) {
                    (Lowering::Attention(other, Part::Out), Part::Lse) => {
                        let extras = other.extras(Part::Out.n_tensors());
                        let end = extras.draw.map_or(extras.end, |draw| draw[0]);
                        other.kept() == attend
                            && node.args[..2] == args[..2]
                            && node.args[Part::Out.n_tensors()..end] == args[2..]
                    }
                    (
                        Lowering::Attention(other, Part::Dq | Part::Dk | Part::Dv),
                        Part::Dq | Part::Dk | Part::Dv,
                    ) => other == attend && node.args == *args,
                    (_, Part::Out | Part::Lse | Part::Dq | Part::Dk | Part::Dv) => false,
                }
            })
        };
        let is_attention = |task: &Task| task.kind == Kind::Attention;
        self.tasks.iter().position(|t| t.as_ref().is_some_and(|t| is_attention(t) && is_same(t)))
    }

    fn kind(&self, value: Value) -> Kind {
        let node = &self.graph[value];
        let rows = |shape: &[u64], reduces| Kind::Rows { shape: shape.to_vec(), reduces };
        match node.op.lowering() {
            Lowering::Leaf => unreachable!("a state is not computed"),
            Lowering::Pointwise(_) | Lowering::Gather => rows(&node.ty.shape, false),
            Lowering::Reduce { axes, .. } => {
                let shape = &self.graph[node.args[0]].ty.shape;
                if is_row_reduction(shape, &axes) { rows(shape, true) } else { Kind::Columns }
            }
            Lowering::View(_) => Kind::Copy,
            Lowering::Dot => Kind::Dot { map: None },
            Lowering::Scatter { .. } => Kind::Scatter,
            Lowering::Concat { .. } | Lowering::Pad { .. } => Kind::Concat,
            Lowering::Attention(..) => Kind::Attention,
        }
    }

    /// Joins a consumer to its producer where one loop over rows can compute both.
    fn try_merge(&mut self, producer: usize, consumer: usize) {
        let Some(kind) = self.merged_kind(producer, consumer) else { return };
        match self.bar(producer, consumer, &kind) {
            None => self.merge(producer, consumer, kind),
            Some(why) => self.set_apart(producer, consumer, why),
        }
    }

    /// What stands against one task of rows instead of two.
    fn bar(&self, producer: usize, consumer: usize, kind: &Kind) -> Option<Why> {
        let Kind::Rows { shape, .. } = kind else { unreachable!("rows join to rows") };
        let n_members = self.task(producer).members.len() + self.task(consumer).members.len();
        if n_members > self.max_members {
            return Some(Why::Members(n_members));
        }
        if !self.reads_in_place(consumer, producer, shape) {
            return Some(Why::Places);
        }
        self.path_around(producer, consumer).map(Why::Around)
    }

    fn set_apart(&mut self, producer: usize, consumer: usize, why: Why) {
        let [read, reader] = [producer, consumer].map(|task| self.task(task).members[0]);
        let read = self.product(producer).map_or(read, |(dot, _)| dot);
        self.apart.push(Apart { reader, read, why });
    }

    /// Tasks that might have joined when they were tried, and why not.
    pub(crate) fn apart(&self) -> &[Apart] {
        &self.apart
    }

    /// The kind of both together, when their elements walk the same rows.
    fn merged_kind(&self, producer: usize, consumer: usize) -> Option<Kind> {
        let (Kind::Rows { shape: a, reduces: ra }, Kind::Rows { shape: b, reduces: rb }) =
            (&self.task(producer).kind, &self.task(consumer).kind)
        else {
            return None;
        };
        let reduces = *ra || *rb;
        if a == b {
            return Some(Kind::Rows { shape: a.clone(), reduces });
        }
        let wide = if is_row_of(b, a) { a } else { b };
        // The narrow one may not reduce: its last axis is one element, not the row.
        let is_row_pair = (*ra && !*rb && is_row_of(b, a)) || (*rb && !*ra && is_row_of(a, b));
        is_row_pair.then(|| Kind::Rows { shape: wide.clone(), reduces })
    }

    /// Whether all that `consumer` reads of `producer` is at its own place of the rows.
    fn reads_in_place(&self, consumer: usize, producer: usize, shape: &[u64]) -> bool {
        self.task(consumer).members.iter().all(|&member| {
            let node = &self.graph[member];
            let at = Coords::of(&node.ty.shape, shape);
            node.args.iter().enumerate().all(|(i, &arg)| {
                let read = self.coords_of_arg(member, i, &at, shape);
                self.is_in_place(arg, read, producer, shape)
            })
        })
    }

    /// The place where a member at `at` reads its argument; `None`: anywhere.
    fn coords_of_arg(
        &self,
        member: Value,
        arg: usize,
        at: &Coords,
        shape: &[u64],
    ) -> Option<Coords> {
        let node = &self.graph[member];
        let arg_shape = &self.graph[node.args[arg]].ty.shape;
        match node.op.lowering() {
            Lowering::Pointwise(_) | Lowering::Reduce { .. } => Some(Coords::of(arg_shape, shape)),
            // The ids of a gather are read once a row.
            Lowering::Gather if arg == 1 => Some(at.front(arg_shape.len())),
            Lowering::Leaf
            | Lowering::View(_)
            | Lowering::Dot
            | Lowering::Gather
            | Lowering::Scatter { .. }
            | Lowering::Concat { .. }
            | Lowering::Pad { .. }
            | Lowering::Attention(..) => None,
        }
    }

    fn is_in_place(
        &self,
        value: Value,
        at: Option<Coords>,
        producer: usize,
        shape: &[u64],
    ) -> bool {
        match self.roles[value.index()] {
            NodeRole::Leaf => true,
            NodeRole::Computed => {
                let own = &self.graph[value].ty.shape;
                self.owner[value.index()] != Some(producer)
                    || (own.len() == shape.len() && at == Some(Coords::of(own, shape)))
            }
            NodeRole::View => {
                let node = &self.graph[value];
                let Lowering::View(view) = node.op.lowering() else { return false };
                let x = node.args[0];
                let inner = at.and_then(|c| through(&view, &self.graph[x].ty.shape, &c));
                self.is_in_place(x, inner, producer, shape)
            }
            NodeRole::Widened => self.is_in_place(self.graph[value].args[0], at, producer, shape),
            // Recomputed nodes of column reductions never feed rows; the others read no task.
            NodeRole::Inline => true,
        }
    }

    /// A node of a third task through which the consumer waits for the producer.
    fn path_around(&self, producer: usize, consumer: usize) -> Option<Value> {
        let between = self.task(consumer).deps.iter().filter(|&t| t != producer);
        let mut tasks = between.filter_map(|t| self.tasks[t].as_ref());
        tasks.find(|task| task.deps.contains(producer)).map(|task| task.members[0])
    }

    fn merge(&mut self, producer: usize, consumer: usize, kind: Kind) {
        let taken = self.tasks[consumer].take().expect("a task merges once");
        for &member in &taken.members {
            self.owner[member.index()] = Some(producer);
        }
        let mut deps = taken.deps.clone();
        deps.remove(producer);
        let task = self.tasks[producer].as_mut().expect("the producer is there");
        task.kind = kind;
        task.members.extend(taken.members);
        task.members.sort_unstable();
        task.deps.union(&deps);
        let mut deps = task.deps.clone();
        deps.insert(producer);
        for (index, other) in self.tasks.iter_mut().enumerate() {
            if let Some(other) = other
                && index != producer
                && (other.deps.contains(consumer) || other.deps.contains(producer))
            {
                other.deps.remove(consumer);
                other.deps.union(&deps);
            }
        }
    }
}

/// Whether `row` is `wide` with its last axis reduced to 1.
fn is_row_of(row: &[u64], wide: &[u64]) -> bool {
    row.len() == wide.len()
        && row.split_last().is_some_and(|(last, front)| {
            *last == 1 && front == &wide[..front.len()] && wide[front.len()] != 1
        })
}
