//! The lint of scores that a softmax between two products leaves in memory.

use std::collections::BTreeMap;

use diag::{Code, Diagnostic, Span};

use super::super::Checker;
use super::in_bytes;
use crate::trace::Trace;
use crate::trace::attention::Stored;

/// Bytes of scores from which on they are worth a word.
const LARGE_BYTES: u64 = 64 << 20;

/// W0907: copies of a block are one message, with the bytes of all.
pub(super) fn check_model(cx: &mut Checker<'_>, trace: &Trace) {
    /// Where it stands, and the bytes of each copy.
    type Copies = (Stored, Span, Vec<u64>);
    let mut found: BTreeMap<(u32, u32, u32), Copies> = BTreeMap::new();
    for stored in trace.attentions().into_iter().filter_map(Result::err) {
        let instr = &trace[stored.weights];
        let bytes = instr.ty.shape.iter().fold(4u64, |n, &size| n.saturating_mul(size));
        let span = instr.span;
        let place = (span.file.0, span.start, span.end);
        found.entry(place).or_insert((stored, span, vec![])).2.push(bytes);
    }
    for (stored, span, copies) in found.into_values() {
        let bytes = copies.iter().fold(0u64, |sum, &n| sum.saturating_add(n));
        if bytes >= LARGE_BYTES {
            cx.report(message(trace, &stored, span, copies.len(), bytes));
        }
    }
}

fn message(trace: &Trace, stored: &Stored, span: Span, n: usize, bytes: u64) -> Diagnostic {
    let axes: Vec<String> = trace[stored.weights].ty.shape.iter().map(u64::to_string).collect();
    let wrong = format!("scores `[{}]` are stored: {}", axes.join(", "), in_bytes(bytes));
    let sizes = "the sizes are those of one micro-batch";
    let note = if n == 1 { sizes.to_owned() } else { format!("{sizes}, the bytes of {n} copies") };
    Diagnostic::new(Code::W0907, span, wrong)
        .primary(stored.reason.clone())
        .note(note)
        .help("apply only a scale, a mask (causal, window, segments) and dropout to the scores")
}
