//! Operands of an attention in memory, and products of them a tile at a time.

use plan::Dtype;

use crate::device::cpu::product::element::{Bf16, F16};
use crate::device::cpu::product::tile::{Kernel, Onto, Sources};
use crate::device::cpu::product::{Line, Machine, Matrix, pack_columns, room};

/// A tensor of four axes: sequence, head or group, row, column.
#[derive(Clone, Copy)]
pub(super) struct Tensor {
    pub(super) base: *mut u8,
    pub(super) dtype: Dtype,
    /// In elements.
    pub(super) strides: [isize; 4],
}

// SAFETY: operands are read, and units write different elements of the results.
unsafe impl Send for Tensor {}
// SAFETY: as above.
unsafe impl Sync for Tensor {}

impl Tensor {
    /// The rows of a head from one on.
    ///
    /// # Safety
    /// The place is inside the tensor.
    pub(super) unsafe fn rows(self, [batch, head, row]: [u64; 3]) -> Part {
        let [by_batch, by_head, by_row, col] = self.strides;
        let at = batch as isize * by_batch + head as isize * by_head + row as isize * by_row;
        // SAFETY: the caller's promise.
        let base = unsafe { self.base.offset(at * self.dtype.bytes() as isize) };
        Part { base, dtype: self.dtype, row: by_row, col }
    }
}

/// A matrix in memory whose elements have a type known at run time.
#[derive(Clone, Copy)]
pub(super) struct Part {
    base: *mut u8,
    dtype: Dtype,
    row: isize,
    col: isize,
}

impl Part {
    pub(super) fn transposed(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }

    /// As a result, which is f32.
    pub(super) fn result(self) -> Matrix<*mut f32> {
        Matrix { base: self.base.cast(), row: self.row, col: self.col }
    }

    /// Its first rows and columns as products read them: where they lie, or copied.
    ///
    /// # Safety
    /// They are in memory, and the machine is this one.
    pub(super) unsafe fn ready(
        self,
        machine: Machine,
        [rows, cols]: [usize; 2],
        copy: &mut Vec<Line>,
    ) -> Rows {
        let vector = machine.kernel.vector;
        if self.dtype == Dtype::F32 && self.col == 1 && cols.is_multiple_of(vector) {
            return Rows { base: self.base.cast(), row: self.row, next: 1 };
        }
        let whole = cols.next_multiple_of(vector);
        let to = room(copy, rows * whole);
        // SAFETY: the caller's promise.
        unsafe { self.pack(machine, [rows, cols], whole, to) };
        Rows { base: to, row: whole as isize, next: 1 }
    }

    /// Copies rows, widened, to rows of `whole` elements, zeros behind the last column.
    ///
    /// # Safety
    /// The rows and columns are in memory, and the machine is this one; `to` has as many rows of
    /// `whole`, a multiple of 8 and not less than the columns.
    pub(super) unsafe fn pack(
        self,
        machine: Machine,
        [rows, cols]: [usize; 2],
        whole: usize,
        to: *mut f32,
    ) {
        fn typed<T>(part: Part) -> Matrix<*const T> {
            Matrix { base: part.base.cast_const().cast(), row: part.row, col: part.col }
        }
        // SAFETY: the caller's promise.
        unsafe {
            match self.dtype {
                Dtype::F32 => {
                    pack_columns::<f32>(machine.kernel, typed(self), rows, cols, whole, to)
                }
                Dtype::Bf16 => {
                    pack_columns::<Bf16>(machine.kernel, typed(self), rows, cols, whole, to)
                }
                #[cfg(target_arch = "x86_64")]
                Dtype::F16 if machine.converts_f16 => {
                    pack_machine_f16(machine.kernel, typed(self), rows, cols, whole, to);
                }
                Dtype::F16 => {
                    pack_columns::<F16>(machine.kernel, typed(self), rows, cols, whole, to)
                }
                Dtype::F64 | Dtype::I32 => unreachable!("the plan was verified"),
            }
        }
    }
}

/// # Safety
/// As for [`pack_columns`], and the machine converts f16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
unsafe fn pack_machine_f16(
    kernel: Kernel,
    from: Matrix<*const super::super::product::element::MachineF16>,
    rows: usize,
    cols: usize,
    whole: usize,
    to: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe { pack_columns(kernel, from, rows, cols, whole, to) }
}

/// A matrix as products read it: f32, as a right operand with neighbours side by side and whole
/// vectors of columns.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) base: *const f32,
    pub(super) row: isize,
    /// From column to column; 1 in a right operand.
    pub(super) next: isize,
}

impl Rows {
    pub(super) fn transposed(self) -> Self {
        Self { row: self.next, next: self.row, ..self }
    }
}

/// `c[m,n]` of chains over `k` of `a[m,k] * b[k,n]`.
///
/// # Safety
/// The kernel is this machine's; the operands have the sizes, `b` whole vectors of columns, and
/// nobody else uses `c` meanwhile.
pub(super) unsafe fn multiply(
    kernel: Kernel,
    [m, n, k]: [usize; 3],
    a: Rows,
    b: Rows,
    c: Matrix<*mut f32>,
    onto: Onto,
) {
    let mut j = 0;
    while j < n {
        let vectors = kernel.take(n - j);
        let width = (vectors * kernel.vector).min(n - j);
        for i in (0..m).step_by(kernel.rows) {
            // SAFETY: i and j are inside the sizes, whose elements the caller vouches for.
            unsafe {
                let sources = Sources {
                    a: a.base.offset(i as isize * a.row),
                    a_row: a.row,
                    a_k: a.next,
                    b: b.base.add(j),
                    b_k: b.row,
                    k,
                };
                let to = c.base.offset(i as isize * c.row + j as isize * c.col);
                let size = [kernel.rows.min(m - i), width];
                kernel.run(vectors, size, sources, to, [c.row, c.col], onto);
            }
        }
        j += width;
    }
}
