//! Maps whose operands lie side by side, around the sizes of vectors and blocks.

use ir::body::Body;
use ir::kernel::{Kernel, Operand, Scalar, Skeleton};
use ir::types::Dtype;

use crate::random::{Case, Random};

/// Sizes of rows: none, one, around vectors of two, four and eight, and around blocks of them.
pub(crate) const COLS: [u64; 14] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 512, 513, 1024, 1025];

/// `out = cast(x * y + bias)` for rows of x and y, a bias of all rows, and y one number a row.
pub(crate) fn map(r: &mut Random, types: [Dtype; 3], rows: &[u64], cols: u64) -> Case {
    let [x, bias, out] = types;
    let along = |stride: u64| {
        let inner = |axis: usize| rows[axis + 1..].iter().product::<u64>();
        (0..rows.len()).map(|axis| (stride * inner(axis)).cast_signed()).collect::<Vec<i64>>()
    };
    let still = vec![0; rows.len()];
    let operand = |dtype, is_output, outer: &[i64], col| Operand {
        dtype,
        is_output,
        outer: outer.to_vec(),
        row: 0,
        col,
    };
    let operands = vec![
        operand(x, false, &along(cols), 1),
        operand(bias, false, &still, 1),
        operand(Dtype::F32, false, &along(1), 0),
        operand(out, true, &along(cols), 1),
        operand(Dtype::F32, true, &along(1), 0),
    ];
    let mut body = Body::new();
    let loaded = [(0, x), (1, bias), (2, Dtype::F32)].map(|(at, dtype)| body.load(at, dtype));
    let [a, b, c] = loaded.map(|value| body.apply(Scalar::Cast(Dtype::F32), &[value]));
    let sum = body.apply(Scalar::Fma, &[a, c, b]);
    let sum = body.apply(Scalar::Cast(out), &[sum]);
    body.store(3, sum);
    if cols > 0 {
        let negative = body.apply(Scalar::Neg, &[c]);
        body.store(4, negative);
    }
    let n: u64 = rows.iter().product();
    let lens = [n * cols, cols, n, n * cols, n];
    let types = [x, bias, Dtype::F32, out, Dtype::F32];
    let bytes = lens.into_iter().zip(types).map(|(len, dtype)| r.bytes(dtype, len as usize, 0));
    let kernel = Kernel {
        name: "map".to_owned(),
        skeleton: Skeleton::Rows,
        outer: rows.to_vec(),
        cols,
        operands: operands.clone(),
        body: body.finish(),
    };
    Case { kernel, operands: bytes.collect() }
}
