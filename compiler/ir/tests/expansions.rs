//! The expansions of scalar operations against f64 functions, in ulps.

use ir::body::Body;
use ir::eval::reference;
use ir::eval::scalar::eval_scalar;
use ir::expand::{expand_scalar, philox4x32};
use ir::kernel::{Inst, Reg, Scalar};
use ir::types::Dtype;

/// A body of constants-as-inputs: the first `n` instructions are replaced by the arguments.
struct Expanded {
    insts: Vec<Inst>,
    dtypes: Vec<Dtype>,
    result: Reg,
}

impl Expanded {
    fn new(dtype: Dtype, n: usize, build: impl Fn(&mut Body, &[Reg]) -> Reg) -> Self {
        let mut body = Body::new();
        let args: Vec<Reg> = (0..n).map(|i| body.load(i, dtype)).collect();
        let result = build(&mut body, &args);
        let count = body.insts().len() as u32;
        let dtypes = (0..count).map(|i| body.dtype(Reg(i))).collect();
        Self { insts: body.finish(), dtypes, result }
    }

    fn of(op: Scalar, dtype: Dtype) -> Self {
        Self::new(dtype, op.arity(), |body, args| expand_scalar(body, op, args))
    }

    fn run(&self, args: &[u64]) -> u64 {
        let mut regs = vec![];
        for inst in &self.insts {
            regs.push(match inst {
                Inst::Load { operand } => args[*operand],
                Inst::Const { bits, .. } => *bits,
                Inst::Apply { op, args } => {
                    assert!(op.is_primitive(), "{} is left in an expansion", op.name());
                    let at = |r: &Reg| regs[r.0 as usize];
                    let bits: Vec<u64> = args.iter().map(at).collect();
                    let dtypes: Vec<_> = args.iter().map(|r| self.dtypes[r.0 as usize]).collect();
                    eval_scalar(*op, &dtypes, &bits)
                }
                Inst::LoadAt { .. }
                | Inst::Outer { .. }
                | Inst::Row
                | Inst::Col
                | Inst::Reduce { .. }
                | Inst::Store { .. } => panic!("{inst:?} in an expansion"),
            });
        }
        regs[self.result.0 as usize]
    }

    fn f32(&self, args: &[f32]) -> f32 {
        let bits: Vec<u64> = args.iter().map(|x| u64::from(x.to_bits())).collect();
        f32::from_bits(self.run(&bits) as u32)
    }

    fn f64(&self, args: &[f64]) -> f64 {
        let bits: Vec<u64> = args.iter().map(|x| x.to_bits()).collect();
        f64::from_bits(self.run(&bits))
    }
}

/// The distance in units in the last place of the f32 nearest to `exact`.
fn ulps_f32(got: f32, exact: f64) -> f64 {
    let near = exact as f32;
    if near.is_infinite() || near == 0.0 {
        return if got == near { 0.0 } else { not_nan((f64::from(got) - exact).abs() / 1.5e-45) };
    }
    let unit = f64::from(f32::from_bits(near.abs().to_bits() + 1)) - f64::from(near.abs());
    not_nan((f64::from(got) - exact).abs() / unit)
}

fn ulps_f64(got: f64, exact: f64) -> f64 {
    if got == exact {
        return 0.0;
    }
    not_nan((got - exact).abs() / (f64::from_bits(exact.abs().to_bits() + 1) - exact.abs()))
}

/// A maximum would pass over NaN.
fn not_nan(error: f64) -> f64 {
    if error.is_nan() { f64::INFINITY } else { error }
}

const POINTS: u32 = 100_000;

fn check_f32(op: Scalar, exact: fn(f64) -> f64, points: impl Iterator<Item = f32>, limit: f64) {
    let expanded = Expanded::of(op, Dtype::F32);
    let error = |x: f32| (ulps_f32(expanded.f32(&[x]), exact(f64::from(x))), x);
    let (worst, at) = points.map(error).fold((0.0, 0.0), |a, b| if b.0 <= a.0 { a } else { b });
    assert!(worst <= limit, "{} f32: {worst:.2} ulp at {at:e}", op.name());
}

fn check_f64(op: Scalar, exact: fn(f64) -> f64, points: impl Iterator<Item = f64>, limit: f64) {
    let expanded = Expanded::of(op, Dtype::F64);
    let error = |x: f64| (ulps_f64(expanded.f64(&[x]), exact(x)), x);
    let (worst, at) = points.map(error).fold((0.0, 0.0), |a, b| if b.0 <= a.0 { a } else { b });
    assert!(worst <= limit, "{} f64: {worst:.2} ulp at {at:e}", op.name());
}

/// Even steps over a range.
fn linear(low: f64, high: f64) -> impl Iterator<Item = f64> {
    (0..=POINTS).map(move |i| low + (high - low) * f64::from(i) / f64::from(POINTS))
}

fn linear_f32(low: f64, high: f64) -> impl Iterator<Item = f32> {
    linear(low, high).map(|x| x as f32)
}

/// All magnitudes of positive f32, denormals too.
fn magnitudes() -> impl Iterator<Item = f32> {
    (1..f32::INFINITY.to_bits())
        .step_by((f32::INFINITY.to_bits() / POINTS) as usize)
        .map(f32::from_bits)
}

fn both_signs() -> impl Iterator<Item = f32> {
    magnitudes().chain(magnitudes().map(|x| -x))
}

#[test]
fn exp_is_within_two_ulp() {
    check_f32(Scalar::Exp, f64::exp, linear_f32(-86.9, 89.5), 2.0);
    check_f32(Scalar::Exp, f64::exp, both_signs().filter(|x| *x > -86.9), 2.0);
    let zero = |_| 0.0;
    check_f32(Scalar::Exp, zero, both_signs().filter(|x| *x < -86.9), 0.0);
    check_f64(Scalar::Exp, f64::exp, linear(-745.0, 709.7), 4.0);
}

#[test]
fn log_is_within_two_ulp() {
    check_f32(Scalar::Log, f64::ln, magnitudes(), 2.0);
    check_f32(Scalar::Log, f64::ln, linear_f32(0.5, 2.0), 2.0);
    check_f64(Scalar::Log, f64::ln, linear(0.5, 2.0), 4.0);
    let wide = linear(-1070.0, 1023.0).map(f64::exp2);
    check_f64(Scalar::Log, f64::ln, wide, 4.0);
}

#[test]
fn tanh_is_within_six_ulp() {
    check_f32(Scalar::Tanh, f64::tanh, linear_f32(-10.0, 10.0), 6.0);
    check_f32(Scalar::Tanh, f64::tanh, both_signs(), 6.0);
    check_f64(Scalar::Tanh, f64::tanh, linear(-20.0, 20.0), 8.0);
}

#[test]
fn erf_is_within_four_ulp() {
    check_f32(Scalar::Erf, reference::erf, linear_f32(-5.0, 5.0), 4.0);
    check_f32(Scalar::Erf, reference::erf, both_signs(), 4.0);
    check_f64(Scalar::Erf, reference::erf, linear(-6.5, 6.5), 16.0);
}

#[test]
fn cos_is_within_four_ulp() {
    let turns = 64.0 * std::f64::consts::TAU;
    check_f32(Scalar::Cos, f64::cos, linear_f32(-turns, turns), 4.0);
    check_f32(Scalar::Cos, f64::cos, linear_f32(-1e6, 1e6), 4.0);
    check_f64(Scalar::Cos, f64::cos, linear(-turns, turns), 4.0);
}

#[test]
fn cos_of_a_huge_number_is_bounded() {
    let cos = Expanded::of(Scalar::Cos, Dtype::F32);
    assert!(magnitudes().all(|x| cos.f32(&[x]).abs() <= 1.0));
}

#[test]
fn rsqrt_is_within_two_ulp() {
    check_f32(Scalar::Rsqrt, |x| 1.0 / x.sqrt(), magnitudes(), 2.0);
}

#[test]
fn pow_is_within_two_ulp() {
    let pow = Expanded::of(Scalar::Pow, Dtype::F32);
    let mut worst = 0.0f64;
    for x in linear_f32(0.01, 20.0).step_by(317) {
        for y in linear_f32(-12.0, 12.0).step_by(311) {
            worst = worst.max(ulps_f32(pow.f32(&[x, y]), f64::from(x).powf(f64::from(y))));
        }
    }
    assert!(worst <= 2.0, "{worst}");
}

#[test]
fn pow_has_the_special_cases_of_c() {
    let (single, double) =
        (Expanded::of(Scalar::Pow, Dtype::F32), Expanded::of(Scalar::Pow, Dtype::F64));
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let numbers = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, inf, -inf, nan];
    for x in numbers {
        for y in numbers {
            let exact = (x as f32).powf(y as f32);
            let got = single.f32(&[x as f32, y as f32]);
            assert!(got == exact || got.is_nan() && exact.is_nan(), "{x}^{y} = {exact}, not {got}");
            let got = double.f64(&[x, y]);
            let exact = x.powf(y);
            let is_near = (got - exact).abs() <= 1e-12 * exact.abs();
            let is_same = got == exact && got.is_sign_negative() == exact.is_sign_negative();
            assert!(
                is_near || is_same || got.is_nan() && exact.is_nan(),
                "{x}^{y} = {exact}, not {got}"
            );
        }
    }
}

#[test]
fn limits_are_those_of_the_functions() {
    let numbers = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -1.0, 1e-45, -1e-45];
    for op in [Scalar::Exp, Scalar::Log, Scalar::Tanh, Scalar::Erf, Scalar::Cos, Scalar::Rsqrt] {
        let (single, double) = (Expanded::of(op, Dtype::F32), Expanded::of(op, Dtype::F64));
        for x in numbers {
            let exact = eval_scalar(op, &[Dtype::F32], &[u64::from(x.to_bits())]) as u32;
            let got = single.f32(&[x]);
            assert!(ulps_is_small(got, f32::from_bits(exact)), "{}({x}) = {got}", op.name());
            let exact = f64::from_bits(eval_scalar(op, &[Dtype::F64], &[f64::from(x).to_bits()]));
            let got = double.f64(&[f64::from(x)]);
            assert!(ulps_is_small(got as f32, exact as f32), "{}({x}) = {got} in f64", op.name());
        }
    }
}

/// The same kind of number: the same zero, infinity or NaN, or two units apart at most.
fn ulps_is_small(x: f32, y: f32) -> bool {
    x.to_bits() == y.to_bits() || x.to_bits().abs_diff(y.to_bits()) <= 2
}

#[test]
fn philox_gives_the_published_words() {
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344, 0xa409_3822, 0x299f_31d0];
    let cases: [([u32; 6], [u32; 4]); 3] = [
        ([0; 6], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 6], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
    ];
    for (words, expected) in cases {
        let [c0, c1, c2, c3, k0, k1] = words;
        assert_eq!(reference::philox4x32([c0, c1, c2, c3], [k0, k1]), expected);
        for (i, &word) in expected.iter().enumerate() {
            let block = Expanded::new(Dtype::I32, 6, |body, a| {
                philox4x32(body, [a[0], a[1], a[2], a[3]], [a[4], a[5]])[i]
            });
            assert_eq!(block.run(&words.map(u64::from)) as u32, word);
        }
    }
}

#[test]
fn philox_takes_seed_stream_step_and_element() {
    let expanded = Expanded::of(Scalar::Philox, Dtype::I32);
    for lo in [0, 1, 4, 6, 11, u32::MAX] {
        let args = [7, 8, 9, 10, u64::from(lo)];
        let expected = reference::philox4x32([lo / 4, 10, 9, 0], [7, 8])[lo as usize % 4];
        assert_eq!(expanded.run(&args) as u32, expected);
        assert_eq!(eval_scalar(Scalar::Philox, &[Dtype::I32; 5], &args) as u32, expected);
    }
}
