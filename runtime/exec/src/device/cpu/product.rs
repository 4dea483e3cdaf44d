//! Matrix products, summed in fp32 in a fixed order of additions.
//!
//! Each element is a sequential FMA over a slice of K, slices added ascending. The result is cut
//! into blocks by [`grid`]; each brings its operands into the order that the tiles of [`tile`]
//! read, and there elements of 16 bits become f32. A result of 16 bits is rounded once, when all
//! slices are added.

mod block;
mod chains;
pub(super) mod element;
mod grid;
mod lanes;
mod pack;
pub(super) mod tile;

use std::ops::Range;

use plan::{Dtype, Product};

use super::Pointer;
use super::jit::Entry;
use super::pool::Pool;
use block::{Block, is_in_place};
pub(super) use chains::{Chains, chains};
use element::{Bf16, Element, F16, converts_f16, narrowing};
use grid::{Grid, Place};
use pack::{Kept, PANELS, Panels};
pub(super) use pack::{Line, keep_room, pack_columns, room};
use tile::{Kernel, Onto};

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

// SAFETY: the operands are read, and blocks are different elements of the result.
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

/// Sizes of one block.
#[derive(Debug, Clone, Copy)]
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
    let threads = pool.threads() as u64;
    pool.on_each_thread(&|| {
        PANELS.with_borrow_mut(|panels| {
            for (p, dtype) in products {
                reserve_for(kernel, &Grid::new(kernel, p, false, threads), *dtype, panels);
            }
            panels.args.reserve(n_args);
        });
    });
}

/// Makes room for the blocks of one product.
fn reserve_for(kernel: Kernel, grid: &Grid<'_>, dtype: Option<Dtype>, panels: &mut Panels) {
    let [m, n] = grid.block().map(|x| x as usize);
    let k = grid.p.k.min(grid.p.k_slice.max(1)) as usize;
    let size = Size { m, n, k };
    if grid.is_thin() {
        let Panels { thin: [a, b], sums, .. } = panels;
        let needed = block::of_thin(kernel, Size { m: grid.m as usize, ..size });
        [a, b, sums].into_iter().zip(needed).for_each(|(lines, n)| keep_room(lines, n));
    }
    let needed = block::passing(kernel, size);
    let stores = [&mut panels.a, &mut panels.b].into_iter().zip(grid.keeps);
    stores.zip(needed).for_each(|((store, keep), passing)| store.reserve(keep, passing));
    if dtype != Some(Dtype::F32) {
        keep_room(&mut panels.c, m * n);
    }
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
    pool.run(grid.jobs(), 1, &|jobs| {
        PANELS.with_borrow_mut(|panels| {
            for place in jobs.flat_map(|job| grid.blocks(job)) {
                // SAFETY: as the caller promises; blocks are different elements of the result.
                unsafe { run_block(machine, &grid, place, operands, panels) }
            }
        });
    });
}

/// One block, compiled for the type of the operands.
///
/// # Safety
/// As for [`run_with`].
unsafe fn run_block(
    machine: Machine,
    grid: &Grid<'_>,
    place: Place,
    operands: Operands<'_>,
    panels: &mut Panels,
) {
    let kernel = machine.kernel;
    // SAFETY: the caller's promise.
    unsafe {
        match operands.a.dtype {
            Dtype::F32 => grid.block_of::<f32>(kernel, place, operands, panels),
            Dtype::Bf16 => grid.block_of::<Bf16>(kernel, place, operands, panels),
            #[cfg(target_arch = "x86_64")]
            Dtype::F16 if machine.converts_f16 => {
                block_machine_f16(grid, kernel, place, operands, panels);
            }
            Dtype::F16 => grid.block_of::<F16>(kernel, place, operands, panels),
            Dtype::F64 | Dtype::I32 => unreachable!("the plan was verified"),
        }
    }
}

/// # Safety
/// As for [`run_with`], and the machine converts f16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
unsafe fn block_machine_f16(
    grid: &Grid<'_>,
    kernel: Kernel,
    place: Place,
    operands: Operands<'_>,
    panels: &mut Panels,
) {
    // SAFETY: the caller's promise.
    unsafe { grid.block_of::<element::MachineF16>(kernel, place, operands, panels) }
}

impl Grid<'_> {
    /// # Safety
    /// As for [`run_with`]; the operands have elements of `T`.
    #[inline(always)]
    unsafe fn block_of<T: Element>(
        &self,
        kernel: Kernel,
        place: Place,
        operands: Operands<'_>,
        panels: &mut Panels,
    ) {
        let p = self.p;
        let offsets = self.offsets(&place);
        let Place { row, col, size, .. } = place;
        let (row, col) = (row as isize, col as isize);
        let [a, b, c] = [p.a_strides, p.b_strides, p.c_strides].map(|s| s.map(|x| x as isize));
        let flip = |[x, y]: [isize; 2]| if self.is_transposed { [y, x] } else { [x, y] };
        // SAFETY: the block lies inside the product, whose elements the caller vouches for.
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
            slices(kernel, self, &place, [a, b], wide, panels);
            if let (Some(to), Some(narrow)) = (c_at, narrow) {
                round(wide, size, Matrix::new(to.base.cast::<u16>().offset(first), c), narrow);
            }
            if let Some(behind) = behind {
                // Row 0 of the sums is that of the product.
                let sums = wide.base.wrapping_offset(-row * wide.row);
                let begin = self.columns_before(&place) * self.m + row as u64;
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

/// One block, slice by slice.
///
/// # Safety
/// As for [`run_with`].
#[inline(always)]
unsafe fn slices<T: Element>(
    kernel: Kernel,
    grid: &Grid<'_>,
    place: &Place,
    [a, b]: [Matrix<*const T>; 2],
    c: Matrix<*mut f32>,
    panels: &mut Panels,
) {
    let size = place.size;
    let [whole_m, whole_n] =
        [size.m.next_multiple_of(kernel.rows), size.n.next_multiple_of(kernel.vector)];
    let is_thin = grid.is_thin() && b.col == 1;
    let in_place = is_in_place(kernel, a, grid.n);
    let [keep_a, keep_b] = if is_thin { [None; 2] } else { grid.keeps };
    let keep_a = keep_a.filter(|_| !in_place);
    let kept_a = keep_a.map(|keep| panels.a.keep(keep, grid.name(place, place.row_block)));
    let kept_b = keep_b.map(|keep| panels.b.keep(keep, grid.name(place, place.col_block)));
    let k_slice = grid.p.k_slice.max(1) as usize;
    let mut from = 0;
    loop {
        let part = Size { k: k_slice.min(size.k - from), ..size };
        let onto = if grid.adds || from > 0 { Onto::Sum } else { Onto::Nothing };
        // SAFETY: the slice lies inside the operands, and places have room for all slices.
        unsafe {
            let a = a.at((from as isize * a.col) as i64);
            let b = b.at((from as isize * b.row) as i64);
            let block = Block { kernel, size: part, a, b, c, onto };
            if is_thin {
                block.run_thin(panels);
            } else {
                let columns = match kept_b {
                    Some(kept) => Kept { base: kept.base.add(whole_n * from), ..kept },
                    None => panels.b.pass(whole_n * part.k),
                };
                if !columns.is_held {
                    block.pack(columns.base);
                }
                if in_place {
                    block.run_in_place(columns.base);
                } else {
                    let rows = match kept_a {
                        Some(kept) => Kept { base: kept.base.add(whole_m * from), ..kept },
                        None => panels.a.pass(block.strip_size()),
                    };
                    block.run(columns.base, rows, kept_a.is_some());
                }
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
