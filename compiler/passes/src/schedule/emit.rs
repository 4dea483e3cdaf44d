//! Emits the scalar body of a task: values at places, loads from buffers.

use std::collections::BTreeMap;

use ir::body::{Body, ElementIndex};
use ir::graph::Value;
use ir::kernel::{Inst, Reg};
use ir::ops::Lowering;
use ir::schedule::Arg;
use ir::types::Dtype;

use super::space::{Draft, Placed};
use crate::access::Access;
use crate::coords::{Coord, Coords, through};
use crate::fuse::Tasks;

/// A body under construction over a space.
pub(crate) struct Emitter<'a> {
    tasks: &'a Tasks<'a>,
    /// Where states and computed values are, in row-major order.
    places: &'a [Option<Arg>],
    /// The task whose members are computed here; what is stored of others is loaded.
    task: Option<usize>,
    shape: Vec<u64>,
    body: Body,
    operands: Vec<Placed>,
    done: BTreeMap<(Value, Coords), Reg>,
    stores: Vec<(usize, Reg)>,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(
        tasks: &'a Tasks<'a>,
        places: &'a [Option<Arg>],
        task: Option<usize>,
        shape: &[u64],
    ) -> Self {
        Self {
            tasks,
            places,
            task,
            shape: shape.to_vec(),
            body: Body::new(),
            operands: vec![],
            done: BTreeMap::new(),
            stores: vec![],
        }
    }

    /// Writes a register to `arg` at the current place when the body ends.
    pub(crate) fn store(&mut self, arg: Arg, dtype: Dtype, strides: Vec<i64>, value: Reg) {
        self.operands.push(Placed { arg, dtype, is_output: true, strides });
        self.stores.push((self.operands.len() - 1, value));
    }

    /// Strides over the space of a row-major value of `shape` that lies in it.
    pub(crate) fn strides_of(&self, shape: &[u64]) -> Vec<i64> {
        let access = Access::contiguous(shape);
        self.place_access(&access, &Coords::of(shape, &self.shape)).0
    }

    /// The body with its stores at the end.
    pub(crate) fn finish(mut self, name: String) -> Draft {
        for (operand, value) in std::mem::take(&mut self.stores) {
            self.body.store(operand, value);
        }
        Draft { name, shape: self.shape, operands: self.operands, body: self.body.finish() }
    }

    /// A reduction of a value, along the axis that the skeleton reduces.
    pub(crate) fn reduce(&mut self, node: Value) -> Reg {
        let graph = self.tasks.graph;
        let Lowering::Reduce { kind, .. } = graph[node].op.lowering() else {
            unreachable!("a column task is a reduction")
        };
        let x = graph[node].args[0];
        let at = Coords::of(&graph[x].ty.shape, &self.shape);
        let value = self.value(x, &at);
        self.body.reduce(kind, value)
    }

    /// The same reduction of an operand that was copied to where its value is looked up.
    pub(crate) fn reduce_copied(&mut self, node: Value) -> Reg {
        let graph = self.tasks.graph;
        let Lowering::Reduce { kind, .. } = graph[node].op.lowering() else {
            unreachable!("a column task is a reduction")
        };
        let x = graph[node].args[0];
        let access = Access::contiguous(&graph[x].ty.shape);
        let (strides, _) = self.place_access(&access, &Coords::identity(&access.shape));
        let arg = self.places[x.index()].expect("the copy is in memory");
        let dtype = graph[x].ty.dtype;
        self.operands.push(Placed { arg, dtype, is_output: false, strides });
        let value = self.body.load(self.operands.len() - 1, dtype);
        self.body.reduce(kind, value)
    }

    /// A zero.
    pub(crate) fn zero(&mut self, dtype: Dtype) -> Reg {
        self.body.constant(dtype, 0.0)
    }

    /// The register of a value at a place.
    pub(crate) fn value(&mut self, value: Value, at: &Coords) -> Reg {
        let key = (value, at.clone());
        if let Some(&reg) = self.done.get(&key) {
            return reg;
        }
        let is_computed = self.is_member(value) || self.tasks.is_inline(value);
        let is_again = self.tasks.is_recomputed(value) && !self.is_result(value);
        let reg = if is_computed || is_again {
            self.compute(value, at)
        } else if self.tasks.is_view(value) && self.reaches_computed(value) {
            self.through_view(value, at)
        } else {
            self.load(value, at)
        };
        self.done.insert(key, reg);
        reg
    }

    /// Whether what a view shows is computed here.
    fn reaches_computed(&self, value: Value) -> bool {
        let base = base(self.tasks, value);
        self.is_member(base) || (self.tasks.is_recomputed(base) && !self.is_result(base))
    }

    /// Whether a value is computed here because it belongs to the task; the result of a product
    /// is read by what is behind it.
    fn is_member(&self, value: Value) -> bool {
        let is_own = self.task.is_some() && self.tasks.owner(value) == self.task;
        is_own && !self.is_result(value)
    }

    fn is_result(&self, value: Value) -> bool {
        let product = self.task.and_then(|task| self.tasks.product(task));
        product.is_some_and(|(_, result)| result == value)
    }

    fn through_view(&mut self, value: Value, at: &Coords) -> Reg {
        let node = &self.tasks.graph[value];
        let Lowering::View(view) = node.op.lowering() else { unreachable!("a view has a view") };
        let x = node.args[0];
        let inner = through(&view, &self.tasks.graph[x].ty.shape, at);
        self.value(x, &inner.expect("views inside a kernel keep axes apart"))
    }

    fn compute(&mut self, value: Value, at: &Coords) -> Reg {
        let graph = self.tasks.graph;
        let node = &graph[value];
        match node.op.lowering() {
            Lowering::Pointwise(f) => {
                let args: Vec<Reg> = node
                    .args
                    .iter()
                    .map(|&arg| {
                        let is_scalar = graph[arg].ty.shape.is_empty();
                        let place = if is_scalar { Coords(vec![]) } else { at.clone() };
                        self.value(arg, &place)
                    })
                    .collect();
                let mut index = Index { coords: at };
                f.emit(&mut self.body, &args, &mut index)
            }
            Lowering::Reduce { .. } => self.reduce(value),
            Lowering::Gather => self.gather(value, at),
            Lowering::View(_) => self.through_view(value, at),
            Lowering::Leaf
            | Lowering::Dot
            | Lowering::Scatter { .. }
            | Lowering::Concat { .. }
            | Lowering::Pad { .. }
            | Lowering::Attention(..) => unreachable!("{} has no scalar body", node.op.name()),
        }
    }

    /// `table[ids[..], j]`: the row's id is loaded, then its element.
    fn gather(&mut self, value: Value, at: &Coords) -> Reg {
        let graph = self.tasks.graph;
        let [table, ids] = graph[value].args[..] else { unreachable!("a gather has two operands") };
        let rank = graph[ids].ty.shape.len();
        let index = self.value(ids, &at.front(rank));
        let access = access(self.tasks, table);
        let row =
            Access { shape: vec![access.shape[1]], strides: vec![access.strides[1]], ..access };
        let last = Coords(vec![at.0[rank]]);
        let operand = self.operand(table, &row, &last);
        let dtype = graph[table].ty.dtype;
        self.body.load_at(operand, dtype, index, access.strides[0], access.shape[0])
    }

    fn load(&mut self, value: Value, at: &Coords) -> Reg {
        let access = access(self.tasks, value);
        let operand = self.operand(value, &access, at);
        self.body.load(operand, self.tasks.graph[value].ty.dtype)
    }

    fn operand(&mut self, value: Value, access: &Access, at: &Coords) -> usize {
        let (strides, offset) = self.place_access(access, at);
        let base = base(self.tasks, value);
        let mut arg = self.places[base.index()].expect("what a kernel loads is in memory");
        arg.offset += offset;
        let dtype = self.tasks.graph[value].ty.dtype;
        let placed = Placed { arg, dtype, is_output: false, strides };
        match self.operands.iter().position(|o| *o == placed) {
            Some(found) => found,
            None => {
                self.operands.push(placed);
                self.operands.len() - 1
            }
        }
    }

    /// Strides over the space, and the offset, of an access at a place.
    fn place_access(&self, access: &Access, at: &Coords) -> (Vec<i64>, u64) {
        let mut strides = vec![0; self.shape.len()];
        let mut offset = access.offset;
        for (&Coord { axis, shift }, &stride) in at.0.iter().zip(&access.strides) {
            offset += shift * stride.unsigned_abs();
            if let Some(axis) = axis {
                strides[axis] += stride;
            }
        }
        (strides, offset)
    }
}

/// The node in memory that a chain of views starts from.
pub(crate) fn base(tasks: &Tasks<'_>, value: Value) -> Value {
    if tasks.is_view(value) { base(tasks, tasks.graph[value].args[0]) } else { value }
}

/// How a value indexes the buffer of its base.
pub(crate) fn access(tasks: &Tasks<'_>, value: Value) -> Access {
    let node = &tasks.graph[value];
    if !tasks.is_view(value) {
        return Access::contiguous(&node.ty.shape);
    }
    let Lowering::View(view) = node.op.lowering() else { unreachable!("a view has a view") };
    access(tasks, node.args[0]).view(&view).expect("other reshapes are copied")
}

/// Indices of an element by its coordinates, as indices of the full space.
struct Index<'a> {
    coords: &'a Coords,
}

impl ElementIndex for Index<'_> {
    fn axis(&mut self, body: &mut Body, axis: usize) -> Reg {
        let Coord { axis, shift } = self.coords.0[axis];
        let shift_reg = |body: &mut Body| body.int(i32::try_from(shift).expect("indices fit i32"));
        let Some(axis) = axis else { return shift_reg(body) };
        let index = body.push(Inst::Outer { axis }, Some(Dtype::I32));
        if shift == 0 {
            return index;
        }
        let shift = shift_reg(body);
        body.apply(ir::kernel::Scalar::Add, &[index, shift])
    }
}
