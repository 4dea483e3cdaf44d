//! Tasks over spans: what each element may be after a task in fast mode.
//!
//! In: a task, and what its buffers hold, to the bit. Out: a span for each element. Sums of rows
//! and columns are taken in any order; those of 16-bit products on tensor cores; what lies between
//! the products of an attention is rounded to 16 bits before the next one reads it.

use super::kernel::Memory;
use super::numbers::{Numbers, fold_of};
use super::schedule::eval_over;
use super::span::Span;
use crate::body::constant_bits;
use crate::kernel::{Kernel, Reduction, Scalar};
use crate::narrow;
use crate::schedule::{Schedule, Target, Task};
use crate::types::Dtype;

/// The steps of k that a tensor core adds at once.
const STEPS: f64 = 16.0;
/// What one such addition may be off by, of the magnitudes: the sum is cut off to 24 bits.
const STEP: f64 = 1.0 / (1u64 << 23) as f64;

/// Buffers of spans; those that no task names are empty.
#[derive(Debug, Clone)]
pub struct Spans(Vec<Vec<Span>>);

impl Spans {
    /// What an element may be.
    pub fn at(&self, buffer: usize, at: usize) -> Span {
        self.0[buffer][at]
    }
}

/// What a task may leave of what is in memory.
pub fn eval_spans(task: &Task, schedule: &Schedule, target: &Target, memory: &Memory) -> Spans {
    let mut spans = Spans(vec![vec![]; memory.0.len()]);
    for arg in task.args() {
        let at = arg.buffer.0 as usize;
        let data = &memory.0[at];
        spans.0[at] = (0..data.len()).map(|i| Span::one(data.number(i))).collect();
    }
    eval_over(task, schedule, target, &mut spans);
    spans
}

impl Numbers for Spans {
    type Value = Span;

    fn of(dtype: Dtype, bits: u64) -> Span {
        Span::of(dtype, bits)
    }

    fn int(span: Span) -> u64 {
        assert!(span.is_known(), "an index depends on no sum");
        (span.lo as i32 as u32).into()
    }

    fn apply(op: Scalar, dtypes: &[Dtype], args: &[Span]) -> Span {
        Span::apply(op, dtypes, args)
    }

    fn reduce(kind: Reduction, dtype: Dtype, _: bool, all: &[Span]) -> Span {
        if kind == Reduction::Sum && dtype.is_float() && all.len() > 1 {
            return any_order(dtype, all);
        }
        let (op, identity) = fold_of(kind);
        let identity = Span::of(dtype, constant_bits(dtype, identity));
        all.iter().fold(identity, |sum, &x| Span::apply(op, &[dtype; 2], &[sum, x]))
    }

    fn chain(operands: Dtype, products: &[[Span; 2]]) -> Span {
        let zero = Span::one(0.0);
        if !operands.is_narrow() {
            let fma =
                |sum, &[x, y]: &[Span; 2]| Span::apply(Scalar::Fma, &[Dtype::F32; 3], &[x, y, sum]);
            return products.iter().fold(zero, fma);
        }
        let (mut lo, mut hi, mut magnitudes) = (0.0, 0.0, 0.0);
        for pair in products {
            let [x, y] = pair.map(|side| rounded(operands, side));
            let ends = [x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi];
            if ends.iter().any(|end| !end.is_finite()) || x.may_be_nan || y.may_be_nan {
                return Span::ANY;
            }
            lo += ends.iter().fold(f64::INFINITY, |least, &end| least.min(end));
            hi += ends.iter().fold(f64::NEG_INFINITY, |most, &end| most.max(end));
            magnitudes += x.most() * y.most();
        }
        let by = (products.len() as f64 / STEPS + 2.0) * STEP * magnitudes;
        Span::outwards(Dtype::F32, lo - by, hi + by)
    }

    fn kernel(kernel: &Kernel) -> Kernel {
        kernel.clone()
    }

    fn get(&self, buffer: usize, at: usize) -> Span {
        self.0[buffer][at]
    }

    fn set(&mut self, buffer: usize, at: usize, span: Span) {
        self.0[buffer][at] = span;
    }

    fn n_buffers(&self) -> usize {
        self.0.len()
    }

    fn push(&mut self, _: Dtype, all: Vec<Span>) {
        self.0.push(all);
    }

    fn truncate(&mut self, n: usize) {
        self.0.truncate(n);
    }
}

/// A sum of floats: each addition rounds, in whatever order, what is at most all magnitudes.
fn any_order(dtype: Dtype, all: &[Span]) -> Span {
    // Of f64 the sums here are rounded, too.
    let unit = if dtype == Dtype::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) / 2.0 };
    let sum = |of: fn(&Span) -> f64| all.iter().map(of).sum::<f64>();
    let by = all.len() as f64 * unit * sum(Span::most);
    if all.iter().any(|span| span.may_be_nan) {
        return Span::ANY;
    }
    Span::outwards(dtype, sum(|span| span.lo) - by, sum(|span| span.hi) + by)
}

/// A side of a product, which may be rounded to 16 bits in other steps than those here.
fn rounded(dtype: Dtype, side: Span) -> Span {
    let is_kept = side.is_known() && f64::from(narrow::round(dtype, side.lo as f32)) == side.lo;
    if is_kept {
        return side;
    }
    // Half the distance of neighbours, of normal numbers and below them.
    let (unit, least) = match dtype {
        Dtype::F16 => (2f64.powi(-11), 2f64.powi(-25)),
        Dtype::Bf16 | Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => {
            (2f64.powi(-8), 2f64.powi(-134))
        }
    };
    let by = |end: f64| unit * end.abs() + least;
    Span { lo: side.lo - by(side.lo), hi: side.hi + by(side.hi), ..side }
}
