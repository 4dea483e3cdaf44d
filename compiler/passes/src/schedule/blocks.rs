//! The space of a kernel behind a product: blocks of columns, rows of each.

use ir::body::Body;
use ir::kernel::{Inst, Kernel, Reg, Scalar, Skeleton};
use ir::schedule::{Arg, Target};
use ir::types::Dtype;

use super::space::{Axis, Draft};
use crate::fuse::maps::block;

/// How the axes of a space follow the result of a product.
pub(crate) struct Grid {
    /// The first axis of its rows; those before are batches.
    pub(crate) rows: usize,
    /// The first axis of its columns.
    pub(crate) cols: usize,
    /// Whether the last axis, all the columns, is reduced.
    pub(crate) reduces: bool,
    /// Columns of the product.
    pub(crate) n: u64,
}

impl Draft {
    /// A kernel over batches, blocks of columns, and rows; one row of a block is a unit.
    ///
    /// The operand at `sums` is the block itself: its rows lie side by side, and it has no others.
    pub(crate) fn into_blocks(self, grid: &Grid, sums: Arg, target: &Target) -> (Kernel, Vec<Arg>) {
        let rank = self.shape.len();
        let last = self.shape[rank - 1];
        let width = |neighbours| block(neighbours, grid.n, target).expect("the map has blocks");
        if !grid.reduces && self.is_indexed(rank - 1) && width(last) < last {
            // Its index is that of the block and the one within.
            let cut = self.cut(rank - 1, width(last));
            return cut.into_blocks(grid, sums, target);
        }
        let mut cols =
            if grid.reduces { vec![self.axis(rank - 1)] } else { self.join(grid.cols..rank) };
        let none = Axis { size: 1, strides: vec![0; self.operands.len()], from: vec![] };
        let mut inner = cols.pop().unwrap_or_else(|| none.clone());
        let width = if grid.reduces { inner.size } else { width(inner.size) };
        if width < inner.size {
            let strides = inner.strides.iter().map(|s| s * width.cast_signed()).collect();
            cols.push(Axis { size: inner.size / width, strides, from: vec![] });
            inner = Axis { size: width, from: vec![], ..inner };
        }
        let mut rows = self.join(grid.rows..grid.cols);
        if rows.is_empty() {
            rows.push(none);
        }
        let mut outer = self.join(0..grid.rows);
        outer.extend(cols);
        for (i, operand) in self.operands.iter().enumerate().filter(|(_, o)| o.arg == sums) {
            assert!(!operand.is_output, "the sums of a block are read");
            outer.iter_mut().for_each(|axis| axis.strides[i] = 0);
            let mut stride = width.cast_signed();
            for axis in rows.iter_mut().rev() {
                axis.strides[i] = stride;
                stride *= axis.size.cast_signed();
            }
        }
        outer.extend(rows);
        self.kernel(Skeleton::Rows, &outer, None, &inner)
    }

    /// The same over a space with one axis cut in parts of `size`.
    fn cut(self, axis: usize, size: u64) -> Self {
        let mut shape = self.shape;
        shape[axis] /= size;
        shape.insert(axis + 1, size);
        let mut operands = self.operands;
        for operand in &mut operands {
            let stride = operand.strides[axis];
            operand.strides[axis] = stride * size.cast_signed();
            operand.strides.insert(axis + 1, stride);
        }
        let dtypes: Vec<Dtype> = operands.iter().map(|o| o.dtype).collect();
        let body = cut_index(&self.body, &dtypes, axis, size);
        Self { name: self.name, shape, operands, body }
    }
}

/// The body with the index of an axis written as `part * size + index in the part`.
fn cut_index(insts: &[Inst], operands: &[Dtype], axis: usize, size: u64) -> Vec<Inst> {
    let mut body = Body::new();
    let mut map: Vec<Reg> = Vec::with_capacity(insts.len());
    for inst in insts {
        let reg = match inst {
            Inst::Outer { axis: a } if *a == axis => {
                let part = body.outer(axis);
                let size = body.int(i32::try_from(size).expect("a block is short"));
                let first = body.apply(Scalar::Mul, &[part, size]);
                let within = body.outer(axis + 1);
                body.apply(Scalar::Add, &[first, within])
            }
            Inst::Outer { axis: a } => body.outer(if *a > axis { a + 1 } else { *a }),
            Inst::Const { .. }
            | Inst::Load { .. }
            | Inst::LoadAt { .. }
            | Inst::Row
            | Inst::Col
            | Inst::Apply { .. }
            | Inst::Reduce { .. }
            | Inst::Store { .. } => body.copy(inst, &map, operands),
        };
        map.push(reg);
    }
    body.finish()
}
