//! Rows or keys of a tensor, to shared memory and from there to registers.

use ir::schedule::attention::Strided;
use ptx_builder::{B32, B64, Builder, Reg};

use super::mask::Unit;
use crate::ptx::memory::advance_bytes;
use crate::ptx::tensor::copy::{Along, Copier, Source};
use crate::ptx::tensor::fragment::{Fragments, Side};

/// So many lines of a tensor, each with all its elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    source: Source,
    /// Which argument it is.
    at: u32,
    /// Bytes from sequence to sequence and from head to head.
    strides: [i64; 2],
}

impl Panel {
    /// `lines` of `size` with `width` elements; `aligned` divides the tensor's address.
    pub(super) fn new(
        at: u32,
        x: &Strided,
        aligned: u64,
        lines: u32,
        (size, width): (u64, u64),
    ) -> Self {
        let [batch, head, row, col] = x.strides;
        let divisors = aligned | (batch.unsigned_abs() * 2) | (head.unsigned_abs() * 2);
        let aligned = 1 << divisors.trailing_zeros();
        // Places of chunks are permuted among a power of two of them.
        let depth = u32::try_from(width.next_power_of_two()).expect("a line is short");
        let source = Source::along(Along::K, (lines, depth), (size, width), [row, col], aligned);
        Self { source, at, strides: [batch * 2, head * 2] }
    }

    /// Bytes in shared memory.
    pub(super) fn bytes(self) -> u32 {
        self.source.bytes()
    }

    /// The tensor at a sequence and a head.
    pub(super) fn base(self, b: &mut Builder, unit: Unit) -> Reg<B64> {
        let address = b.param(self.at);
        let base = b.to_global(address);
        let base = advance_bytes(b, base, unit.batch, self.strides[0]);
        advance_bytes(b, base, unit.head, self.strides[1])
    }

    /// Copies the lines from one on; those behind the last one become 0.
    pub(super) fn copy(
        self,
        b: &mut Builder,
        threads: u32,
        base: Reg<B64>,
        first: Reg<B32>,
        to: Reg<B32>,
    ) {
        let copier = Copier::new(b, self.source, threads, base, first, to);
        let here = b.mov(0);
        copier.put(b, here);
    }

    /// Fragments whose k are the elements of a line; the other index counts lines.
    pub(super) fn along(
        self,
        b: &mut Builder,
        side: Side,
        first: Reg<B32>,
        start: Reg<B32>,
    ) -> Fragments {
        Fragments::new(b, self.source, side, first, 0, start)
    }

    /// Fragments of the right side whose k are the lines; the other index counts elements.
    pub(super) fn across(self, b: &mut Builder, start: Reg<B32>) -> Fragments {
        let Source { tile, depth, k, .. } = self.source;
        let n = u32::try_from(k / 16).expect("a line is short");
        let turned = Source { along: Along::Outer, tile: depth, depth: tile, ..self.source };
        let first = b.mov(0);
        Fragments::new(b, turned, Side::Right, first, n, start)
    }
}
