//! Kernels of more elements than 32 bits count; only their last block runs.

use codegen::ptx::{Launch, Numerics};
use ir::body::Body;
use ir::kernel::{Kernel, Operand, Reduction, Scalar, Skeleton};
use ir::types::Dtype;
use ptx_builder::{Entry, Operand as PtxOperand, Special, Stmt};

use crate::machine::Case;

fn operand(outer: &[i64], col: i64) -> Operand {
    Operand { dtype: Dtype::I32, is_output: true, outer: outer.to_vec(), row: 0, col }
}

fn kernel(outer: &[u64], cols: u64, operand: Operand, body: Body) -> Kernel {
    Kernel {
        name: "large".to_owned(),
        skeleton: Skeleton::Rows,
        outer: outer.to_vec(),
        cols,
        operands: vec![operand],
        body: body.finish(),
    }
}

/// The same entry as if its only block were another one.
fn at_block(mut entry: Entry, block: u64) -> Entry {
    for stmt in &mut entry.body {
        if let Stmt::Instr(instr) = stmt {
            for operand in &mut instr.operands {
                if *operand == PtxOperand::Special(Special::CtaidX) {
                    *operand = PtxOperand::Int(block.cast_signed());
                }
            }
        }
    }
    entry
}

#[test]
fn indices_are_right_behind_2_to_the_32() {
    let (outer, cols) = ([1 << 17, 1 << 17], 4);
    let mut body = Body::new();
    let (first, second, col) = (body.outer(0), body.outer(1), body.col());
    let sum = body.apply(Scalar::Add, &[first, second]);
    let sum = body.apply(Scalar::Add, &[sum, col]);
    body.store(0, sum);
    // All first indices share the elements of the second ones.
    let kernel = kernel(&outer, cols, operand(&[0, 4], 1), body);
    let n = (outer[1] * cols) as usize;
    let case = Case { kernel, operands: vec![vec![0; n * 4]], numerics: Numerics::Exact };
    let sound = case.launch();
    assert_eq!(sound.blocks, outer[0] * outer[1] / 128);
    let entry = at_block(sound.entry, sound.blocks - 1);
    let after = case.run(&Launch { entry, blocks: 1, ..sound }).unwrap();
    let got = numbers(&after[0]);
    // 128 threads have the last 512 elements.
    assert!(got[..n - 512].iter().all(|&x| x == 0));
    let wanted = (n - 512..n).map(|at| (1 << 17) - 1 + (at / 4 + at % 4) as i32);
    assert!(got[n - 512..].iter().copied().eq(wanted));
}

#[test]
fn columns_behind_2_to_the_31_are_rows() {
    let text = |outer: &[u64], cols: u64, strides: &[i64]| {
        let mut body = Body::new();
        let mut at = body.col();
        if !outer.is_empty() {
            let (row, size) = (body.outer(0), body.int(cols as i32));
            let front = body.apply(Scalar::Mul, &[row, size]);
            at = body.apply(Scalar::Add, &[front, at]);
        }
        body.store(0, at);
        let kernel = kernel(outer, cols, operand(strides, 1), body);
        let case = Case { kernel, operands: vec![vec![]], numerics: Numerics::Exact };
        case.launch().entry.to_string()
    };
    for (n, cols) in [(2, 3 << 29), (5, 999_999_992)] {
        assert_eq!(text(&[], n * cols, &[]), text(&[n], cols, &[cols as i64]));
    }
}

#[test]
fn rows_behind_2_to_the_32_are_right() {
    let (outer, cols) = ([1 << 17, 1 << 17], 8);
    let mut body = Body::new();
    let (first, second, col) = (body.outer(0), body.outer(1), body.col());
    let sum = body.reduce(Reduction::Sum, col);
    let sum = body.apply(Scalar::Add, &[sum, first]);
    let sum = body.apply(Scalar::Add, &[sum, second]);
    body.store(0, sum);
    let kernel = kernel(&outer, cols, operand(&[0, 1], 0), body);
    let n = outer[1] as usize;
    for (numerics, rows) in [(Numerics::Exact, 8), (Numerics::Fast, 16)] {
        let operands = vec![vec![0; n * 4]];
        let case = Case { kernel: kernel.clone(), operands, numerics };
        let sound = case.launch();
        assert_eq!(sound.blocks, outer[0] * outer[1] / rows);
        let entry = at_block(sound.entry, sound.blocks - 1);
        let got = numbers(&case.run(&Launch { entry, blocks: 1, ..sound }).unwrap()[0]);
        let wanted = |at| if at < n - rows as usize { 0 } else { 28 + (1 << 17) - 1 + at as i32 };
        assert!(got.into_iter().eq((0..n).map(wanted)));
    }
}

fn numbers(bytes: &[u8]) -> Vec<i32> {
    bytes.chunks(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
