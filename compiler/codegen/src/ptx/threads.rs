//! Kernels with a thread for each result: maps, and reductions down rows.

use ir::kernel::{Inst, Reduction, Reg as Of, Skeleton};
use ir::types::Dtype;
use ptx_builder::{B32, B64, Builder, Cmp, Int, Logic, Pred, Reg, Special, Val};

use super::THREADS;
use super::emitter::{Emitter, Env, Value};
use super::memory::{Place, Pointer, advance, load_from, small};
use super::wide::Wide;

/// Registers that elements on their way may take.
const ASKED: u64 = 32;

/// A thread for each group of columns of a map; gives the blocks of the grid.
pub(super) fn map(e: &mut Emitter<'_>, wide: &Wide) -> u64 {
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
    let thread = e.b.special(Special::TidX);
    let n: u64 = sizes.iter().product();
    let mut indices = match number(e.b, n, THREADS, thread) {
        Number::Short(at, n) => {
            let is_over = e.b.ucmp(Cmp::Ge, at, n);
            e.b.ret_if(is_over, true);
            indices(e.b, Number::Short(at, n), sizes)
        }
        Number::Long(at, n) => {
            let is_over = e.b.ucmp(Cmp::Ge, at, n);
            e.b.ret_if(is_over, true);
            indices(e.b, Number::Long(at, n), sizes)
        }
    };
    let inner = indices.split_off(sizes.len() - N);
    (indices, inner.try_into().expect("the last axes are there"))
}

/// The indices of a place of which a block has several, and whether it is inside of the space,
/// where it may not be; behind the end they are those of the last place.
pub(super) fn place_of(
    e: &mut Emitter<'_>,
    sizes: &[u64],
    per_block: u32,
    index: Reg<B32>,
) -> (Vec<Reg<B32>>, Option<Reg<Pred>>) {
    let n: u64 = sizes.iter().product();
    let place = number(e.b, n, per_block, index);
    if n.is_multiple_of(per_block.into()) {
        return (indices(e.b, place, sizes), None);
    }
    let (inside, place) = match place {
        Number::Short(at, n) => {
            let is_inside = e.b.ucmp(Cmp::Lt, at, n);
            (is_inside, Number::Short(e.b.select(is_inside, at, n.wrapping_sub(1)), n))
        }
        Number::Long(at, n) => {
            let is_inside = e.b.ucmp(Cmp::Lt, at, n);
            (is_inside, Number::Long(e.b.select(is_inside, at, n - 1), n))
        }
    };
    (indices(e.b, place, sizes), Some(inside))
}

/// A number of a place in the grid, and how many places there are.
#[derive(Clone, Copy)]
enum Number {
    /// Both have 32 bits.
    Short(Reg<B32>, u32),
    Long(Reg<B64>, i64),
}

/// The number of the place `index` of the block, of `per_block`; all places are `n`.
fn number(b: &mut Builder, n: u64, per_block: u32, index: Reg<B32>) -> Number {
    let block = b.special(Special::CtaidX);
    let size = per_block.cast_signed();
    // That of the last thread of the last block is a multiple of both.
    match u32::try_from(n.next_multiple_of(per_block.into())) {
        Ok(_) => Number::Short(b.mad(block, size, index), n as u32),
        Err(_) => {
            let index = b.u64_from_u32(index);
            Number::Long(b.mad_wide(block, size, index), n.cast_signed())
        }
    }
}

/// One number as the indices of a space, the last axis fastest.
fn indices(b: &mut Builder, number: Number, sizes: &[u64]) -> Vec<Reg<B32>> {
    match number {
        // All sizes divide a number of 32 bits.
        Number::Short(at, _) => split(b, at, sizes, |size| Val::from(size as u32)),
        Number::Long(at, _) => {
            let indices = split(b, at, sizes, |size| Val::from(size.cast_signed()));
            indices.into_iter().map(|index| b.u32_from_u64(index)).collect()
        }
    }
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
pub(super) fn columns(e: &mut Emitter<'_>, wide: &Wide) -> u64 {
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
pub(super) fn segments(e: &mut Emitter<'_>, wide: &Wide) -> u64 {
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
    // Some rows are asked for together, and added in their order.
    let each = together(e, &insts);
    let some = |e: &mut Emitter<'_>, first: Reg<B32>, n: u32| {
        let mut rows_of: Vec<(Place, Env)> = vec![];
        for i in 0..n {
            let i = if i == 0 { first } else { e.b.iadd(first, i.cast_signed()) };
            let (place, mut inner) = (row_place(e, place, rows, i), env.clone());
            let loads = insts.iter().filter(|&&at| matches!(kernel.body[at], Inst::Load { .. }));
            loads.for_each(|&at| e.eval_all(&[at], &mut inner, &place));
            rows_of.push((place, inner));
        }
        for (place, mut inner) in rows_of {
            let rest = insts.iter().copied().filter(|&at| inner[at].is_none());
            let rest: Vec<usize> = rest.collect();
            e.eval_all(&rest, &mut inner, &place);
            e.add(&inner, &reduces, &sums);
        }
    };
    let mut middle = rows.from;
    if each > 1 {
        let n = e.b.isub(rows.to, rows.from);
        let n: Reg<B32> = e.b.logic(Logic::And, n, !(each - 1));
        middle = e.b.iadd(rows.from, n);
        e.count_loop(rows.from, middle, each.cast_signed(), |e, i| some(e, i, each));
    }
    e.count_loop(middle, rows.to, 1, |e, i| some(e, i, 1));
    for ((at, _), sums) in reduces.iter().zip(sums) {
        env[*at] = Some(sums);
    }
}

/// How many rows or groups a thread asks for before it adds the first one.
pub(super) fn together(e: &Emitter<'_>, insts: &[usize]) -> u32 {
    let words = |&at: &usize| match e.kernel.body[at] {
        Inst::Load { .. } => e.width() as u64 * e.flow.types[at].bytes().max(4) / 4,
        Inst::Const { .. }
        | Inst::LoadAt { .. }
        | Inst::Outer { .. }
        | Inst::Row
        | Inst::Col
        | Inst::Apply { .. }
        | Inst::Reduce { .. }
        | Inst::Store { .. } => 0,
    };
    let words: u64 = insts.iter().map(words).sum();
    [16, 8, 4, 2].into_iter().find(|n| words > 0 && words * n <= ASKED).map_or(1, |n| n as u32)
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
    /// Adds what the columns of a group have to their sums.
    pub(super) fn add(&mut self, env: &Env, reduces: &[(usize, Reduce)], sums: &[Vec<Value>]) {
        for ((_, reduce), sums) in reduces.iter().zip(sums) {
            for (lane, &sum) in sums.iter().enumerate().take(self.width()) {
                let value = self.lane(env, reduce.of, lane);
                self.combine_to(reduce.kind, sum, value);
            }
        }
    }

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
pub(super) fn both(e: &mut Emitter<'_>, p: Reg<Pred>, q: Option<Reg<Pred>>) -> Reg<Pred> {
    match q {
        Some(q) => e.b.plogic(Logic::And, p, q),
        None => p,
    }
}
