//! Schedules one function: buffers for what tasks leave, and a task list.

mod attention;
mod pieces;

use std::collections::BTreeSet;
mod epilogue;

use ir::graph::{Graph, Module, Value};
use ir::kernel::{Kernel, Operand, Skeleton};
use ir::ops::Lowering;
use ir::schedule::{Adds, Arg, BatchAxis, Buffer, BufferId, Function, Product, Target, Task};
use ir::types::Dtype;

use super::emit::{Emitter, access, base};
use super::kernels::Kernels;
use super::notes::Notes;
use super::place;
use super::space::Draft;
use super::stores::{Late, Stores};
use crate::access::Access;
use crate::coords::Coords;
use crate::fuse::{Kind, Map, Tasks, Waits, fuse};

/// The state of scheduling one function.
pub(crate) struct Scheduler<'a> {
    module: &'a Module,
    pub(super) graph: &'a Graph,
    target: &'a Target,
    pub(super) tasks: Tasks<'a>,
    buffers: &'a mut Vec<Buffer>,
    kernels: &'a mut Kernels,
    /// Where states and computed values are.
    places: Vec<Option<Arg>>,
    /// Parts of concatenations that are written where they go, by what computes them.
    in_concat: BTreeSet<Value>,
    out: Vec<Task>,
}

impl<'a> Scheduler<'a> {
    pub(crate) fn new(
        module: &'a Module,
        graph: &'a Graph,
        waits: &'a Waits,
        target: &'a Target,
        buffers: &'a mut Vec<Buffer>,
        kernels: &'a mut Kernels,
    ) -> Self {
        let tasks = fuse(graph, waits, target);
        let places = vec![None; graph.nodes.len()];
        let in_concat = BTreeSet::new();
        Self { module, graph, target, tasks, buffers, kernels, places, in_concat, out: vec![] }
    }

    /// The function's tasks.
    pub(crate) fn run(mut self, notes: &mut Notes) -> Function {
        self.place_leaves();
        let stores = Stores::decide(&mut self.tasks);
        for (value, state) in &stores.direct {
            self.places[value.index()] = Some(self.state_arg(state));
        }
        let early: Vec<(String, Arg)> =
            stores.early.iter().map(|(state, value)| (state.clone(), self.copy(*value))).collect();
        let order = self.tasks.in_order();
        let around = self.around(&order);
        for task in order {
            let first = self.out.len();
            self.task(task);
            if let Some(scheduled) = self.out.get(first) {
                notes.add(&self.graph.name, scheduled, self.lines_about(task, &around));
            }
        }
        for Late { state, value } in &stores.late {
            let to = self.state_arg(state);
            self.copy_to(*value, to);
        }
        for (state, from) in early {
            self.copy_buffer(&state, from);
        }
        Function { name: self.graph.name.clone(), tasks: self.out }
    }

    fn place_leaves(&mut self) {
        for index in 0..self.graph.nodes.len() {
            if let ir::ops::Op::State(state) = &self.graph.nodes[index].op {
                self.places[index] = Some(self.state_arg(&state.name));
            }
        }
    }

    fn state_arg(&self, name: &str) -> Arg {
        place(self.module, name)
    }

    /// A temporary for a value.
    fn temp(&mut self, value: Value, suffix: &str, dtype: Dtype, shape: &[u64]) -> Arg {
        let name = format!("{}.v{}{suffix}", self.graph.name, value.0);
        self.buffers.push(Buffer { name, dtype, shape: shape.to_vec(), role: None, within: None });
        let id = u32::try_from(self.buffers.len() - 1).expect("buffer counts fit");
        Arg { buffer: BufferId(id), offset: 0 }
    }

    /// The buffer a computed value is stored to.
    fn output(&mut self, value: Value) -> Arg {
        if let Some(arg) = self.places[value.index()] {
            return arg;
        }
        let ty = self.graph[value].ty.clone();
        let arg = self.temp(value, "", ty.dtype, &ty.shape);
        self.places[value.index()] = Some(arg);
        arg
    }

    pub(super) fn origin(&self, value: Value) -> String {
        let origin = self.graph[value].origin;
        self.module.origins.get(origin.0 as usize).cloned().unwrap_or_default()
    }

    fn push_kernel(&mut self, (kernel, args): (Kernel, Vec<Arg>), value: Value) {
        let origin = self.origin(value);
        let kernel = self.kernels.intern(kernel);
        self.out.push(Task::Kernel { kernel, args, origin });
    }

    fn task(&mut self, index: usize) {
        let task = self.tasks.task(index).clone();
        let value = task.members[0];
        match &task.kind {
            Kind::Rows { shape, reduces } => self.rows(index, shape, *reduces, &task.members),
            Kind::Columns => self.columns(index, value),
            Kind::Dot { map } => self.dot(index, map.as_ref()),
            Kind::Attention => self.attention(&task.members),
            Kind::Scatter => self.scatter(value),
            Kind::Concat => self.concat(value),
            Kind::Copy => {
                let to = self.output(value);
                let x = self.graph[value].args[0];
                self.copy_to(x, to);
            }
        }
    }

    fn rows(&mut self, task: usize, shape: &[u64], reduces: bool, members: &[Value]) {
        let outputs: Vec<Value> =
            members.iter().copied().filter(|&v| self.tasks.is_stored(v)).collect();
        if outputs.is_empty() {
            // Whoever needs something of it computes it.
            return;
        }
        let draft = self.draft(task, shape, members, &outputs);
        let last = *members.last().expect("a task has a member");
        self.push_kernel(draft.into_rows(reduces), last);
    }

    /// The body of members over a space that stores some of them.
    fn draft(&mut self, task: usize, shape: &[u64], members: &[Value], outputs: &[Value]) -> Draft {
        let args: Vec<Arg> = outputs.iter().map(|&v| self.output(v)).collect();
        let mut emitter = Emitter::new(&self.tasks, &self.places, Some(task), shape);
        for &member in members {
            let at = Coords::of(&self.graph[member].ty.shape, shape);
            emitter.value(member, &at);
        }
        for (&value, &arg) in outputs.iter().zip(&args) {
            let ty = &self.graph[value].ty;
            let reg = emitter.value(value, &Coords::of(&ty.shape, shape));
            let strides = emitter.strides_of(&ty.shape);
            emitter.store(arg, ty.dtype, strides, reg);
        }
        emitter.finish(self.name(members))
    }

    /// The first few ops of a task, `sub_exp_sum`.
    fn name(&self, members: &[Value]) -> String {
        let names: Vec<&str> = members.iter().map(|&v| self.graph[v].op.name()).take(4).collect();
        names.join("_")
    }

    fn columns(&mut self, task: usize, value: Value) {
        let node = &self.graph[value];
        let Lowering::Reduce { axes, .. } = node.op.lowering() else {
            unreachable!("a column task is a reduction")
        };
        let x = node.args[0];
        let space = self.graph[x].ty.shape.clone();
        let (first, last) = (axes[0], axes[axes.len() - 1]);
        let rows: u64 = space[first..=last].iter().product();
        let cols: u64 = space[last + 1..].iter().product();
        let batch: u64 = space[..first].iter().product();
        let block = self.target.column_block.min(rows.max(1));
        let blocks = rows.div_ceil(block).max(1);
        let to = self.output(value);
        let partial = if blocks > 1 {
            self.temp(value, ".blocks", node.ty.dtype, &[batch, blocks, cols])
        } else {
            to
        };
        let draft = self.column_draft(Some(task), value, &space, first, last, partial, blocks);
        let stride = if blocks > 1 { cols.cast_signed() } else { 0 };
        let kernel = draft.into_columns(first, last, block, stride).unwrap_or_else(|| {
            // The rows do not join: the operand is copied into row-major order first.
            let from = self.copy(x);
            let held = self.places[x.index()].replace(from);
            let draft = self.column_draft(None, value, &space, first, last, partial, blocks);
            self.places[x.index()] = held;
            draft.into_columns(first, last, block, stride).expect("row-major rows join")
        });
        self.push_kernel(kernel, value);
        if blocks > 1 {
            self.push_kernel(second_stage(node, [batch, blocks, cols], partial, to), value);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the geometry of one reduction")]
    fn column_draft(
        &self,
        task: Option<usize>,
        value: Value,
        space: &[u64],
        first: usize,
        last: usize,
        to: Arg,
        blocks: u64,
    ) -> Draft {
        let node = &self.graph[value];
        let mut emitter = Emitter::new(&self.tasks, &self.places, task, space);
        let reg = if task.is_some() { emitter.reduce(value) } else { emitter.reduce_copied(value) };
        let mut strides = Access::contiguous(space).strides;
        let rows: u64 = space[first..=last].iter().product();
        for stride in &mut strides[..first] {
            *stride = *stride / rows.max(1).cast_signed() * blocks.cast_signed();
        }
        strides[first..=last].fill(0);
        emitter.store(to, node.ty.dtype, strides, reg);
        emitter.finish(self.name(&[value]))
    }

    /// A product, and what is behind it.
    fn dot(&mut self, task: usize, map: Option<&Map>) {
        let (value, result) = self.tasks.product(task).expect("the task of a product has one");
        let c = self.tasks.is_stored(result).then(|| self.output(result));
        let product = self.product(value, c);
        let origin = self.origin(value);
        let product = self.with_epilogue(task, result, map, product);
        self.out.extend(product.map(|product| Task::Product { product, origin }));
    }

    fn product(&self, value: Value, c: Option<Arg>) -> Product {
        let [x, y] = self.graph[value].args[..] else { unreachable!("a product has two operands") };
        let (a_access, b_access) = (access(&self.tasks, x), access(&self.tasks, y));
        let c_access = Access::contiguous(&self.graph[value].ty.shape);
        let rank = c_access.shape.len();
        let batch = (0..rank - 2).map(|i| BatchAxis {
            size: c_access.shape[i],
            strides: [a_access.strides[i], b_access.strides[i], c_access.strides[i]],
        });
        Product {
            a: self.place_of(x, &a_access),
            b: self.place_of(y, &b_access),
            c,
            batch: join_batch(batch),
            m: c_access.shape[rank - 2],
            n: c_access.shape[rank - 1],
            k: a_access.shape[rank - 1],
            a_strides: [a_access.strides[rank - 2], a_access.strides[rank - 1]],
            b_strides: [b_access.strides[rank - 2], b_access.strides[rank - 1]],
            c_strides: [c_access.strides[rank - 2], c_access.strides[rank - 1]],
            adds: Adds::Never,
            epilogue: None,
        }
    }

    fn place_of(&self, value: Value, access: &Access) -> Arg {
        let mut arg =
            self.places[base(&self.tasks, value).index()].expect("operands are in memory");
        arg.offset += access.offset;
        arg
    }

    fn scatter(&mut self, value: Value) {
        let [ids, x] = self.graph[value].args[..] else {
            unreachable!("a scatter has two operands")
        };
        let shape = self.graph[value].ty.shape.clone();
        let (rows, cols) = (shape[0], shape[1]);
        let n = self.graph[ids].ty.len();
        let ids = self.row_major(ids);
        let from = self.row_major(x);
        let order = self.temp(value, ".order", Dtype::I32, &[n]);
        let starts = self.temp(value, ".starts", Dtype::I32, &[rows + 1]);
        self.out.push(Task::Sort { ids, n, rows, order, starts });
        let to = self.output(value);
        let operand = |dtype, is_output, outer, col| Operand {
            dtype,
            is_output,
            outer: vec![outer],
            row: 0,
            col,
        };
        let dtype = self.graph[x].ty.dtype;
        let mut body = ir::body::Body::new();
        let position = body.row();
        let element = body.load_at(2, dtype, position, cols.cast_signed(), n);
        let sum = body.reduce(ir::kernel::Reduction::Sum, element);
        body.store(3, sum);
        let kernel = Kernel {
            name: self.name(&[value]),
            skeleton: Skeleton::Segments { starts: 0, order: 1 },
            outer: vec![rows],
            cols,
            operands: vec![
                operand(Dtype::I32, false, 1, 0),
                operand(Dtype::I32, false, 0, 0),
                operand(dtype, false, 0, 1),
                operand(dtype, true, cols.cast_signed(), 1),
            ],
            body: body.finish(),
        };
        self.push_kernel((kernel, vec![starts, order, from, to]), value);
    }

    fn concat(&mut self, value: Value) {
        let node = &self.graph[value];
        let to = self.output(value);
        let strides = Access::contiguous(&node.ty.shape).strides;
        let (axis, parts) = parts(self.graph, value);
        let mut start = 0;
        for (part, len) in parts {
            if part.is_some_and(|x| self.in_concat.contains(&x)) {
                start += len;
                continue;
            }
            let mut shape = node.ty.shape.clone();
            shape[axis] = len;
            let mut emitter = Emitter::new(&self.tasks, &self.places, None, &shape);
            let reg = match part {
                Some(x) => emitter.value(x, &Coords::identity(&shape)),
                None => emitter.zero(node.ty.dtype),
            };
            let offset = to.offset + start * strides[axis].unsigned_abs();
            let arg = Arg { offset, ..to };
            emitter.store(arg, node.ty.dtype, strides.clone(), reg);
            let draft = emitter.finish(self.name(&[value]));
            if len > 0 {
                self.push_kernel(draft.into_rows(false), value);
            }
            start += len;
        }
    }

    /// The place of a value in row-major order, copied there if it is not.
    fn row_major(&mut self, value: Value) -> Arg {
        let access = access(&self.tasks, value);
        let is_plain = access.strides == Access::contiguous(&access.shape).strides;
        if is_plain && !self.tasks.is_inline(value) {
            self.place_of(value, &access)
        } else {
            self.copy(value)
        }
    }

    /// A temporary with the value in row-major order.
    fn copy(&mut self, value: Value) -> Arg {
        let ty = self.graph[value].ty.clone();
        let to = self.temp(value, ".copy", ty.dtype, &ty.shape);
        self.copy_to(value, to);
        to
    }

    fn copy_to(&mut self, value: Value, to: Arg) {
        let ty = &self.graph[value].ty;
        let mut emitter = Emitter::new(&self.tasks, &self.places, None, &ty.shape);
        let reg = emitter.value(value, &Coords::identity(&ty.shape));
        let strides = emitter.strides_of(&ty.shape);
        emitter.store(to, ty.dtype, strides, reg);
        let draft = emitter.finish("copy".to_owned());
        self.push_kernel(draft.into_rows(false), value);
    }

    /// Copies a temporary to a state of the same type.
    fn copy_buffer(&mut self, state: &str, from: Arg) {
        let to = self.state_arg(state);
        let Buffer { dtype, shape, .. } = self.buffers[from.buffer.0 as usize].clone();
        let cols: u64 = shape.iter().product();
        let operand = |is_output| Operand { dtype, is_output, outer: vec![], row: 0, col: 1 };
        let mut body = ir::body::Body::new();
        let element = body.load(0, dtype);
        body.store(1, element);
        let kernel = Kernel {
            name: "copy".to_owned(),
            skeleton: Skeleton::Rows,
            outer: vec![],
            cols,
            operands: vec![operand(false), operand(true)],
            body: body.finish(),
        };
        let kernel = self.kernels.intern(kernel);
        self.out.push(Task::Kernel { kernel, args: vec![from, to], origin: String::new() });
    }
}

/// Sums the blocks of a column reduction, in order.
fn second_stage(
    node: &ir::graph::Node,
    [batch, blocks, cols]: [u64; 3],
    from: Arg,
    to: Arg,
) -> (Kernel, Vec<Arg>) {
    let Lowering::Reduce { kind, .. } = node.op.lowering() else {
        unreachable!("a column task is a reduction")
    };
    let cols_i = cols.cast_signed();
    let operand = |is_output, outer, row| Operand {
        dtype: node.ty.dtype,
        is_output,
        outer: if batch == 1 { vec![] } else { vec![outer] },
        row,
        col: i64::from(cols != 1),
    };
    let mut body = ir::body::Body::new();
    let element = body.load(0, node.ty.dtype);
    let sum = body.reduce(kind, element);
    body.store(1, sum);
    let kernel = Kernel {
        name: format!("{}_blocks", node.op.name()),
        skeleton: Skeleton::Columns { rows: blocks, block: blocks },
        outer: if batch == 1 { vec![] } else { vec![batch] },
        cols,
        operands: vec![
            operand(false, blocks.cast_signed() * cols_i, cols_i),
            operand(true, cols_i, 0),
        ],
        body: body.finish(),
    };
    (kernel, vec![from, to])
}

/// The axis and the parts of a concatenation or padding; `None` for zeros.
fn parts(graph: &Graph, value: Value) -> (usize, Vec<(Option<Value>, u64)>) {
    let node = &graph[value];
    match node.op.lowering() {
        Lowering::Concat { axis } => {
            (axis, node.args.iter().map(|&x| (Some(x), graph[x].ty.shape[axis])).collect())
        }
        Lowering::Pad { axis, before, after } => {
            let x = node.args[0];
            (axis, vec![(None, before), (Some(x), graph[x].ty.shape[axis]), (None, after)])
        }
        Lowering::Leaf
        | Lowering::Pointwise(_)
        | Lowering::Reduce { .. }
        | Lowering::View(_)
        | Lowering::Dot
        | Lowering::Gather
        | Lowering::Scatter { .. }
        | Lowering::Attention(..) => unreachable!("not a concatenation"),
    }
}

/// Batch axes without those of size 1, neighbours joined where all operands allow.
fn join_batch(axes: impl Iterator<Item = BatchAxis>) -> Vec<BatchAxis> {
    let mut joined: Vec<BatchAxis> = vec![];
    for axis in axes.filter(|a| a.size != 1) {
        let size = axis.size.cast_signed();
        match joined.last_mut() {
            Some(last) if (0..3).all(|i| last.strides[i] == axis.strides[i] * size) => {
                *last = BatchAxis { size: last.size * axis.size, strides: axis.strides };
            }
            Some(_) | None => joined.push(axis),
        }
    }
    joined
}

/// Rows of all batches become rows of one product where the right operand is the same for all.
fn fold_batch(mut product: Product) -> Product {
    if let Some(last) = product.batch.last()
        && last.strides[1] == 0
        && last.strides[0] == product.a_strides[0] * product.m.cast_signed()
        && last.strides[2] == product.c_strides[0] * product.m.cast_signed()
    {
        product.m *= last.size;
        product.batch.pop();
    }
    product
}
