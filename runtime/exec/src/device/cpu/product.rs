//! Matrix products, summed in fp32 in a fixed order of additions.
//!
//! Each element is a sequential FMA over a slice of K, slices added ascending. Units of work are
//! blocks of the result; each brings its operands into the order that the tiles of [`tile`] read,
//! and there elements of 16 bits become f32. A result of 16 bits is rounded once, when all slices
//! are added.

mod block;
mod chains;
pub(super) mod element;
mod lanes;
mod pack;
pub(super) mod tile;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::{Dtype, Product};

use super::Pointer;
use super::jit::Entry;
use super::pool::Pool;
use block::Block;
pub(super) use chains::{Chains, chains};
use element::{Bf16, Element, F16, converts_f16, narrowing};
pub(super) use pack::{Line, keep_room, pack_columns, room};
use pack::{PANELS, Panels};
use tile::{Kernel, Onto};

/// Units wanted for each thread, so that a slow one does not hold up the rest.
const UNITS: u64 = 4;
/// Rows of a unit at most; with an epilogue, which wants them in the cache.
const MOST_ROWS: [u64; 2] = [1024, 256];
/// Elements of the right operand that a unit reads of one slice at most: they stay in the cache of
/// the second level while rows of the left one pass.
const MOST_PACKED: u64 = 192 << 10;
/// Elements of the right operand that a thread keeps packed for its next unit at most.
const KEPT: usize = 1 << 20;
/// Rows and columns of a unit at least.
const LEAST: u64 = 32;

/// Numbers the products, so that none takes the panels of another.
static RUNS: AtomicU64 = AtomicU64::new(0);

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
    let kernel = Machine::new().kernel;
    let mut most = [0; 4];
    for (p, dtype) in products {
        let grid = Grid::new(kernel, p, false, pool.threads() as u64);
        let (m, n) = (grid.rows as usize, grid.cols as usize);
        let size = Size { m, n, k: p.k.min(p.k_slice.max(1)) as usize };
        let [a, slice, sums] = block::needed(kernel, size);
        let b = slice.max(kept(kernel, Size { k: p.k as usize, ..size }).unwrap_or(0));
        let c = if *dtype == Some(Dtype::F32) { 0 } else { m * n };
        let needed = [a, b, sums, c];
        most = std::array::from_fn(|i| needed[i].max(most[i]));
    }
    pool.on_each_thread(&|| {
        PANELS.with_borrow_mut(|panels| {
            let Panels { a, b, held: _, sums, c, args } = panels;
            for (lines, n) in [a, b, sums, c].into_iter().zip(most) {
                keep_room(lines, n);
            }
            args.reserve(n_args);
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
    let grid = Grid::new(machine.kernel, p, adds, pool.threads() as u64);
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
    run: u64,
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
    fn new(kernel: Kernel, p: &'p Product, adds: bool, threads: u64) -> Self {
        // An epilogue has rows of blocks.
        let [row, col] = p.c_strides.map(i64::abs);
        let is_transposed = row < col && p.epilogue.is_none();
        let (m, n) = if is_transposed { (p.n, p.m) } else { (p.m, p.n) };
        let batch: u64 = p.batch.iter().map(|axis| axis.size).product();
        // An epilogue takes whole blocks.
        let block = p.epilogue.as_ref().map(|e| e.cols);
        let step = (kernel.tiles.len() * kernel.vector) as u64;
        let least = block.unwrap_or(LEAST.max(step));
        let widest = (MOST_PACKED / p.k.clamp(1, p.k_slice.max(1))).max(step);
        let even = n.div_ceil(n.div_ceil(widest).max(1)).next_multiple_of(step);
        let mut cols = block.unwrap_or(even).max(1);
        let most_rows = MOST_ROWS[usize::from(block.is_some())];
        let mut rows = most_rows.min(m.next_multiple_of(LEAST)).max(LEAST);
        // The size has no part in the result, so the threads may decide it.
        let units = |rows: u64, cols: u64| batch * m.div_ceil(rows) * n.div_ceil(cols);
        while units(rows, cols) < threads * UNITS && (rows > LEAST || cols > least) {
            if rows > cols / 2 && rows > LEAST || cols <= least {
                rows = (rows / 2).next_multiple_of(LEAST);
            } else {
                cols = (cols / 2).next_multiple_of(step).max(least);
            }
        }
        let (row_blocks, col_blocks) = (m.div_ceil(rows), n.div_ceil(cols));
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        Self { p, run, adds, is_transposed, m, n, batch, rows, row_blocks, cols, col_blocks }
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
        // Units of the same columns follow each other: they share what is packed.
        let block = unit / self.row_blocks;
        let row = unit % self.row_blocks * self.rows;
        let col = block % self.col_blocks * self.cols;
        let mut index = block / self.col_blocks;
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
            let mut sums = std::mem::take(&mut panels.c);
            let narrow = c_at.and_then(|c| narrowing(c.dtype));
            let wide = match (c_at, narrow) {
                (Some(to), None) => Matrix::new(to.base.cast::<f32>().offset(first), c),
                (Some(_), Some(_)) | (None, _) => {
                    let base = room(&mut sums, size.m * size.n);
                    Matrix { base, row: size.n as isize, col: 1 }
                }
            };
            slices(kernel, self, size, [a, b], wide, panels);
            if let (Some(to), Some(narrow)) = (c_at, narrow) {
                round(wide, size, Matrix::new(to.base.cast::<u16>().offset(first), c), narrow);
            }
            if let Some(behind) = behind {
                // Row 0 of the sums is that of the product.
                let sums = wide.base.wrapping_offset(-row * wide.row);
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

/// Elements of the panels of all slices, if they are few enough to be kept.
fn kept(kernel: Kernel, size: Size) -> Option<usize> {
    let n = size.n.next_multiple_of(kernel.vector) * size.k;
    (n <= KEPT).then_some(n)
}

/// One piece, slice by slice.
///
/// # Safety
/// As for [`run_with`].
#[inline(always)]
unsafe fn slices<T: Element>(
    kernel: Kernel,
    grid: &Grid<'_>,
    size: Size,
    [a, b]: [Matrix<*const T>; 2],
    c: Matrix<*mut f32>,
    panels: &mut Panels,
) {
    let whole = size.n.next_multiple_of(kernel.vector);
    let (k_slice, adds) = (grid.p.k_slice.max(1) as usize, grid.adds);
    let piece = Some((grid.run, b.base.addr()));
    let (is_kept, is_held) = (kept(kernel, size).is_some(), panels.held == piece);
    panels.held = None;
    let mut from = 0;
    loop {
        let part = Size { k: k_slice.min(size.k - from), ..size };
        let onto = if adds || from > 0 { Onto::Sum } else { Onto::Nothing };
        // SAFETY: the slice lies inside the operands.
        unsafe {
            let a = a.at((from as isize * a.col) as i64);
            let b = b.at((from as isize * b.row) as i64);
            let block = Block { kernel, size: part, a, b, c, onto };
            if block.is_thin() {
                block.run_thin(panels);
            } else {
                let n = whole * if is_kept { size.k } else { part.k };
                let to = room(&mut panels.b, n).add(if is_kept { whole * from } else { 0 });
                if !(is_kept && is_held) {
                    block.pack(to);
                }
                block.run(to, &mut panels.a);
                panels.held = if is_kept { piece } else { None };
            }
        }
        from += part.k;
        if from >= size.k {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
