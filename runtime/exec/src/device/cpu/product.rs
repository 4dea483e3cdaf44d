//! fp32 matrix products in a fixed order of additions.
//!
//! Each element is a sequential FMA over a slice of K, slices added ascending. Units of work are
//! blocks of the result; each brings its operands into the order that the tiles of [`tile`] read.

mod tile;

use std::cell::RefCell;

use plan::Product;

use super::pool::Pool;
use tile::{Kernel, MAX_TILE, Sources, Target};

/// Units wanted for each thread, so that a slow one does not hold up the rest.
const UNITS: u64 = 4;
/// Rows and columns of a unit at most: what is packed is shared by so many.
const MOST: [u64; 2] = [256, 512];
/// And at least.
const LEAST: u64 = 32;

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

impl<P> Matrix<P> {
    fn new(base: P, [row, col]: [isize; 2]) -> Self {
        Self { base, row, col }
    }
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
    let kernel = tile::kernels().last().expect("one kernel is for every machine");
    // SAFETY: the caller's promise, and the kernel is this machine's.
    unsafe { run_with(kernel, p, operands, pool) }
}

/// # Safety
/// As for [`run`], and the machine can run the kernel.
unsafe fn run_with(kernel: Kernel, p: &Product, operands: [*mut f32; 3], pool: &mut Pool) {
    let [a, b, c] = operands;
    let operands = Operands { a, b, c };
    let grid = Grid::new(p, pool.threads() as u64);
    pool.run(grid.units(), 1, &|units| {
        PANELS.with_borrow_mut(|panels| {
            for unit in units {
                // SAFETY: as the caller promises; units are different pieces of the result.
                unsafe { grid.unit(kernel, unit, operands, panels) }
            }
        });
    });
}

/// How a result is cut into units.
///
/// A result whose rows lie side by side is computed as its transpose: tiles are written by rows.
struct Grid<'p> {
    p: &'p Product,
    is_transposed: bool,
    m: u64,
    n: u64,
    batch: u64,
    rows: u64,
    row_blocks: u64,
    cols: u64,
    col_blocks: u64,
}

impl<'p> Grid<'p> {
    fn new(p: &'p Product, threads: u64) -> Self {
        let is_transposed = p.c_strides[0].abs() < p.c_strides[1].abs();
        let (m, n) = if is_transposed { (p.n, p.m) } else { (p.m, p.n) };
        let batch: u64 = p.batch.iter().map(|axis| axis.size).product();
        let [mut rows, mut cols] = MOST;
        rows = rows.min(m.next_multiple_of(LEAST)).max(LEAST);
        cols = cols.min(n.next_multiple_of(LEAST)).max(LEAST);
        // The size has no part in the result, so the threads may decide it.
        let units = |rows: u64, cols: u64| batch * m.div_ceil(rows) * n.div_ceil(cols);
        while units(rows, cols) < threads * UNITS && rows.max(cols) > LEAST {
            let longer = if rows > cols { &mut rows } else { &mut cols };
            *longer = (*longer / 2).next_multiple_of(LEAST);
        }
        let (row_blocks, col_blocks) = (m.div_ceil(rows), n.div_ceil(cols));
        Self { p, is_transposed, m, n, batch, rows, row_blocks, cols, col_blocks }
    }

    fn units(&self) -> u64 {
        self.batch * self.row_blocks * self.col_blocks
    }

    /// # Safety
    /// As for [`run_with`].
    unsafe fn unit(&self, kernel: Kernel, unit: u64, operands: Operands, panels: &mut Panels) {
        let p = self.p;
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
        let size = Size {
            m: self.rows.min(self.m - row) as usize,
            n: self.cols.min(self.n - col) as usize,
            k: p.k as usize,
        };
        let (row, col) = (row as isize, col as isize);
        let [a, b, c] = [p.a_strides, p.b_strides, p.c_strides].map(|s| s.map(|x| x as isize));
        let flip = |[x, y]: [isize; 2]| if self.is_transposed { [y, x] } else { [x, y] };
        // SAFETY: the piece lies inside the product, whose elements the caller vouches for.
        unsafe {
            let a = Matrix::new(operands.a.offset(offsets[0] as isize), flip(a));
            let b = Matrix::new(operands.b.offset(offsets[1] as isize), flip(b));
            let c = Matrix::new(operands.c.offset(offsets[2] as isize), flip(c));
            let (a, b) = if self.is_transposed { (b, a) } else { (a, b) };
            let a = Matrix { base: a.base.offset(row * a.row), ..a };
            let b = Matrix { base: b.base.offset(col * b.col), ..b };
            let c = Matrix { base: c.base.offset(row * c.row + col * c.col), ..c };
            slices(kernel, size, p.k_slice.max(1) as usize, [a, b], c, panels);
        }
    }
}

/// One piece, slice by slice.
///
/// # Safety
/// As for [`run_with`].
unsafe fn slices(
    kernel: Kernel,
    size: Size,
    k_slice: usize,
    [a, b]: [Matrix<*const f32>; 2],
    c: Matrix<*mut f32>,
    panels: &mut Panels,
) {
    let mut from = 0;
    loop {
        let part = Size { k: k_slice.min(size.k - from), ..size };
        // SAFETY: the slice lies inside the operands.
        unsafe {
            let a = Matrix { base: a.base.offset(from as isize * a.col), ..a };
            let b = Matrix { base: b.base.offset(from as isize * b.row), ..b };
            Block { kernel, size: part, a, b, c, adds: from > 0 }.run(panels);
        }
        from += part.k;
        if from >= size.k {
            return;
        }
    }
}

/// One slice of one piece.
struct Block {
    kernel: Kernel,
    size: Size,
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    adds: bool,
}

impl Block {
    /// # Safety
    /// As for [`run_with`].
    unsafe fn run(&self, panels: &mut Panels) {
        let Size { m, n, k } = self.size;
        let Kernel { rows, vector, .. } = self.kernel;
        // Rows of neighbouring k are read as they are.
        let a_is_direct = self.a.col == 1 || m <= rows;
        // SAFETY: all indices are inside the sizes, whose elements the caller vouches for.
        unsafe {
            if !a_is_direct {
                pack_rows(self.a, m, k, rows, room(&mut panels.a, m.next_multiple_of(rows) * k));
            }
            let mut j = 0;
            while j < n {
                let vectors = self.kernel.take(n - j);
                let cols = vectors * vector;
                let width = cols.min(n - j);
                let b = Matrix { base: self.b.base.offset(j as isize * self.b.col), ..self.b };
                let (b, b_k) = if b.col == 1 && width == cols && m <= 2 * rows {
                    (b.base, b.row)
                } else {
                    let panel = room(&mut panels.b, k * cols);
                    pack_columns(b, k, width, cols, panel);
                    (panel.cast_const(), cols as isize)
                };
                for i in (0..m).step_by(rows) {
                    let (a, a_row, a_k) = if a_is_direct {
                        let a = self.a.base.offset(i as isize * self.a.row);
                        (a, self.a.row, self.a.col)
                    } else {
                        let a = panels.a.as_ptr().cast::<f32>().add(i * k);
                        (a, 1, rows as isize)
                    };
                    let size = [rows.min(m - i), width];
                    self.tile(vectors, [i, j], size, Sources { a, a_row, a_k, b, b_k, k });
                }
                j += width;
            }
        }
    }

    /// # Safety
    /// As for [`run_with`]; the sources are those of the tile.
    unsafe fn tile(
        &self,
        vectors: usize,
        [i, j]: [usize; 2],
        [height, width]: [usize; 2],
        sources: Sources,
    ) {
        let Kernel { rows, vector, tiles } = self.kernel;
        let (run, cols) = (tiles[vectors - 1], vectors * vector);
        let c = self.c;
        // SAFETY: the tile is inside the result, or goes to an array of its own first.
        unsafe {
            let at = c.base.offset(i as isize * c.row + j as isize * c.col);
            if height == rows && width == cols && c.col == 1 {
                return run(sources, height, Target { c: at, row: c.row, adds: self.adds });
            }
            let mut whole = [0f32; MAX_TILE];
            let target = Target { c: whole.as_mut_ptr(), row: cols as isize, adds: false };
            run(sources, height, target);
            for (i, sums) in whole.chunks_exact(cols).take(height).enumerate() {
                for (j, sum) in sums[..width].iter().enumerate() {
                    let at = at.offset(i as isize * c.row + j as isize * c.col);
                    *at = if self.adds { *at + sum } else { *sum };
                }
            }
        }
    }
}

/// A cache line of f32.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "read through pointers")] [f32; 16]);

/// Copies of pieces of the operands, in the order that tiles read them.
struct Panels {
    a: Vec<Line>,
    b: Vec<Line>,
}

thread_local! {
    /// Those of a thread; they grow to the largest block.
    static PANELS: RefCell<Panels> = const { RefCell::new(Panels { a: vec![], b: vec![] }) };
}

/// At least `n` elements.
fn room(lines: &mut Vec<Line>, n: usize) -> *mut f32 {
    if lines.len() * 16 < n {
        lines.resize(n.div_ceil(16), Line([0.0; 16]));
    }
    lines.as_mut_ptr().cast()
}

/// Eight elements at once.
type Eight = [f32; 8];

/// Rows in groups of `rows`; a group holds its elements of one k side by side.
///
/// # Safety
/// The matrix has `m` rows of `k`; `to` has as many, in whole groups.
unsafe fn pack_rows(a: Matrix<*const f32>, m: usize, k: usize, rows: usize, to: *mut f32) {
    // In blocks of k, so that neighbouring groups find their lines in the cache.
    for from in (0..k).step_by(16) {
        for i in (0..m).step_by(rows) {
            let height = rows.min(m - i);
            for at in from..k.min(from + 16) {
                // SAFETY: i + height <= m and at < k.
                unsafe {
                    let a_at = a.base.offset(i as isize * a.row + at as isize * a.col);
                    let to = to.add(i * k + at * rows);
                    if a.row == 1 && height == 8 {
                        to.cast::<Eight>().write_unaligned(a_at.cast::<Eight>().read_unaligned());
                    } else {
                        for x in 0..height {
                            *to.add(x) = *a_at.offset(x as isize * a.row);
                        }
                    }
                }
            }
        }
    }
}

/// `width` columns of `k` rows, `cols` side by side; what is missing is 0.
///
/// # Safety
/// The matrix has `k` rows of `width`; `to` has `k` rows of `cols`, a multiple of 8.
unsafe fn pack_columns(b: Matrix<*const f32>, k: usize, width: usize, cols: usize, to: *mut f32) {
    // SAFETY: at < k and x < width.
    unsafe {
        if b.col == 1 && width == cols {
            for at in 0..k {
                let from = b.base.offset(at as isize * b.row);
                for x in (0..cols).step_by(8) {
                    let eight = from.add(x).cast::<Eight>().read_unaligned();
                    to.add(at * cols + x).cast::<Eight>().write_unaligned(eight);
                }
            }
            return;
        }
        let (mut k_done, width_done) = (0, width / 4 * 4);
        if b.row == 1 {
            while k_done + 4 <= k {
                for x in (0..width_done).step_by(4) {
                    let from = b.base.offset(k_done as isize + x as isize * b.col);
                    transpose(from, b.col, to.add(k_done * cols + x), cols);
                }
                k_done += 4;
            }
        }
        for at in 0..k {
            let row = to.add(at * cols);
            let first = if at < k_done { width_done } else { 0 };
            for x in first..width {
                *row.add(x) = *b.base.offset(at as isize * b.row + x as isize * b.col);
            }
            for x in width..cols {
                *row.add(x) = 0.0;
            }
        }
    }
}

/// Four columns of four neighbouring elements to four rows.
///
/// # Safety
/// All of them can be read and written.
#[inline(always)]
unsafe fn transpose(from: *const f32, column: isize, to: *mut f32, row: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let x: [[f32; 4]; 4] = std::array::from_fn(|i| {
            from.offset(i as isize * column).cast::<[f32; 4]>().read_unaligned()
        });
        let to = |i: usize| to.add(i * row).cast::<[f32; 4]>();
        to(0).write_unaligned(x.map(|x| x[0]));
        to(1).write_unaligned(x.map(|x| x[1]));
        to(2).write_unaligned(x.map(|x| x[2]));
        to(3).write_unaligned(x.map(|x| x[3]));
    }
}

#[cfg(test)]
mod tests {
    use plan::{Arg, BatchAxis, BufferId, Product};

    use super::{run_with, tile};
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
        check_within(p, [p.m * p.k, p.k * p.n, p.m * p.n].map(|x| x * p.batch[0].size), pools);
    }

    fn check_within(p: &Product, sizes: [u64; 3], pools: &mut [Pool]) {
        let n_pools = pools.len();
        let mut a = noise(sizes[0] as usize, 1);
        let mut b = noise(sizes[1] as usize, 2);
        let mut expected = vec![f32::NAN; sizes[2] as usize];
        reference(p, &a, &b, &mut expected);
        let kernels: Vec<_> = tile::kernels().collect();
        for i in 0..pools.len().max(kernels.len()) {
            let (kernel, pool) = (kernels[i % kernels.len()], &mut pools[i % n_pools]);
            let mut c = vec![f32::NAN; expected.len()];
            let operands = [a.as_mut_ptr(), b.as_mut_ptr(), c.as_mut_ptr()];
            // SAFETY: the vectors have the sizes of the product.
            unsafe { run_with(kernel, p, operands, pool) }
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
    fn strides_of_two_leave_the_gaps_alone() {
        let mut pools: Vec<Pool> = [1, 2, 3].map(Pool::new).into();
        for (m, n, k) in [(70, 50, 33), (5, 130, 600), (9, 3, 16)] {
            let mut p = product(1, m, n, k, [false, true, false]);
            p.a_strides = p.a_strides.map(|s| s * 2);
            p.b_strides = p.b_strides.map(|s| s * 2);
            p.c_strides = p.c_strides.map(|s| s * 2);
            p.batch[0].strides = [0; 3];
            check_within(&p, [2 * m * k, 2 * k * n, 2 * m * n], &mut pools);
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
