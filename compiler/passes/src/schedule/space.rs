//! The iteration space of a kernel: axes joined where every operand allows it.

use ir::kernel::{Inst, Kernel, Operand, Skeleton};
use ir::schedule::Arg;
use ir::types::Dtype;

/// An operand over the axes of the full space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) arg: Arg,
    pub(crate) dtype: Dtype,
    pub(crate) is_output: bool,
    /// Elements from one index to the next, for each axis of the space.
    pub(crate) strides: Vec<i64>,
}

/// A body over a full space, before its axes are joined.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) operands: Vec<Placed>,
    /// Indices of axes appear as [`Inst::Outer`] of the full space.
    pub(crate) body: Vec<Inst>,
}

/// A joined axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) size: u64,
    /// One for each operand.
    pub(super) strides: Vec<i64>,
    /// Axes of the full space in it.
    pub(super) from: Vec<usize>,
}

impl Draft {
    /// A kernel that maps, or reduces along the last axis.
    pub(crate) fn into_rows(self, reduces: bool) -> (Kernel, Vec<Arg>) {
        let rank = self.shape.len();
        let axes = if reduces {
            let mut axes = self.join(0..rank - 1);
            axes.push(self.axis(rank - 1));
            axes
        } else {
            self.join(0..rank)
        };
        let (inner, outer) = match axes.split_last() {
            Some((inner, outer)) => (inner.clone(), outer.to_vec()),
            None => (Axis { size: 1, strides: vec![0; self.operands.len()], from: vec![] }, vec![]),
        };
        // A row reduction over a single row still has its one outer index.
        let outer = if reduces && outer.is_empty() {
            vec![Axis { size: 1, strides: vec![0; self.operands.len()], from: vec![] }]
        } else {
            outer
        };
        self.kernel(Skeleton::Rows, &outer, None, &inner)
    }

    /// A kernel that reduces the axes `first..=last` in blocks; `None` where the rows do not join
    /// into one axis. The output's row stride is `block_stride`.
    pub(crate) fn into_columns(
        self,
        first: usize,
        last: usize,
        block: u64,
        block_stride: i64,
    ) -> Option<(Kernel, Vec<Arg>)> {
        let rows = self.join(first..last + 1);
        if rows.len() > 1 {
            return None;
        }
        let none = Axis { size: 1, strides: vec![0; self.operands.len()], from: vec![] };
        let mut row = rows.into_iter().next().unwrap_or_else(|| none.clone());
        for (stride, operand) in row.strides.iter_mut().zip(&self.operands) {
            if operand.is_output {
                *stride = block_stride;
            }
        }
        let mut outer = self.join(0..first);
        let mut behind = self.join(last + 1..self.shape.len());
        let inner = behind.pop().unwrap_or(none);
        outer.extend(behind);
        let skeleton = Skeleton::Columns { rows: row.size, block };
        Some(self.kernel(skeleton, &outer, Some(&row), &inner))
    }

    pub(super) fn axis(&self, axis: usize) -> Axis {
        Axis {
            size: self.shape[axis],
            strides: self.operands.iter().map(|o| o.strides[axis]).collect(),
            from: vec![axis],
        }
    }

    /// Joins neighbouring axes that every operand walks with one stride; drops those of size 1.
    pub(super) fn join(&self, range: std::ops::Range<usize>) -> Vec<Axis> {
        let mut joined: Vec<Axis> = vec![];
        for index in range {
            let axis = self.axis(index);
            if axis.size == 1 {
                continue;
            }
            match joined.last_mut() {
                Some(last) if self.can_join(last, &axis) => {
                    last.size *= axis.size;
                    last.strides = axis.strides;
                    last.from.extend(axis.from);
                }
                Some(_) | None => joined.push(axis),
            }
        }
        joined
    }

    fn can_join(&self, outer: &Axis, inner: &Axis) -> bool {
        let is_indexed = |axis: &Axis| axis.from.iter().any(|&a| self.is_indexed(a));
        let size = inner.size.cast_signed();
        !is_indexed(outer)
            && !is_indexed(inner)
            && outer.strides.iter().zip(&inner.strides).all(|(o, i)| *o == i * size)
    }

    pub(super) fn is_indexed(&self, axis: usize) -> bool {
        self.body.contains(&Inst::Outer { axis })
    }

    pub(super) fn kernel(
        self,
        skeleton: Skeleton,
        outer: &[Axis],
        row: Option<&Axis>,
        inner: &Axis,
    ) -> (Kernel, Vec<Arg>) {
        let operand = |i: usize| Operand {
            dtype: self.operands[i].dtype,
            is_output: self.operands[i].is_output,
            outer: outer.iter().map(|a| a.strides[i]).collect(),
            row: row.map_or(0, |a| a.strides[i]),
            col: inner.strides[i],
        };
        let index = |axis: usize| {
            if inner.from.contains(&axis) {
                Inst::Col
            } else if row.is_some_and(|r| r.from.contains(&axis)) {
                Inst::Row
            } else {
                let at = outer.iter().position(|a| a.from.contains(&axis));
                Inst::Outer { axis: at.expect("an indexed axis has more than one element") }
            }
        };
        let body = self
            .body
            .iter()
            .map(|inst| if let Inst::Outer { axis } = inst { index(*axis) } else { inst.clone() })
            .collect();
        let kernel = Kernel {
            name: self.name.clone(),
            skeleton,
            outer: outer.iter().map(|a| a.size).collect(),
            cols: inner.size,
            operands: (0..self.operands.len()).map(operand).collect(),
            body,
        };
        (kernel, self.operands.iter().map(|o| o.arg).collect())
    }
}
