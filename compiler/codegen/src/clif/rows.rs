//! The `Rows` skeleton: for each outer index, loops over the columns, one a phase.
//!
//! A loop runs the reductions of its phase; the last one also stores. Later loops evaluate again
//! what they need from the operands, or read what was kept on the stack because it took long.

use cranelift_codegen::ir::{InstBuilder, StackSlot, Value, types};
use ir::kernel::{Inst, LANES, Reduction, Reg};
use ir::types::Dtype;

use super::emitter::{Emitter, Env, Val, WIDTH};
use super::memory::{Place, flags, stored, vector};
use crate::flow::{arguments, is_shift};

/// Vectors of a row reduction's lanes.
const GROUPS: i64 = LANES as i64 / WIDTH;
/// Bodies up to this size are unrolled four times in maps; a reduction always has its four groups.
const UNROLL_INSTS: usize = 16;

/// Reductions of bodies up to this size evaluate their four groups at once; others keep the row's
/// values in memory first.
const HEAVY_INSTS: usize = 16;
/// Operations that a later loop would repeat, from which on a value is kept for it.
const KEEP_OPS: usize = 6;
/// Bytes of a kept row, at most; a thread's stack holds a few.
const KEEP_BYTES: u64 = 1 << 14;

/// A range of columns; `known` when the compiler knows it, else it starts at a multiple of
/// [`LANES`] and ends at one or at the last column.
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

/// The instructions whose values of a whole row lie on the stack.
type Kept = Vec<Option<StackSlot>>;

/// Emits the body of the function.
pub(super) fn emit(e: &mut Emitter<'_>) {
    let env = e.constants();
    if e.kernel.outer.is_empty() {
        let place = e.outer_place(None);
        let columns = Columns { bounds: e.range, known: None };
        return row(e, env, &place, &columns);
    }
    let range = e.range;
    e.count_loop(range, 1, &[], |e, unit, _| {
        let place = e.outer_place(Some(unit));
        let n = i64::try_from(e.kernel.cols).expect("dimensions are below 2^31");
        let columns = Columns { bounds: [e.int(0), e.int(n)], known: Some(n) };
        row(e, env, &place, &columns);
        vec![]
    });
}

fn row(e: &mut Emitter<'_>, mut env: Env, place: &Place, columns: &Columns) {
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
    let mut kept: Kept = vec![None; e.kernel.body.len()];
    for phase in 0..=e.flow.last {
        once(e, &mut env, phase);
        phase_loop(e, &mut env, &mut kept, place, columns, phase);
    }
    once(e, &mut env, u32::MAX);
}

fn phase_loop(
    e: &mut Emitter<'_>,
    env: &mut Env,
    kept: &mut Kept,
    place: &Place,
    columns: &Columns,
    phase: u32,
) {
    let reduces = reduces_of(e, phase);
    let insts = loop_insts(e, kept, phase);
    let new = to_keep(e, kept, &insts, &reduces, phase);
    let first = Walk { insts: &insts, env, place, reduces: &reduces, loads: kept, stores: &new };
    let results = if new.is_empty() || reduces.is_empty() || insts.len() <= HEAVY_INSTS {
        first.columns(e, columns)
    } else {
        // What is reduced was kept, so the second loop only adds it up.
        Walk { reduces: &[], ..first }.columns(e, columns);
        add_slots(kept, &new);
        Walk { insts: &[], env, place, reduces: &reduces, loads: kept, stores: &[] }
            .columns(e, columns)
    };
    add_slots(kept, &new);
    for (reduce, result) in reduces.iter().zip(results) {
        env[reduce.at] = Some(Val::One(result));
    }
}

fn add_slots(kept: &mut Kept, new: &[(usize, StackSlot)]) {
    for &(at, slot) in new {
        kept[at] = Some(slot);
    }
}

fn reduces_of(e: &Emitter<'_>, phase: u32) -> Vec<Reduce> {
    let mut reduces = vec![];
    for at in e.flow.reductions(e.kernel, phase) {
        if let Inst::Reduce { kind, value } = &e.kernel.body[at] {
            reduces.push(Reduce { at, kind: *kind, value: *value, dtype: e.dtype(*value) });
        }
    }
    reduces
}

/// What the loop of a phase evaluates at each element, stores among it.
fn loop_insts(e: &Emitter<'_>, kept: &Kept, phase: u32) -> Vec<usize> {
    let body = &e.kernel.body;
    let is_element = |at: usize| !e.flow.rates[at].is_once() && kept[at].is_none();
    let is_store = |&at: &usize| {
        phase == e.flow.last && is_element(at) && matches!(body[at], Inst::Store { .. })
    };
    let mut roots: Vec<usize> = (0..body.len()).filter(is_store).collect();
    let reduced = reduces_of(e, phase).into_iter().map(|r| r.value.0 as usize);
    roots.extend(reduced.filter(|&at| is_element(at)));
    e.flow.needed(e.kernel, &roots, |at| {
        is_element(at) && !matches!(body[at], Inst::Store { .. } | Inst::Reduce { .. })
    })
}

/// The values of a loop that are worth keeping: what a heavy loop reduces, and what later loops
/// would take long to evaluate again.
fn to_keep(
    e: &mut Emitter<'_>,
    kept: &Kept,
    insts: &[usize],
    reduces: &[Reduce],
    phase: u32,
) -> Vec<(usize, StackSlot)> {
    let body = &e.kernel.body;
    let mut wanted = vec![false; body.len()];
    if !reduces.is_empty() && insts.len() > HEAVY_INSTS {
        for reduce in reduces.iter().filter(|r| insts.contains(&(r.value.0 as usize))) {
            wanted[reduce.value.0 as usize] = true;
        }
    }
    for later in phase + 1..=e.flow.last {
        let theirs = loop_insts(e, kept, later);
        let new: Vec<usize> = theirs.iter().copied().filter(|at| !insts.contains(at)).collect();
        let mut starts: Vec<usize> =
            new.iter().flat_map(|&at| arguments(&body[at])).map(|a| a.0 as usize).collect();
        starts.extend(reduces_of(e, later).iter().map(|r| r.value.0 as usize));
        for at in starts.into_iter().filter(|at| insts.contains(at)) {
            let cone = e.flow.needed(e.kernel, &[at], |at| insts.contains(&at));
            let is_op = |&&at: &&usize| matches!(body[at], Inst::Apply { .. });
            wanted[at] |= cone.iter().filter(is_op).count() >= KEEP_OPS;
        }
    }
    let mut slots = vec![];
    for at in (0..wanted.len()).filter(|&at| wanted[at]) {
        let dtype = e.flow.types[at].held();
        let bytes = e.kernel.cols * dtype.bytes();
        if dtype != Dtype::Bool && bytes <= KEEP_BYTES && !e.kernel.outer.is_empty() {
            let bytes = u32::try_from(bytes.max(16)).expect("a kept row is short");
            slots.push((at, e.slot(bytes)));
        }
    }
    slots
}

/// One loop over the columns.
struct Walk<'w> {
    insts: &'w [usize],
    env: &'w Env,
    place: &'w Place,
    reduces: &'w [Reduce],
    /// Values of earlier loops.
    loads: &'w Kept,
    /// Values for later loops.
    stores: &'w [(usize, StackSlot)],
}

impl Walk<'_> {
    /// The loop: whole vectors, then the rest one by one; gives the results of the reductions.
    fn columns(&self, e: &mut Emitter<'_>, columns: &Columns) -> Vec<Value> {
        if self.insts.is_empty() && self.reduces.is_empty() {
            return vec![];
        }
        let [from, to] = columns.bounds;
        let is_map = self.reduces.is_empty();
        let groups = if is_map && self.insts.len() > UNROLL_INSTS { 1 } else { GROUPS };
        let step = WIDTH * groups;
        let n = e.kernel.cols as i64;
        let split = match columns.known {
            _ if n % step == 0 => to,
            Some(n) => e.int(n - n % step),
            None => {
                let n = e.b.ins().isub(to, from);
                let whole = e.b.ins().band_imm_s(n, -step);
                e.b.ins().iadd(from, whole)
            }
        };
        let mut lanes = self.identities(e);
        if n >= step {
            self.spread(e);
            lanes = e.count_loop([from, split], step, &lanes, |e, at, lanes| {
                self.step(e, at, groups, lanes)
            });
        }
        if n % step != 0 {
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

    /// Brings what is the same in all columns into vectors, ahead of the loop.
    fn spread(&self, e: &mut Emitter<'_>) {
        for &at in self.insts {
            let Inst::Apply { op, args } = &e.kernel.body[at] else { continue };
            for &arg in args.iter().filter(|_| !is_shift(*op)) {
                let Some(value @ Val::One(one)) = self.env[arg.0 as usize] else { continue };
                if e.constant_bits(one).is_none() {
                    e.four(e.dtype(arg), value);
                }
            }
        }
    }

    /// The place at a column, for the operands of this loop.
    fn place_at(&self, e: &mut Emitter<'_>, at: Value) -> Place {
        let body = &e.kernel.body;
        let mut is_used = vec![false; e.kernel.operands.len()];
        for &inst in self.insts {
            if let Inst::Load { operand }
            | Inst::LoadAt { operand, .. }
            | Inst::Store { operand, .. } = body[inst]
            {
                is_used[operand] = true;
            }
        }
        e.at_column(self.place, at, |operand| is_used[operand])
    }

    /// Evaluates a place; values of earlier loops are read, those for later ones written.
    fn eval(&self, e: &mut Emitter<'_>, place: &Place) -> Env {
        let mut env = self.env.clone();
        let uses = self.insts.iter().flat_map(|&at| arguments(&e.kernel.body[at]));
        let uses: Vec<Reg> = uses.chain(self.reduces.iter().map(|r| r.value)).collect();
        for reg in uses {
            let at = reg.0 as usize;
            if let (Some(slot), None) = (self.loads[at], env[at]) {
                let dtype = e.dtype(reg).held();
                let (address, offset) = kept_address(e, slot, place, dtype);
                env[at] = Some(if place.is_wide {
                    Val::Four(e.load_four(dtype, address, offset))
                } else {
                    Val::One(e.load_one(dtype, address, offset))
                });
            }
        }
        e.eval_all(self.insts, &mut env, place);
        for &(at, slot) in self.stores {
            let reg = Reg(u32::try_from(at).expect("bodies are short"));
            let (value, dtype) = (e.get(&env, reg), e.dtype(reg).held());
            let (address, offset) = kept_address(e, slot, place, dtype);
            match value {
                Val::One(value) if !place.is_wide => {
                    e.b.ins().store(flags(), value, address, offset);
                }
                Val::One(_) | Val::Four(_) => {
                    let [low, high] = e.four(dtype, value);
                    e.b.ins().store(flags(), low, address, offset);
                    if dtype == Dtype::F64 {
                        e.b.ins().store(flags(), high, address, offset + 16);
                    }
                }
            }
        }
        env
    }

    /// Evaluates `groups` times four columns and adds them to the lanes.
    fn step(&self, e: &mut Emitter<'_>, at: Value, groups: i64, lanes: &[Value]) -> Vec<Value> {
        let mut lanes = lanes.to_vec();
        let place = self.place_at(e, at);
        for group in 0..groups {
            let env = self.eval(e, &place.group(group * WIDTH, true));
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
            let place = self.place_at(e, at);
            let env = self.eval(e, &place);
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

/// Where the values of a place lie in a kept row.
fn kept_address(e: &mut Emitter<'_>, slot: StackSlot, place: &Place, dtype: Dtype) -> (Value, i32) {
    let base = e.b.ins().stack_addr(types::I64, slot, 0);
    let col = place.col.expect("a kept value is read at a column");
    let offset = place.ahead * dtype.bytes() as i64;
    (e.advance(base, col, 1, dtype), i32::try_from(offset).expect("a few columns ahead"))
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
