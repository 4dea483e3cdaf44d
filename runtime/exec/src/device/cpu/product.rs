//! fp32 matrix products in a fixed order of additions.
//!
//! Each element is a sequential FMA over a slice of K, slices added ascending. The `gemm` kernels
//! keep that order when called with at most a slice and with more than two rows and columns; the
//! rest runs in our own loop. The grid of units depends on the sizes only, never on threads.

use gemm_common::Parallelism;
use plan::Product;

use super::pool::Pool;

/// Results up to this size take another order in `gemm`.
const SMALL: usize = 256;
/// Units wanted before columns are left whole.
const UNITS: u64 = 16;
/// Columns a unit has at least, and a multiple of it.
const COLUMNS: u64 = 128;

/// Base pointers of the operands.
#[derive(Clone, Copy)]
struct Operands {
    a: *const f32,
    b: *const f32,
    c: *mut f32,
}

// SAFETY: the operands are read, and units write different elements of the result.
unsafe impl Send for Operands {}
// SAFETY: as above.
unsafe impl Sync for Operands {}

/// A matrix as a pointer and its strides.
#[derive(Clone, Copy)]
struct Matrix<P> {
    base: P,
    row: isize,
    col: isize,
}

/// Sizes of one piece.
#[derive(Clone, Copy)]
struct Size {
    m: usize,
    n: usize,
    k: usize,
}

/// Runs a product.
///
/// # Safety
/// Every element that the sizes and strides name is inside memory that nobody else uses meanwhile.
pub(super) unsafe fn run(p: &Product, operands: [*mut f32; 3], pool: &mut Pool) {
    let [a, b, c] = operands;
    let operands = Operands { a, b, c };
    let batch: u64 = p.batch.iter().map(|axis| axis.size).product();
    let grid = Grid::new(p, batch);
    pool.run(batch * grid.row_blocks * grid.col_blocks, 1, &|units| {
        for unit in units {
            // SAFETY: as the caller promises; units are different pieces of the result.
            unsafe { grid.unit(p, unit, operands) }
        }
    });
}

/// How a result is cut into units.
struct Grid {
    rows: u64,
    row_blocks: u64,
    cols: u64,
    col_blocks: u64,
}

impl Grid {
    fn new(p: &Product, batch: u64) -> Self {
        let rows = p.rows.max(1);
        let row_blocks = p.m.div_ceil(rows);
        let wanted = UNITS.div_ceil((batch * row_blocks).max(1));
        let cols = p.n.div_ceil(wanted).max(1).next_multiple_of(COLUMNS);
        Self { rows, row_blocks, cols, col_blocks: p.n.div_ceil(cols) }
    }

    /// # Safety
    /// As for [`run`].
    unsafe fn unit(&self, p: &Product, unit: u64, operands: Operands) {
        let col = unit % self.col_blocks * self.cols;
        let row = unit / self.col_blocks % self.row_blocks * self.rows;
        let mut index = unit / self.col_blocks / self.row_blocks;
        let mut offsets = [0i64; 3];
        for axis in p.batch.iter().rev() {
            let i = (index % axis.size) as i64;
            index /= axis.size;
            for (offset, stride) in offsets.iter_mut().zip(axis.strides) {
                *offset += i * stride;
            }
        }
        let (i, j) = (row as i64, col as i64);
        let at_a = offsets[0] + i * p.a_strides[0];
        let at_b = offsets[1] + j * p.b_strides[1];
        let at_c = offsets[2] + i * p.c_strides[0] + j * p.c_strides[1];
        let matrix = |s: [i64; 2]| (s[0] as isize, s[1] as isize);
        let ((ar, ac), (br, bc), (cr, cc)) =
            (matrix(p.a_strides), matrix(p.b_strides), matrix(p.c_strides));
        let size = Size {
            m: self.rows.min(p.m - row) as usize,
            n: self.cols.min(p.n - col) as usize,
            k: p.k as usize,
        };
        // SAFETY: the piece lies inside the product, whose elements the caller vouches for.
        unsafe {
            let a = Matrix { base: operands.a.offset(at_a as isize), row: ar, col: ac };
            let b = Matrix { base: operands.b.offset(at_b as isize), row: br, col: bc };
            let c = Matrix { base: operands.c.offset(at_c as isize), row: cr, col: cc };
            slices(size, p.k_slice.max(1) as usize, a, b, c);
        }
    }
}

/// One piece, slice by slice.
///
/// # Safety
/// As for [`run`].
unsafe fn slices(
    size: Size,
    k_slice: usize,
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
) {
    let mut from = 0;
    loop {
        let part = Size { k: k_slice.min(size.k - from), ..size };
        // SAFETY: the slice lies inside the operands.
        unsafe {
            let a = Matrix { base: a.base.offset(from as isize * a.col), ..a };
            let b = Matrix { base: b.base.offset(from as isize * b.row), ..b };
            if part.k <= 2 || part.m <= 2 || part.n <= 2 || part.m * part.n <= SMALL {
                own(part, from > 0, a, b, c);
            } else {
                library(part, from > 0, a, b, c);
            }
        }
        from += part.k;
        if from >= size.k {
            return;
        }
    }
}

/// The `gemm` kernels; they want the result's rows side by side, so others are transposed.
///
/// # Safety
/// As for [`run`].
unsafe fn library(
    s: Size,
    adds: bool,
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
) {
    let gemm = gemm_f32::gemm::f32::get_gemm_fn();
    let (m, n, a, b, c) = if c.col.unsigned_abs() < c.row.unsigned_abs() {
        let flip = |x: Matrix<*const f32>| Matrix { row: x.col, col: x.row, ..x };
        (s.n, s.m, flip(b), flip(a), Matrix { row: c.col, col: c.row, ..c })
    } else {
        (s.m, s.n, a, b, c)
    };
    // SAFETY: sizes and strides are those the caller vouches for.
    unsafe {
        gemm(
            m,
            n,
            s.k,
            c.base,
            c.col,
            c.row,
            adds,
            a.base,
            a.col,
            a.row,
            b.base,
            b.col,
            b.row,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// The same order in plain loops, with FMA instructions where the machine has them.
///
/// # Safety
/// As for [`run`].
unsafe fn own(
    s: Size,
    adds: bool,
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the features were detected; the rest is the caller's promise.
        return unsafe { own_fma(s, adds, a, b, c) };
    }
    // SAFETY: the caller's promise.
    unsafe { own_plain(s, adds, a, b, c) }
}

/// # Safety
/// As for [`run`], and the machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn own_fma(
    s: Size,
    adds: bool,
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
) {
    // SAFETY: the caller's promise.
    unsafe { own_plain(s, adds, a, b, c) }
}

/// Columns that are summed side by side; a side of the order, none of the result.
const SIDE: usize = 64;

/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn own_plain(
    s: Size,
    adds: bool,
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
) {
    for i in 0..s.m as isize {
        for from in (0..s.n).step_by(SIDE) {
            let width = SIDE.min(s.n - from);
            let mut sums = [0f32; SIDE];
            for k in 0..s.k as isize {
                // SAFETY: i < m, k < K and from + width <= n.
                unsafe {
                    let x = *a.base.offset(i * a.row + k * a.col);
                    let row = b.base.offset(k * b.row + from as isize * b.col);
                    if b.col == 1 && width == SIDE {
                        let row = &*row.cast::<[f32; SIDE]>();
                        for (sum, y) in sums.iter_mut().zip(row) {
                            *sum = x.mul_add(*y, *sum);
                        }
                    } else {
                        for (j, sum) in sums[..width].iter_mut().enumerate() {
                            *sum = x.mul_add(*row.offset(j as isize * b.col), *sum);
                        }
                    }
                }
            }
            for (j, sum) in sums[..width].iter().enumerate() {
                // SAFETY: i < m and from + j < n.
                unsafe {
                    let at = c.base.offset(i * c.row + (from + j) as isize * c.col);
                    *at = if adds { *at + sum } else { *sum };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use plan::{Arg, BatchAxis, BufferId, Product};

    use super::run;
    use crate::device::cpu::Pool;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 - 0.5
        };
        (0..n).map(|_| next()).collect()
    }

    /// Whether operands are stored transposed: left, right, result.
    type Transposed = [bool; 3];

    fn product(batch: u64, m: u64, n: u64, k: u64, t: Transposed) -> Product {
        let arg = Arg { buffer: BufferId(0), offset: 0 };
        let strides =
            |t: bool, rows: u64, cols: u64| if t { [1, rows as i64] } else { [cols as i64, 1] };
        let sizes = [m * k, k * n, m * n].map(|x| x as i64);
        Product {
            a: arg,
            b: arg,
            c: arg,
            batch: vec![BatchAxis { size: batch, strides: sizes }],
            m,
            n,
            k,
            a_strides: strides(t[0], m, k),
            b_strides: strides(t[1], k, n),
            c_strides: strides(t[2], m, n),
            k_slice: 512,
            rows: 64,
        }
    }

    fn reference(p: &Product, a: &[f32], b: &[f32], c: &mut [f32]) {
        for z in 0..p.batch[0].size as i64 {
            for i in 0..p.m as i64 {
                for j in 0..p.n as i64 {
                    let at = |s: [i64; 2], x: i64, y: i64, axis: usize| {
                        (z * p.batch[0].strides[axis] + x * s[0] + y * s[1]) as usize
                    };
                    let mut total = 0f32;
                    for from in (0..p.k.max(1)).step_by(512) {
                        let mut sum = 0f32;
                        for k in from as i64..p.k.min(from + 512) as i64 {
                            let (x, y) = (at(p.a_strides, i, k, 0), at(p.b_strides, k, j, 1));
                            sum = a[x].mul_add(b[y], sum);
                        }
                        total = if from == 0 { sum } else { total + sum };
                    }
                    c[at(p.c_strides, i, j, 2)] = total;
                }
            }
        }
    }

    fn check(p: &Product, pools: &mut [Pool]) {
        let batch = p.batch[0].size;
        let mut a = noise((batch * p.m * p.k) as usize, 1);
        let mut b = noise((batch * p.k * p.n) as usize, 2);
        let mut expected = vec![0f32; (batch * p.m * p.n) as usize];
        reference(p, &a, &b, &mut expected);
        for pool in pools {
            let mut c = vec![f32::NAN; expected.len()];
            let operands = [a.as_mut_ptr(), b.as_mut_ptr(), c.as_mut_ptr()];
            // SAFETY: the vectors have the sizes of the product.
            unsafe { run(p, operands, pool) }
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&c), bits(&expected), "{p:?}");
        }
    }

    #[test]
    fn equals_sequential_fma_for_any_threads() {
        let mut pools: Vec<Pool> = [1, 2, 3, 8].map(Pool::new).into();
        let sizes = [1, 2, 3, 5, 16, 17, 33, 64, 65, 129];
        for (x, &m) in sizes.iter().enumerate() {
            for (y, &n) in sizes.iter().enumerate() {
                let k = [0, 1, 2, 3, 7, 31, 64, 100][(x * 3 + y) % 8];
                let bits = x + 2 * y;
                let t = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
                check(&product(1 + (x % 3) as u64, m, n, k, t), &mut pools);
            }
        }
    }

    #[test]
    fn an_empty_product_writes_nothing_or_zeros() {
        let mut pools = [Pool::new(2)];
        for (batch, m, n, k) in [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)] {
            check(&product(batch, m, n, k, [false; 3]), &mut pools);
        }
    }

    #[test]
    fn equals_sequential_fma_over_slices() {
        let mut pools: Vec<Pool> = [1, 3].map(Pool::new).into();
        for k in [511, 512, 513, 514, 700, 1024, 1026, 1536, 2049] {
            for (m, n) in [(3, 200), (70, 40), (130, 65), (1, 300), (40, 1)] {
                for t in [[false; 3], [true, false, false], [false, true, false]] {
                    check(&product(1, m, n, k, t), &mut pools);
                }
            }
        }
    }
}
