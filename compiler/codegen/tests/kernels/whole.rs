//! Rows of small whole numbers: every order of their sums has the same bits.

use ir::body::Body;
use ir::kernel::{Kernel, Operand, Reduction, Reg, Scalar, Skeleton};
use ir::narrow;
use ir::types::Dtype;

use crate::random::{Case, Random};

/// Sizes of rows: of few lanes, of a warp, held in registers or not, of blocks of three sizes; odd.
pub(crate) const COLS: [u64; 21] = [
    0, 1, 2, 7, 8, 16, 31, 33, 64, 100, 256, 768, 771, 1024, 1025, 2048, 4097, 4104, 8200, 9001,
    20_000,
];

/// The largest magnitude of an element.
const MOST: usize = 4;

fn bytes(r: &mut Random, dtype: Dtype, n: u64) -> Vec<u8> {
    let mut one = || {
        let x = r.below(2 * MOST + 1) as i32 - MOST as i32;
        let single = x as f32;
        match dtype {
            Dtype::F32 => single.to_le_bytes().to_vec(),
            Dtype::F64 => f64::from(single).to_le_bytes().to_vec(),
            Dtype::F16 | Dtype::Bf16 => narrow::pack(dtype, single).to_le_bytes().to_vec(),
            Dtype::I32 => x.to_le_bytes().to_vec(),
            Dtype::Bool => (x & 1).to_le_bytes().to_vec(),
        }
    };
    (0..n).flat_map(|_| one()).collect()
}

/// A kernel under construction, whose operands have their own buffers.
struct Rows<'r> {
    r: &'r mut Random,
    rows: u64,
    cols: u64,
    operands: Vec<Operand>,
    bytes: Vec<Vec<u8>>,
    body: Body,
}

impl Rows<'_> {
    fn operand(&mut self, dtype: Dtype, is_output: bool, strides: [u64; 2]) -> usize {
        let [row, col] = strides.map(u64::cast_signed);
        self.operands.push(Operand { dtype, is_output, outer: vec![row], row: 0, col });
        let [rows, cols] = [self.rows, self.cols].map(|n| n.max(1) - 1);
        let n = rows * strides[0] + cols * strides[1] + 1;
        self.bytes.push(bytes(self.r, dtype, n));
        self.operands.len() - 1
    }

    /// Elements in rows, in columns, the same in all rows, or one a row.
    fn load(&mut self, to: Dtype) -> Reg {
        let dtype = self.r.pick(&Dtype::ALL);
        let (rows, cols) = (self.rows.max(1), self.cols.max(1));
        let rowwise = [cols, 1];
        let strides = self.r.pick(&[rowwise, rowwise, rowwise, [1, rows], [0, 1], [1, 0]]);
        let at = self.operand(dtype, false, strides);
        let x = self.body.load(at, dtype);
        self.body.apply(Scalar::Cast(to), &[x])
    }

    fn small(&mut self, dtype: Dtype, x: Reg) -> Reg {
        let [least, most] = [-2.0, 2.0].map(|bound| self.body.constant(dtype, bound));
        let x = self.body.apply(Scalar::Min, &[x, most]);
        self.body.apply(Scalar::Max, &[x, least])
    }

    fn store(&mut self, value: Reg, strides: [u64; 2]) {
        let dtype = self.body.dtype(value);
        let at = self.operand(dtype, true, strides);
        self.body.store(at, value);
    }
}

/// Up to three reductions that depend on each other, with what they come to stored and used.
pub(crate) fn rows(r: &mut Random, rows: u64, cols: u64) -> Case {
    let dtype = r.pick(&[Dtype::F32, Dtype::F32, Dtype::F64, Dtype::I32]);
    let n_reduces = 1 + r.below(3);
    let body = Body::new();
    let mut b = Rows { r, rows, cols, operands: vec![], bytes: vec![], body };
    let x = b.load(dtype);
    let y = b.load(dtype);
    let mut element = b.body.apply(Scalar::Mul, &[x, y]);
    for _ in 0..n_reduces {
        let kind = b.r.pick(&[Reduction::Sum, Reduction::Sum, Reduction::Max, Reduction::Min]);
        let whole = b.body.reduce(kind, element);
        if cols > 0 || kind == Reduction::Sum {
            b.store(whole, [1, 0]);
        }
        let whole = b.small(dtype, whole);
        let op = b.r.pick(&[Scalar::Sub, Scalar::Max, Scalar::Mul]);
        let again = b.r.pick(&[x, y, element]);
        element = b.body.apply(op, &[again, whole]);
        element = b.small(dtype, element);
    }
    if b.r.below(3) > 0 {
        let to = b.r.pick(&[Dtype::F32, Dtype::Bf16, Dtype::F64]);
        let element = b.body.apply(Scalar::Cast(to), &[element]);
        b.store(element, [cols.max(1), 1]);
    }
    let kernel = Kernel {
        name: "rows".to_owned(),
        skeleton: Skeleton::Rows,
        outer: vec![rows],
        cols,
        operands: b.operands,
        body: b.body.finish(),
    };
    Case { kernel, operands: b.bytes }
}

/// The sum of each row.
pub(crate) fn sum(rows: u64, cols: u64, x: &[f32]) -> Case {
    let mut body = Body::new();
    let element = body.load(0, Dtype::F32);
    let sum = body.reduce(Reduction::Sum, element);
    body.store(1, sum);
    let operand = |is_output, row: u64, col| Operand {
        dtype: Dtype::F32,
        is_output,
        outer: vec![row.cast_signed()],
        row: 0,
        col,
    };
    let kernel = Kernel {
        name: "sum".to_owned(),
        skeleton: Skeleton::Rows,
        outer: vec![rows],
        cols,
        operands: vec![operand(false, cols, 1), operand(true, 1, 0)],
        body: body.finish(),
    };
    let bytes = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    Case { kernel, operands: vec![bytes, vec![0; rows as usize * 4]] }
}
