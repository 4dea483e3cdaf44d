//! The epilogue of a product: its kernel over the sums of a tile.

use ir::kernel::Kernel;
use ir::schedule::{Epilogue, EpilogueArg};
use ptx_builder::{B32, Builder, Cmp, F32, Logic, Reg};

use super::Emission;
use crate::flow::Flow;
use crate::ptx::chains::SIDE;
use crate::ptx::emitter::Emitter;
use crate::ptx::memory::{Pointer, small};
use crate::ptx::{count_loop, group};

impl Emission<'_> {
    /// Puts the sums to shared memory and runs the kernel on each row of each of their blocks, a
    /// line of threads at a row.
    pub(super) fn epilogue(&mut self, epilogue: &Epilogue, kernel: &Kernel, totals: &[Reg<F32>]) {
        // The stages of the product are in the same memory.
        self.b.barrier();
        self.share(totals);
        self.b.barrier();
        let kernel = ir::expand::expand_kernel(kernel);
        let flow = Flow::new(&kernel);
        let bases = self.bases(epilogue);
        let n_lines = small(self.shape.cols / self.shape.block) * self.rows() / SIDE.cast_signed();
        let (line, rows) = (self.thread.line, self.rows());
        let row_bytes = small(self.shape.block * 4);
        let n_blocks = small(self.p.n / self.shape.block);
        let (m, per_tile) = (small(self.p.m), small(self.shape.cols / self.shape.block));
        let at = &self.at;
        count_loop(self.b, 0, n_lines, 1, |b, turn| {
            let unit = b.mad(turn, SIDE.cast_signed(), line);
            let row_in_tile = b.urem(unit, rows);
            let row = b.iadd(at.row, row_in_tile);
            let block = b.udiv(unit, rows);
            let block = b.mad(at.tile, per_tile, block);
            // All lanes of a warp take part in shuffles: a line behind the end does the last row
            // with sums of its own and writes nothing.
            let is_row = b.icmp(Cmp::Lt, row, m);
            let is_block = b.icmp(Cmp::Lt, block, n_blocks);
            let is_there = b.plogic(Logic::And, is_row, is_block);
            let row = b.imin(row, m - 1);
            let block = b.imin(block, n_blocks - 1);
            let bases = moved(b, &bases, unit, row, row_bytes);
            let blocks = b.mad(at.front, n_blocks, block);
            let outer = b.mad(blocks, m, row);
            let mut e = Emitter::new(b, &kernel, &flow);
            let mut place = e.outer_place(&bases, outer);
            place.writes = Some(is_there);
            group::row(&mut e, &place);
        });
    }

    fn rows(&self) -> i32 {
        self.shape.axes[0].size().cast_signed()
    }

    /// The addresses of the kernel's operands; that of the sums is the first of the tile.
    fn bases(&mut self, epilogue: &Epilogue) -> Vec<Pointer> {
        let mut param = 2 + u32::from(self.p.c.is_some());
        let mut bases = vec![];
        for arg in &epilogue.args {
            bases.push(match arg {
                EpilogueArg::Sums => Pointer::Shared(self.b.shared()),
                EpilogueArg::Memory(_) => {
                    let address = self.b.param(param);
                    param += 1;
                    Pointer::Global(self.b.to_global(address))
                }
            });
        }
        bases
    }

    /// Block by block, row by row.
    fn share(&mut self, totals: &[Reg<F32>]) {
        let [rows, cols] = self.shape.axes;
        let rows = rows.indices(self.b, self.thread.line);
        let cols = cols.indices(self.b, self.thread.lane);
        let b = &mut *self.b;
        let shared = b.shared();
        let (block, n_rows) = (small(self.shape.block), self.shape.axes[0].size());
        for (j, &col) in cols.iter().enumerate() {
            let is_there = b.icmp(Cmp::Lt, col, small(self.shape.cols));
            let before = b.udiv(col, block);
            let within = b.urem(col, block);
            let lines = b.imul(before, n_rows);
            for (i, &row) in rows.iter().enumerate() {
                let line = b.iadd(lines, row);
                let place = b.mad(line, block, within);
                let place = b.mad(place, 4, shared);
                let total = totals[i * cols.len() + j];
                b.guarded(is_there, true, |b| b.store_shared(place, 0, total));
            }
        }
    }
}

/// The operands from where row 0 of the product would have its sums, were they those of the unit.
fn moved(
    b: &mut Builder,
    bases: &[Pointer],
    unit: Reg<B32>,
    row: Reg<B32>,
    row_bytes: i32,
) -> Vec<Pointer> {
    let further = b.isub(unit, row);
    let one = |base: &Pointer| match *base {
        Pointer::Global(_) => *base,
        Pointer::Shared(sums) => Pointer::Shared(b.mad(further, row_bytes, sums)),
    };
    bases.iter().map(one).collect()
}
