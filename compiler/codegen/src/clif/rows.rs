//! The `Rows` skeleton: for each outer index, loops over the columns, one a phase.
//!
//! A loop runs the reductions of its phase; the last one also stores. Later loops evaluate again
//! what they need from the operands, so a row is read from the cache, not kept in registers.

use cranelift_codegen::ir::{InstBuilder, StackSlot, Value, types};
use ir::kernel::{Inst, LANES, Reduction, Reg};
use ir::types::Dtype;

use super::emitter::{Emitter, Env, Val, WIDTH};
use super::flow::arguments;
use super::memory::{Place, flags, stored, vector};

/// Vectors of a row reduction's lanes.
const GROUPS: i64 = LANES as i64 / WIDTH;
/// Bodies up to this size are unrolled four times in maps; a reduction always has its four groups.
const UNROLL_INSTS: usize = 16;

/// A range of columns; `known` when the compiler knows it.
struct Columns {
    bounds: [Value; 2],
    known: Option<i64>,
}

/// One reduction of a loop.
struct Reduce {
    at: usize,
    kind: Reduction,
    value: Reg,
    dtype: Dtype,
}

impl Reduce {
    /// Vectors that hold its 16 lanes.
    fn vectors(&self) -> usize {
        if self.dtype == Dtype::F64 { 8 } else { 4 }
    }
}

/// Emits the body of the function.
pub(super) fn emit(e: &mut Emitter<'_>) {
    if e.kernel.outer.is_empty() {
        let place = e.outer_place(None);
        let columns = Columns { bounds: e.range, known: None };
        return row(e, &place, &columns);
    }
    let range = e.range;
    e.count_loop(range, 1, &[], |e, unit, _| {
        let place = e.outer_place(Some(unit));
        let n = i64::try_from(e.kernel.cols).expect("dimensions are below 2^31");
        let columns = Columns { bounds: [e.int(0), e.int(n)], known: Some(n) };
        row(e, &place, &columns);
        vec![]
    });
}

fn row(e: &mut Emitter<'_>, place: &Place, columns: &Columns) {
    let mut env: Env = vec![None; e.kernel.body.len()];
    let mut is_done = vec![false; e.kernel.body.len()];
    let mut once = |e: &mut Emitter<'_>, env: &mut Env, last: u32| {
        for (at, done) in is_done.iter_mut().enumerate() {
            let is_reduce = matches!(e.kernel.body[at], Inst::Reduce { .. });
            let is_now = e.flow.rates[at].is_once() && e.flow.phases[at] <= last;
            if is_now && !*done && !is_reduce {
                e.eval_all(&[at], env, place);
                *done = true;
            }
        }
    };
    for phase in 0..=e.flow.last {
        once(e, &mut env, phase);
        phase_loop(e, &mut env, place, columns, phase);
    }
    once(e, &mut env, u32::MAX);
}

fn phase_loop(e: &mut Emitter<'_>, env: &mut Env, place: &Place, columns: &Columns, phase: u32) {
    let kernel = e.kernel;
    let mut reduces = vec![];
    for at in e.flow.reductions(kernel, phase) {
        if let Inst::Reduce { kind, value } = &kernel.body[at] {
            reduces.push(Reduce { at, kind: *kind, value: *value, dtype: e.dtype(*value) });
        }
    }
    let is_last = phase == e.flow.last;
    let is_element = |at: usize| !e.flow.rates[at].is_once();
    let is_store =
        |&at: &usize| is_last && is_element(at) && matches!(kernel.body[at], Inst::Store { .. });
    let mut roots: Vec<usize> = (0..kernel.body.len()).filter(is_store).collect();
    let stores_any = !roots.is_empty();
    roots.extend(reduces.iter().map(|r| r.value.0 as usize).filter(|&at| is_element(at)));
    if reduces.is_empty() && !stores_any {
        return;
    }
    let insts = e.flow.needed(kernel, &roots, |at| {
        is_element(at) && !matches!(kernel.body[at], Inst::Store { .. } | Inst::Reduce { .. })
    });
    debug_assert!(insts.iter().all(|&at| arguments(&kernel.body[at]).len() < 8), "few operands");
    let walk = Walk { insts: &insts, env, place, reduces: &reduces };
    let results = walk.columns(e, columns);
    for (reduce, result) in reduces.iter().zip(results) {
        env[reduce.at] = Some(Val::One(result));
    }
}

/// One loop over the columns.
struct Walk<'w> {
    insts: &'w [usize],
    env: &'w Env,
    place: &'w Place,
    reduces: &'w [Reduce],
}

impl Walk<'_> {
    /// The loop: whole vectors, then the rest one by one; gives the results of the reductions.
    fn columns(&self, e: &mut Emitter<'_>, columns: &Columns) -> Vec<Value> {
        let [from, to] = columns.bounds;
        let is_map = self.reduces.is_empty();
        let groups = if is_map && self.insts.len() > UNROLL_INSTS { 1 } else { GROUPS };
        let step = WIDTH * groups;
        let split = match columns.known {
            Some(n) => e.int(n - n % step),
            None => {
                let n = e.b.ins().isub(to, from);
                let whole = e.b.ins().band_imm_s(n, -step);
                e.b.ins().iadd(from, whole)
            }
        };
        let mut lanes = self.identities(e);
        if columns.known.is_none_or(|n| n >= step) {
            lanes = e.count_loop([from, split], step, &lanes, |e, at, lanes| {
                self.step(e, at, groups, lanes)
            });
        }
        if columns.known.is_none_or(|n| n % step != 0) {
            lanes = self.tail(e, [split, to], &lanes);
        }
        let mut results = vec![];
        let mut rest = lanes.as_slice();
        for reduce in self.reduces {
            let (own, others) = rest.split_at(reduce.vectors());
            results.push(tree(e, reduce, own));
            rest = others;
        }
        results
    }

    fn identities(&self, e: &mut Emitter<'_>) -> Vec<Value> {
        let mut lanes = vec![];
        for reduce in self.reduces {
            let one = e.identity(reduce.kind, reduce.dtype);
            let four = e.b.ins().splat(vector(reduce.dtype), one);
            lanes.extend(vec![four; reduce.vectors()]);
        }
        lanes
    }

    /// Evaluates `groups` times four columns and adds them to the lanes.
    fn step(&self, e: &mut Emitter<'_>, at: Value, groups: i64, lanes: &[Value]) -> Vec<Value> {
        let mut lanes = lanes.to_vec();
        for group in 0..groups {
            let place = self.place.at(at, group * WIDTH, true);
            let mut env = self.env.clone();
            e.eval_all(self.insts, &mut env, &place);
            let mut first = 0;
            for reduce in self.reduces {
                let value = e.get(&env, reduce.value);
                let value = e.four(reduce.dtype, value);
                let per_group = reduce.vectors() / GROUPS as usize;
                for (half, &part) in value.iter().take(per_group).enumerate() {
                    let lane = first + group as usize * per_group + half;
                    lanes[lane] = e.combine(reduce.kind, reduce.dtype, lanes[lane], part);
                }
                first += reduce.vectors();
            }
        }
        lanes
    }

    /// The last columns: the lanes lie in memory, each column goes to its own.
    fn tail(&self, e: &mut Emitter<'_>, range: [Value; 2], lanes: &[Value]) -> Vec<Value> {
        let slots: Vec<StackSlot> = self
            .reduces
            .iter()
            .map(|r| e.slot(u32::try_from(r.vectors() * 16).expect("eight vectors at most")))
            .collect();
        let mut all = lanes.iter();
        for (reduce, &slot) in self.reduces.iter().zip(&slots) {
            for (i, &value) in (0i32..).zip(all.by_ref().take(reduce.vectors())) {
                e.b.ins().stack_store(types::I64, value, slot, i * 16);
            }
        }
        e.count_loop(range, 1, &[], |e, at, _| {
            let mut env = self.env.clone();
            e.eval_all(self.insts, &mut env, &self.place.at(at, 0, false));
            let lane = e.b.ins().band_imm_s(at, LANES as i64 - 1);
            for (reduce, &slot) in self.reduces.iter().zip(&slots) {
                let Val::One(value) = e.get(&env, reduce.value) else {
                    unreachable!("a narrow place has values of one lane");
                };
                let base = e.b.ins().stack_addr(types::I64, slot, 0);
                let address = e.advance(base, lane, 1, reduce.dtype);
                let old = e.b.ins().load(stored(reduce.dtype), flags(), address, 0);
                let new = e.combine(reduce.kind, reduce.dtype, old, value);
                e.b.ins().store(flags(), new, address, 0);
            }
            vec![]
        });
        let mut lanes = vec![];
        for (reduce, &slot) in self.reduces.iter().zip(&slots) {
            for i in 0..reduce.vectors() as i32 {
                lanes.push(e.b.ins().stack_load(types::I64, vector(reduce.dtype), slot, i * 16));
            }
        }
        lanes
    }
}

/// Lane `i` takes `i + 8`, then `+ 4`, `+ 2`, `+ 1`.
fn tree(e: &mut Emitter<'_>, reduce: &Reduce, lanes: &[Value]) -> Value {
    let mut vectors = lanes.to_vec();
    while vectors.len() > 1 {
        let half = vectors.len() / 2;
        vectors = (0..half)
            .map(|i| e.combine(reduce.kind, reduce.dtype, vectors[i], vectors[i + half]))
            .collect();
    }
    let width = if reduce.dtype == Dtype::F64 { 2u8 } else { 4 };
    let mut lanes: Vec<Value> =
        (0..width).map(|lane| e.b.ins().extractlane(vectors[0], lane)).collect();
    while lanes.len() > 1 {
        let half = lanes.len() / 2;
        lanes = (0..half)
            .map(|i| e.combine(reduce.kind, reduce.dtype, lanes[i], lanes[i + half]))
            .collect();
    }
    lanes[0]
}

impl Emitter<'_> {
    /// The place of an outer index, given as one number.
    pub(super) fn outer_place(&mut self, unit: Option<Value>) -> Place {
        let kernel = self.kernel;
        let mut indices = vec![];
        if let Some(unit) = unit {
            for axis in 0..kernel.outer.len() {
                let inner: u64 = kernel.outer[axis + 1..].iter().product();
                let mut index = unit;
                if inner > 1 {
                    index = self.b.ins().udiv_imm_s(index, inner as i64);
                }
                if axis > 0 {
                    index = self.b.ins().urem_imm_s(index, kernel.outer[axis].max(1) as i64);
                }
                indices.push(index);
            }
        }
        let mut pointers = self.bases.clone();
        for (pointer, operand) in pointers.iter_mut().zip(&kernel.operands) {
            for (&index, &stride) in indices.iter().zip(&operand.outer) {
                *pointer = self.advance(*pointer, index, stride, operand.dtype);
            }
        }
        let outer = indices.iter().map(|&i| self.b.ins().ireduce(types::I32, i)).collect();
        Place { pointers, outer, row: None, col: None, ahead: 0, is_wide: false }
    }
}
