//! The `Columns` and `Segments` skeletons: 16 columns in registers, row by row.
//!
//! Each unit is a tile of columns of one block of rows, or of one segment.

use cranelift_codegen::ir::{InstBuilder, Value, types};
use ir::kernel::{COLUMN_TILE, Inst, Kernel, Reduction, Reg, Skeleton};
use ir::types::Dtype;

use super::emitter::{Emitter, Env, Val, WIDTH};
use super::memory::{Place, flags};

/// Vectors of columns that are reduced together.
const GROUPS: i64 = 4;

/// The rows of one unit of work.
struct Rows {
    bounds: [Value; 2],
    /// The block, that stored results are indexed by.
    block: Option<Value>,
    /// Where `order` lies, in `Segments`.
    order: Option<Value>,
}

/// Emits the body of the function.
pub(super) fn emit(e: &mut Emitter<'_>) {
    let range = e.range;
    let constants = e.constants();
    e.count_loop(range, 1, &[], |e, unit, _| {
        one_unit(e, unit, constants);
        vec![]
    });
}

fn one_unit(e: &mut Emitter<'_>, unit: Value, mut env: Env) {
    let cols = e.kernel.cols as i64;
    let tiles = e.kernel.cols.div_ceil(COLUMN_TILE).max(1) as i64;
    let (tile, rest) = divide(e, unit, tiles);
    let from = e.b.ins().imul_imm_s(tile, COLUMN_TILE as i64);
    let (rows, place) = rows_of(e, rest);
    let once = selection(e, |rate| rate == (false, false));
    e.eval_all(&once, &mut env, &place);
    let to = e.b.ins().iadd_imm_s(from, COLUMN_TILE as i64);
    let end = e.int(cols);
    let to = e.b.ins().smin(to, end);
    let n = e.b.ins().isub(to, from);
    let whole = e.b.ins().band_imm_s(n, -(GROUPS * WIDTH));
    let split = e.b.ins().iadd(from, whole);
    if cols >= GROUPS * WIDTH {
        e.count_loop([from, split], GROUPS * WIDTH, &[], |e, at, _| {
            let place = e.at_column(&place, at, |_| true);
            let places = (0..GROUPS).map(|g| place.group(g * WIDTH, true)).collect();
            Strip { rows: &rows, places, env: &env }.emit(e);
            vec![]
        });
    }
    if cols % (GROUPS * WIDTH) != 0 {
        e.count_loop([split, to], 1, &[], |e, at, _| {
            let places = vec![e.at_column(&place, at, |_| true)];
            Strip { rows: &rows, places, env: &env }.emit(e);
            vec![]
        });
    }
}

/// Remainder and quotient by a constant.
fn divide(e: &mut Emitter<'_>, x: Value, by: i64) -> (Value, Value) {
    if by == 1 {
        return (e.int(0), x);
    }
    (e.b.ins().urem_imm_s(x, by), e.b.ins().udiv_imm_s(x, by))
}

/// The rows of a unit, without its tile, and the place of its outer indices.
fn rows_of(e: &mut Emitter<'_>, unit: Value) -> (Rows, Place) {
    match e.kernel.skeleton {
        Skeleton::Rows => unreachable!("rows have their own skeleton"),
        Skeleton::Columns { rows, block } => {
            let blocks = rows.div_ceil(block).max(1) as i64;
            let (index, outer) = divide(e, unit, blocks);
            let from = e.b.ins().imul_imm_s(index, block as i64);
            let to = e.b.ins().iadd_imm_s(from, block as i64);
            let end = e.int(rows as i64);
            let to = e.b.ins().smin(to, end);
            let place = e.outer_place(Some(outer));
            (Rows { bounds: [from, to], block: Some(index), order: None }, place)
        }
        Skeleton::Segments { starts, order } => {
            let place = e.outer_place(Some(unit));
            let address = place.pointers[starts];
            let bounds = [0, 4].map(|at| {
                let bound = e.b.ins().load(types::I32, flags(), address, at);
                e.b.ins().sextend(types::I64, bound)
            });
            (Rows { bounds, block: None, order: Some(e.bases[order]) }, place)
        }
    }
}

/// The instructions but reductions and stores whose (row, column) rate is accepted, in order.
fn selection(e: &Emitter<'_>, accepts: impl Fn((bool, bool)) -> bool) -> Vec<usize> {
    let is_value =
        |at: &usize| !matches!(e.kernel.body[*at], Inst::Reduce { .. } | Inst::Store { .. });
    let rate = |at: &usize| (e.flow.rates[*at].row, e.flow.rates[*at].col);
    (0..e.kernel.body.len()).filter(is_value).filter(|at| accepts(rate(at))).collect()
}

/// Columns side by side, all rows of the unit.
struct Strip<'s> {
    rows: &'s Rows,
    places: Vec<Place>,
    env: &'s Env,
}

impl Strip<'_> {
    fn emit(&self, e: &mut Emitter<'_>) {
        let kernel = e.kernel;
        let mut envs = vec![self.env.clone(); self.places.len()];
        for phase in 0..=e.flow.last {
            self.columns(e, &mut envs, phase);
            let reduces = e.flow.reductions(kernel, phase);
            if !reduces.is_empty() {
                self.row_loop(e, &mut envs, &reduces);
            }
        }
        self.columns(e, &mut envs, u32::MAX);
        for (place, env) in self.places.iter().zip(&mut envs) {
            let place = self.result_place(e, place);
            let stores: Vec<usize> = (0..kernel.body.len())
                .filter(|&at| matches!(kernel.body[at], Inst::Store { .. }))
                .collect();
            e.eval_all(&stores, env, &place);
        }
    }

    /// What changes with the column and not with the row, up to a phase.
    fn columns(&self, e: &mut Emitter<'_>, envs: &mut [Env], last: u32) {
        let now = selection(e, |rate| rate == (false, true));
        let now: Vec<usize> = now.into_iter().filter(|&at| e.flow.phases[at] <= last).collect();
        for (place, env) in self.places.iter().zip(envs) {
            let place = self.result_place(e, place);
            e.eval_all(&now, env, &place);
        }
    }

    /// Where results lie: at the block instead of the row.
    fn result_place(&self, e: &mut Emitter<'_>, place: &Place) -> Place {
        let mut place = place.clone();
        if let Some(block) = self.rows.block {
            for (pointer, operand) in place.pointers.iter_mut().zip(&e.kernel.operands) {
                if operand.is_output {
                    *pointer = e.advance(*pointer, block, operand.row, operand.dtype);
                }
            }
        }
        place
    }

    fn row_loop(&self, e: &mut Emitter<'_>, envs: &mut [Env], reduces: &[usize]) {
        let kernel = e.kernel;
        let parts: Vec<(usize, Reduction, Reg)> =
            reduces.iter().filter_map(|&at| reduction(kernel, at)).collect();
        let roots: Vec<usize> =
            parts.iter().map(|p| p.2.0 as usize).filter(|&at| e.flow.rates[at].row).collect();
        let insts = e.flow.needed(kernel, &roots, |at| {
            e.flow.rates[at].row && !matches!(kernel.body[at], Inst::Store { .. })
        });
        let is_wide = self.places[0].is_wide;
        let mut start = vec![];
        for _ in &*envs {
            for &(_, kind, value) in &parts {
                let dtype = e.dtype(value);
                let one = e.identity(kind, dtype);
                let four = if is_wide { e.four(dtype, Val::One(one)) } else { [one; 2] };
                start.extend(&four[..halves(dtype, is_wide)]);
            }
        }
        let sums = e.count_loop(self.rows.bounds, 1, &start, |e, i, sums| {
            let places = self.row_places(e, i);
            let mut next = vec![];
            let mut sums = sums.iter();
            for (place, env) in places.iter().zip(&*envs) {
                let mut env = env.clone();
                e.eval_all(&insts, &mut env, place);
                for &(_, kind, value) in &parts {
                    let dtype = e.dtype(value);
                    let value = e.get(&env, value);
                    let value = match (is_wide, value) {
                        (true, value) => e.four(dtype, value),
                        (false, Val::One(value)) => [value; 2],
                        (false, Val::Four(value)) => value,
                    };
                    let own = sums.by_ref().take(halves(dtype, is_wide));
                    for (&sum, part) in own.zip(value) {
                        next.push(e.combine(kind, dtype, sum, part));
                    }
                }
            }
            next
        });
        let mut sums = sums.into_iter();
        for env in envs {
            for &(at, _, value) in &parts {
                let own: Vec<Value> = sums.by_ref().take(halves(e.dtype(value), is_wide)).collect();
                let both = [own[0], own[own.len() - 1]];
                env[at] = Some(if is_wide { Val::Four(both) } else { Val::One(own[0]) });
            }
        }
    }

    /// The places of all groups at row `i`.
    fn row_places(&self, e: &mut Emitter<'_>, i: Value) -> Vec<Place> {
        let (row, index) = match self.rows.order {
            None => (i, e.b.ins().ireduce(types::I32, i)),
            Some(order) => {
                let address = e.advance(order, i, 1, Dtype::I32);
                let index = e.b.ins().load(types::I32, flags(), address, 0);
                (e.b.ins().sextend(types::I64, index), index)
            }
        };
        let mut pointers = self.places[0].pointers.clone();
        for (pointer, operand) in pointers.iter_mut().zip(&e.kernel.operands) {
            if !operand.is_output {
                *pointer = e.advance(*pointer, row, operand.row, operand.dtype);
            }
        }
        let at_row =
            |p: &Place| Place { pointers: pointers.clone(), row: Some(index), ..p.clone() };
        self.places.iter().map(at_row).collect()
    }
}

fn reduction(kernel: &Kernel, at: usize) -> Option<(usize, Reduction, Reg)> {
    match &kernel.body[at] {
        Inst::Reduce { kind, value } => Some((at, *kind, *value)),
        Inst::Const { .. }
        | Inst::Load { .. }
        | Inst::LoadAt { .. }
        | Inst::Outer { .. }
        | Inst::Row
        | Inst::Col
        | Inst::Apply { .. }
        | Inst::Store { .. } => None,
    }
}

/// Values that hold one register of a type.
fn halves(dtype: Dtype, is_wide: bool) -> usize {
    if is_wide && dtype == Dtype::F64 { 2 } else { 1 }
}
