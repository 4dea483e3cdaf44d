//! Lengthens rows of temporaries, to start where a device wants them.
//!
//! In: a schedule. Out: the same values; a temporary whose rows (of its last axis) do not start where
//! the target asks for gets longer rows, whose ends nothing reads or writes, if every task that
//! touches it moves by whole rows or inside of one. With a vocabulary of 50,257 in 16 bits every
//! second row would else start where it can only be copied element by element.

use std::collections::{BTreeMap, BTreeSet};

use ir::kernel::{Inst, Kernel, Skeleton};
use ir::schedule::{Arg, Buffer, BufferId, EpilogueArg, Pitch, Product, Schedule, Target, Task};

use crate::tiles::{Walk, behind, drop_unused, intern, is_temporary, product_walks, walks};

/// Lengthens the rows of all temporaries where that can be done.
pub(crate) fn row_pitch(schedule: &mut Schedule, target: &Target) {
    let mut longer: BTreeMap<BufferId, Rows> = BTreeMap::new();
    for (at, buffer) in (0..).zip(&schedule.buffers) {
        if let Some(rows) = Rows::of(buffer, &target.pitch) {
            longer.insert(BufferId(at), rows);
        }
    }
    if longer.is_empty() {
        return;
    }
    let mut firm = BTreeSet::new();
    for task in schedule.functions.iter().flat_map(|f| &f.tasks) {
        find_firm(schedule, task, &longer, &mut firm);
    }
    longer.retain(|buffer, _| !firm.contains(buffer));
    for (&BufferId(at), rows) in &longer {
        let shape = &mut schedule.buffers[at as usize].shape;
        *shape.last_mut().expect("it has rows") = rows.new;
    }
    let Schedule { functions, kernels, .. } = schedule;
    for task in functions.iter_mut().flat_map(|f| &mut f.tasks) {
        lengthen(task, kernels, &longer);
    }
    drop_unused(schedule);
}

/// Elements of a row.
#[derive(Debug, Clone, Copy)]
struct Rows {
    old: u64,
    new: u64,
}

impl Rows {
    /// That of a buffer whose rows are to be longer.
    fn of(buffer: &Buffer, pitch: &Pitch) -> Option<Self> {
        let (&old, bytes) = (buffer.shape.last()?, buffer.dtype.bytes());
        let new = old.next_multiple_of((pitch.bytes / bytes).max(1));
        let is_wanted = new != old && old * bytes > pitch.above;
        (is_temporary(buffer) && is_wanted).then_some(Self { old, new })
    }

    /// An offset, or a distance of whole rows.
    fn moved(self, elements: u64) -> u64 {
        elements / self.old * self.new + elements % self.old
    }

    /// The strides of some walks; `None` where they leave a row otherwise than by whole rows.
    fn strides(self, arg: Arg, walks: &[Walk]) -> Option<Vec<i64>> {
        let [old, new] = [self.old, self.new].map(u64::cast_signed);
        let col = (arg.offset % self.old).cast_signed();
        let (mut least, mut most) = (col, col);
        let mut strides = vec![];
        for &(size, stride) in walks {
            let is_rows = stride % old == 0;
            strides.push(if is_rows { stride / old * new } else { stride });
            if !is_rows {
                let reach = (size.cast_signed() - 1).max(0).checked_mul(stride)?;
                (least, most) = (least + reach.min(0), most + reach.max(0));
            }
        }
        (least >= 0 && most < old).then_some(strides)
    }
}

/// Buffers whose rows must stay as they are for a task.
fn find_firm(
    schedule: &Schedule,
    task: &Task,
    longer: &BTreeMap<BufferId, Rows>,
    firm: &mut BTreeSet<BufferId>,
) {
    let mut hold = |arg: Arg, walks: &[Walk]| {
        let rows = longer.get(&arg.buffer);
        if rows.is_some_and(|rows| rows.strides(arg, walks).is_none()) {
            firm.insert(arg.buffer);
        }
    };
    match task {
        Task::Kernel { kernel, args, .. } => {
            let kernel = &schedule.kernels[*kernel];
            // The rows of segments are wherever the sorted positions say.
            if matches!(kernel.skeleton, Skeleton::Segments { .. }) {
                firm.extend(args.iter().map(|arg| arg.buffer));
                return;
            }
            args.iter().enumerate().for_each(|(at, &arg)| hold(arg, &walks(kernel, at)));
        }
        Task::Product { product, .. } => {
            let [a, b, c] = product_walks(product);
            hold(product.a, &a);
            hold(product.b, &b);
            if let Some(arg) = product.c {
                hold(arg, &c);
            }
            for (arg, walks, _) in behind(schedule, product) {
                hold(arg, &walks);
            }
        }
        Task::Attention { .. } | Task::Sort { .. } => {
            firm.extend(task.args().into_iter().map(|arg| arg.buffer));
        }
        Task::Tiles { body, advance, .. } => {
            for &(buffer, by) in advance {
                if longer.get(&buffer).is_some_and(|rows| by % rows.old != 0) {
                    firm.insert(buffer);
                }
            }
            body.iter().for_each(|task| find_firm(schedule, task, longer, firm));
        }
    }
}

/// Strides and offsets of a task for longer rows.
fn lengthen(task: &mut Task, kernels: &mut Vec<Kernel>, longer: &BTreeMap<BufferId, Rows>) {
    match task {
        Task::Kernel { kernel, args, .. } => {
            let places: Vec<_> = args.iter().copied().map(Some).collect();
            *kernel = on_longer(*kernel, kernels, &places, longer);
        }
        Task::Product { product, .. } => lengthen_product(product, kernels, longer),
        // None of them touches a longer buffer.
        Task::Attention { .. } | Task::Sort { .. } => {}
        Task::Tiles { body, advance, .. } => {
            for (buffer, by) in advance {
                if let Some(rows) = longer.get(buffer) {
                    *by = rows.moved(*by);
                }
            }
            body.iter_mut().for_each(|task| lengthen(task, kernels, longer));
            return;
        }
    }
    for arg in task.args_mut() {
        if let Some(rows) = longer.get(&arg.buffer) {
            arg.offset = rows.moved(arg.offset);
        }
    }
}

fn lengthen_product(p: &mut Product, kernels: &mut Vec<Kernel>, longer: &BTreeMap<BufferId, Rows>) {
    let operands = [Some(p.a), Some(p.b), p.c];
    for (which, (arg, walks)) in operands.into_iter().zip(product_walks(p)).enumerate() {
        let Some(strides) = arg.and_then(|arg| longer.get(&arg.buffer)?.strides(arg, &walks))
        else {
            continue;
        };
        let n_batch = p.batch.len();
        for (axis, &stride) in p.batch.iter_mut().zip(&strides) {
            axis.strides[which] = stride;
        }
        let own = [&mut p.a_strides, &mut p.b_strides, &mut p.c_strides];
        own[which].copy_from_slice(&strides[n_batch..]);
    }
    if let Some(epilogue) = &mut p.epilogue {
        let place = |arg: &EpilogueArg| match arg {
            EpilogueArg::Memory(arg) => Some(*arg),
            EpilogueArg::Sums => None,
        };
        let places: Vec<_> = epilogue.args.iter().map(place).collect();
        epilogue.kernel = on_longer(epilogue.kernel, kernels, &places, longer);
    }
}

/// The kernel on operands with longer rows; the old one stays, others may run it.
fn on_longer(
    kernel: usize,
    kernels: &mut Vec<Kernel>,
    places: &[Option<Arg>],
    longer: &BTreeMap<BufferId, Rows>,
) -> usize {
    let mut new = kernels[kernel].clone();
    for (at, place) in places.iter().enumerate() {
        let Some(arg) = *place else { continue };
        let walks = walks(&new, at);
        let strides = longer.get(&arg.buffer).and_then(|rows| rows.strides(arg, &walks));
        if let Some(strides) = strides {
            set_strides(&mut new, at, &strides);
        }
    }
    intern(kernels, new)
}

/// Strides of an operand, in the order of its walks.
fn set_strides(kernel: &mut Kernel, at: usize, strides: &[i64]) {
    let operand = &mut kernel.operands[at];
    let mut own: Vec<&mut i64> = operand.outer.iter_mut().collect();
    if let Skeleton::Columns { .. } = kernel.skeleton {
        own.push(&mut operand.row);
    }
    own.push(&mut operand.col);
    for inst in &mut kernel.body {
        if let Inst::LoadAt { operand, stride, .. } = inst
            && *operand == at
        {
            own.push(stride);
        }
    }
    for (own, stride) in own.into_iter().zip(strides) {
        *own = *stride;
    }
}
