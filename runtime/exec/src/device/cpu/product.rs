//! Matrix products, summed in fp32 in a fixed order of additions.
//!
//! Each element is a sequential FMA over a slice of K, slices added ascending. Units of work are
//! blocks of the result; each brings its operands into the order that the tiles of [`tile`] read,
//! and there elements of 16 bits become f32. A result of 16 bits is rounded once, when all slices
//! are added.

pub(super) mod element;
pub(super) mod tile;

use std::cell::RefCell;
use std::ops::Range;

use plan::{Dtype, Product};

use super::Pointer;
use super::jit::Entry;
use super::pool::Pool;
use element::{Bf16, Element, F16, converts_f16, narrowing};
pub(super) use tile::{Chains, chains};
use tile::{Kernel, Sources};

/// Units wanted for each thread, so that a slow one does not hold up the rest.
const UNITS: u64 = 4;
/// Rows and columns of a unit at most: what is packed is shared by so many.
const MOST: [u64; 2] = [256, 512];
/// And at least.
const LEAST: u64 = 32;

/// An operand or a result in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand {
    /// Its first element.
    pub(super) base: *mut u8,
    /// Its elements: f32, f16 or bf16.
    pub(super) dtype: Dtype,
}

/// What a product reads, and where its sums go.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    /// The left operand.
    pub(super) a: Operand,
    /// The right operand.
    pub(super) b: Operand,
    /// The result, if it goes to memory.
    pub(super) c: Option<Operand>,
    /// What runs on each block of the result.
    pub(super) behind: Option<Behind<'a>>,
}

/// An epilogue: the code and its operands, null for the sums.
#[derive(Clone, Copy)]
pub(super) struct Behind<'a> {
    /// The code.
    pub(super) entry: Entry,
    /// Its operands.
    pub(super) args: &'a [Pointer],
}

// SAFETY: the operands are read, and units write different elements of the result.
unsafe impl Send for Operands<'_> {}
// SAFETY: as above.
unsafe impl Sync for Operands<'_> {}

/// A matrix as a pointer and its strides.
#[derive(Clone, Copy)]
pub(super) struct Matrix<P> {
    pub(super) base: P,
    pub(super) row: isize,
    pub(super) col: isize,
}

impl<P> Matrix<P> {
    fn new(base: P, [row, col]: [isize; 2]) -> Self {
        Self { base, row, col }
    }
}

impl<T> Matrix<*const T> {
    /// The part that starts so many elements on.
    ///
    /// # Safety
    /// They are elements of the same memory.
    unsafe fn at(self, elements: i64) -> Self {
        // SAFETY: the caller's promise.
        Self { base: unsafe { self.base.offset(elements as isize) }, ..self }
    }
}

/// Sizes of one piece.
#[derive(Clone, Copy)]
struct Size {
    m: usize,
    n: usize,
    k: usize,
}

/// How a machine computes.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    pub(super) kernel: Kernel,
    /// Whether f16 are converted by instructions.
    pub(super) converts_f16: bool,
}

impl Machine {
    /// This one, as fast as it can.
    pub(super) fn new() -> Self {
        let kernel = tile::kernels().last().expect("one kernel is for every machine");
        Self { kernel, converts_f16: converts_f16() }
    }
}

/// Runs a product. The left and the right operand have one type; where it adds to what the result
/// holds, that is f32.
///
/// # Safety
/// Every element that the sizes and strides name is inside memory that nobody else uses meanwhile.
pub(super) unsafe fn run(p: &Product, adds: bool, operands: Operands<'_>, pool: &mut Pool) {
    // SAFETY: the caller's promise, and the machine is this one.
    unsafe { run_with(Machine::new(), p, adds, operands, pool) }
}

/// Makes room on each thread for all that these products, with results of these types, and
/// epilogues of so many operands keep aside.
pub(super) fn reserve(products: &[(&Product, Option<Dtype>)], n_args: usize, pool: &mut Pool) {
    let Kernel { rows, vector, tiles } = Machine::new().kernel;
    let mut most = [0; 3];
    for (p, dtype) in products {
        let grid = Grid::new(p, false, pool.threads() as u64);
        let (m, n) = (grid.rows as usize, grid.cols as usize);
        let k = p.k.min(p.k_slice.max(1)) as usize;
        let sums = if *dtype == Some(Dtype::F32) { 0 } else { m * n };
        let needed = [m.next_multiple_of(rows) * k, k * tiles.len() * vector, sums];
        most = std::array::from_fn(|i| needed[i].max(most[i]));
    }
    pool.on_each_thread(&|| {
        PANELS.with_borrow_mut(|panels| {
            for (lines, n) in [&mut panels.a, &mut panels.b, &mut panels.c].into_iter().zip(most) {
                keep_room(lines, n);
            }
            panels.args.reserve(n_args);
        });
    });
}

/// # Safety
/// As for [`run`], and the machine is this one.
unsafe fn run_with(
    machine: Machine,
    p: &Product,
    adds: bool,
    operands: Operands<'_>,
    pool: &mut Pool,
) {
    let grid = Grid::new(p, adds, pool.threads() as u64);
    pool.run(grid.units(), 1, &|units| {
        PANELS.with_borrow_mut(|panels| {
            for unit in units {
                // SAFETY: as the caller promises; units are different pieces of the result.
                unsafe { run_unit(machine, &grid, unit, operands, panels) }
            }
        });
    });
}

/// One unit, compiled for the type of the operands.
///
/// # Safety
/// As for [`run_with`].
unsafe fn run_unit(
    machine: Machine,
    grid: &Grid<'_>,
    unit: u64,
    operands: Operands<'_>,
    panels: &mut Panels,
) {
    let kernel = machine.kernel;
    // SAFETY: the caller's promise.
    unsafe {
        match operands.a.dtype {
            Dtype::F32 => grid.unit::<f32>(kernel, unit, operands, panels),
            Dtype::Bf16 => grid.unit::<Bf16>(kernel, unit, operands, panels),
            #[cfg(target_arch = "x86_64")]
            Dtype::F16 if machine.converts_f16 => {
                unit_machine_f16(grid, kernel, unit, operands, panels);
            }
            Dtype::F16 => grid.unit::<F16>(kernel, unit, operands, panels),
            Dtype::F64 | Dtype::I32 => unreachable!("the plan was verified"),
        }
    }
}

/// # Safety
/// As for [`run_with`], and the machine converts f16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
unsafe fn unit_machine_f16(
    grid: &Grid<'_>,
    kernel: Kernel,
    unit: u64,
    operands: Operands<'_>,
    panels: &mut Panels,
) {
    // SAFETY: the caller's promise.
    unsafe { grid.unit::<element::MachineF16>(kernel, unit, operands, panels) }
}

/// How a result is cut into units.
///
/// A result whose rows lie side by side is computed as its transpose: tiles are written by rows.
struct Grid<'p> {
    p: &'p Product,
    adds: bool,
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
    fn new(p: &'p Product, adds: bool, threads: u64) -> Self {
        // An epilogue has rows of blocks.
        let [row, col] = p.c_strides.map(i64::abs);
        let is_transposed = row < col && p.epilogue.is_none();
        let (m, n) = if is_transposed { (p.n, p.m) } else { (p.m, p.n) };
        let batch: u64 = p.batch.iter().map(|axis| axis.size).product();
        let [mut rows, mut cols] = MOST;
        rows = rows.min(m.next_multiple_of(LEAST)).max(LEAST);
        cols = cols.min(n.next_multiple_of(LEAST)).max(LEAST);
        // The size has no part in the result, so the threads may decide it.
        let units = |rows: u64, cols: u64| batch * m.div_ceil(rows) * n.div_ceil(cols);
        // An epilogue takes whole blocks.
        let block = p.epilogue.as_ref().map(|e| e.cols);
        cols = block.unwrap_or(cols);
        let least = block.unwrap_or(LEAST);
        while units(rows, cols) < threads * UNITS && (rows > LEAST || cols > least) {
            let longer = if rows > cols || cols == least { &mut rows } else { &mut cols };
            *longer = (*longer / 2).next_multiple_of(LEAST);
        }
        let (row_blocks, col_blocks) = (m.div_ceil(rows), n.div_ceil(cols));
        Self { p, adds, is_transposed, m, n, batch, rows, row_blocks, cols, col_blocks }
    }

    fn units(&self) -> u64 {
        self.batch * self.row_blocks * self.col_blocks
    }

    /// # Safety
    /// As for [`run_with`]; the operands have elements of `T`.
    #[inline(always)]
    unsafe fn unit<T: Element>(
        &self,
        kernel: Kernel,
        unit: u64,
        operands: Operands<'_>,
        panels: &mut Panels,
    ) {
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
            let Operands { a: a_at, b: b_at, c: c_at, behind } = operands;
            let a = Matrix::new(a_at.base.cast_const().cast::<T>(), flip(a)).at(offsets[0]);
            let b = Matrix::new(b_at.base.cast_const().cast::<T>(), flip(b)).at(offsets[1]);
            let c = flip(c);
            let first = offsets[2] as isize + row * c[0] + col * c[1];
            let (a, b) = if self.is_transposed { (b, a) } else { (a, b) };
            let (a, b) = (a.at((row * a.row) as i64), b.at((col * b.col) as i64));
            let k_slice = p.k_slice.max(1) as usize;
            let mut sums = std::mem::take(&mut panels.c);
            let narrow = c_at.and_then(|c| narrowing(c.dtype));
            let wide = match (c_at, narrow) {
                (Some(to), None) => Matrix::new(to.base.cast::<f32>().offset(first), c),
                (Some(_), Some(_)) | (None, _) => {
                    let base = room(&mut sums, size.m * size.n);
                    Matrix { base, row: size.n as isize, col: 1 }
                }
            };
            slices(kernel, size, k_slice, self.adds, [a, b], wide, panels);
            if let (Some(to), Some(narrow)) = (c_at, narrow) {
                round(wide, size, Matrix::new(to.base.cast::<u16>().offset(first), c), narrow);
            }
            if let Some(behind) = behind {
                // Row 0 of the sums is that of the product.
                let sums = wide.base.wrapping_offset(-row * wide.row);
                let block = unit / self.col_blocks / self.row_blocks * self.col_blocks
                    + unit % self.col_blocks;
                let begin = block * self.m + row as u64;
                behind.run(sums, begin..begin + size.m as u64, &mut panels.args);
            }
            panels.c = sums;
        }
    }
}

impl Behind<'_> {
    /// Runs over some units of its extent.
    ///
    /// # Safety
    /// The sums of these units are in memory, and nobody else touches what they write.
    unsafe fn run(&self, sums: *mut f32, units: Range<u64>, args: &mut Vec<Pointer>) {
        let here = |arg: &Pointer| if arg.0.is_null() { Pointer(sums.cast()) } else { *arg };
        args.clear();
        args.extend(self.args.iter().map(here));
        // SAFETY: the caller's promise; `Pointer` is a transparent address.
        unsafe { (self.entry)(args.as_ptr().cast(), units.start, units.end) }
    }
}

/// Rounds a block.
///
/// # Safety
/// Both matrices have the size.
#[inline(always)]
unsafe fn round(
    from: Matrix<*mut f32>,
    size: Size,
    to: Matrix<*mut u16>,
    narrow: impl Fn(f32) -> u16,
) {
    for i in 0..size.m as isize {
        for j in 0..size.n as isize {
            // SAFETY: both indices are inside the size.
            unsafe {
                let x = *from.base.offset(i * from.row + j);
                *to.base.offset(i * to.row + j * to.col) = narrow(x);
            }
        }
    }
}

/// One piece, slice by slice.
///
/// # Safety
/// As for [`run_with`].
#[inline(always)]
unsafe fn slices<T: Element>(
    kernel: Kernel,
    size: Size,
    k_slice: usize,
    adds: bool,
    [a, b]: [Matrix<*const T>; 2],
    c: Matrix<*mut f32>,
    panels: &mut Panels,
) {
    let mut from = 0;
    loop {
        let part = Size { k: k_slice.min(size.k - from), ..size };
        // SAFETY: the slice lies inside the operands.
        unsafe {
            let a = a.at((from as isize * a.col) as i64);
            let b = b.at((from as isize * b.row) as i64);
            Block { kernel, size: part, a, b, c, adds: adds || from > 0 }.run(panels);
        }
        from += part.k;
        if from >= size.k {
            return;
        }
    }
}

/// One slice of one piece.
struct Block<T> {
    kernel: Kernel,
    size: Size,
    a: Matrix<*const T>,
    b: Matrix<*const T>,
    c: Matrix<*mut f32>,
    adds: bool,
}

impl<T: Element> Block<T> {
    /// # Safety
    /// As for [`run_with`].
    #[inline(always)]
    unsafe fn run(&self, panels: &mut Panels) {
        let Size { m, n, k } = self.size;
        let Kernel { rows, vector, .. } = self.kernel;
        // SAFETY: all indices are inside the sizes, whose elements the caller vouches for.
        unsafe {
            let a = self.left(panels);
            let mut j = 0;
            while j < n {
                let vectors = self.kernel.take(n - j);
                let cols = vectors * vector;
                let width = cols.min(n - j);
                let b = self.b.at((j as isize * self.b.col) as i64);
                let (b, b_k) = if T::IS_F32 && b.col == 1 && width == cols && m <= 2 * rows {
                    (b.base.cast::<f32>(), b.row)
                } else {
                    let panel = room(&mut panels.b, k * cols);
                    pack_columns(b, k, width, cols, panel);
                    (panel.cast_const(), cols as isize)
                };
                for i in (0..m).step_by(rows) {
                    let size = [rows.min(m - i), width];
                    let from = a.base.add(i * a.step);
                    let sources = Sources { a: from, a_row: a.row, a_k: a.k, b, b_k, k };
                    let c = self.c;
                    let at = c.base.offset(i as isize * c.row + j as isize * c.col);
                    self.kernel.run(vectors, size, sources, at, [c.row, c.col], self.adds);
                }
                j += width;
            }
        }
    }

    /// The left operand as tiles read it: where it lies, or brought to the panels.
    ///
    /// # Safety
    /// As for [`run_with`].
    #[inline(always)]
    unsafe fn left(&self, panels: &mut Panels) -> Left {
        let Size { m, k, .. } = self.size;
        let rows = self.kernel.rows;
        let a = self.a;
        // SAFETY: as in `run`.
        unsafe {
            // Rows of neighbouring k are read in that order.
            if T::IS_F32 && (a.col == 1 || m <= rows) {
                let step = a.row as usize;
                return Left { base: a.base.cast(), step, row: a.row, k: a.col };
            }
            if a.col == 1 {
                let to = room(&mut panels.a, m * k);
                widen_rows(a, m, k, to);
                return Left { base: to, step: k, row: k as isize, k: 1 };
            }
            let to = room(&mut panels.a, m.next_multiple_of(rows) * k);
            pack_rows(a, m, k, rows, to);
            Left { base: to, step: k, row: 1, k: rows as isize }
        }
    }
}

/// The left operand of a block: row `i`, a multiple of a tile's rows, starts at `i * step`.
#[derive(Clone, Copy)]
struct Left {
    base: *const f32,
    step: usize,
    /// From row to row of a tile.
    row: isize,
    /// From k to k.
    k: isize,
}

/// A cache line of f32.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line(#[allow(dead_code, reason = "read through pointers")] [f32; 16]);

/// Copies of pieces of the operands, in the order that tiles read them.
struct Panels {
    a: Vec<Line>,
    b: Vec<Line>,
    /// The sums of a block whose result has 16 bits or goes to an epilogue only.
    c: Vec<Line>,
    /// The operands of an epilogue.
    args: Vec<Pointer>,
}

thread_local! {
    /// Those of a thread; [`reserve`] makes them as large as the largest block.
    static PANELS: RefCell<Panels> = const {
        RefCell::new(Panels { a: vec![], b: vec![], c: vec![], args: vec![] })
    };
}

/// So that [`room`] finds `n` elements without allocating; they are not touched.
pub(super) fn keep_room(lines: &mut Vec<Line>, n: usize) {
    lines.reserve(n.div_ceil(16).saturating_sub(lines.len()));
}

/// At least `n` elements.
pub(super) fn room(lines: &mut Vec<Line>, n: usize) -> *mut f32 {
    if lines.len() * 16 < n {
        lines.resize(n.div_ceil(16), Line([0.0; 16]));
    }
    lines.as_mut_ptr().cast()
}

/// Eight elements at once.
type Eight = [f32; 8];

/// Rows of `k` neighbours, one after the other.
///
/// # Safety
/// The matrix has `m` rows of `k` neighbours, and `to` room for as many.
#[inline(always)]
unsafe fn widen_rows<T: Element>(a: Matrix<*const T>, m: usize, k: usize, to: *mut f32) {
    for i in 0..m {
        // SAFETY: i < m, and at + 8 <= k or at < k.
        unsafe {
            let (from, to) = (a.base.offset(i as isize * a.row), to.add(i * k));
            for at in (0..k / 8 * 8).step_by(8) {
                to.add(at).cast::<Eight>().write_unaligned(T::eight(from.add(at)));
            }
            for at in k / 8 * 8..k {
                *to.add(at) = (*from.add(at)).widen();
            }
        }
    }
}

/// Rows in groups of `rows`; a group holds its elements of one k side by side.
///
/// # Safety
/// The matrix has `m` rows of `k`; `to` has as many, in whole groups.
#[inline(always)]
unsafe fn pack_rows<T: Element>(
    a: Matrix<*const T>,
    m: usize,
    k: usize,
    rows: usize,
    to: *mut f32,
) {
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
                        to.cast::<Eight>().write_unaligned(T::eight(a_at));
                    } else {
                        for x in 0..height {
                            *to.add(x) = (*a_at.offset(x as isize * a.row)).widen();
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
#[inline(always)]
pub(super) unsafe fn pack_columns<T: Element>(
    b: Matrix<*const T>,
    k: usize,
    width: usize,
    cols: usize,
    to: *mut f32,
) {
    // SAFETY: at < k and x < width.
    unsafe {
        if b.col == 1 && width == cols {
            for at in 0..k {
                let from = b.base.offset(at as isize * b.row);
                for x in (0..cols).step_by(8) {
                    let eight = T::eight(from.add(x));
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
                let at = b.base.offset(at as isize * b.row + x as isize * b.col);
                *row.add(x) = (*at).widen();
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
unsafe fn transpose<T: Element>(from: *const T, column: isize, to: *mut f32, row: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let x: [[f32; 4]; 4] = std::array::from_fn(|i| T::four(from.offset(i as isize * column)));
        let to = |i: usize| to.add(i * row).cast::<[f32; 4]>();
        to(0).write_unaligned(x.map(|x| x[0]));
        to(1).write_unaligned(x.map(|x| x[1]));
        to(2).write_unaligned(x.map(|x| x[2]));
        to(3).write_unaligned(x.map(|x| x[3]));
    }
}

#[cfg(test)]
mod tests;
