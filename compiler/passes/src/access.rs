//! Affine access: how the axes of a value index the elements of its buffer.

use ir::ops::View;

/// A map from indices of a value to elements of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// Sizes of the value's axes.
    pub(crate) shape: Vec<u64>,
    /// Elements from one index to the next, for each axis; 0 on axes of size 1.
    pub(crate) strides: Vec<i64>,
    /// Element of index 0.
    pub(crate) offset: u64,
}

impl Access {
    /// Row-major order.
    pub(crate) fn contiguous(shape: &[u64]) -> Self {
        let mut strides = vec![0; shape.len()];
        let mut step = 1u64;
        for (stride, &size) in strides.iter_mut().zip(shape).rev() {
            if size != 1 {
                *stride = step.cast_signed();
            }
            step *= size;
        }
        Self { shape: shape.to_vec(), strides, offset: 0 }
    }

    /// The access of a view of this value; `None` where it is not affine.
    pub(crate) fn view(&self, view: &View) -> Option<Self> {
        match view {
            View::Reshape(shape) => self.reshape(shape),
            View::Permute(axes) => Some(self.permute(axes)),
            View::Broadcast(shape) => Some(self.broadcast(shape)),
            View::Slice { axis, start, len } => Some(self.slice(*axis, *start, *len)),
        }
    }

    fn permute(&self, axes: &[usize]) -> Self {
        Self {
            shape: axes.iter().map(|&a| self.shape[a]).collect(),
            strides: axes.iter().map(|&a| self.strides[a]).collect(),
            offset: self.offset,
        }
    }

    fn broadcast(&self, shape: &[u64]) -> Self {
        let front = shape.len() - self.shape.len();
        let stride = |i: usize| {
            let is_repeated = i < front || self.shape[i - front] == 1;
            if is_repeated { 0 } else { self.strides[i - front] }
        };
        Self {
            shape: shape.to_vec(),
            strides: (0..shape.len()).map(stride).collect(),
            offset: self.offset,
        }
    }

    fn slice(&self, axis: usize, start: u64, len: u64) -> Self {
        let mut sliced = self.clone();
        sliced.offset += start * self.strides[axis].unsigned_abs();
        sliced.shape[axis] = len;
        if len == 1 {
            sliced.strides[axis] = 0;
        }
        sliced
    }

    /// Matches runs of axes of equal product; within a run the old axes must be mergeable.
    fn reshape(&self, shape: &[u64]) -> Option<Self> {
        if shape.contains(&0) {
            return Some(Self { offset: self.offset, ..Self::contiguous(shape) });
        }
        let old: Vec<(u64, i64)> = self
            .shape
            .iter()
            .copied()
            .zip(self.strides.iter().copied())
            .filter(|&(size, _)| size != 1)
            .collect();
        let merged = merge(&old);
        let mut strides = vec![0; shape.len()];
        let mut rest = merged.iter().rev();
        let (mut size, mut stride) = (1, 0);
        for (new, out) in shape.iter().zip(&mut strides).rev() {
            if *new == 1 {
                continue;
            }
            if size == 1 {
                (size, stride) = *rest.next()?;
            }
            if size % new != 0 {
                return None;
            }
            *out = stride;
            stride *= new.cast_signed();
            size /= new;
        }
        Some(Self { shape: shape.to_vec(), strides, offset: self.offset })
    }
}

/// Joins neighbouring axes that one stride walks.
fn merge(axes: &[(u64, i64)]) -> Vec<(u64, i64)> {
    let mut merged: Vec<(u64, i64)> = vec![];
    for &(size, stride) in axes {
        match merged.last_mut() {
            Some(last) if last.1 == stride * size.cast_signed() => *last = (last.0 * size, stride),
            Some(_) | None => merged.push((size, stride)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shape: &[u64]) -> Access {
        Access::contiguous(shape)
    }

    #[test]
    fn contiguous_strides_are_row_major() {
        assert_eq!(of(&[2, 1, 3]).strides, [3, 0, 1]);
    }

    #[test]
    fn heads_split_and_move_without_a_copy() {
        let split = of(&[2, 4, 6]).reshape(&[2, 4, 3, 2]).expect("splits");
        assert_eq!(split.permute(&[0, 2, 1, 3]).strides, [24, 2, 6, 1]);
    }

    #[test]
    fn merging_moved_axes_needs_a_copy() {
        let moved = of(&[2, 3, 4, 2]).permute(&[0, 2, 1, 3]);
        assert_eq!(moved.reshape(&[2, 4, 6]), None);
    }

    #[test]
    fn repeated_axes_merge_with_repeated_axes_alone() {
        let wide = of(&[3]).broadcast(&[4, 5, 3]);
        assert_eq!(wide.reshape(&[20, 3]).expect("both repeat").strides, [0, 1]);
        assert_eq!(wide.reshape(&[4, 15]), None);
    }

    #[test]
    fn a_slice_starts_inside() {
        let part = of(&[3, 4]).slice(0, 2, 1);
        assert_eq!((part.offset, part.strides), (8, vec![0, 1]));
    }
}
