//! Kernels with a thread for each result: maps, and reductions down rows.

use ir::kernel::{Inst, Reduction, Reg as Of, Skeleton};
use ir::types::Dtype;
use ptx_builder::{B32, Builder, Cmp, Int, Logic, Reg, Special, Val};

use super::THREADS;
use super::emitter::{Emitter, Env, Value};
use super::memory::{Place, Pointer, advance, load_from, small};
use super::wide::Wide;

/// A thread for each group of columns of a map; gives the blocks of the grid.
pub(super) fn map<'k>(e: &mut Emitter<'k>, wide: &'k Wide) -> u64 {
    let kernel = e.kernel;
    let bases = e.bases();
    let sizes = [&kernel.outer[..], &[wide.groups(kernel.cols)]].concat();
    let (outer, [group]) = coordinates(e, &sizes);
    let place = e.place_at(&bases, outer);
    e.group(wide, &place.outer, group, |e, col| {
        let place = e.at_column(&place, col);
        let mut env = e.env();
        for at in 0..kernel.body.len() {
            // What does not change with the column is stored once a row.
            let is_once =
                matches!(kernel.body[at], Inst::Store { .. }) && e.flow.rates[at].is_once();
            let writes = is_once.then(|| e.b.icmp(Cmp::Eq, col, 0));
            e.eval_all(&[at], &mut env, &Place { writes, ..place.clone() });
        }
    });
    blocks(&sizes)
}

/// Blocks with a thread for each place of a space.
fn blocks(sizes: &[u64]) -> u64 {
    sizes.iter().product::<u64>().div_ceil(THREADS.into())
}

/// The indices of the thread in a space, the last axis fastest and the last `N` axes apart;
/// threads behind its end are done.
fn coordinates<const N: usize>(
    e: &mut Emitter<'_>,
    sizes: &[u64],
) -> (Vec<Reg<B32>>, [Reg<B32>; N]) {
    let n: u64 = sizes.iter().product();
    let mut indices = if let Ok(n) = u32::try_from(n) {
        let at = thread(e);
        let is_over = e.b.ucmp(Cmp::Ge, at, n);
        e.b.ret_if(is_over, true);
        // All sizes are factors of a number of 32 bits.
        split(e.b, at, sizes, |size| Val::from(size as u32))
    } else {
        let (block, thread) = (e.b.special(Special::CtaidX), e.b.special(Special::TidX));
        let thread = e.b.u64_from_u32(thread);
        let at = e.b.mad_wide(block, small(THREADS.into()), thread);
        let is_over = e.b.ucmp(Cmp::Ge, at, n.cast_signed());
        e.b.ret_if(is_over, true);
        let indices = split(e.b, at, sizes, |size| Val::from(size.cast_signed()));
        indices.into_iter().map(|index| e.b.u32_from_u64(index)).collect()
    };
    let inner = indices.split_off(sizes.len() - N);
    (indices, inner.try_into().expect("the last axes are there"))
}

/// One number as the indices of a space, the last axis fastest.
fn split<K: Int>(
    b: &mut Builder,
    at: Reg<K>,
    sizes: &[u64],
    immediate: impl Fn(u64) -> Val<K>,
) -> Vec<Reg<K>> {
    let mut indices = vec![];
    for axis in 0..sizes.len() {
        let inner: u64 = sizes[axis + 1..].iter().product();
        let mut index = at;
        if inner > 1 {
            index = b.udiv(index, immediate(inner));
        }
        if axis > 0 {
            index = b.urem(index, immediate(sizes[axis].max(1)));
        }
        indices.push(index);
    }
    indices
}

/// The number of the thread in the grid.
pub(super) fn thread(e: &mut Emitter<'_>) -> Reg<B32> {
    let block = e.b.special(Special::CtaidX);
    let thread = e.b.special(Special::TidX);
    e.b.mad(block, small(THREADS.into()), thread)
}

/// The rows that a thread reduces.
struct Rows {
    from: Reg<B32>,
    to: Reg<B32>,
    /// The block, that stored results are indexed by.
    block: Option<Reg<B32>>,
    /// Where `order` lies, in `Segments`.
    order: Option<Pointer>,
}

/// A thread for each group of columns of each block of rows.
pub(super) fn columns<'k>(e: &mut Emitter<'k>, wide: &'k Wide) -> u64 {
    let Skeleton::Columns { rows, block } = e.kernel.skeleton else {
        unreachable!("asked for columns")
    };
    let inner = [rows.div_ceil(block).max(1), wide.groups(e.kernel.cols)];
    let sizes = [&e.kernel.outer[..], &inner].concat();
    let bases = e.bases();
    let (outer, [index, group]) = coordinates(e, &sizes);
    let place = e.place_at(&bases, outer);
    let from = e.b.imul(index, small(block));
    let end = e.b.iadd(from, small(block));
    let to = e.b.imin(end, small(rows));
    let rows = Rows { from, to, block: Some(index), order: None };
    e.group(wide, &place.outer, group, |e, col| reduce(e, &place, col, &rows));
    blocks(&sizes)
}

/// A thread for each group of columns of each segment.
pub(super) fn segments<'k>(e: &mut Emitter<'k>, wide: &'k Wide) -> u64 {
    let Skeleton::Segments { starts, order } = e.kernel.skeleton else {
        unreachable!("asked for segments")
    };
    let sizes = [&e.kernel.outer[..], &[wide.groups(e.kernel.cols)]].concat();
    let bases = e.bases();
    let (outer, [group]) = coordinates(e, &sizes);
    let place = e.place_at(&bases, outer);
    let Pointer::Global(bounds) = place.pointers[starts] else {
        unreachable!("segments are in global memory")
    };
    let [from, to] = [0, 4].map(|offset| e.b.load(bounds, offset));
    let rows = Rows { from, to, block: None, order: Some(bases[order]) };
    e.group(wide, &place.outer, group, |e, col| reduce(e, &place, col, &rows));
    blocks(&sizes)
}

/// All phases of one column.
fn reduce(e: &mut Emitter<'_>, outer: &Place, col: Reg<B32>, rows: &Rows) {
    let kernel = e.kernel;
    let place = e.at_column(outer, col);
    let results = result_place(e, &place, rows);
    let mut env = e.env();
    let mut is_done = vec![false; kernel.body.len()];
    for phase in 0..=e.flow.last {
        once(e, &mut env, &mut is_done, &results, phase);
        row_loop(e, &mut env, &place, rows, phase);
    }
    once(e, &mut env, &mut is_done, &results, u32::MAX);
}

/// What does not change with the row, stores among it, up to a phase.
fn once(e: &mut Emitter<'_>, env: &mut Env, is_done: &mut [bool], place: &Place, last: u32) {
    for (at, done) in is_done.iter_mut().enumerate() {
        let inst = &e.kernel.body[at];
        let is_store = matches!(inst, Inst::Store { .. });
        let is_value = !is_store && !e.flow.rates[at].row && e.flow.phases[at] <= last;
        let is_now = is_value || (is_store && last == u32::MAX);
        if is_now && !*done && !matches!(inst, Inst::Reduce { .. }) {
            e.eval_all(&[at], env, place);
            *done = true;
        }
    }
}

/// Where results lie: at the block instead of the row.
fn result_place(e: &mut Emitter<'_>, place: &Place, rows: &Rows) -> Place {
    let kernel = e.kernel;
    let mut place = place.clone();
    if let Some(block) = rows.block {
        for (pointer, operand) in place.pointers.iter_mut().zip(&kernel.operands) {
            if operand.is_output {
                *pointer = advance(e.b, *pointer, block, operand.row, operand.dtype);
            }
        }
    }
    place
}

fn row_loop(e: &mut Emitter<'_>, env: &mut Env, place: &Place, rows: &Rows, phase: u32) {
    let kernel = e.kernel;
    let reduces = reductions(e, phase);
    if reduces.is_empty() {
        return;
    }
    let roots: Vec<usize> = reduces.iter().map(|r| r.1.value()).collect();
    let is_row = |at: usize| e.flow.rates[at].row;
    let roots: Vec<usize> = roots.into_iter().filter(|&at| is_row(at)).collect();
    let insts = e
        .flow
        .needed(kernel, &roots, |at| is_row(at) && !matches!(kernel.body[at], Inst::Store { .. }));
    let sums: Vec<Vec<Value>> = reduces.iter().map(|(_, reduce)| e.sums(reduce)).collect();
    e.count_loop(rows.from, rows.to, 1, |e, i| {
        let place = row_place(e, place, rows, i);
        let mut inner = env.clone();
        e.eval_all(&insts, &mut inner, &place);
        for (sums, (_, reduce)) in sums.iter().zip(&reduces) {
            for (lane, &sum) in sums.iter().enumerate() {
                let value = e.lane(&inner, reduce.of, lane);
                e.combine_to(reduce.kind, sum, value);
            }
        }
    });
    for ((at, _), sums) in reduces.iter().zip(sums) {
        env[*at] = Some(sums);
    }
}

/// The place of row `i`.
fn row_place(e: &mut Emitter<'_>, place: &Place, rows: &Rows, i: Reg<B32>) -> Place {
    let kernel = e.kernel;
    let row = match rows.order {
        None => i,
        Some(order) => {
            let at = advance(e.b, order, i, 1, Dtype::I32);
            let Value::Int(row) = load_from(e.b, at, Dtype::I32) else {
                unreachable!("positions are integers")
            };
            row
        }
    };
    let mut place = Place { row: Some(row), ..place.clone() };
    for (pointer, operand) in place.pointers.iter_mut().zip(&kernel.operands) {
        if !operand.is_output {
            *pointer = advance(e.b, *pointer, row, operand.row, operand.dtype);
        }
    }
    place
}

/// A reduction of a loop.
pub(super) struct Reduce {
    pub(super) kind: Reduction,
    pub(super) dtype: Dtype,
    pub(super) of: Of,
}

impl Reduce {
    /// The instruction whose value is reduced.
    pub(super) fn value(&self) -> usize {
        self.of.0 as usize
    }
}

impl Emitter<'_> {
    /// Registers that start as a reduction does, one for each column of a group.
    pub(super) fn sums(&mut self, reduce: &Reduce) -> Vec<Value> {
        let start = self.identity(reduce.kind, reduce.dtype);
        (0..self.width()).map(|_| self.copy(start)).collect()
    }
}

/// The reductions of a phase, each with its instruction.
pub(super) fn reductions(e: &Emitter<'_>, phase: u32) -> Vec<(usize, Reduce)> {
    let mut found = vec![];
    for at in e.flow.reductions(e.kernel, phase) {
        if let Inst::Reduce { kind, value } = &e.kernel.body[at] {
            let dtype = e.dtype(*value);
            found.push((at, Reduce { kind: *kind, dtype, of: *value }));
        }
    }
    found
}

/// Both, or the one that is there.
pub(super) fn both(
    e: &mut Emitter<'_>,
    p: Reg<ptx_builder::Pred>,
    q: Option<Reg<ptx_builder::Pred>>,
) -> Reg<ptx_builder::Pred> {
    match q {
        Some(q) => e.b.plogic(Logic::And, p, q),
        None => p,
    }
}
