//! What each instruction of a body depends on, hence where it is evaluated.
//!
//! In: a kernel of primitive scalars. Out: types, whether a value changes with the row or the
//! column, and its phase: how many reductions lie before it.

use ir::kernel::{Inst, Kernel, Reg, Scalar, Skeleton};
use ir::types::Dtype;

/// Which indices a value changes with, beside the outer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// The reduced row of `Columns` and `Segments`.
    pub(crate) row: bool,
    /// The column.
    pub(crate) col: bool,
}

impl Rate {
    const ONCE: Rate = Rate { row: false, col: false };

    /// Whether it changes with neither.
    pub(crate) fn is_once(self) -> bool {
        self == Self::ONCE
    }

    fn and(self, other: Rate) -> Rate {
        Rate { row: self.row || other.row, col: self.col || other.col }
    }
}

/// What an i32 is at four neighbouring columns of which the first is a multiple of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quad {
    /// A multiple of four, the same in all.
    Whole,
    /// A multiple of four, then one more at each column.
    Counts,
    /// Nothing is known.
    Any,
}

/// The result of the analysis, one entry an instruction.
#[derive(Debug)]
pub(crate) struct Flow {
    /// The type of the result; a store has that of its value.
    pub(crate) types: Vec<Dtype>,
    /// What it changes with.
    pub(crate) rates: Vec<Rate>,
    /// What it is at four neighbouring columns.
    pub(crate) quads: Vec<Quad>,
    /// How many reductions lie before it.
    pub(crate) phases: Vec<u32>,
    /// The phase of the last loop over the elements.
    pub(crate) last: u32,
    /// Whether it is a cast to a narrow float that nothing but stores reads.
    pub(crate) is_stored_only: Vec<bool>,
}

impl Flow {
    /// Analyses a kernel.
    pub(crate) fn new(kernel: &Kernel) -> Flow {
        let mut flow = Flow {
            types: vec![],
            rates: vec![],
            quads: vec![],
            phases: vec![],
            last: 0,
            is_stored_only: stored_only(kernel),
        };
        // A load after a store may read what was written, so it comes no earlier.
        let mut stored = 0;
        for inst in &kernel.body {
            let args = arguments(inst);
            let dtype = flow.dtype(kernel, inst, &args);
            let rate = flow.rate(kernel, inst, &args);
            let mut phase = args.iter().map(|a| flow.phases[a.0 as usize]).max().unwrap_or(0);
            match inst {
                Inst::Reduce { .. } => {
                    flow.last = flow.last.max(phase);
                    phase += 1;
                }
                Inst::Store { .. } => {
                    stored = stored.max(phase);
                    if !rate.is_once() {
                        flow.last = flow.last.max(phase);
                    }
                }
                Inst::Load { .. } | Inst::LoadAt { .. } => phase = phase.max(stored),
                Inst::Const { .. }
                | Inst::Outer { .. }
                | Inst::Row
                | Inst::Col
                | Inst::Apply { .. } => {}
            }
            flow.types.push(dtype);
            let quad = flow.quad(inst, dtype);
            flow.rates.push(rate);
            flow.quads.push(quad);
            flow.phases.push(phase);
        }
        flow
    }

    fn dtype(&self, kernel: &Kernel, inst: &Inst, args: &[Reg]) -> Dtype {
        let of = |reg: &Reg| self.types[reg.0 as usize];
        match inst {
            Inst::Const { dtype, .. } => *dtype,
            Inst::Load { operand } | Inst::LoadAt { operand, .. } => {
                kernel.operands[*operand].dtype
            }
            Inst::Outer { .. } | Inst::Row | Inst::Col => Dtype::I32,
            Inst::Apply { op, .. } => {
                let types: Vec<Dtype> = args.iter().map(of).collect();
                op.result(&types).expect("the verifier checked the types of a body")
            }
            Inst::Reduce { value, .. } | Inst::Store { value, .. } => of(value),
        }
    }

    fn rate(&self, kernel: &Kernel, inst: &Inst, args: &[Reg]) -> Rate {
        let is_rows = kernel.skeleton == Skeleton::Rows;
        let place = |operand: usize| {
            let o = &kernel.operands[operand];
            Rate { row: !is_rows && !o.is_output && o.row != 0, col: o.col != 0 }
        };
        let own = match inst {
            Inst::Load { operand } | Inst::LoadAt { operand, .. } => place(*operand),
            Inst::Store { operand, .. } => place(*operand),
            Inst::Row => Rate { row: !is_rows, col: false },
            Inst::Col => Rate { row: false, col: true },
            Inst::Const { .. } | Inst::Outer { .. } | Inst::Apply { .. } => Rate::ONCE,
            // The row reduction is over the columns; the others keep them.
            Inst::Reduce { .. } => return Rate { row: false, col: !is_rows },
        };
        args.iter().fold(own, |rate, a| rate.and(self.rates[a.0 as usize]))
    }

    /// Sums and products modulo 2^32 keep the remainder by four.
    fn quad(&self, inst: &Inst, dtype: Dtype) -> Quad {
        let of = |reg: &Reg| self.quads[reg.0 as usize];
        match inst {
            Inst::Const { bits, .. } if bits % 4 == 0 && dtype == Dtype::I32 => Quad::Whole,
            Inst::Col => Quad::Counts,
            Inst::Apply { op: Scalar::Add, args } => match [of(&args[0]), of(&args[1])] {
                [Quad::Whole, Quad::Whole] => Quad::Whole,
                [Quad::Whole, Quad::Counts] | [Quad::Counts, Quad::Whole] => Quad::Counts,
                [Quad::Counts, Quad::Counts] | [Quad::Any, _] | [_, Quad::Any] => Quad::Any,
            },
            Inst::Apply { op: Scalar::Mul, args } => {
                let is_even = args.iter().all(|a| !self.rates[a.0 as usize].col);
                let is_whole = args.iter().any(|a| of(a) == Quad::Whole);
                if is_even && is_whole { Quad::Whole } else { Quad::Any }
            }
            Inst::Const { .. }
            | Inst::Load { .. }
            | Inst::LoadAt { .. }
            | Inst::Outer { .. }
            | Inst::Row
            | Inst::Apply { .. }
            | Inst::Reduce { .. }
            | Inst::Store { .. } => Quad::Any,
        }
    }

    /// The instructions at `roots` and what they need of those that `wanted` accepts, in order.
    pub(crate) fn needed(
        &self,
        kernel: &Kernel,
        roots: &[usize],
        wanted: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut marks = vec![false; kernel.body.len()];
        for &root in roots {
            marks[root] = true;
        }
        for at in (0..kernel.body.len()).rev() {
            let is_root = roots.contains(&at);
            if !marks[at] || (!is_root && !wanted(at)) {
                continue;
            }
            for arg in arguments(&kernel.body[at]) {
                marks[arg.0 as usize] = true;
            }
        }
        (0..kernel.body.len())
            .filter(|&at| marks[at] && (wanted(at) || roots.contains(&at)))
            .collect()
    }

    /// Whether anything is reduced.
    pub(crate) fn has_reductions(kernel: &Kernel) -> bool {
        kernel.body.iter().any(|inst| matches!(inst, Inst::Reduce { .. }))
    }

    /// The reductions whose value has this phase.
    pub(crate) fn reductions(&self, kernel: &Kernel, phase: u32) -> Vec<usize> {
        let is_one = |&at: &usize| matches!(kernel.body[at], Inst::Reduce { .. });
        (0..kernel.body.len()).filter(is_one).filter(|&at| self.phases[at] == phase + 1).collect()
    }
}

fn stored_only(kernel: &Kernel) -> Vec<bool> {
    let is_narrowing =
        |inst: &Inst| matches!(inst, Inst::Apply { op: Scalar::Cast(to), .. } if to.is_narrow());
    let mut found: Vec<bool> = kernel.body.iter().map(is_narrowing).collect();
    for inst in kernel.body.iter().filter(|i| !matches!(i, Inst::Store { .. })) {
        for arg in arguments(inst) {
            found[arg.0 as usize] = false;
        }
    }
    found
}

/// The registers that an instruction reads.
pub(crate) fn arguments(inst: &Inst) -> Vec<Reg> {
    match inst {
        Inst::Const { .. } | Inst::Load { .. } | Inst::Outer { .. } | Inst::Row | Inst::Col => {
            vec![]
        }
        Inst::LoadAt { index, .. } => vec![*index],
        Inst::Apply { args, .. } => args.clone(),
        Inst::Reduce { value, .. } | Inst::Store { value, .. } => vec![*value],
    }
}

/// Whether a vector shift of all lanes by one amount serves it.
pub(crate) fn is_shift(op: Scalar) -> bool {
    matches!(op, Scalar::Shl | Scalar::ShrLogical)
}
