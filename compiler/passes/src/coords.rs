//! Where in a kernel's space an element is: an axis of the space for each axis.

use ir::ops::View;

/// One axis of a value: an axis of the space and a shift, or index 0 where the size is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Coord {
    /// The axis of the space; `None`: constant.
    pub(crate) axis: Option<usize>,
    /// Added to the index.
    pub(crate) shift: u64,
}

/// One [`Coord`] for each axis.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Coords(pub(crate) Vec<Coord>);

const ZERO: Coord = Coord { axis: None, shift: 0 };

impl Coords {
    /// Axis `i` of the value is axis `i` of the space; axes of size 1 are constant.
    pub(crate) fn identity(shape: &[u64]) -> Self {
        let coord = |(i, &size): (usize, &u64)| {
            if size == 1 { ZERO } else { Coord { axis: Some(i), shift: 0 } }
        };
        Self(shape.iter().enumerate().map(coord).collect())
    }

    /// The place of a value of a group in the group's space, aligned at the right.
    pub(crate) fn of(shape: &[u64], space: &[u64]) -> Self {
        let front = space.len().saturating_sub(shape.len());
        let coord = |(i, &size): (usize, &u64)| {
            if size == 1 { ZERO } else { Coord { axis: Some(i + front), shift: 0 } }
        };
        Self(shape.iter().enumerate().map(coord).collect())
    }

    /// The first `rank` axes.
    pub(crate) fn front(&self, rank: usize) -> Self {
        Self(self.0[..rank].to_vec())
    }
}

/// The place of the operand, of shape `inner`, of a view whose result is at `at`.
///
/// `None` where the view splits or merges axes.
pub(crate) fn through(view: &View, inner: &[u64], at: &Coords) -> Option<Coords> {
    match view {
        View::Permute(axes) => {
            let mut coords = vec![ZERO; inner.len()];
            for (i, &axis) in axes.iter().enumerate() {
                coords[axis] = at.0[i];
            }
            Some(Coords(coords))
        }
        View::Broadcast(shape) => {
            let front = shape.len() - inner.len();
            let coord = |i: usize| if inner[i] == 1 { ZERO } else { at.0[i + front] };
            Some(Coords((0..inner.len()).map(coord).collect()))
        }
        View::Slice { axis, start, .. } => {
            let mut coords = at.clone();
            coords.0[*axis].shift += start;
            Some(coords)
        }
        View::Reshape(shape) => {
            let long = |sizes: &[u64]| -> Vec<usize> {
                (0..sizes.len()).filter(|&i| sizes[i] != 1).collect()
            };
            let (outer_axes, inner_axes) = (long(shape), long(inner));
            let is_same = outer_axes.len() == inner_axes.len()
                && outer_axes.iter().zip(&inner_axes).all(|(&o, &i)| shape[o] == inner[i]);
            is_same.then(|| {
                let mut coords = vec![ZERO; inner.len()];
                for (&o, &i) in outer_axes.iter().zip(&inner_axes) {
                    coords[i] = at.0[o];
                }
                Coords(coords)
            })
        }
    }
}
