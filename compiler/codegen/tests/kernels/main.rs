//! Random kernels, compiled and run, against the interpreter: bit for bit.

mod machine;
mod narrow;
mod random;
mod reference;
mod whole;
mod wide;

use codegen::ptx::Numerics;
use ir::body::Body;
use ir::kernel::{Inst, Kernel, Reduction, Scalar, Skeleton};
use ir::types::Dtype;

use machine::Machine;

/// The code of a GPU, with the interpreter's bits.
const EMULATED: Machine = Machine::Emulated(Numerics::Exact);

/// Runs cases on a CPU with so many threads, and where these are one, as the code of a GPU too.
fn check(cases: &[random::Case], threads: usize) {
    check_on(cases, Machine::Cpu(threads));
    if threads == 1 {
        check_on(cases, EMULATED);
    }
}

/// Runs cases in plans of a few dozen and compares all outputs.
fn check_on(cases: &[random::Case], machine: Machine) {
    for batch in cases.chunks(48) {
        let results = machine::run(batch, machine);
        for (case, got) in batch.iter().zip(results) {
            let expected = reference::run(&case.kernel, &case.operands);
            for (operand, (mut got, expected)) in got.into_iter().zip(&expected).enumerate() {
                if matches!(machine, Machine::Emulated(_)) {
                    reference::one_nan(case.kernel.operands[operand].dtype, &mut got);
                }
                if got != *expected {
                    let at = got.iter().zip(expected).position(|(a, b)| a != b);
                    panic!(
                        "operand {operand} differs at byte {at:?} on {machine:?}\n{:#?}\n{}",
                        case.kernel,
                        text(&case.kernel, machine)
                    );
                }
            }
        }
    }
}

fn text(kernel: &Kernel, machine: Machine) -> String {
    match machine {
        Machine::Cpu(_) => codegen::clif::emit(kernel, "kernel"),
        Machine::Emulated(numerics) => {
            codegen::ptx::kernel(kernel, &machine::aligned(kernel), numerics, "kernel")
                .entry
                .to_string()
        }
    }
}

#[test]
fn rows_agree_with_the_interpreter() {
    let mut r = random::Random::new(1);
    let cases: Vec<_> = (0..900).map(|_| random::rows(&mut r)).collect();
    check(&cases, 1);
}

#[test]
fn columns_agree_with_the_interpreter() {
    let mut r = random::Random::new(2);
    let cases: Vec<_> = (0..500).map(|_| random::columns(&mut r)).collect();
    check(&cases, 1);
}

#[test]
fn segments_agree_with_the_interpreter() {
    let mut r = random::Random::new(3);
    let cases: Vec<_> = (0..300).map(|_| random::segments(&mut r)).collect();
    check(&cases, 1);
}

#[test]
fn threads_do_not_change_bits() {
    for threads in [2, 3, 8] {
        let mut r = random::Random::new(40 + threads as u64);
        let cases: Vec<_> = (0..48)
            .map(|i| match i % 3 {
                0 => random::rows(&mut r),
                1 => random::columns(&mut r),
                _ => random::segments(&mut r),
            })
            .collect();
        check(&cases, threads);
    }
}

#[test]
fn sizes_around_the_lanes_reduce_in_the_same_order() {
    let mut r = random::Random::new(5);
    let mut cases = vec![];
    for cols in [0, 1, 3, 4, 15, 16, 17, 31, 33, 63, 64, 65, 1000] {
        for kind in [Reduction::Sum, Reduction::Max, Reduction::Min] {
            for dtype in [Dtype::F32, Dtype::F64, Dtype::I32] {
                cases.push(random::reduction(&mut r, Skeleton::Rows, dtype, kind, cols));
                let skeleton = Skeleton::Columns { rows: cols, block: 32 };
                cases.push(random::reduction(&mut r, skeleton, dtype, kind, 19));
            }
        }
    }
    check(&cases, 1);
}

/// Bits of f32 over the whole range: every exponent, specials first.
fn all_floats(n: u64) -> Vec<u8> {
    let specials = [0f32, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX];
    let spread = (0..n - 8).map(|i| f32::from_bits((i * u64::from(u32::MAX) / n) as u32));
    let one_nan = |x: f32| if x.is_nan() { f32::NAN } else { x };
    specials.into_iter().chain(spread).flat_map(|x| one_nan(x).to_le_bytes()).collect()
}

const MANY: u64 = 1 << 20;

fn agree_over_all_exponents(ops: &[Scalar]) {
    let x = all_floats(MANY);
    for op in ops {
        check(&[random::sweep(*op, Dtype::F32, vec![x.clone()], MANY)], 1);
    }
}

#[test]
fn named_scalars_agree_over_all_exponents() {
    agree_over_all_exponents(&[Scalar::Exp, Scalar::Log, Scalar::Tanh, Scalar::Erf, Scalar::Cos]);
}

#[test]
fn roots_and_powers_agree_over_all_exponents() {
    let exact = [Scalar::Rsqrt, Scalar::Sqrt, Scalar::Floor, Scalar::Nearest];
    agree_over_all_exponents(&exact);
    let mut r = random::Random::new(6);
    let exponent = |_| ((r.below(2000) as f32 - 1000.0) / 64.0).to_le_bytes();
    let y: Vec<u8> = (0..MANY).flat_map(exponent).collect();
    check(&[random::sweep(Scalar::Pow, Dtype::F32, vec![all_floats(MANY), y], MANY)], 1);
}

#[test]
fn narrow_floats_agree_at_every_number_and_tie() {
    for dtype in [Dtype::F16, Dtype::Bf16] {
        check(&narrow::roundings(dtype), 1);
        check(&narrow::readings(dtype), 1);
    }
}

#[test]
fn random_bits_agree() {
    let n = 1 << 16;
    let mut r = random::Random::new(7);
    let words =
        (0..5).map(|_| (0..n).flat_map(|_| (r.bits() as i32).to_le_bytes()).collect()).collect();
    check(&[random::sweep(Scalar::Philox, Dtype::I32, words, n)], 1);
    for (rows, cols) in [(3, 192), (2, 36), (5, 7), (4, 18), (1, 1)] {
        check(&[random::counted(rows, cols)], 1);
    }
}

#[test]
fn groups_of_columns_agree_around_vectors_and_blocks() {
    let mut r = random::Random::new(8);
    for x in Dtype::ALL {
        for out in Dtype::ALL {
            let mut cases = vec![];
            for cols in wide::COLS {
                let bias = r.pick(&Dtype::ALL);
                let rows: &[u64] = r.pick(&[&[][..], &[1], &[3], &[2, 3]]);
                cases.push(wide::map(&mut r, [x, bias, out], rows, cols));
            }
            check_on(&cases, EMULATED);
        }
    }
}

#[test]
fn what_lies_side_by_side_moves_in_vectors_of_16_bytes() {
    let mut r = random::Random::new(9);
    let mut text = |types, cols: u64| {
        let case = wide::map(&mut r, types, &[6], cols);
        text(&case.kernel, EMULATED)
    };
    let [single, narrow, double] = [Dtype::F32, Dtype::Bf16, Dtype::F64];
    let of_four = text([single, single, single], 8);
    assert_eq!(of_four.matches("ld.global.v4.f32").count(), 2);
    assert_eq!(of_four.matches("st.global.v4.f32").count(), 1);
    assert!(!of_four.contains("bra"), "{of_four}");
    let of_eight = text([single, narrow, narrow], 8);
    assert_eq!(of_eight.matches("ld.global.v4.f32").count(), 2);
    assert_eq!(of_eight.matches("ld.global.v4.b32").count(), 1);
    assert_eq!(of_eight.matches("st.global.v4.b32").count(), 1);
    let of_doubles = text([double, double, double], 8);
    assert_eq!(of_doubles.matches("ld.global.v2.f64").count(), 4);
    // Rows that start anywhere: all but the bias.
    let shifted = text([single, single, single], 9);
    assert_eq!(shifted.matches("ld.global.v4.f32").count(), 1);
    assert_eq!(shifted.matches("st.global.v4.f32").count(), 1);
}

#[test]
fn rows_of_whole_numbers_agree_in_every_order_of_sums() {
    let mut r = random::Random::new(10);
    for cols in whole::COLS {
        let n = if cols > 2000 { 12 } else { 40 };
        let cases: Vec<_> = (0..n)
            .map(|_| {
                let rows = r.pick(&[1, 2, 3, 5, 9]);
                whole::rows(&mut r, rows, cols)
            })
            .collect();
        check_on(&cases, Machine::Emulated(Numerics::Fast));
        check_on(&cases, EMULATED);
    }
}

#[test]
fn threads_with_several_lanes_of_many_rows_agree() {
    let mut r = random::Random::new(12);
    for (rows, cols) in [(8192, 4), (8193, 36), (8200, 20), (8195, 21)] {
        let x: Vec<f32> = (0..rows * cols).map(|_| r.bits() as f32 / 1e19 - 0.7).collect();
        check_on(&[whole::sum(rows, cols, &x)], EMULATED);
    }
}

/// Maxima, minima and sums of integers do not depend on the order; the others are only run.
#[test]
fn random_rows_run_in_fast_mode() {
    let mut r = random::Random::new(13);
    let cases: Vec<_> = (0..600).map(|_| random::rows(&mut r)).collect();
    let is_exact = |case: &random::Case| {
        let mut body = Body::new();
        let types: Vec<Dtype> = case.kernel.operands.iter().map(|o| o.dtype).collect();
        let mut map = vec![];
        for inst in &case.kernel.body {
            map.push(body.copy(inst, &map, &types));
        }
        case.kernel.body.iter().all(|inst| {
            let Inst::Reduce { kind: Reduction::Sum, value } = inst else { return true };
            body.dtype(map[value.0 as usize]) == Dtype::I32
        })
    };
    let (exact, rest): (Vec<_>, Vec<_>) = cases.into_iter().partition(is_exact);
    assert!(exact.len() > 100 && rest.len() > 100, "{} {}", exact.len(), rest.len());
    let fast = Machine::Emulated(Numerics::Fast);
    check_on(&exact, fast);
    rest.chunks(48).for_each(|cases| drop(machine::run(cases, fast)));
}

/// In any order a thread adds a row's share of a warp or more, a few columns at its ends, and trees
/// over columns, lanes and warps: so many roundings at most are on the way of an element, each by
/// 2^-24 of what is there. Higham 2002, "Accuracy and Stability of Numerical Algorithms", 4.2.
#[test]
fn sums_in_fast_mode_are_as_near_as_their_trees_are_deep() {
    let mut r = random::Random::new(11);
    for cols in whole::COLS {
        let x: Vec<f32> = (0..3 * cols).map(|_| (r.bits() as f32 / 1e19) - 0.7).collect();
        let case = whole::sum(3, cols, &x);
        let results = machine::run(&[case], Machine::Emulated(Numerics::Fast));
        for (row, got) in results[0][1].chunks(4).enumerate() {
            let got = f64::from(f32::from_le_bytes([got[0], got[1], got[2], got[3]]));
            let terms = x[row * cols as usize..][..cols as usize].iter().map(|&x| f64::from(x));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
            let depth = cols.div_ceil(32) as f64 + 32.0;
            assert!((got - sum).abs() <= depth * 2f64.powi(-24) * size, "{cols}: {got} {sum}");
        }
    }
}
