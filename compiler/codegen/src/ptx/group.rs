//! Rows of a tile in a block: 16 threads a row, the lanes of the reduction.
//!
//! Thread `i` of a group is lane `i`: it takes columns `i`, `i + 16`, …, and the tree over the lanes
//! is four shuffles. Two rows share a warp.

use ir::kernel::{Inst, Kernel, LANES};
use ptx_builder::{B32, Cmp, Logic, Reg, Shuffle, Special, Val};

use super::emitter::{Emitter, Env, Span, Value};
use super::memory::{Place, Pointer, small};
use super::threads::{Reduce, both, reductions};
use crate::flow::{Flow, arguments};

/// Threads of a row.
pub(super) const GROUP: u32 = LANES as u32;
/// `shfl` within 16 lanes: those that stay, and the last one.
const WITHIN: u32 = 0x100f;

/// One row by a group of lanes, which all get here; stores are done where the place says.
pub(super) fn row(e: &mut Emitter<'_>, place: &Place) {
    let thread = e.b.special(Special::TidX);
    let lane: Reg<B32> = e.b.logic(Logic::And, thread, small(LANES - 1));
    let is_first = e.b.icmp(Cmp::Eq, lane, 0);
    let writes = Some(both(e, is_first, place.writes));
    let whole = Place { writes, ..place.clone() };
    let mut env = e.env();
    let mut is_done = vec![false; e.kernel.body.len()];
    for phase in 0..=e.flow.last {
        if phase > 0 {
            settle(e, place);
        }
        once(e, &mut env, &mut is_done, &whole, phase);
        columns(e, &mut env, place, lane, phase);
    }
    settle(e, place);
    once(e, &mut env, &mut is_done, &whole, u32::MAX);
}

/// One lane is about to write what all lanes of a row have read: shuffles do not order memory.
fn settle(e: &mut Emitter<'_>, place: &Place) {
    if place.pointers.iter().any(|pointer| matches!(pointer, Pointer::Shared(_))) {
        e.b.warp_barrier();
    }
}

/// What is the same in all columns, up to a phase; one lane stores.
fn once(e: &mut Emitter<'_>, env: &mut Env, is_done: &mut [bool], place: &Place, last: u32) {
    for (at, done) in is_done.iter_mut().enumerate() {
        let is_reduce = matches!(e.kernel.body[at], Inst::Reduce { .. });
        let is_now = e.flow.rates[at].is_once() && e.flow.phases[at] <= last;
        if is_now && !*done && !is_reduce {
            e.eval_all(&[at], env, place);
            *done = true;
        }
    }
}

/// The loop of a phase over the columns.
fn columns(e: &mut Emitter<'_>, env: &mut Env, place: &Place, lane: Reg<B32>, phase: u32) {
    let reduces = reductions(e, phase);
    let insts = loop_insts(e.kernel, e.flow, phase);
    if insts.is_empty() && reduces.is_empty() {
        return;
    }
    let sums: Vec<Value> = reduces.iter().map(|(_, r)| e.identity(r.kind, r.dtype)).collect();
    let sums: Vec<Value> = sums.into_iter().map(|sum| e.copy(sum)).collect();
    let (first, end) = match e.span {
        None => (lane, Val::from(small(e.kernel.cols))),
        Some(Span { first, n }) => (e.b.iadd(first, lane), e.b.iadd(first, n).into()),
    };
    e.count_loop(first, end, small(LANES), |e, col| {
        let place = e.at_column(place, col);
        let mut inner = env.clone();
        e.eval_all(&insts, &mut inner, &place);
        for (&sum, (_, reduce)) in sums.iter().zip(&reduces) {
            let value = e.lane(&inner, reduce.of, 0);
            e.combine_to(reduce.kind, sum, value);
        }
    });
    for ((at, reduce), sum) in reduces.iter().zip(sums) {
        tree(e, reduce, sum);
        env[*at] = Some(vec![from_first(e, sum)]);
    }
}

/// Lane `i` takes `i + 8`, then `+ 4`, `+ 2`, `+ 1`.
fn tree(e: &mut Emitter<'_>, reduce: &Reduce, sum: Value) {
    for distance in [8, 4, 2, 1] {
        let other = across(e, Shuffle::Down, sum, distance, WITHIN);
        e.combine_to(reduce.kind, sum, other);
    }
}

/// The value of lane 0 in all lanes of the group.
fn from_first(e: &mut Emitter<'_>, value: Value) -> Value {
    across(e, Shuffle::Index, value, 0, WITHIN)
}

/// The value of another lane; `bound` as [`ptx_builder::Builder::shuffle`] has it.
pub(super) fn across(
    e: &mut Emitter<'_>,
    how: Shuffle,
    value: Value,
    lane: i32,
    bound: u32,
) -> Value {
    match value {
        Value::F32(x) => Value::F32(e.b.shuffle(how, x, lane, bound)),
        Value::Int(x) => Value::Int(e.b.shuffle(how, x, lane, bound)),
        Value::F64(x) => Value::F64(e.b.shuffle_f64(how, x, lane, bound)),
        Value::Bool(_) => unreachable!("sums are numbers"),
    }
}

/// What the loop of a phase evaluates at each column, stores in the last one.
pub(super) fn loop_insts(kernel: &Kernel, flow: &Flow, phase: u32) -> Vec<usize> {
    let body = &kernel.body;
    let is_element = |at: usize| !flow.rates[at].is_once();
    let is_store = |&at: &usize| {
        phase == flow.last && is_element(at) && matches!(body[at], Inst::Store { .. })
    };
    let mut roots: Vec<usize> = (0..body.len()).filter(is_store).collect();
    let reduces = flow.reductions(kernel, phase).into_iter();
    let reduced = reduces.flat_map(|at| arguments(&body[at])).map(|reg| reg.0 as usize);
    roots.extend(reduced.filter(|&at| is_element(at)));
    flow.needed(kernel, &roots, |at| {
        is_element(at) && !matches!(body[at], Inst::Store { .. } | Inst::Reduce { .. })
    })
}
