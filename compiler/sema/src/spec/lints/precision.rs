//! Lints of numbers in 16 bits: of the directives, and of what the model computes.

use std::collections::BTreeSet;

use diag::{Code, Diagnostic, Span};

use super::super::Checker;
use super::super::allow::whole_lines;
use super::super::lines::Lines;
use super::in_bytes;
use crate::program::{Float, LossScale, Train};
use crate::trace::{Elem, Id, Instr, Prim, Reduce, Trace};

/// The largest number of fp16.
const FP16_MAX: f64 = 65504.0;

/// Numbers of at most this magnitude round to 0 in fp16: half the smallest one above 0.
const FP16_ZERO: f64 = 1.0 / 33_554_432.0;

/// A sum is worth a word when elements of this magnitude overflow it: 4095 and more of them.
const USUAL_MAGNITUDE: f64 = 16.0;

/// Bytes from which on a value in fp32 that nobody asked for is worth a word.
const WIDE_BYTES: u64 = 256 << 20;

/// Lints of the lines.
pub(super) fn check_lines(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train) {
    useless_scale(cx, lines, train);
    narrow_master(cx, lines, train);
}

/// W0602: bf16 and fp32 hold numbers as small as gradients get.
fn useless_scale(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train) {
    let Some(line) = lines.get("loss_scale") else { return };
    let compute = train.precision.compute;
    if compute == Float::Fp16 || train.loss_scale == LossScale::None {
        return;
    }
    let name = compute.name();
    let wrong = format!("`loss_scale` has no effect with {name}");
    let wrong = Diagnostic::new(Code::W0602, line.span, wrong)
        .primary(format!("{name} holds gradients down to 1e-38"));
    let wrong = match lines.get("precision") {
        Some(precision) => wrong.label(precision.span, "computes in it"),
        None => wrong.note("`precision` is not stated: fp32"),
    };
    let line = whole_lines(cx.map, line.span);
    cx.report(wrong.fix("remove the line", line, "").help("or write `precision fp16`"));
}

/// W0607: an update below half a step of the weight's type is rounded away.
fn narrow_master(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train) {
    let master = train.precision.master;
    let share = match master {
        Float::Fp32 => return,
        Float::Bf16 => 256.0,
        Float::Fp16 => 2048.0,
    };
    let Some(given) = lines.get("precision").and_then(|l| l.option("master")) else { return };
    let (name, lr) = (master.name(), train.lr);
    let wrong = format!("{name} weights lose updates below 1/{share} of the weight");
    let lost = format!("a step of {lr:e} leaves weights above {:.3} where they are", lr * share);
    cx.report(Diagnostic::new(Code::W0607, given.span, wrong).primary(lost).offer(
        "use `master fp32`",
        given.span,
        "fp32",
    ));
}

/// Lints of the model at the sizes of the run.
pub(in super::super) fn check_model(cx: &mut Checker<'_>, train: &Train, trace: &Trace) {
    let compute = train.precision.compute;
    if compute == Float::Fp32 {
        return;
    }
    // Copies of a block compute the same: one message a place.
    let mut said: BTreeSet<(Code, u32, u32, u32)> = BTreeSet::new();
    for instr in &trace.instrs {
        let mut found = vec![wide_promotion(trace, instr)];
        if compute == Float::Fp16 {
            found.extend([long_sum(trace, instr), tiny_constant(instr)]);
        }
        for lint in found.into_iter().flatten() {
            let Span { file, start, end } = lint.span();
            if said.insert((lint.code, file.0, start, end)) {
                cx.report(lint);
            }
        }
    }
}

fn type_of(trace: &Trace, id: Id) -> (Elem, u64) {
    let ty = &trace.instrs[id.0 as usize].ty;
    (ty.elem, ty.shape.iter().product())
}

/// W0604: a sum is computed in fp32, but its result has to fit.
fn long_sum(trace: &Trace, instr: &Instr) -> Option<Diagnostic> {
    let Prim::Reduce { kind: Reduce::Sum, .. } = &instr.prim else { return None };
    let (elem, n) = type_of(trace, instr.args[0]);
    let n = n / instr.ty.shape.iter().product::<u64>().max(1);
    if elem != Elem::Real || n as f64 * USUAL_MAGNITUDE <= FP16_MAX {
        return None;
    }
    let wrong = format!("a sum over {n} elements can exceed 65504 in fp16");
    Some(
        Diagnostic::new(Code::W0604, instr.span, wrong)
            .primary(format!("elements of {:.1} are enough", FP16_MAX / n as f64))
            .note("the sum is computed in fp32; its result is rounded to fp16")
            .help("sum `fp32(x)`, or take the mean"),
    )
}

/// W0605: an eps that is gone.
fn tiny_constant(instr: &Instr) -> Option<Diagnostic> {
    let Prim::Const(x) = instr.prim else { return None };
    if instr.ty.elem != Elem::Real || x == 0.0 || x.abs() > FP16_ZERO {
        return None;
    }
    Some(
        Diagnostic::new(Code::W0605, instr.span, format!("{x:e} rounds to 0 in fp16"))
            .primary("computed in the precision of the run")
            .note("the smallest number of fp16 above 0 is 6e-8")
            .help("compute this in fp32, with `fp32(x)`, or use 1e-6"),
    )
}

/// W0603: an operand under the policy that the other one's type widens.
fn wide_promotion(trace: &Trace, instr: &Instr) -> Option<Diagnostic> {
    if !matches!(instr.prim, Prim::Binary(_) | Prim::Select) {
        return None;
    }
    let promoted = instr.args.iter().find_map(|&arg| promoted(trace, arg, instr.span))?;
    let bytes = type_of(trace, promoted).1.saturating_mul(4);
    if bytes < WIDE_BYTES {
        return None;
    }
    let wrong =
        format!("fp32 temporary of {} from mixing pinned and policy values", in_bytes(bytes));
    Some(
        Diagnostic::new(Code::W0603, instr.span, wrong)
            .primary("one operand is pinned to fp32, so the other becomes fp32 too")
            .note("the sizes are those of one micro-batch")
            .help("cast the pinned one: `cast(.., like: x)`"),
    )
}

/// The cast that the operation at `span` made of an operand, if any.
fn promoted(trace: &Trace, id: Id, span: Span) -> Option<Id> {
    let instr = &trace.instrs[id.0 as usize];
    if instr.span != span {
        return None;
    }
    match instr.prim {
        Prim::Broadcast => promoted(trace, instr.args[0], span),
        Prim::Cast => {
            let (from, _) = type_of(trace, instr.args[0]);
            (from == Elem::Real && instr.ty.elem == Elem::Fp32).then_some(id)
        }
        Prim::Input(_)
        | Prim::Param(_)
        | Prim::State(_)
        | Prim::Const(_)
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
        | Prim::Iota { .. }
        | Prim::Dropout(_) => None,
    }
}
