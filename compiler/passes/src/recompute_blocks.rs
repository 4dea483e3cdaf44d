//! Computes blocks again in the backward pass instead of keeping what they made.
//!
//! In: `micro` after all other graph passes, and for each origin the region it lies in. Out: the
//! same values, bit for bit; what the backward pass reads of a region comes from copies of the
//! region's nodes, which stand in front of its first reader there. Of a region only what the
//! forward pass reads elsewhere is kept: what the region leaves for the next one. Copies read what
//! is kept through a `barrier` on the gradient that had come so far, so that neither fusion nor
//! the order of tasks takes them back into the forward pass.
//! Chen et al. 2016, arXiv:1604.06174.

use std::collections::{BTreeMap, BTreeSet};

use ir::builder::Builder;
use ir::graph::{Graph, Node, Origin, Value};
use ir::ops::barrier::Barrier;
use ir::ops::{Lowering, Op};
use ir::types::Dtype;

use crate::train::names;

/// A part of the model that is computed again as a whole.
pub(crate) type Region = usize;

/// Computes again, for the backward pass, the forward nodes that lie in a region.
pub(crate) fn recompute_blocks(
    graph: &Graph,
    region_of: &dyn Fn(Origin) -> Option<Region>,
) -> Graph {
    let Some(map) = Map::of(graph, region_of) else { return graph.clone() };
    let again = map.again();
    let mut starts: BTreeMap<usize, Vec<Region>> = BTreeMap::new();
    for (&region, part) in &again {
        starts.entry(part.first_reader).or_default().push(region);
    }
    let mut copier =
        Copier { map: &map, b: Builder::new(&graph.name), values: vec![], copies: BTreeMap::new() };
    for (index, node) in graph.nodes.iter().enumerate() {
        for &region in starts.get(&index).into_iter().flatten() {
            copier.region(region, &again[&region]);
        }
        copier.node(index, node);
    }
    copier.finish()
}

/// What is to be computed again of a region.
struct Part {
    /// Its nodes, ascending.
    nodes: BTreeSet<usize>,
    /// The node of the backward pass in front of which they stand.
    first_reader: usize,
    /// What is known before that only once the region was computed the first time.
    after: usize,
}

/// What the nodes of `micro` are.
struct Map<'g> {
    graph: &'g Graph,
    /// Whether the loss depends on it.
    is_forward: Vec<bool>,
    /// Whether it is another view of its operand, or follows from constants alone.
    is_free: Vec<bool>,
    /// The region of a forward node that computes something.
    region: Vec<Option<Region>>,
    /// Whether the forward pass reads it outside of its region.
    is_kept: Vec<bool>,
}

impl<'g> Map<'g> {
    /// None without a loss.
    fn of(graph: &'g Graph, region_of: &dyn Fn(Origin) -> Option<Region>) -> Option<Self> {
        let (_, loss) = graph.stores.iter().find(|(name, _)| name == names::LOSS_SUM)?;
        let is_forward = needed(graph, *loss);
        let is_free = free(graph);
        let region = |(i, node): (usize, &Node)| {
            let computes = is_forward[i] && !is_free[i] && !matches!(node.op, Op::State(_));
            region_of(node.origin).filter(|_| computes)
        };
        let region: Vec<Option<Region>> = graph.nodes.iter().enumerate().map(region).collect();
        let is_kept = kept(graph, &is_forward, &is_free, &region);
        Some(Self { graph, is_forward, is_free, region, is_kept })
    }

    /// The node that a free one shows; itself if it is none.
    fn base(&self, mut index: usize) -> usize {
        while self.is_free[index]
            && let Some(x) = self.graph.nodes[index].args.first()
        {
            index = x.index();
        }
        index
    }

    /// The region whose copies stand for a value in the backward pass.
    fn region_again(&self, index: usize) -> Option<Region> {
        let base = self.base(index);
        self.region[base].filter(|_| !self.is_kept[base])
    }

    /// What is to be computed again, by region.
    fn again(&self) -> BTreeMap<Region, Part> {
        let mut parts: BTreeMap<Region, Part> = BTreeMap::new();
        for (index, node) in self.graph.nodes.iter().enumerate() {
            for arg in node.args.iter().filter(|_| !self.is_forward[index]) {
                if let Some(region) = self.region_again(arg.index()) {
                    let new = || Part { nodes: BTreeSet::new(), first_reader: index, after: 0 };
                    let part = parts.entry(region).or_insert_with(new);
                    part.nodes.insert(self.base(arg.index()));
                }
            }
        }
        for (&region, part) in &mut parts {
            let mut open: Vec<usize> = part.nodes.iter().copied().collect();
            while let Some(index) = open.pop() {
                for arg in &self.graph.nodes[index].args {
                    let base = self.base(arg.index());
                    if self.region_again(base) == Some(region) && part.nodes.insert(base) {
                        open.push(base);
                    }
                }
            }
            part.after = self.latest_after(region, part.first_reader);
        }
        parts
    }

    /// The last node before `reader` that depends on what the region computes.
    fn latest_after(&self, region: Region, reader: usize) -> usize {
        let mut depends = vec![false; reader];
        let mut latest = 0;
        for (index, node) in self.graph.nodes[..reader].iter().enumerate() {
            let is_in = self.region[index] == Some(region);
            depends[index] = is_in || node.args.iter().any(|a| depends[a.index()]);
            if depends[index] && !self.is_free[index] {
                latest = index;
            }
        }
        latest
    }
}

/// The nodes that a value depends on, itself included.
fn needed(graph: &Graph, value: Value) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes.len()];
    needed[value.index()] = true;
    for index in (0..=value.index()).rev() {
        if needed[index] {
            for arg in &graph.nodes[index].args {
                needed[arg.index()] = true;
            }
        }
    }
    needed
}

/// Nodes that take no memory: views, 16 bits widened, what follows from constants and indices.
fn free(graph: &Graph) -> Vec<bool> {
    let mut of_constants = vec![false; graph.nodes.len()];
    let mut free = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let lowering = node.op.lowering();
        let is_pointwise = matches!(lowering, Lowering::Pointwise(_));
        let is_view = matches!(lowering, Lowering::View(_));
        let is_widening = matches!(node.op, Op::Cast(_))
            && node.ty.dtype == Dtype::F32
            && graph[node.args[0]].ty.dtype.is_narrow();
        of_constants[index] =
            (is_pointwise || is_view) && node.args.iter().all(|a| of_constants[a.index()]);
        free[index] = of_constants[index] || is_view || is_widening;
    }
    free
}

/// Nodes of regions that forward nodes of another region, or of none, read.
fn kept(
    graph: &Graph,
    is_forward: &[bool],
    is_free: &[bool],
    region: &[Option<Region>],
) -> Vec<bool> {
    let mut readers: Vec<BTreeSet<Option<Region>>> = vec![BTreeSet::new(); graph.nodes.len()];
    for (_, value) in &graph.stores {
        readers[value.index()].insert(None);
    }
    for (index, node) in graph.nodes.iter().enumerate().rev().filter(|(i, _)| is_forward[*i]) {
        let of_it =
            if is_free[index] { readers[index].clone() } else { BTreeSet::from([region[index]]) };
        for arg in &node.args {
            readers[arg.index()].extend(&of_it);
        }
    }
    let is_read_outside = |(r, readers): (&Option<Region>, &BTreeSet<Option<Region>>)| {
        r.is_some() && readers.iter().any(|reader| reader != r)
    };
    region.iter().zip(&readers).map(is_read_outside).collect()
}

/// Builds the new graph.
struct Copier<'m, 'g> {
    map: &'m Map<'g>,
    b: Builder,
    /// What stands for each node so far.
    values: Vec<Value>,
    /// What stands for it in the backward part of a region.
    copies: BTreeMap<(Region, usize), Value>,
}

impl Copier<'_, '_> {
    fn region(&mut self, region: Region, part: &Part) {
        let after = self.values[part.after];
        for &index in &part.nodes {
            let node = &self.map.graph.nodes[index];
            let args: Vec<Value> =
                node.args.iter().map(|arg| self.operand(region, arg.index(), after)).collect();
            self.b.origin = node.origin;
            let copy = self.b.push(node.op.clone(), &args);
            self.copies.insert((region, index), copy);
        }
    }

    /// What a copy reads: another copy, or what was kept, behind a barrier.
    fn operand(&mut self, region: Region, index: usize, after: Value) -> Value {
        if let Some(&copy) = self.copies.get(&(region, index)) {
            return copy;
        }
        let node = &self.map.graph.nodes[index];
        let value = if self.map.is_free[index] && !node.args.is_empty() {
            let args: Vec<Value> =
                node.args.iter().map(|arg| self.operand(region, arg.index(), after)).collect();
            self.free(index, &args)
        } else if node.args.is_empty() {
            self.values[index]
        } else {
            self.b.origin = node.origin;
            let shape = node.ty.shape.clone();
            self.b.push(Barrier { shape }, &[self.values[index], after])
        };
        self.copies.insert((region, index), value);
        value
    }

    /// A free node over other operands; the node that is there when these are its own.
    fn free(&mut self, index: usize, args: &[Value]) -> Value {
        let node = &self.map.graph.nodes[index];
        if node.args.iter().zip(args).all(|(old, new)| self.values[old.index()] == *new) {
            return self.values[index];
        }
        self.b.origin = node.origin;
        self.b.push(node.op.clone(), args)
    }

    fn node(&mut self, index: usize, node: &Node) {
        let is_forward = self.map.is_forward[index];
        let args: Vec<Value> = node
            .args
            .iter()
            .map(|arg| match self.map.region_again(arg.index()) {
                Some(region) if !is_forward => self.read(region, arg.index()),
                Some(_) | None => self.values[arg.index()],
            })
            .collect();
        self.b.origin = node.origin;
        let value = self.b.push(node.op.clone(), &args);
        self.values.push(value);
    }

    /// What the backward pass reads of a region.
    fn read(&mut self, region: Region, index: usize) -> Value {
        if let Some(&copy) = self.copies.get(&(region, index)) {
            return copy;
        }
        let node = &self.map.graph.nodes[index];
        assert!(self.map.is_free[index], "what is read of a region is computed again");
        let args: Vec<Value> = node.args.iter().map(|arg| self.read(region, arg.index())).collect();
        let value = self.free(index, &args);
        self.copies.insert((region, index), value);
        value
    }

    fn finish(mut self) -> Graph {
        self.b.origin = Origin::default();
        for (name, value) in &self.map.graph.stores {
            self.b.store(name, self.values[value.index()]);
        }
        self.b.finish()
    }
}
