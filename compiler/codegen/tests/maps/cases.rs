//! The kernels that bugs are planted in.
//!
//! Their numbers are whole and their sums exact, so every order has the same bits.

use codegen::ptx::Numerics;
use ir::body::Body;
use ir::kernel::{Kernel, Operand, Reduction, Scalar, Skeleton};
use ir::narrow;
use ir::types::Dtype;

use crate::machine::Case;

/// Negative whole numbers, all different over a long way; of 16 bits over a shorter one.
fn bytes(dtype: Dtype, n: u64) -> Vec<u8> {
    let one = |at: u64| {
        let number = |modulus: u64| -1.0 - (at * 7919 % modulus) as f32;
        if dtype.is_narrow() {
            narrow::pack(dtype, number(251)).to_le_bytes().to_vec()
        } else {
            number(4099).to_le_bytes().to_vec()
        }
    };
    (0..n).flat_map(one).collect()
}

/// An operand: its type, whether it is written, its strides, and how many elements it has.
type Shape<'a> = (Dtype, bool, &'a [i64], i64, i64, u64);

fn case(
    (skeleton, outer, cols): (Skeleton, &[u64], u64),
    operands: &[Shape<'_>],
    body: Body,
    numerics: Numerics,
) -> Case {
    let bytes = operands.iter().map(|&(dtype, .., n)| bytes(dtype, n)).collect();
    let operand = |&(dtype, is_output, outer, row, col, _): &Shape<'_>| Operand {
        dtype,
        is_output,
        outer: outer.to_vec(),
        row,
        col,
    };
    let kernel = Kernel {
        name: "planted".to_owned(),
        skeleton,
        outer: outer.to_vec(),
        cols,
        operands: operands.iter().map(operand).collect(),
        body: body.finish(),
    };
    Case { kernel, operands: bytes, numerics }
}

/// `out = x * (y - 2)`, y and out of 16 bits: groups of eight columns.
pub(crate) fn map(rows: u64, cols: u64) -> Case {
    let mut body = Body::new();
    let (x, y) = (body.load(0, Dtype::F32), body.load(1, Dtype::Bf16));
    let y = body.apply(Scalar::Cast(Dtype::F32), &[y]);
    let two = body.constant(Dtype::F32, 2.0);
    let y = body.apply(Scalar::Sub, &[y, two]);
    let product = body.apply(Scalar::Mul, &[x, y]);
    let product = body.apply(Scalar::Cast(Dtype::Bf16), &[product]);
    body.store(2, product);
    let stride = [cols.cast_signed()];
    let n = rows * cols;
    let operands = [
        (Dtype::F32, false, &stride[..], 0, 1, n),
        (Dtype::Bf16, false, &stride[..], 0, 1, n),
        (Dtype::Bf16, true, &stride[..], 0, 1, n),
    ];
    case((Skeleton::Rows, &[rows], cols), &operands, body, Numerics::Exact)
}

/// Bits by counter, four of a block.
pub(crate) fn random() -> Case {
    let mut body = Body::new();
    let (key, size) = (body.int(-7), body.int(8));
    let (row, col) = (body.outer(0), body.col());
    let front = body.apply(Scalar::Mul, &[row, size]);
    let element = body.apply(Scalar::Add, &[front, col]);
    let bits = body.apply(Scalar::Philox, &[key, size, key, row, element]);
    body.store(0, bits);
    let operands = [(Dtype::I32, true, &[8][..], 0, 1, 24)];
    case((Skeleton::Rows, &[3], 8), &operands, body, Numerics::Exact)
}

/// Sums down blocks of 16 of 37 rows of 12 columns.
pub(crate) fn columns() -> Case {
    let mut body = Body::new();
    let x = body.load(0, Dtype::F32);
    let sum = body.reduce(Reduction::Sum, x);
    body.store(1, sum);
    let operands =
        [(Dtype::F32, false, &[][..], 12, 1, 37 * 12), (Dtype::F32, true, &[][..], 12, 1, 3 * 12)];
    let skeleton = Skeleton::Columns { rows: 37, block: 16 };
    case((skeleton, &[], 12), &operands, body, Numerics::Exact)
}

/// The maximum of each of five rows, the sum of what lies below it, and the difference of both.
pub(crate) fn rows(cols: u64, numerics: Numerics) -> Case {
    let mut body = Body::new();
    let x = body.load(0, Dtype::F32);
    let most = body.reduce(Reduction::Max, x);
    let below = body.apply(Scalar::Sub, &[x, most]);
    let sum = body.reduce(Reduction::Sum, below);
    body.store(1, sum);
    let rest = body.apply(Scalar::Sub, &[below, sum]);
    body.store(2, rest);
    let stride = [cols.cast_signed()];
    let operands = [
        (Dtype::F32, false, &stride[..], 0, 1, 5 * cols),
        (Dtype::F32, true, &[1][..], 0, 0, 5),
        (Dtype::F32, true, &stride[..], 0, 1, 5 * cols),
    ];
    case((Skeleton::Rows, &[5], cols), &operands, body, numerics)
}
