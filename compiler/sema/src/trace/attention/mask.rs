//! What the conditions of masks say of rows and keys.

use std::collections::BTreeSet;

use super::super::{Binary, Elem, Id, Instr, Prim, Trace, Unary};

/// What all conditions together say.
pub(super) struct Condition {
    pub(super) is_causal: bool,
    pub(super) window: Option<u64>,
    pub(super) segments: Option<[Id; 2]>,
}

/// A whole number by the places of a row and a key: `row * i + key * j + constant`.
#[derive(Clone, Copy)]
pub(super) struct Linear {
    row: i64,
    key: i64,
    constant: i64,
}

impl Linear {
    fn constant(constant: i64) -> Self {
        Self { row: 0, key: 0, constant }
    }

    fn times(self, n: i64) -> Self {
        let [row, key, constant] = [self.row, self.key, self.constant].map(|x| x.saturating_mul(n));
        Self { row, key, constant }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            row: self.row.saturating_add(other.row),
            key: self.key.saturating_add(other.key),
            constant: self.constant.saturating_add(other.constant),
        }
    }
}

/// Whole numbers up to this are exact.
const MAX: f64 = 9e15;

impl Condition {
    /// What the conditions say of scores of a shape, or why that is unknown.
    pub(super) fn of(
        trace: &Trace,
        places: &[Option<Linear>],
        shape: &[u64],
        conditions: &[Id],
    ) -> Result<Self, String> {
        let mut found = Self { is_causal: false, window: None, segments: None };
        let mut seen = BTreeSet::new();
        let mut open = conditions.to_vec();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let instr = &trace[id];
            match &instr.prim {
                Prim::Broadcast => open.push(instr.args[0]),
                Prim::Binary(Binary::And) => open.extend(&instr.args),
                Prim::Binary(
                    op @ (Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge | Binary::Eq),
                ) => {
                    let sides = [instr.args[0], instr.args[1]];
                    if *op == Binary::Eq {
                        found.segments(trace, shape, sides)?;
                    } else {
                        found.compare(*op, sides.map(|id| places[id.0 as usize]))?;
                    }
                }
                Prim::Input(_)
                | Prim::Param(_)
                | Prim::State(_)
                | Prim::Const(_)
                | Prim::Unary(_)
                | Prim::Binary(_)
                | Prim::PowInt(_)
                | Prim::Select
                | Prim::Cast
                | Prim::Reshape
                | Prim::Permute(_)
                | Prim::Slice { .. }
                | Prim::Concat { .. }
                | Prim::Reduce { .. }
                | Prim::Softmax { .. }
                | Prim::Dot
                | Prim::Gather
                | Prim::Pick
                | Prim::Iota { .. }
                | Prim::Dropout(_) => return Err(unknown()),
            }
        }
        if found.window.is_some() && !found.is_causal {
            return Err("the mask is a window that is not causal".to_owned());
        }
        Ok(found)
    }

    /// A comparison by order of two whole numbers.
    fn compare(&mut self, op: Binary, sides: [Option<Linear>; 2]) -> Result<(), String> {
        let [Some(left), Some(right)] = sides else { return Err(unknown()) };
        // As `distance >= 0`, and what is smaller by one.
        let (large, small) =
            if matches!(op, Binary::Gt | Binary::Ge) { (left, right) } else { (right, left) };
        let strict = i64::from(matches!(op, Binary::Gt | Binary::Lt));
        let distance = large.plus(small.times(-1)).plus(Linear::constant(-strict));
        match (distance.row, distance.key) {
            (1, -1) if distance.constant == 0 => self.is_causal = true,
            (-1, 1) if distance.constant >= 0 => {
                let window = distance.constant.unsigned_abs() + 1;
                self.window = Some(self.window.map_or(window, |known| known.min(window)));
            }
            (0, 0) if distance.constant >= 0 => {}
            (_, _) => return Err(unknown()),
        }
        Ok(())
    }

    /// One side says something of rows, the other of keys.
    fn segments(&mut self, trace: &Trace, shape: &[u64], sides: [Id; 2]) -> Result<(), String> {
        let sides = sides.map(|id| thin(trace, id));
        let varies = |id: Id, axis_from_end: usize| {
            let own = &trace[id].ty.shape;
            own.len().checked_sub(axis_from_end).is_some_and(|axis| own[axis] != 1)
        };
        let is_whole = |id: &Id| matches!(trace[*id].ty.elem, Elem::Int | Elem::Ids(_));
        let fits = |rows: Id, keys: Id| {
            let has_heads = shape.len() == 4 && (varies(rows, 3) || varies(keys, 3));
            !varies(rows, 1) && !varies(keys, 2) && !has_heads
        };
        let [a, b] = sides;
        let pair = match (fits(a, b), fits(b, a)) {
            (true, _) => [a, b],
            (false, true) => [b, a],
            (false, false) => return Err(unknown()),
        };
        if self.segments.is_some() || !pair.iter().all(is_whole) {
            return Err(unknown());
        }
        self.segments = Some(pair);
        Ok(())
    }
}

fn unknown() -> String {
    "the mask is more than causal, a window and equal segments".to_owned()
}

/// A value before it was repeated along axes.
fn thin(trace: &Trace, mut id: Id) -> Id {
    while trace[id].prim == Prim::Broadcast {
        id = trace[id].args[0];
    }
    id
}

/// What a result is by its places, from the values before it; axes line up at the right.
pub(super) fn place(instr: &Instr, known: &[Option<Linear>]) -> Option<Linear> {
    let of = |at: usize| known[instr.args[at].0 as usize];
    match &instr.prim {
        Prim::Const(x) => {
            (x.fract() == 0.0 && x.abs() < MAX).then_some(Linear::constant(*x as i64))
        }
        Prim::Iota { axis } => match instr.ty.shape.len() - axis {
            _ if instr.ty.shape[*axis] == 1 => Some(Linear::constant(0)),
            1 => Some(Linear { row: 0, key: 1, constant: 0 }),
            2 => Some(Linear { row: 1, key: 0, constant: 0 }),
            _ => None,
        },
        Prim::Broadcast | Prim::Cast => of(0),
        Prim::Unary(Unary::Neg) => Some(of(0)?.times(-1)),
        Prim::Binary(Binary::Add) => Some(of(0)?.plus(of(1)?)),
        Prim::Binary(Binary::Sub) => Some(of(0)?.plus(of(1)?.times(-1))),
        Prim::Input(_)
        | Prim::Param(_)
        | Prim::State(_)
        | Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::PowInt(_)
        | Prim::Select
        | Prim::Reshape
        | Prim::Permute(_)
        | Prim::Slice { .. }
        | Prim::Concat { .. }
        | Prim::Reduce { .. }
        | Prim::Softmax { .. }
        | Prim::Dot
        | Prim::Gather
        | Prim::Pick
        | Prim::Dropout(_) => None,
    }
}
