//! Kernels that reduce rows: a team of threads for each row.
//!
//! In exact mode the partial sums of a team are the 16 lanes of the definition and so is its tree.
//! In fast mode a team is as large as its row asks for; every thread adds up what it has, then come
//! trees over the lanes of a warp and over the warps: the same order in every run. A row that is
//! short stays in registers from one phase to the next.

use ir::kernel::{Inst, Kernel, LANES};
use ir::types::Dtype;
use ptx_builder::{B32, Cmp, Logic, Pred, Reg, Shuffle, Special};

use super::THREADS;
use super::emitter::{Emitter, Env, Value};
use super::group::{across, loop_insts};
use super::launches::Numerics;
use super::memory::{Place, Pointer, small};
use super::threads::{Reduce, both, place_of, reductions, together};
use super::wide::Wide;
use crate::flow::{Flow, arguments};

const WARP: u32 = 32;
/// Bytes of a warp's sum in shared memory.
const SLOT: u64 = 8;
/// Registers that the elements of a row may take between phases: with few threads a row, more.
const fn held_at_most(numerics: Numerics) -> u64 {
    match numerics {
        Numerics::Exact => 96,
        Numerics::Fast => 48,
    }
}
/// Instructions that an unrolled row may have.
const UNROLLED: u64 = 4096;
/// Rows from which teams of fewer threads with vectors are enough for a device.
const MANY: u64 = 8192;

/// How the rows of a kernel are shared out.
pub(super) struct Team {
    numerics: Numerics,
    /// Threads of a row, a power of two.
    size: u32,
    wide: Wide,
    /// Groups of columns that each thread holds in registers.
    held: Option<u64>,
}

impl Team {
    pub(super) fn new(kernel: &Kernel, flow: &Flow, aligned: &[u64], numerics: Numerics) -> Team {
        let wide = Wide::new(kernel, flow, aligned);
        let (size, wide) = match numerics {
            Numerics::Fast => {
                let groups = wide.groups(kernel.cols).next_power_of_two().min(WARP.into());
                let size = match kernel.cols {
                    0..=1024 => groups as u32,
                    1025..=4096 => 128,
                    4097..=8192 => 256,
                    _ => 512,
                };
                (size, wide)
            }
            Numerics::Exact => {
                let rows: u64 = kernel.outer.iter().product();
                let is_plain = wide.starts_whole() && wide.width <= 4 && flow.last == 0;
                let wide = if is_plain && rows >= MANY { wide } else { Wide::none(kernel) };
                ((LANES / wide.width) as u32, wide)
            }
        };
        let held = held(kernel, flow, &wide, size, held_at_most(numerics));
        Team { numerics, size, wide, held }
    }

    /// Threads of a block.
    pub(super) fn threads(&self) -> u32 {
        self.size.max(THREADS)
    }

    fn warps(&self) -> u32 {
        self.size.div_ceil(WARP)
    }
}

/// Groups of columns for each thread, where the values that one phase leaves to the next ones have
/// room in registers.
fn held(kernel: &Kernel, flow: &Flow, wide: &Wide, size: u32, most: u64) -> Option<u64> {
    let n = wide.groups(kernel.cols).div_ceil(size.into());
    let elements = n * wide.width;
    let n_insts = flow.rates.iter().filter(|rate| !rate.is_once()).count() as u64;
    let fits = elements * live(kernel, flow).max(1) <= most && elements * n_insts <= UNROLLED;
    (wide.is_always_whole(kernel.cols) && fits).then_some(n)
}

/// The most registers that one column takes between two phases.
fn live(kernel: &Kernel, flow: &Flow) -> u64 {
    let n = kernel.body.len();
    let (mut first, mut last) = (vec![u32::MAX; n], vec![0; n]);
    for phase in 0..=flow.last {
        for at in loop_insts(kernel, flow, phase) {
            if first[at] == u32::MAX {
                first[at] = phase;
                for arg in arguments(&kernel.body[at]) {
                    last[arg.0 as usize] = phase;
                }
            }
        }
        for at in flow.reductions(kernel, phase) {
            for arg in arguments(&kernel.body[at]) {
                last[arg.0 as usize] = phase;
            }
        }
    }
    let registers = |at: usize| if flow.types[at] == Dtype::F64 { 2 } else { 1 };
    let between = |phase: u32| -> u64 {
        (0..n).filter(|&at| first[at] <= phase && phase < last[at]).map(registers).sum()
    };
    (0..flow.last).map(between).max().unwrap_or(0)
}

/// A row under emission.
struct Row<'a> {
    team: &'a Team,
    place: Place,
    /// The thread in its team.
    member: Reg<B32>,
    is_first: Reg<Pred>,
    /// Groups of the row, none where a team has no row.
    groups: Option<Reg<B32>>,
    /// The place of each group that is held, and the values there.
    held: Vec<(Place, Env)>,
    /// Sums in shared memory so far.
    slots: u32,
}

/// A team for each outer index; gives the blocks of the grid, and the shared memory of each.
pub(super) fn rows(e: &mut Emitter<'_>, team: &Team) -> [u64; 2] {
    let kernel = e.kernel;
    let per_block = team.threads() / team.size;
    let n: u64 = kernel.outer.iter().product();
    let bases = e.bases();
    let thread = e.b.special(Special::TidX);
    let index = e.b.shr(thread, team.size.ilog2());
    let member: Reg<B32> = e.b.logic(Logic::And, thread, team.size - 1);
    let (outer, is_inside) = place_of(e, &kernel.outer, per_block, index);
    let place = e.place_at(&bases, outer);
    let is_first = e.b.icmp(Cmp::Eq, member, 0);
    let is_first = both(e, is_first, is_inside);
    let groups = small(team.wide.groups(kernel.cols));
    let groups = is_inside.map(|is_inside| e.b.select(is_inside, groups, 0));
    let mut row = Row { team, place, member, is_first, groups, held: vec![], slots: 0 };
    row.hold(e);
    let (mut env, mut is_done) = (e.env(), vec![false; kernel.body.len()]);
    for phase in 0..=e.flow.last {
        row.once(e, &mut env, &mut is_done, phase);
        row.columns(e, &mut env, phase);
    }
    row.once(e, &mut env, &mut is_done, u32::MAX);
    let slots = u64::from(row.slots) * u64::from(team.warps()) * SLOT;
    [n.div_ceil(per_block.into()), slots]
}

impl Row<'_> {
    /// The places that the thread holds.
    fn hold(&mut self, e: &mut Emitter<'_>) {
        let wide = &self.team.wide;
        let Some(n) = self.team.held else { return };
        let first = e.b.imul(self.member, small(wide.width));
        let start = e.at_column(&self.place, first);
        for at in 0..n {
            let cols = small(at * u64::from(self.team.size) * wide.width);
            let mut place = start.clone();
            if at > 0 {
                place.col = Some(e.b.iadd(first, cols));
                for (pointer, operand) in place.pointers.iter_mut().zip(&e.kernel.operands) {
                    let bytes = i64::from(cols) * operand.col * operand.dtype.bytes().cast_signed();
                    if let (Pointer::Global(base), true) = (*pointer, bytes != 0) {
                        *pointer = Pointer::Global(e.b.iadd(base, bytes));
                    }
                }
            }
            self.held.push((place, e.env()));
        }
    }

    /// What is the same in all columns, up to a phase; one thread stores.
    fn once(&self, e: &mut Emitter<'_>, env: &mut Env, is_done: &mut [bool], last: u32) {
        let place = Place { writes: Some(self.is_first), ..self.place.clone() };
        let mut is_read = true;
        for (at, done) in is_done.iter_mut().enumerate() {
            let inst = &e.kernel.body[at];
            let is_now = e.flow.rates[at].is_once() && e.flow.phases[at] <= last;
            if *done || !is_now || matches!(inst, Inst::Reduce { .. }) {
                continue;
            }
            // One thread is about to write what others of its team may not have read yet.
            if matches!(inst, Inst::Store { .. }) && std::mem::take(&mut is_read) {
                self.meet(e);
            }
            is_read |= matches!(inst, Inst::Load { .. } | Inst::LoadAt { .. });
            e.eval_all(&[at], env, &place);
            *done = true;
        }
    }

    /// All threads of the team get here before one goes on.
    fn meet(&self, e: &mut Emitter<'_>) {
        if self.team.size > WARP {
            e.b.barrier();
        } else if self.team.size > 1 {
            e.b.warp_barrier();
        }
    }

    /// A phase over the columns.
    fn columns(&mut self, e: &mut Emitter<'_>, env: &mut Env, phase: u32) {
        let team = self.team;
        let reduces = reductions(e, phase);
        let insts = loop_insts(e.kernel, e.flow, phase);
        if insts.is_empty() && reduces.is_empty() {
            return;
        }
        let mut all = e.with(Some(&team.wide));
        let sums: Vec<Vec<Value>> = reduces.iter().map(|(_, reduce)| all.sums(reduce)).collect();
        if team.held.is_some() {
            self.held_columns(e, env, &insts, (&reduces, &sums));
        } else if team.wide.is_always_whole(e.kernel.cols) {
            self.long_columns(e, env, &insts, (&reduces, &sums));
        } else {
            let place = self.place.clone();
            let body = |e: &mut Emitter<'_>, col| {
                let mut own = env.clone();
                let place = e.at_column(&place, col);
                e.eval_all(&insts, &mut own, &place);
                e.add(&own, &reduces, &sums);
            };
            let groups = self.groups(e);
            e.count_loop(self.member, groups, team.size.cast_signed(), |e, group| {
                e.group(&team.wide, &place.outer, group, body);
            });
        }
        let sums = self.whole(e, &reduces, sums);
        for ((at, _), sum) in reduces.iter().zip(sums) {
            env[*at] = Some(vec![sum]);
        }
    }

    fn groups(&self, e: &mut Emitter<'_>) -> Reg<B32> {
        self.groups.unwrap_or_else(|| e.b.mov(small(self.team.wide.groups(e.kernel.cols))))
    }

    /// A phase over a row that is read anew: some groups are asked for together, and added in
    /// their order.
    fn long_columns(
        &self,
        e: &mut Emitter<'_>,
        env: &Env,
        insts: &[usize],
        (reduces, sums): (&[(usize, Reduce)], &[Vec<Value>]),
    ) {
        let (wide, size) = (&self.team.wide, self.team.size.cast_signed());
        let kernel = e.kernel;
        // What comes after a store may read what it wrote.
        let is_store = |at: &usize| matches!(kernel.body[*at], Inst::Store { .. });
        let loads = insts.iter().copied().take_while(|at| !is_store(at));
        let loads: Vec<usize> =
            loads.filter(|&at| matches!(kernel.body[at], Inst::Load { .. })).collect();
        let some = |e: &mut Emitter<'_>, first: Reg<B32>, n: i32| {
            let mut e = e.with(Some(wide));
            let mut groups: Vec<(Place, Env)> = vec![];
            for at in 0..n {
                let group = if at == 0 { first } else { e.b.iadd(first, at * size) };
                let col = e.b.imul(group, small(wide.width));
                let (place, mut own) = (e.at_column(&self.place, col), env.clone());
                e.eval_all(&loads, &mut own, &place);
                groups.push((place, own));
            }
            for (place, mut own) in groups {
                let rest: Vec<usize> =
                    insts.iter().copied().filter(|&at| own[at].is_none()).collect();
                e.eval_all(&rest, &mut own, &place);
                e.add(&own, reduces, sums);
            }
        };
        let n = together(&e.with(Some(wide)), &loads).cast_signed();
        let groups = self.groups(e);
        let mut next = self.member;
        if n > 1 {
            let last = e.b.iadd(groups, (1 - n) * size);
            next = e.count_loop(next, last, n * size, |e, first| some(e, first, n));
        }
        e.count_loop(next, groups, size, |e, first| some(e, first, 1));
    }

    /// A phase over what the thread holds: each instruction is evaluated in the first phase that
    /// needs it.
    fn held_columns(
        &mut self,
        e: &mut Emitter<'_>,
        env: &Env,
        insts: &[usize],
        (reduces, sums): (&[(usize, Reduce)], &[Vec<Value>]),
    ) {
        let team = self.team;
        let (size, groups) = (u64::from(team.size), team.wide.groups(e.kernel.cols));
        for (at, (place, own)) in (0..).zip(&mut self.held) {
            for (own, once) in own.iter_mut().zip(env) {
                if own.is_none() {
                    own.clone_from(once);
                }
            }
            let insts: Vec<usize> =
                insts.iter().copied().filter(|&inst| own[inst].is_none()).collect();
            let is_always = self.groups.is_none() && (at + 1) * size <= groups;
            let skip = (!is_always).then(|| {
                let group = e.b.iadd(self.member, small(at * size));
                let is_there = match self.groups {
                    Some(groups) => e.b.icmp(Cmp::Lt, group, groups),
                    None => e.b.icmp(Cmp::Lt, group, small(groups)),
                };
                let skip = e.b.label();
                e.b.bra_if(is_there, false, skip);
                skip
            });
            let mut e = e.with(Some(&team.wide));
            e.eval_all(&insts, own, place);
            e.add(own, reduces, sums);
            if let Some(skip) = skip {
                e.b.place(skip);
            }
        }
    }

    /// The sums of the team in all of its threads.
    fn whole(
        &mut self,
        e: &mut Emitter<'_>,
        reduces: &[(usize, Reduce)],
        sums: Vec<Vec<Value>>,
    ) -> Vec<Value> {
        let size = self.team.size;
        let pairs = reduces.iter().zip(sums);
        if self.team.numerics == Numerics::Exact {
            return pairs.map(|((_, reduce), sums)| lanes(e, reduce, sums, size)).collect();
        }
        let warp = size.min(WARP);
        let mut sums: Vec<Value> =
            pairs.map(|((_, reduce), sums)| butterfly(e, reduce, sums, warp)).collect();
        if size > WARP && !sums.is_empty() {
            self.exchange(e, reduces, &mut sums);
        }
        sums
    }

    /// The sums of the warps by way of shared memory.
    fn exchange(&mut self, e: &mut Emitter<'_>, reduces: &[(usize, Reduce)], sums: &mut [Value]) {
        let n = self.team.warps();
        let start = e.b.shared();
        let (warp, lane) = (e.b.shr(self.member, WARP.ilog2()), e.b.special(Special::LaneId));
        let slot = small(SLOT);
        let own = e.b.mad(warp, slot, start);
        let other: Reg<B32> = e.b.logic(Logic::And, lane, n - 1);
        let other = e.b.mad(other, slot, start);
        let is_first = e.b.icmp(Cmp::Eq, lane, 0);
        // Each phase has slots of its own: none is written again.
        let offset =
            |at: usize, slots: u32| (slots + at as u32).cast_signed() * n.cast_signed() * slot;
        for (at, &sum) in sums.iter().enumerate() {
            let offset = offset(at, self.slots);
            e.b.guarded(is_first, true, |b| match sum {
                Value::F32(x) => b.store_shared(own, offset, x),
                Value::F64(x) => b.store_shared(own, offset, x),
                Value::Int(x) => b.store_shared(own, offset, x),
                Value::Bool(_) => unreachable!("sums are numbers"),
            });
        }
        e.b.barrier();
        for ((at, sum), (_, reduce)) in sums.iter_mut().enumerate().zip(reduces) {
            let offset = offset(at, self.slots);
            let read = match *sum {
                Value::F32(_) => Value::F32(e.b.load_shared(other, offset)),
                Value::F64(_) => Value::F64(e.b.load_shared(other, offset)),
                Value::Int(_) => Value::Int(e.b.load_shared(other, offset)),
                Value::Bool(_) => unreachable!("sums are numbers"),
            };
            *sum = butterfly(e, reduce, vec![read], n);
        }
        self.slots += sums.len() as u32;
    }
}

/// The tree over the 16 lanes of a reduction, which lie side by side in `size` threads: lane `i`
/// takes `i + 8`, then `+ 4`, `+ 2`, `+ 1`; the value of lane 0 goes to all.
fn lanes(e: &mut Emitter<'_>, reduce: &Reduce, mut sums: Vec<Value>, size: u32) -> Value {
    let bound = (WARP - size) << 8 | (size - 1);
    for distance in [8, 4, 2, 1] {
        let apart = distance / sums.len();
        for lane in 0..sums.len().min(distance) {
            let other = match sums.get(lane + distance) {
                Some(&other) => other,
                None => across(e, Shuffle::Down, sums[lane], apart as i32, bound),
            };
            sums[lane] = e.combine(reduce.kind, sums[lane], other);
        }
    }
    across(e, Shuffle::Index, sums[0], 0, bound)
}

/// A tree over the sums of a thread, then over so many lanes, each of which gets the whole: both
/// orders of two operands have the same bits.
fn butterfly(e: &mut Emitter<'_>, reduce: &Reduce, mut sums: Vec<Value>, lanes: u32) -> Value {
    while sums.len() > 1 {
        let upper = sums.split_off(sums.len() / 2);
        for (sum, other) in sums.iter_mut().zip(upper) {
            *sum = e.combine(reduce.kind, *sum, other);
        }
    }
    let mut distance = lanes / 2;
    while distance > 0 {
        let other = across(e, Shuffle::Butterfly, sums[0], distance.cast_signed(), WARP - 1);
        sums[0] = e.combine(reduce.kind, sums[0], other);
        distance /= 2;
    }
    sums[0]
}
