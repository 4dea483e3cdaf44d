//! Splits a kernel that does two things of which a loop stands between.
//!
//! In: a kernel and the operands that are written behind it. Out: the kernel of the results that
//! read none of them, and the kernel of the others; each computes what it needs for itself.

use std::collections::BTreeSet;

use ir::kernel::{Inst, Kernel, Reg, Skeleton};
use ir::schedule::{Arg, Schedule, Task};

/// The two parts of a kernel task; none where there are not two. `is_late` says of an argument
/// whether what it names is there only later.
pub(super) fn split(
    schedule: &Schedule,
    task: &Task,
    is_late: impl Fn(Arg) -> bool,
) -> Option<[(Kernel, Vec<Arg>); 2]> {
    let Task::Kernel { kernel, args, .. } = task else { return None };
    let kernel = &schedule.kernels[*kernel];
    if matches!(kernel.skeleton, Skeleton::Segments { .. }) {
        return None;
    }
    let mut parts = [BTreeSet::new(), BTreeSet::new()];
    for (at, inst) in kernel.body.iter().enumerate() {
        if let Inst::Store { operand, .. } = inst {
            let needs = needed(kernel, at);
            let reads_late = needs.iter().filter_map(|&i| loaded(&kernel.body[i]));
            let is_late =
                is_late(args[*operand]) || reads_late.into_iter().any(|o| is_late(args[o]));
            parts[usize::from(is_late)].extend(needs);
        }
    }
    let is_two = parts.iter().all(|part| !part.is_empty());
    is_two.then(|| parts.map(|part| only(kernel, args, &part)))
}

/// The operand that an instruction loads.
fn loaded(inst: &Inst) -> Option<usize> {
    match inst {
        Inst::Load { operand } | Inst::LoadAt { operand, .. } => Some(*operand),
        Inst::Const { .. }
        | Inst::Outer { .. }
        | Inst::Row
        | Inst::Col
        | Inst::Apply { .. }
        | Inst::Reduce { .. }
        | Inst::Store { .. } => None,
    }
}

/// The registers that an instruction reads.
fn registers(inst: &mut Inst) -> Vec<&mut Reg> {
    match inst {
        Inst::Const { .. } | Inst::Load { .. } | Inst::Outer { .. } | Inst::Row | Inst::Col => {
            vec![]
        }
        Inst::LoadAt { index, .. } => vec![index],
        Inst::Apply { args, .. } => args.iter_mut().collect(),
        Inst::Reduce { value, .. } | Inst::Store { value, .. } => vec![value],
    }
}

/// An instruction and all that lead to it.
fn needed(kernel: &Kernel, at: usize) -> BTreeSet<usize> {
    let mut needed = BTreeSet::new();
    let mut open = vec![at];
    while let Some(at) = open.pop() {
        if needed.insert(at) {
            let mut inst = kernel.body[at].clone();
            open.extend(registers(&mut inst).into_iter().map(|reg| reg.0 as usize));
        }
    }
    needed
}

/// The kernel with those instructions alone, and its arguments.
fn only(kernel: &Kernel, args: &[Arg], part: &BTreeSet<usize>) -> (Kernel, Vec<Arg>) {
    let mut operands: Vec<usize> = vec![];
    let mut new_regs = vec![Reg(0); kernel.body.len()];
    let mut body = vec![];
    for &at in part {
        let mut inst = kernel.body[at].clone();
        for reg in registers(&mut inst) {
            *reg = new_regs[reg.0 as usize];
        }
        if let Inst::Load { operand } | Inst::LoadAt { operand, .. } | Inst::Store { operand, .. } =
            &mut inst
        {
            let old = *operand;
            *operand = operands.iter().position(|&o| o == old).unwrap_or_else(|| {
                operands.push(old);
                operands.len() - 1
            });
        }
        new_regs[at] = Reg(u32::try_from(body.len()).expect("bodies are small"));
        body.push(inst);
    }
    let part = Kernel {
        operands: operands.iter().map(|&o| kernel.operands[o].clone()).collect(),
        body,
        ..kernel.clone()
    };
    (part, operands.iter().map(|&o| args[o]).collect())
}
