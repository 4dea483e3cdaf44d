//! What a number may be in fast mode: from the least to the largest.
//!
//! A span holds every result of code that rounds, orders sums and approximates functions as the
//! mode allows. Where nothing was left open, a span is one number: that of the interpreter. What
//! rounds to nearest and is monotone takes the ends of its operands to those of its result.

use super::scalar::eval_scalar;
use crate::body::constant_bits;
use crate::kernel::Scalar;
use crate::types::Dtype;

/// Relative error of a function: of 16 roundings of f32.
const FUNCTION: f64 = 1.0 / (1u64 << 20) as f64;
/// What an exponential or a power may be off, relatively, for each unit of its exponent, whose
/// product with a constant is rounded.
const EXPONENT: f64 = 1.0 / (1u64 << 22) as f64;
/// Below it a function may give 0.
const TINY: f64 = 4.0 * f32::MIN_POSITIVE as f64;

/// All that a number may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The least.
    pub lo: f64,
    /// The largest.
    pub hi: f64,
    /// Whether it may be no number; always, where the ends are none.
    pub may_be_nan: bool,
}

impl Span {
    /// Nothing is known.
    pub const ANY: Span = Span { lo: f64::NEG_INFINITY, hi: f64::INFINITY, may_be_nan: true };
    const BOOL: Span = Span { lo: 0.0, hi: 1.0, may_be_nan: false };
    const INT: Span = Span { lo: i32::MIN as f64, hi: i32::MAX as f64, may_be_nan: false };

    /// One number.
    pub(super) fn one(x: f64) -> Self {
        Self { lo: x, hi: x, may_be_nan: x.is_nan() }
    }

    /// A number by its bits.
    pub(super) fn of(dtype: Dtype, bits: u64) -> Self {
        Self::one(match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => f32::from_bits(bits as u32).into(),
            Dtype::F64 => f64::from_bits(bits),
            Dtype::I32 | Dtype::Bool => (bits as u32 as i32).into(),
        })
    }

    /// From one to another, both rounded outwards to a type.
    pub(super) fn outwards(dtype: Dtype, lo: f64, hi: f64) -> Self {
        if lo.is_nan() || hi.is_nan() {
            return Self::ANY;
        }
        if dtype != Dtype::F32 {
            return Self { lo, hi, may_be_nan: false };
        }
        let (mut below, mut above) = (lo as f32, hi as f32);
        if f64::from(below) > lo {
            below = below.next_down();
        }
        if f64::from(above) < hi {
            above = above.next_up();
        }
        Self { lo: below.into(), hi: above.into(), may_be_nan: false }
    }

    /// Whether a number is in it; zeros are all one.
    pub fn holds(&self, x: f64) -> bool {
        if x.is_nan() { self.may_be_nan } else { self.lo <= x && x <= self.hi }
    }

    /// Whether everything is in it.
    pub fn is_any(&self) -> bool {
        self.may_be_nan && self.lo == f64::NEG_INFINITY && self.hi == f64::INFINITY
    }

    /// Whether it is one number, or none for sure.
    pub(super) fn is_known(&self) -> bool {
        self.lo.to_bits() == self.hi.to_bits()
    }

    /// The largest magnitude.
    pub(super) fn most(&self) -> f64 {
        self.lo.abs().max(self.hi.abs())
    }

    fn hull(self, other: Self) -> Self {
        Self {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
            may_be_nan: self.may_be_nan || other.may_be_nan,
        }
    }

    /// An operation of spans.
    pub(super) fn apply(op: Scalar, dtypes: &[Dtype], args: &[Span]) -> Self {
        let are_known = args.iter().all(Span::is_known);
        if op.is_primitive() && are_known {
            let bits: Vec<u64> =
                dtypes.iter().zip(args).map(|(&dtype, arg)| constant_bits(dtype, arg.lo)).collect();
            let dtype = op.result(dtypes).expect("a scheduled kernel is well typed");
            return Self::of(dtype, eval_scalar(op, dtypes, &bits));
        }
        let x = args[0];
        match op {
            Scalar::Select if x.is_known() => args[if x.lo == 0.0 { 2 } else { 1 }],
            Scalar::Select => args[1].hull(args[2]),
            Scalar::Div if args[1].holds(0.0) => Self::ANY,
            Scalar::Abs if x.holds(0.0) => Self { lo: 0.0, hi: x.most(), ..x },
            Scalar::Cos if are_known => Self::ends(op, dtypes, args).wider(|_| FUNCTION),
            Scalar::Cos => Self { lo: -1.0, hi: 1.0, ..x },
            Scalar::Pow if x.lo < 0.0 => Self::ANY,
            Scalar::Pow => {
                let exponent = args[1].most() * x.lo.ln().abs().max(x.hi.ln().abs());
                let by = FUNCTION + EXPONENT * exponent;
                Self::ends(op, dtypes, args).wider(|end| TINY + by * end.abs())
            }
            Scalar::Exp => {
                let by = FUNCTION + EXPONENT * x.most().min(128.0);
                Self::ends(op, dtypes, args).wider(|end| TINY + by * end.abs())
            }
            // It is 0 at 1, where what is computed by way of another base is off absolutely.
            Scalar::Log => Self::ends(op, dtypes, args).wider(|end| FUNCTION * (1.0 + end.abs())),
            Scalar::Tanh | Scalar::Erf | Scalar::Rsqrt => {
                Self::ends(op, dtypes, args).wider(|end| TINY + FUNCTION * end.abs())
            }
            Scalar::Lt | Scalar::Le | Scalar::Eq => Self::compared(op, args),
            Scalar::Cast(Dtype::Bool) => {
                if x.holds(0.0) {
                    Self::BOOL
                } else {
                    Self::one(1.0)
                }
            }
            Scalar::And | Scalar::Or | Scalar::Xor | Scalar::Not if dtypes[0] == Dtype::Bool => {
                Self::BOOL
            }
            Scalar::Bitcast(Dtype::F32) => Self::ANY,
            _ if dtypes[0] == Dtype::I32 && !matches!(op, Scalar::Cast(_)) => Self::INT,
            Scalar::Add
            | Scalar::Sub
            | Scalar::Mul
            | Scalar::Div
            | Scalar::Min
            | Scalar::Max
            | Scalar::Fma
            | Scalar::Neg
            | Scalar::Abs
            | Scalar::Sqrt
            | Scalar::Floor
            | Scalar::Nearest
            | Scalar::Cast(_) => Self::ends(op, dtypes, args),
            Scalar::And
            | Scalar::Or
            | Scalar::Xor
            | Scalar::Not
            | Scalar::Shl
            | Scalar::ShrLogical
            | Scalar::MulHi
            | Scalar::Bitcast(_)
            | Scalar::Philox => Self::INT,
        }
    }

    /// Of an operation that is monotone in each of its operands: that of all ends of them.
    fn ends(op: Scalar, dtypes: &[Dtype], args: &[Span]) -> Self {
        let dtype = op.result(dtypes).expect("a scheduled kernel is well typed");
        let mut all: Option<Span> = None;
        for which in 0..1 << args.len() {
            let end = |i: usize| if which >> i & 1 == 0 { args[i].lo } else { args[i].hi };
            let bits: Vec<u64> =
                (0..args.len()).map(|i| constant_bits(dtypes[i], end(i))).collect();
            let one = Self::of(dtype, eval_scalar(op, dtypes, &bits));
            if one.may_be_nan {
                return Self::ANY;
            }
            all = Some(all.map_or(one, |all| all.hull(one)));
        }
        let may_be_nan = args.iter().any(|arg| arg.may_be_nan) && dtype.is_float();
        Self { may_be_nan, ..all.expect("an operation has operands") }
    }

    /// With both ends further out, by a function of them.
    fn wider(self, by: impl Fn(f64) -> f64) -> Self {
        Self { lo: self.lo - by(self.lo), hi: self.hi + by(self.hi), ..self }
    }

    fn compared(op: Scalar, args: &[Span]) -> Self {
        let [x, y] = [args[0], args[1]];
        if x.may_be_nan || y.may_be_nan {
            return Self::BOOL;
        }
        // Known ones were compared before, so equality is never sure.
        let (is_sure, is_never) = if op == Scalar::Lt {
            (x.hi < y.lo, x.lo >= y.hi)
        } else if op == Scalar::Le {
            (x.hi <= y.lo, x.lo > y.hi)
        } else {
            (false, x.hi < y.lo || y.hi < x.lo)
        };
        match (is_sure, is_never) {
            (true, _) => Self::one(1.0),
            (false, true) => Self::one(0.0),
            (false, false) => Self::BOOL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z >> 40) as f64 / (1u64 << 21) as f64 - 4.0
    }

    /// A span and a number in it, both of f32.
    fn inside(state: &mut u64) -> (Span, u64) {
        let (x, width) = (random(state), random(state).abs() / 8.0);
        let width = if random(state) < 0.0 { 0.0 } else { width };
        let x = f64::from(x as f32);
        let span = Span::outwards(Dtype::F32, x - width / 3.0, x + width);
        (span, u64::from((x as f32).to_bits()))
    }

    #[test]
    fn a_span_holds_the_result_of_all_that_is_in_its_operands() {
        use Scalar as S;
        let unary = [S::Neg, S::Abs, S::Sqrt, S::Floor, S::Nearest, S::Exp, S::Log, S::Tanh];
        let more = [S::Erf, S::Cos, S::Rsqrt, S::Cast(Dtype::Bf16), S::Cast(Dtype::I32)];
        let binary = [S::Add, S::Sub, S::Mul, S::Div, S::Min, S::Max, S::Pow, S::Lt, S::Le];
        let all = unary.into_iter().chain(more).chain(binary).chain([S::Eq, S::Fma]);
        let mut state = 1;
        let mut n_bounded = 0;
        for op in all {
            let is_unary = unary.contains(&op) || more.contains(&op);
            let arity = if is_unary { 1 } else { 2 + usize::from(op == S::Fma) };
            for _ in 0..2000 {
                let args: Vec<(Span, u64)> = (0..arity).map(|_| inside(&mut state)).collect();
                let dtypes = vec![Dtype::F32; arity];
                let (spans, bits): (Vec<Span>, Vec<u64>) = args.into_iter().unzip();
                let span = Span::apply(op, &dtypes, &spans);
                let dtype = op.result(&dtypes).unwrap();
                let x = Span::of(dtype, eval_scalar(op, &dtypes, &bits)).lo;
                assert!(span.holds(x), "{} of {spans:?}: {x} is not in {span:?}", op.name());
                n_bounded += u32::from(!span.is_any());
            }
        }
        assert!(n_bounded > 35_000, "{n_bounded} say something");
    }

    #[test]
    fn a_span_of_known_operands_is_the_number_of_the_interpreter() {
        let args = [0.1f32, 3.0, -0.7].map(|x| Span::one(x.into()));
        let sum = Span::apply(Scalar::Fma, &[Dtype::F32; 3], &args);
        assert_eq!(sum, Span::one(0.1f32.mul_add(3.0, -0.7).into()));
    }
}
