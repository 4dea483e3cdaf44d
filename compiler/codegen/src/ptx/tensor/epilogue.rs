//! The kernel behind a product, on the sums of a block in shared memory.

use ir::kernel::Kernel;
use ir::schedule::{Epilogue, EpilogueArg};
use ptx_builder::{B32, Builder, Cmp, Reg, Special};

use super::Tensor;
use super::block::{Block, parted};
use crate::flow::Flow;
use crate::ptx::emitter::{Emitter, Span};
use crate::ptx::memory::{Place, Pointer, small};
use crate::ptx::{count_loop, group};

impl Tensor<'_> {
    /// The kernel behind the product on the block's sums, a group of lanes for each row.
    pub(super) fn epilogue(
        &self,
        b: &mut Builder,
        epilogue: &Epilogue,
        kernel: &Kernel,
        block: &Block,
        sums: Reg<B32>,
    ) {
        let (m, width) = (small(self.product.m), self.need.width(self.tile));
        let kernel = narrowed(ir::expand::expand_kernel(kernel), epilogue, width);
        let flow = Flow::new(&kernel);
        let [at, part] = parted(b, block.strip, epilogue.cols / width, u64::MAX);
        let first = b.imul(part, small(width));
        let bases = self.bases(b, epilogue, block, sums, first);
        let front = b.mad(block.batch, small(self.product.n / epilogue.cols), at);
        let front = b.imul(front, m);
        let span = (width < epilogue.cols).then(|| Span { first, n: small(width) });
        let n_groups = small((self.tile.threads() / group::GROUP).into());
        let thread = b.special(Special::TidX);
        let line: Reg<B32> = b.shr(thread, group::GROUP.ilog2());
        count_loop(b, line, small(self.tile.rows.into()), n_groups, |b, row| {
            let row = b.iadd(row, block.row);
            let is_inside = b.icmp(Cmp::Lt, row, m);
            // All lanes of a warp take part in shuffles; a row behind the end is the last one again
            // and writes nothing.
            let row = b.imin(row, m - 1);
            let unit = b.iadd(front, row);
            let mut e = Emitter { span, ..Emitter::new(b, &kernel, &flow) };
            let place = e.outer_place(&bases, unit);
            group::row(&mut e, &Place { writes: Some(is_inside), ..place });
        });
    }

    /// The addresses of the kernel's operands; that of the sums is where row 0 of the product and
    /// column 0 of the kernel would have theirs.
    fn bases(
        &self,
        b: &mut Builder,
        epilogue: &Epilogue,
        block: &Block,
        sums: Reg<B32>,
        first: Reg<B32>,
    ) -> Vec<Pointer> {
        let before = b.mad(block.row, small(self.need.width(self.tile)), first);
        let before: Reg<B32> = b.shl(before, 2);
        let sums = b.isub(sums, before);
        let mut next = 2 + u32::from(self.product.c.is_some());
        let mut bases = vec![];
        for arg in &epilogue.args {
            bases.push(match arg {
                EpilogueArg::Sums => Pointer::Shared(sums),
                EpilogueArg::Memory(_) => {
                    let address = b.param(next);
                    next += 1;
                    Pointer::Global(b.to_global(address))
                }
            });
        }
        bases
    }
}

/// The kernel with rows of `width` sums instead of its columns.
fn narrowed(mut kernel: Kernel, epilogue: &Epilogue, width: u64) -> Kernel {
    let cols = epilogue.cols.cast_signed();
    for (operand, arg) in kernel.operands.iter_mut().zip(&epilogue.args) {
        if *arg == EpilogueArg::Sums {
            let strides = operand.outer.iter_mut();
            strides.for_each(|stride| *stride = *stride / cols * width.cast_signed());
        }
    }
    kernel
}
