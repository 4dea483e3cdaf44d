//! Random kernels, compiled and run, against the interpreter: bit for bit.

mod machine;
mod narrow;
mod random;
mod reference;
mod wide;

use ir::kernel::{Kernel, Reduction, Scalar, Skeleton};
use ir::types::Dtype;

use machine::Machine;

/// Runs cases on a CPU with so many threads, and where these are one, as the code of a GPU too.
fn check(cases: &[random::Case], threads: usize) {
    check_on(cases, Machine::Cpu(threads));
    if threads == 1 {
        check_on(cases, Machine::Emulated);
    }
}

/// Runs cases in plans of a few dozen and compares all outputs.
fn check_on(cases: &[random::Case], machine: Machine) {
    for batch in cases.chunks(48) {
        let results = machine::run(batch, machine);
        for (case, got) in batch.iter().zip(results) {
            let expected = reference::run(&case.kernel, &case.operands);
            for (operand, (mut got, expected)) in got.into_iter().zip(&expected).enumerate() {
                if machine == Machine::Emulated {
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
        Machine::Emulated => {
            codegen::ptx::kernel(kernel, &machine::aligned(kernel), "kernel").entry.to_string()
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

#[test]
fn named_scalars_agree_over_all_exponents() {
    let n = 1 << 20;
    let x = all_floats(n);
    let mut r = random::Random::new(6);
    let y: Vec<u8> =
        (0..n).flat_map(|_| ((r.below(2000) as f32 - 1000.0) / 64.0).to_le_bytes()).collect();
    for op in [
        Scalar::Exp,
        Scalar::Log,
        Scalar::Tanh,
        Scalar::Erf,
        Scalar::Cos,
        Scalar::Rsqrt,
        Scalar::Sqrt,
        Scalar::Floor,
        Scalar::Nearest,
    ] {
        check(&[random::sweep(op, Dtype::F32, vec![x.clone()], n)], 1);
    }
    check(&[random::sweep(Scalar::Pow, Dtype::F32, vec![x, y], n)], 1);
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
            check_on(&cases, Machine::Emulated);
        }
    }
}

#[test]
fn what_lies_side_by_side_moves_in_vectors_of_16_bytes() {
    let mut r = random::Random::new(9);
    let mut text = |types, cols: u64| {
        let case = wide::map(&mut r, types, &[6], cols);
        text(&case.kernel, Machine::Emulated)
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
