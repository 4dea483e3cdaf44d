//! Random kernels and operands.

use ir::body::Body;
use ir::kernel::{Inst, Kernel, Operand, Reduction, Reg, Scalar, Skeleton};
use ir::narrow;
use ir::types::Dtype;

/// A kernel and the bytes of its operands before it runs.
pub(crate) struct Case {
    pub(crate) kernel: Kernel,
    pub(crate) operands: Vec<Vec<u8>>,
}

/// A small generator: splitmix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub(crate) fn bytes(&mut self, dtype: Dtype, n: usize, small: u64) -> Vec<u8> {
        let specials = self.below(3) == 0;
        (0..n).flat_map(|_| self.element(dtype, specials, small)).collect()
    }

    fn element(&mut self, dtype: Dtype, specials: bool, small: u64) -> Vec<u8> {
        let bits = self.bits();
        let x = (bits >> 11) as f64 / (1u64 << 53) as f64 * 8.0 - 4.0;
        let wild = specials && self.below(6) == 0;
        match dtype {
            Dtype::F32 if wild => self
                .pick(&[
                    0x7f80_0000u32,
                    0xff80_0000,
                    0x8000_0000,
                    0x7fc0_0000,
                    0x8000_0001,
                    1,
                    0x7f7f_ffff,
                ])
                .to_le_bytes()
                .to_vec(),
            Dtype::F32 => (x as f32).to_le_bytes().to_vec(),
            Dtype::F64 if wild => {
                self.pick(&[f64::NAN, f64::INFINITY, -0.0, 1e300, 5e-324]).to_le_bytes().to_vec()
            }
            Dtype::F64 => x.to_le_bytes().to_vec(),
            Dtype::F16 | Dtype::Bf16 => {
                let any = narrow::unpack(dtype, bits as u16);
                let one = narrow::round(dtype, if specials { any } else { x as f32 });
                narrow::pack(dtype, one).to_le_bytes().to_vec()
            }
            Dtype::I32 if small > 0 => ((bits % (small + 4)) as i32 - 2).to_le_bytes().to_vec(),
            Dtype::I32 => (bits as i32).to_le_bytes().to_vec(),
            Dtype::Bool => ((bits & 1) as i32).to_le_bytes().to_vec(),
        }
    }
}

const COLS: [u64; 17] = [0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 48, 63, 64, 65, 150];
const DTYPES: [Dtype; 11] = [
    Dtype::F32,
    Dtype::F32,
    Dtype::F32,
    Dtype::F32,
    Dtype::I32,
    Dtype::I32,
    Dtype::F64,
    Dtype::F16,
    Dtype::F16,
    Dtype::Bf16,
    Dtype::Bool,
];

/// What is being built.
struct Builder<'r> {
    r: &'r mut Random,
    skeleton: Skeleton,
    outer: Vec<u64>,
    cols: u64,
    operands: Vec<Operand>,
    lens: Vec<usize>,
    /// Largest i32 worth storing, for indices; 0: any.
    small: Vec<u64>,
    body: Body,
}

impl Builder<'_> {
    fn rows(&self) -> u64 {
        match self.skeleton {
            Skeleton::Rows => 1,
            Skeleton::Columns { rows, .. } => rows,
            Skeleton::Segments { .. } => 23,
        }
    }

    /// An operand over the axes (outer, row, col) that `keeps` says, contiguous or transposed.
    fn operand(&mut self, dtype: Dtype, is_output: bool, keeps: &[bool], extra: i64) -> usize {
        let n_outer = self.outer.len();
        let rows = match (self.skeleton, is_output) {
            (Skeleton::Columns { rows, block }, true) => rows.div_ceil(block).max(1),
            (Skeleton::Segments { .. } | Skeleton::Rows, true) => 1,
            (_, false) => self.rows(),
        };
        let mut sizes = self.outer.clone();
        sizes.extend([rows, self.cols]);
        let mut axes: Vec<usize> = (0..sizes.len()).collect();
        if self.r.below(4) == 0 {
            let i = self.r.below(axes.len());
            let j = self.r.below(axes.len());
            axes.swap(i, j);
        }
        let mut strides = vec![0i64; sizes.len()];
        let mut step = if self.r.below(8) == 0 { 2 } else { 1 };
        for &axis in axes.iter().rev() {
            if keeps[axis] {
                strides[axis] = step;
                step *= sizes[axis].max(1) as i64;
            }
        }
        if self.skeleton == Skeleton::Rows || (is_output && rows == 1) {
            strides[n_outer] = 0;
        }
        self.lens.push((step + extra) as usize);
        self.small.push(0);
        self.operands.push(Operand {
            dtype,
            is_output,
            outer: strides[..n_outer].to_vec(),
            row: strides[n_outer],
            col: strides[n_outer + 1],
        });
        self.operands.len() - 1
    }

    fn input(&mut self, dtype: Dtype) -> usize {
        let keeps: Vec<bool> = (0..self.outer.len() + 2).map(|_| self.r.below(5) > 0).collect();
        self.operand(dtype, false, &keeps, 0)
    }

    fn load(&mut self) -> Reg {
        let dtype = self.r.pick(&DTYPES);
        let at = self.input(dtype);
        self.body.load(at, dtype)
    }

    fn gather(&mut self) -> Reg {
        let bound = self.r.below(9) as u64;
        let index = self.input(Dtype::I32);
        self.small[index] = bound.max(1);
        let index = self.body.load(index, Dtype::I32);
        let dtype = self.r.pick(&DTYPES);
        let stride = self.r.pick(&[1, self.cols.max(1) as i64]);
        let keeps: Vec<bool> = (0..self.outer.len() + 2).map(|_| self.r.below(2) > 0).collect();
        let at = self.operand(dtype, false, &keeps, bound as i64 * stride);
        self.body.load_at(at, dtype, index, stride, bound)
    }

    fn leaf(&mut self) -> Reg {
        match self.r.below(12) {
            0 => self.body.col(),
            1 if !self.outer.is_empty() => {
                let axis = self.r.below(self.outer.len());
                self.body.outer(axis)
            }
            2 if self.skeleton != Skeleton::Rows => self.body.row(),
            3 => {
                let dtype = self.r.pick(&DTYPES);
                let value = self.r.pick(&[0.0, 1.0, -2.5, 0.3]);
                self.body.constant(dtype, value)
            }
            4 => self.gather(),
            _ => self.load(),
        }
    }

    /// A register of the type out of those at hand, cast when there is none.
    fn of(&mut self, dtype: Dtype, pool: &[Reg]) -> Reg {
        let fits: Vec<Reg> =
            pool.iter().copied().filter(|&r| self.body.dtype(r) == dtype).collect();
        if !fits.is_empty() {
            return self.r.pick(&fits);
        }
        let from = self.r.pick(pool);
        self.body.apply(Scalar::Cast(dtype), &[from])
    }

    fn float(&mut self) -> Dtype {
        self.r.pick(&[Dtype::F32, Dtype::F32, Dtype::F64])
    }

    fn operation(&mut self, pool: &[Reg]) -> Reg {
        let number = self.r.pick(&[Dtype::F32, Dtype::F32, Dtype::F64, Dtype::I32]);
        let float = self.float();
        let integer = self.r.pick(&[Dtype::I32, Dtype::Bool]);
        match self.r.below(9) {
            0 | 1 => {
                let op =
                    self.r.pick(&[Scalar::Add, Scalar::Sub, Scalar::Mul, Scalar::Min, Scalar::Max]);
                let (a, b) = (self.of(number, pool), self.of(number, pool));
                self.body.apply(op, &[a, b])
            }
            2 => {
                let op = self.r.pick(&[
                    Scalar::Neg,
                    Scalar::Abs,
                    Scalar::Sqrt,
                    Scalar::Floor,
                    Scalar::Nearest,
                    Scalar::Exp,
                    Scalar::Tanh,
                ]);
                let a = self.of(float, pool);
                self.body.apply(op, &[a])
            }
            3 => {
                let (a, b, c) = (self.of(float, pool), self.of(float, pool), self.of(float, pool));
                if self.r.below(2) == 0 {
                    return self.body.apply(Scalar::Div, &[a, b]);
                }
                self.body.apply(Scalar::Fma, &[a, b, c])
            }
            4 => {
                let op = self.r.pick(&[Scalar::Lt, Scalar::Le, Scalar::Eq]);
                let (a, b) = (self.of(number, pool), self.of(number, pool));
                self.body.apply(op, &[a, b])
            }
            5 => {
                let (a, b) = (self.of(integer, pool), self.of(integer, pool));
                if self.r.below(3) == 0 {
                    return self.body.apply(Scalar::Not, &[a]);
                }
                let op = self.r.pick(&[Scalar::And, Scalar::Or, Scalar::Xor]);
                self.body.apply(op, &[a, b])
            }
            6 => {
                let dtype = self.r.pick(&DTYPES);
                let cond = self.of(Dtype::Bool, pool);
                let (a, b) = (self.of(dtype, pool), self.of(dtype, pool));
                self.body.apply(Scalar::Select, &[cond, a, b])
            }
            7 => {
                let a = self.of(Dtype::I32, pool);
                match self.r.below(3) {
                    0 => {
                        let b = self.of(Dtype::I32, pool);
                        self.body.apply(Scalar::MulHi, &[a, b])
                    }
                    1 => {
                        let b = self.of(Dtype::I32, pool);
                        let mask = self.body.int(31);
                        let b = self.body.apply(Scalar::And, &[b, mask]);
                        self.body.apply(Scalar::ShrLogical, &[a, b])
                    }
                    _ => {
                        let n = self.r.below(32) as i32;
                        let b = self.body.int(n);
                        self.body.apply(Scalar::Shl, &[a, b])
                    }
                }
            }
            _ => {
                if self.r.below(2) == 0 {
                    let a = self.of(Dtype::F32, pool);
                    return self.body.apply(Scalar::Bitcast(Dtype::I32), &[a]);
                }
                let a = self.r.pick(pool);
                let to = self.r.pick(&Dtype::ALL);
                self.body.apply(Scalar::Cast(to), &[a])
            }
        }
    }

    fn grow(&mut self, pool: &mut Vec<Reg>, n: usize) {
        for _ in 0..n {
            let reg = if self.r.below(3) == 0 { self.leaf() } else { self.operation(pool) };
            pool.push(reg);
        }
    }

    fn reduce(&mut self, pool: &[Reg]) -> Reg {
        let dtype = self.r.pick(&[Dtype::F32, Dtype::F32, Dtype::F64, Dtype::I32]);
        let value = self.of(dtype, pool);
        let kind = self.r.pick(&[Reduction::Sum, Reduction::Sum, Reduction::Max, Reduction::Min]);
        self.body.reduce(kind, value)
    }

    fn store(&mut self, value: Reg, keeps_col: bool) {
        let mut keeps = vec![true; self.outer.len() + 2];
        keeps[self.outer.len() + 1] = keeps_col;
        let dtype = self.body.dtype(value);
        let at = self.operand(dtype, true, &keeps, 0);
        self.body.store(at, value);
    }

    fn finish(self) -> Case {
        let Self { r, skeleton, outer, cols, operands, lens, small, body } = self;
        let bytes = operands
            .iter()
            .zip(lens.iter().zip(&small))
            .map(|(o, (&n, &small))| r.bytes(o.dtype, n, small))
            .collect();
        let name = "random".to_owned();
        let kernel = Kernel { name, skeleton, outer, cols, operands, body: body.finish() };
        Case { kernel, operands: bytes }
    }
}

fn builder(r: &mut Random, skeleton: Skeleton, outer: Vec<u64>, cols: u64) -> Builder<'_> {
    let (operands, lens, small, body) = (vec![], vec![], vec![], Body::new());
    Builder { r, skeleton, outer, cols, operands, lens, small, body }
}

fn outer(r: &mut Random, least: usize) -> Vec<u64> {
    (0..least + r.below(3)).map(|_| 1 + r.below(4) as u64).collect()
}

/// Maps, and rows of up to three reductions that may depend on each other.
pub(crate) fn rows(r: &mut Random) -> Case {
    let n_reduces = r.below(4);
    let outer = outer(r, usize::from(n_reduces > 0));
    let cols = r.pick(&COLS);
    let mut b = builder(r, Skeleton::Rows, outer, cols);
    let mut pool = vec![b.load(), b.load()];
    b.grow(&mut pool, 4);
    for _ in 0..n_reduces {
        let reduced = b.reduce(&pool);
        if b.r.below(2) == 0 {
            b.store(reduced, false);
        }
        pool.push(reduced);
        b.grow(&mut pool, 2);
    }
    let value = pool[pool.len() - 1];
    b.store(value, true);
    let value = b.r.pick(&pool);
    b.store(value, true);
    b.finish()
}

/// Reductions down blocks of rows.
pub(crate) fn columns(r: &mut Random) -> Case {
    let rows = r.pick(&[0, 1, 2, 5, 16, 33]);
    let block = r.pick(&[1, 3, 16, 100]);
    let outer = outer(r, 0);
    let cols = r.pick(&COLS);
    reductions(builder(r, Skeleton::Columns { rows, block }, outer, cols))
}

/// Reductions over segments of sorted positions.
pub(crate) fn segments(r: &mut Random) -> Case {
    let n = 1 + r.below(6);
    let cols = r.pick(&COLS);
    let mut b = builder(r, Skeleton::Segments { starts: 0, order: 1 }, vec![n as u64], cols);
    for (len, stride) in [(n + 1, 1), (23, 0)] {
        b.operands.push(Operand {
            dtype: Dtype::I32,
            is_output: false,
            outer: vec![stride],
            row: 0,
            col: 0,
        });
        b.lens.push(len);
        b.small.push(0);
    }
    let mut case = reductions(b);
    let mut starts: Vec<i32> = (0..=n).map(|_| r.below(24) as i32).collect();
    starts.sort_unstable();
    case.operands[0] = starts.iter().flat_map(|s| s.to_le_bytes()).collect();
    case.operands[1] = (0..23).flat_map(|_| (r.below(23) as i32).to_le_bytes()).collect();
    case
}

fn reductions(mut b: Builder<'_>) -> Case {
    let mut pool = vec![b.load(), b.load()];
    b.grow(&mut pool, 4);
    let mut after = vec![];
    for _ in 0..1 + b.r.below(3) {
        after.push(b.reduce(&pool));
    }
    for _ in 0..3 {
        let reg = b.operation(&after);
        after.push(reg);
    }
    for _ in 0..2 {
        let value = b.r.pick(&after);
        b.store(value, true);
    }
    b.finish()
}

/// One reduction of one operand.
pub(crate) fn reduction(
    r: &mut Random,
    skeleton: Skeleton,
    dtype: Dtype,
    kind: Reduction,
    cols: u64,
) -> Case {
    let mut b = builder(r, skeleton, vec![3], cols);
    let keeps = [true; 3];
    let at = b.operand(dtype, false, &keeps, 0);
    let x = b.body.load(at, dtype);
    let reduced = b.body.reduce(kind, x);
    let is_rows = skeleton == Skeleton::Rows;
    b.store(reduced, !is_rows);
    b.finish()
}

/// Random bits of elements counted from 0 over a matrix.
pub(crate) fn counted(rows: u64, cols: u64) -> Case {
    let mut body = Body::new();
    let (key, size) = (body.int(-7), body.int(cols as i32));
    let (row, col) = (body.outer(0), body.col());
    let front = body.apply(Scalar::Mul, &[row, size]);
    let element = body.apply(Scalar::Add, &[front, col]);
    let bits = body.apply(Scalar::Philox, &[key, size, key, row, element]);
    body.store(0, bits);
    let outer = vec![cols as i64];
    let kernel = Kernel {
        name: "counted".to_owned(),
        skeleton: Skeleton::Rows,
        outer: vec![rows],
        cols,
        operands: vec![Operand { dtype: Dtype::I32, is_output: true, outer, row: 0, col: 1 }],
        body: body.finish(),
    };
    Case { kernel, operands: vec![vec![0; (rows * cols * 4) as usize]] }
}

/// A map of a scalar operation over whole arrays.
pub(crate) fn sweep(op: Scalar, dtype: Dtype, args: Vec<Vec<u8>>, n: u64) -> Case {
    let operand = |is_output| Operand { dtype, is_output, outer: vec![], row: 0, col: 1 };
    let mut body = Body::new();
    let regs: Vec<Reg> = (0..args.len()).map(|i| body.load(i, dtype)).collect();
    let value = body.apply(op, &regs);
    body.store(args.len(), value);
    let mut operands: Vec<Operand> = args.iter().map(|_| operand(false)).collect();
    operands.push(operand(true));
    let mut bytes = args;
    bytes.push(vec![0; (n * dtype.bytes()) as usize]);
    let kernel = Kernel {
        name: op.name(),
        skeleton: Skeleton::Rows,
        outer: vec![],
        cols: n,
        operands,
        body: body.finish(),
    };
    assert!(kernel.body.iter().any(|i| matches!(i, Inst::Store { .. })));
    Case { kernel, operands: bytes }
}
