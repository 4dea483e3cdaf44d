//! What instructions give, over special values and random bits.

use crate::device::{Device, Grid};
use crate::values::{all_pairs, doubles, singles, words};

/// Evaluates an instruction for each tuple of operands: `a`, `b`, `c` stand for registers of 32
/// bits, `A`, `B`, `C` for registers of 64; so does `d` or `D` for the result, and `p` for a truth
/// value.
pub(crate) fn evaluate(instruction: &str, operands: &[[u64; 3]]) -> Vec<u64> {
    let mut results = vec![];
    for operands in operands.chunks(1024) {
        let [low, high] = [0, 32].map(|by: u32| -> Vec<u32> {
            operands.iter().flat_map(|tuple| tuple.map(|x| (x >> by) as u32)).collect()
        });
        let n = operands.len();
        let mut device = Device::new().words(&low).words(&high).bytes(n as u64 * 8);
        device.passes(Grid::of(n.div_ceil(64) as u64, 64), &body(instruction, n));
        results.extend(device.read(2).chunks(2).map(|d| u64::from(d[0]) | u64::from(d[1]) << 32));
    }
    results
}

/// Operands to registers, the instruction, and its result to memory, for one thread of `n`.
fn body(instruction: &str, n: usize) -> String {
    let mut body = format!(
        "mov.b32 %r20, %tid.x;\n mov.b32 %r21, %ctaid.x;\n mad.lo.s32 %r20, %r21, 64, %r20;\n\
         setp.ge.s32 %p5, %r20, {n};\n @%p5 ret;\n mad.wide.s32 %rd20, %r20, 12, %rd0;\n\
         mad.wide.s32 %rd21, %r20, 12, %rd1;\n mad.wide.s32 %rd22, %r20, 8, %rd2;\n"
    );
    for (at, offset) in [(10, 0), (11, 4), (12, 8)] {
        body += &format!(
            "ld.global.b32 %r{at}, [%rd20+{offset}];\n ld.global.b32 %r9, [%rd21+{offset}];\n\
             mov.b32 %f{at}, %r{at};\n mov.b64 %rd{at}, {{%r{at}, %r9}};\n\
             mov.b64 %fd{at}, %rd{at};\n mov.b32 {{%h{at}, %h9}}, %r{at};\n\
             setp.ne.s32 %p{at}, %r{at}, 0;\n"
        );
    }
    let (text, result) = instruction.split_once(" -> ").expect("a result is named");
    body += &format!("{text};\n");
    body += match result {
        "%p0" => "selp.b32 %r0, 1, 0, %p0;\n mov.b32 %r1, 0;\n",
        "%r0" => "mov.b32 %r1, 0;\n",
        "%f0" => "mov.b32 %r0, %f0;\n mov.b32 %r1, 0;\n",
        "%h0" => "cvt.u32.u16 %r0, %h0;\n mov.b32 %r1, 0;\n",
        "%rd0" => "mov.b64 {%r0, %r1}, %rd0;\n",
        "%fd0" => "mov.b64 {%r0, %r1}, %fd0;\n",
        other => panic!("no result `{other}`"),
    };
    body + "st.global.v2.b32 [%rd22], {%r0, %r1};"
}

/// The instruction gives what the definition does, bit by bit.
pub(crate) fn is(instruction: &str, operands: &[[u64; 3]], definition: impl Fn([u64; 3]) -> u64) {
    for (tuple, result) in operands.iter().zip(evaluate(instruction, operands)) {
        let expected = definition(*tuple);
        assert_eq!(result, expected, "{instruction} of {tuple:x?}: {result:x} for {expected:x}");
    }
}

/// Of 32 bits each.
fn is32(instruction: &str, operands: &[[u64; 3]], definition: impl Fn(u32, u32, u32) -> u32) {
    is(instruction, operands, |x| definition(x[0] as u32, x[1] as u32, x[2] as u32).into());
}

fn signed(instruction: &str, definition: impl Fn(i32, i32, i32) -> i32) {
    is32(instruction, &all_pairs(&words()), |a, b, c| {
        definition(a as i32, b as i32, c as i32) as u32
    });
}

fn signed64(instruction: &str, definition: impl Fn(i64, i64, i64) -> i64) {
    is(instruction, &all_pairs(&doubles()), |[a, b, c]| {
        definition(a as i64, b as i64, c as i64) as u64
    });
}

/// NaNs of hardware are one.
fn single(instruction: &str, definition: impl Fn(f32, f32, f32) -> f32) {
    is32(instruction, &all_pairs(&singles()), |a, b, c| {
        let [a, b, c] = [a, b, c].map(f32::from_bits);
        let d = definition(a, b, c);
        if d.is_nan() { 0x7fff_ffff } else { d.to_bits() }
    });
}

/// Any NaN is as good as another.
fn double(instruction: &str, definition: impl Fn(f64, f64, f64) -> f64) {
    let operands = all_pairs(&doubles());
    for (tuple, result) in operands.iter().zip(evaluate(instruction, &operands)) {
        let [a, b, c] = tuple.map(f64::from_bits);
        let expected = definition(a, b, c);
        let is_same =
            result == expected.to_bits() || f64::from_bits(result).is_nan() && expected.is_nan();
        assert!(is_same, "{instruction} of {tuple:x?}: {result:x} for {:x}", expected.to_bits());
    }
}

#[test]
fn integers_of_32_bits() {
    signed("add.s32 %r0, %r10, %r11 -> %r0", |a, b, _| a.wrapping_add(b));
    signed("sub.s32 %r0, %r10, %r11 -> %r0", |a, b, _| a.wrapping_sub(b));
    signed("mul.lo.s32 %r0, %r10, %r11 -> %r0", |a, b, _| a.wrapping_mul(b));
    signed("mad.lo.s32 %r0, %r10, %r11, %r12 -> %r0", |a, b, c| a.wrapping_mul(b).wrapping_add(c));
    signed("neg.s32 %r0, %r10 -> %r0", |a, _, _| a.wrapping_neg());
    signed("min.s32 %r0, %r10, %r11 -> %r0", |a, b, _| a.min(b));
    signed("max.s32 %r0, %r10, %r11 -> %r0", |a, b, _| a.max(b));
    signed("min.u32 %r0, %r10, %r11 -> %r0", |a, b, _| (a as u32).min(b as u32) as i32);
    signed("max.u32 %r0, %r10, %r11 -> %r0", |a, b, _| (a as u32).max(b as u32) as i32);
    signed("div.s32 %r0, %r10, %r11 -> %r0", |a, b, _| match b {
        0 => -1,
        b => a.wrapping_div(b),
    });
    signed("rem.s32 %r0, %r10, %r11 -> %r0", |a, b, _| match b {
        0 => a,
        b => a.wrapping_rem(b),
    });
    signed("div.u32 %r0, %r10, %r11 -> %r0", |a, b, _| match b {
        0 => -1,
        b => (a as u32 / b as u32) as i32,
    });
    signed("rem.u32 %r0, %r10, %r11 -> %r0", |a, b, _| match b {
        0 => a,
        b => (a as u32 % b as u32) as i32,
    });
    signed("mul.hi.u32 %r0, %r10, %r11 -> %r0", |a, b, _| {
        (u128::from(a as u32) * u128::from(b as u32) / (1 << 32)) as i32
    });
}

#[test]
fn bits_of_32() {
    signed("and.b32 %r0, %r10, %r11 -> %r0", |a, b, _| a & b);
    signed("or.b32 %r0, %r10, %r11 -> %r0", |a, b, _| a | b);
    signed("xor.b32 %r0, %r10, %r11 -> %r0", |a, b, _| a ^ b);
    signed("not.b32 %r0, %r10 -> %r0", |a, _, _| -1 - a);
    signed("shl.b32 %r0, %r10, %r11 -> %r0", |a, n, _| match n {
        0..32 => (i64::from(a) << n) as i32,
        _ => 0,
    });
    signed("shr.u32 %r0, %r10, %r11 -> %r0", |a, n, _| match n {
        0..32 => (u64::from(a as u32) >> n) as i32,
        _ => 0,
    });
    signed("shr.s32 %r0, %r10, %r11 -> %r0", |a, n, _| match n {
        0..32 => (i64::from(a) >> n) as i32,
        _ => -i32::from(a < 0),
    });
}

#[test]
fn integers_of_64_bits() {
    signed64("add.s64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| a.wrapping_add(b));
    signed64("sub.s64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| a.wrapping_sub(b));
    signed64("mul.lo.s64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| a.wrapping_mul(b));
    signed64("mad.lo.s64 %rd0, %rd10, %rd11, %rd12 -> %rd0", |a, b, c| {
        a.wrapping_mul(b).wrapping_add(c)
    });
    signed64("neg.s64 %rd0, %rd10 -> %rd0", |a, _, _| a.wrapping_neg());
    signed64("min.s64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| a.min(b));
    signed64("max.s64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| a.max(b));
    signed64("min.u64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| (a as u64).min(b as u64) as i64);
    signed64("max.u64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| (a as u64).max(b as u64) as i64);
    signed64("div.s64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| match b {
        0 => -1,
        b => a.wrapping_div(b),
    });
    signed64("rem.s64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| match b {
        0 => a,
        b => a.wrapping_rem(b),
    });
    signed64("div.u64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| match b {
        0 => -1,
        b => (a as u64 / b as u64) as i64,
    });
    signed64("rem.u64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| match b {
        0 => a,
        b => (a as u64 % b as u64) as i64,
    });
    signed64("and.b64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| a & b);
    signed64("or.b64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| a | b);
    signed64("xor.b64 %rd0, %rd10, %rd11 -> %rd0", |a, b, _| a ^ b);
    signed64("not.b64 %rd0, %rd10 -> %rd0", |a, _, _| -1 - a);
    signed64("shl.b64 %rd0, %rd10, %r11 -> %rd0", |a, n, _| match n as u32 {
        n @ 0..64 => (i128::from(a) << n) as i64,
        _ => 0,
    });
    signed64("shr.u64 %rd0, %rd10, %r11 -> %rd0", |a, n, _| match n as u32 {
        n @ 0..64 => (u128::from(a as u64) >> n) as i64,
        _ => 0,
    });
    signed64("shr.s64 %rd0, %rd10, %r11 -> %rd0", |a, n, _| match n as u32 {
        n @ 0..64 => (i128::from(a) >> n) as i64,
        _ => -i64::from(a < 0),
    });
    signed64("cvta.to.global.u64 %rd0, %rd10 -> %rd0", |a, _, _| a);
}

#[test]
fn products_in_64_bits() {
    signed64("mul.wide.s32 %rd0, %r10, %r11 -> %rd0", |a, b, _| {
        i64::from(a as i32) * i64::from(b as i32)
    });
    signed64("mul.wide.u32 %rd0, %r10, %r11 -> %rd0", |a, b, _| {
        (u64::from(a as u32) * u64::from(b as u32)) as i64
    });
    signed64("mad.wide.s32 %rd0, %r10, %r11, %rd12 -> %rd0", |a, b, c| {
        (i128::from(a as i32) * i128::from(b as i32) + i128::from(c)) as i64
    });
    signed64("mad.wide.u32 %rd0, %r10, %r11, %rd12 -> %rd0", |a, b, c| {
        (i128::from(a as u32) * i128::from(b as u32) + i128::from(c)) as i64
    });
}

#[test]
fn singles_are_rounded_once_and_have_one_nan() {
    single("add.rn.f32 %f0, %f10, %f11 -> %f0", |a, b, _| a + b);
    single("sub.rn.f32 %f0, %f10, %f11 -> %f0", |a, b, _| a - b);
    single("mul.rn.f32 %f0, %f10, %f11 -> %f0", |a, b, _| a * b);
    single("div.rn.f32 %f0, %f10, %f11 -> %f0", |a, b, _| a / b);
    single("fma.rn.f32 %f0, %f10, %f11, %f12 -> %f0", f32::mul_add);
    single("sqrt.rn.f32 %f0, %f10 -> %f0", |a, _, _| a.sqrt());
    single("neg.f32 %f0, %f10 -> %f0", |a, _, _| -a);
    single("abs.f32 %f0, %f10 -> %f0", |a, _, _| a.abs());
    single("min.NaN.f32 %f0, %f10, %f11 -> %f0", |a, b, _| match a.total_cmp(&b).is_lt() {
        _ if a.is_nan() || b.is_nan() => f32::NAN,
        true => a,
        false => b,
    });
    single("max.NaN.f32 %f0, %f10, %f11 -> %f0", |a, b, _| match a.total_cmp(&b).is_lt() {
        _ if a.is_nan() || b.is_nan() => f32::NAN,
        true => b,
        false => a,
    });
}

#[test]
fn a_sum_that_double_precision_makes_a_tie_is_rounded_once() {
    // The product is 2^-24 less 2^-70, which double precision loses: a tie is left, and goes up.
    let unit = 2f32.powi(-23);
    let product = [2f32.powi(-24) * (1.0 + unit), 1.0 - unit];
    let operands = [[product[0], product[1], 1.0 + unit], [product[0], -product[1], -1.0 - unit]];
    let operands = operands.map(|tuple| tuple.map(|x| u64::from(x.to_bits())));
    is32("fma.rn.f32 %f0, %f10, %f11, %f12 -> %f0", &operands, |a, b, c| {
        let [a, b, c] = [a, b, c].map(f32::from_bits);
        a.mul_add(b, c).to_bits()
    });
}

#[test]
fn doubles_are_rounded_once() {
    double("add.rn.f64 %fd0, %fd10, %fd11 -> %fd0", |a, b, _| a + b);
    double("sub.rn.f64 %fd0, %fd10, %fd11 -> %fd0", |a, b, _| a - b);
    double("mul.rn.f64 %fd0, %fd10, %fd11 -> %fd0", |a, b, _| a * b);
    double("div.rn.f64 %fd0, %fd10, %fd11 -> %fd0", |a, b, _| a / b);
    double("fma.rn.f64 %fd0, %fd10, %fd11, %fd12 -> %fd0", f64::mul_add);
    double("sqrt.rn.f64 %fd0, %fd10 -> %fd0", |a, _, _| a.sqrt());
    double("neg.f64 %fd0, %fd10 -> %fd0", |a, _, _| -a);
    double("abs.f64 %fd0, %fd10 -> %fd0", |a, _, _| a.abs());
    double("min.f64 %fd0, %fd10, %fd11 -> %fd0", |a, b, _| match a.total_cmp(&b).is_lt() {
        _ if a.is_nan() => b,
        _ if b.is_nan() => a,
        true => a,
        false => b,
    });
    double("max.f64 %fd0, %fd10, %fd11 -> %fd0", |a, b, _| match a.total_cmp(&b).is_lt() {
        _ if a.is_nan() => b,
        _ if b.is_nan() => a,
        true => b,
        false => a,
    });
}

#[test]
fn comparisons_are_false_with_nan() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let cases: [(&str, &[std::cmp::Ordering]); 6] = [
        ("eq", &[Equal]),
        ("ne", &[Less, Greater]),
        ("lt", &[Less]),
        ("le", &[Less, Equal]),
        ("gt", &[Greater]),
        ("ge", &[Greater, Equal]),
    ];
    let (narrow, wide) = (all_pairs(&words()), all_pairs(&doubles()));
    let (f32s, f64s) = (all_pairs(&singles()), &wide);
    for (name, wanted) in cases {
        let holds = |found: Option<_>| u64::from(found.is_some_and(|f| wanted.contains(&f)));
        let text =
            |num: &str, reg: &str| format!("setp.{name}.{num} %p0, %{reg}10, %{reg}11 -> %p0");
        is(&text("s32", "r"), &narrow, |[a, b, _]| holds((a as i32).partial_cmp(&(b as i32))));
        is(&text("u32", "r"), &narrow, |[a, b, _]| holds((a as u32).partial_cmp(&(b as u32))));
        is(&text("s64", "rd"), &wide, |[a, b, _]| holds((a as i64).partial_cmp(&(b as i64))));
        is(&text("u64", "rd"), &wide, |[a, b, _]| holds(a.partial_cmp(&b)));
        is(&text("f32", "f"), &f32s, |[a, b, _]| {
            holds(f32::from_bits(a as u32).partial_cmp(&f32::from_bits(b as u32)))
        });
        is(&text("f64", "fd"), f64s, |[a, b, _]| {
            holds(f64::from_bits(a).partial_cmp(&f64::from_bits(b)))
        });
    }
    is("setp.nan.f32 %p0, %f10, %f11 -> %p0", &f32s, |[a, b, _]| {
        u64::from([a, b].iter().any(|x| f32::from_bits(*x as u32).is_nan()))
    });
    is("setp.nan.f64 %p0, %fd10, %fd11 -> %p0", f64s, |[a, b, _]| {
        u64::from([a, b].iter().any(|x| f64::from_bits(*x).is_nan()))
    });
}

#[test]
fn truth_values_choose_and_combine() {
    let truths: Vec<[u64; 3]> = (0..8).map(|n| [n & 1, n >> 1 & 1, n >> 2]).collect();
    is("and.pred %p0, %p10, %p11 -> %p0", &truths, |[a, b, _]| a & b);
    is("or.pred %p0, %p10, %p11 -> %p0", &truths, |[a, b, _]| a | b);
    is("xor.pred %p0, %p10, %p11 -> %p0", &truths, |[a, b, _]| a ^ b);
    is("not.pred %p0, %p10 -> %p0", &truths, |[a, _, _]| 1 - a);
    is("mov.pred %p0, %p10 -> %p0", &truths, |[a, _, _]| a);
    let chosen = |[a, b, p]: [u64; 3]| if p == 0 { b } else { a };
    let short = |[a, b, p]: [u64; 3]| chosen([a as u16 as u64, b as u16 as u64, p]);
    let narrow: Vec<[u64; 3]> =
        all_pairs(&words()).into_iter().map(|[a, b, c]| [a, b, c & 1]).collect();
    is("selp.b16 %h0, %h10, %h11, %p12 -> %h0", &narrow, short);
    is("selp.b32 %r0, %r10, %r11, %p12 -> %r0", &narrow, chosen);
    is("selp.f32 %f0, %f10, %f11, %p12 -> %f0", &narrow, chosen);
    let wide: Vec<[u64; 3]> =
        all_pairs(&doubles()).into_iter().map(|[a, b, c]| [a, b, c & 1]).collect();
    is("selp.b64 %rd0, %rd10, %rd11, %p12 -> %rd0", &wide, chosen);
    is("selp.f64 %fd0, %fd10, %fd11, %p12 -> %fd0", &wide, chosen);
}

#[test]
fn moves_keep_every_bit() {
    let (narrow, wide) = (all_pairs(&words()), all_pairs(&doubles()));
    is("mov.b32 %r0, %r10 -> %r0", &narrow, |[a, _, _]| a);
    is("mov.f32 %f0, %f10 -> %f0", &narrow, |[a, _, _]| a);
    is("mov.b16 %h0, %h10 -> %h0", &narrow, |[a, _, _]| a & 0xffff);
    is("mov.b64 %rd0, %rd10 -> %rd0", &wide, |[a, _, _]| a);
    is("mov.f64 %fd0, %fd10 -> %fd0", &wide, |[a, _, _]| a);
    is("mov.b32 %r0, {%h10, %h11} -> %r0", &narrow, |[a, b, _]| a & 0xffff | (b & 0xffff) << 16);
    is("mov.b32 {%h1, %h0}, %r10 -> %h0", &narrow, |[a, _, _]| a >> 16);
    is("mov.b64 %rd0, {%r10, %r11} -> %rd0", &narrow, |[a, b, _]| a | b << 32);
    is("mov.b64 {%r1, %r0}, %rd10 -> %r0", &wide, |[a, _, _]| a >> 32);
}

#[test]
fn approximations_are_as_near_as_the_manual_says() {
    // The largest error relative to the result, from PTX ISA 9.7.3; of the logarithm near 1, and
    // of the others, absolute.
    near("rcp.approx.f32", 2f64.powi(-23), |x| 1.0 / x);
    near("rsqrt.approx.f32", 2f64.powf(-22.9), |x| 1.0 / x.sqrt());
    near("ex2.approx.f32", 2f64.powi(-22), f64::exp2);
    near("lg2.approx.f32", 2f64.powi(-22), f64::log2);
    near("tanh.approx.f32", 2f64.powi(-11), f64::tanh);
}

fn near(op: &str, most: f64, definition: impl Fn(f64) -> f64) {
    let operands: Vec<[u64; 3]> = singles().into_iter().map(|x| [x, 0, 0]).collect();
    let results = evaluate(&format!("{op} %f0, %f10 -> %f0"), &operands);
    for ([x, _, _], result) in operands.into_iter().zip(results) {
        let x = f32::from_bits(x as u32);
        let expected = definition(x.into());
        let found = f32::from_bits(result as u32);
        let is_near = if expected.is_nan() {
            result == 0x7fff_ffff
        } else if (expected as f32).is_infinite() || expected == 0.0 {
            found == expected as f32
        } else {
            let denormal = f64::from(f32::from_bits(1));
            (f64::from(found) - expected).abs() <= most * expected.abs() + denormal
        };
        assert!(is_near, "{op} of {x:e}: {found:e} for {expected:e}");
    }
}
