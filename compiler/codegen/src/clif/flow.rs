//! What each instruction of a body depends on, hence where it is evaluated.
//!
//! In: a kernel of primitive scalars. Out: types, whether a value changes with the row or the
//! column, and its phase: how many reductions lie before it.

use ir::kernel::{Inst, Kernel, Reg, Scalar, Skeleton};
use ir::types::Dtype;

/// Which indices a value changes with, beside the outer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// The reduced row of `Columns` and `Segments`.
    pub(super) row: bool,
    /// The column.
    pub(super) col: bool,
}

impl Rate {
    const ONCE: Rate = Rate { row: false, col: false };

    /// Whether it changes with neither.
    pub(super) fn is_once(self) -> bool {
        self == Self::ONCE
    }

    fn and(self, other: Rate) -> Rate {
        Rate { row: self.row || other.row, col: self.col || other.col }
    }
}

/// The result of the analysis, one entry an instruction.
#[derive(Debug)]
pub(super) struct Flow {
    /// The type of the result; a store has that of its value.
    pub(super) types: Vec<Dtype>,
    /// What it changes with.
    pub(super) rates: Vec<Rate>,
    /// How many reductions lie before it.
    pub(super) phases: Vec<u32>,
    /// The phase of the last loop over the elements.
    pub(super) last: u32,
    /// Whether it is a cast to a narrow float that nothing but stores reads.
    pub(super) is_stored_only: Vec<bool>,
}

impl Flow {
    /// Analyses a kernel.
    pub(super) fn new(kernel: &Kernel) -> Flow {
        let is_stored_only = stored_only(kernel);
        let mut flow =
            Flow { types: vec![], rates: vec![], phases: vec![], last: 0, is_stored_only };
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
            flow.rates.push(rate);
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

    /// The instructions at `roots` and what they need of those that `wanted` accepts, in order.
    pub(super) fn needed(
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

    /// The reductions whose value has this phase.
    pub(super) fn reductions(&self, kernel: &Kernel, phase: u32) -> Vec<usize> {
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
pub(super) fn arguments(inst: &Inst) -> Vec<Reg> {
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
pub(super) fn is_shift(op: Scalar) -> bool {
    matches!(op, Scalar::Shl | Scalar::ShrLogical)
}
