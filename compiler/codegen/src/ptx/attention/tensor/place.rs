//! Where the sums of a warp go in global memory.

use ir::types::Dtype;
use ptx_builder::{B32, Builder, Reg};

use super::mask::Unit;
use crate::ptx::memory::advance_bytes;
use crate::ptx::tensor::fragment::Sums;
use crate::ptx::tensor::result::{self, Corner, Ends, Layout, Start};

/// A tensor that is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    param: u32,
    /// From sequence to sequence and from head to head, in bytes.
    strides: [i64; 2],
    layout: Layout,
}

impl Place {
    /// A parameter whose address `aligned` divides, and the elements from one sequence, head, row
    /// and column to the next.
    pub(super) fn new(param: u32, dtype: Dtype, strides: [i64; 4], aligned: u64) -> Self {
        let [batch, head, row, col] = strides.map(|stride| stride * dtype.bytes().cast_signed());
        let divisors = [batch, head, row].iter().fold(aligned, |all, s| all | s.unsigned_abs());
        let is_even = 1 << divisors.trailing_zeros() >= 2 * dtype.bytes();
        let layout = Layout { dtype, strides: [row, col], in_pairs: is_even && strides[3] == 1 };
        Self { param, strides: [batch, head], layout }
    }

    /// Writes sums whose first one has a row and a column; rows behind the end are left out.
    pub(super) fn store(
        self,
        b: &mut Builder,
        unit: Unit,
        sums: &Sums,
        [row, col]: [Reg<B32>; 2],
        end: Option<u64>,
    ) {
        let address = b.param(self.param);
        let mut to = b.to_global(address);
        let strides = [self.strides, self.layout.strides].concat();
        for (index, stride) in [unit.batch, unit.head, row, col].into_iter().zip(strides) {
            to = advance_bytes(b, to, index, stride);
        }
        let inside = (Corner { row, col }, Ends { row: end, col: None });
        result::store(b, sums, self.layout, Start::Anew, to, inside);
    }
}
