//! Batch algebra: `batch = micro_batch * accumulate`, in sequences or tokens.
//!
//! Any subset may be stated and the rest is derived; what contradicts itself is reported with the
//! numbers computed. `batch` is what never changes by itself.

use diag::{Code, Diagnostic, Span};

use super::Checker;
use super::lines::{Line, Lines};

/// Sequences of a step when nothing says how many.
const DEFAULT_BATCH: u64 = 32;

/// Tokens that a derived micro-batch may hold.
const MICRO_TOKENS: u64 = 8192;

/// The sizes of an optimizer step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Batch {
    pub(super) batch: u64,
    pub(super) micro_batch: u64,
    pub(super) accumulate: u64,
}

/// Resolves the three; placeholders where something is wrong, which is then reported.
pub(super) fn resolve(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    context: Option<u64>,
    word: Span,
) -> Option<Batch> {
    if ["batch", "micro_batch", "accumulate", "data_parallel"].iter().any(|n| lines.is_broken(n)) {
        return None;
    }
    let (micro, accumulate) = (stated(lines, "micro_batch"), stated(lines, "accumulate"));
    let batch = match lines.get("batch") {
        Some(line) => Some((sequences(cx, line, context, micro, accumulate)?, line.span)),
        None => None,
    };
    match (batch, micro, accumulate) {
        (Some(batch), Some(micro), Some(accumulate)) => all_three(cx, batch, micro, accumulate),
        (None, Some((micro_batch, _)), Some((accumulate, _))) => {
            let batch = micro_batch * accumulate;
            Some(Batch { batch, micro_batch, accumulate })
        }
        (batch, Some(micro), None) => {
            let batch = batch.unwrap_or_else(|| default(cx, word, None));
            split(cx, batch, micro, "micro_batch")
        }
        (batch, None, Some(accumulate)) => {
            let batch = batch.unwrap_or_else(|| default(cx, word, Some(accumulate.0)));
            let of = split(cx, batch, accumulate, "accumulate")?;
            Some(Batch { micro_batch: of.accumulate, accumulate: of.micro_batch, ..of })
        }
        (batch, None, None) => {
            let (batch, _) = batch.unwrap_or_else(|| default(cx, word, None));
            let micro_batch = largest_micro(batch, context.unwrap_or(1));
            Some(Batch { batch, micro_batch, accumulate: batch / micro_batch })
        }
    }
}

fn stated(lines: &Lines<'_>, name: &str) -> Option<(u64, Span)> {
    let line = lines.get(name)?;
    line.value()?.count().map(|n| (n, line.span))
}

/// The largest divisor whose micro-batch stays small enough to be quick on a CPU.
fn largest_micro(batch: u64, context: u64) -> u64 {
    let most = (MICRO_TOKENS / context).clamp(1, batch);
    (1..=most).rev().find(|n| batch.is_multiple_of(*n)).unwrap_or(1)
}

/// `batch` in sequences.
fn sequences(
    cx: &mut Checker<'_>,
    line: &Line<'_>,
    context: Option<u64>,
    micro: Option<(u64, Span)>,
    accumulate: Option<(u64, Span)>,
) -> Option<u64> {
    let n = line.value()?.count()?;
    if line.flag() != Some("tokens") {
        return Some(n);
    }
    let context = context?;
    if let (Some(micro), Some(accumulate)) = (micro, accumulate)
        && tokens_disagree(cx, line, n, context, micro, accumulate)
    {
        return None;
    }
    if n.is_multiple_of(context) && n > 0 {
        return Some(n / context);
    }
    let (below, above) = (n / context * context, n.div_ceil(context) * context);
    let near = if below > 0 && n - below <= above - n { below } else { above };
    let wrong = "batch does not divide into sequences";
    let at = line.value().map_or(line.span, |g| g.span);
    cx.report(
        Diagnostic::new(Code::E0501, line.span, wrong)
            .primary(format!("{n} tokens cannot be split into sequences of {context}"))
            .note("batch in tokens = sequences * context")
            .fix(format!("use `batch {} tokens`", in_ki(near)), at, in_ki(near)),
    );
    None
}

/// E0502 in tokens, as `batch` is stated; whether it is reported.
fn tokens_disagree(
    cx: &mut Checker<'_>,
    line: &Line<'_>,
    n: u64,
    context: u64,
    (micro, micro_at): (u64, Span),
    (accumulate, accumulate_at): (u64, Span),
) -> bool {
    let product = micro.saturating_mul(accumulate).saturating_mul(context);
    if product == n {
        return false;
    }
    let text = value_text(cx, line);
    let wrong =
        format!("{micro} * {accumulate} * {context} = {product} tokens, but `batch` says {text}");
    cx.report(
        Diagnostic::new(Code::E0502, line.span, wrong)
            .label(micro_at, at_once(micro))
            .label(accumulate_at, times(accumulate))
            .note("batch = micro_batch * accumulate * context")
            .help(format!("use `batch {} tokens`", in_ki(product))),
    );
    true
}

fn value_text(cx: &Checker<'_>, line: &Line<'_>) -> String {
    line.value().map_or_else(String::new, |g| cx.map.text(g.span).to_owned())
}

/// `524288` as `512Ki`.
fn in_ki(n: u64) -> String {
    if n.is_multiple_of(1024) { format!("{}Ki", n / 1024) } else { n.to_string() }
}

/// `batch` is not stated: 32, and a note.
fn default(cx: &mut Checker<'_>, word: Span, accumulate: Option<u64>) -> (u64, Span) {
    let wrong = Diagnostic::new(Code::W0505, word, format!("batch defaults to {DEFAULT_BATCH}"))
        .primary("`batch` is not stated");
    let wrong = match accumulate {
        Some(n) => wrong.note(format!(
            "`accumulate {n}` does not make the batch larger: it splits the {DEFAULT_BATCH} sequences"
        )),
        None => wrong,
    };
    cx.report(wrong.help(format!("state it: `batch {DEFAULT_BATCH}`")));
    (DEFAULT_BATCH, word)
}

fn all_three(
    cx: &mut Checker<'_>,
    (batch, at): (u64, Span),
    (micro_batch, micro_at): (u64, Span),
    (accumulate, accumulate_at): (u64, Span),
) -> Option<Batch> {
    let product = micro_batch * accumulate;
    if product == batch {
        return Some(Batch { batch, micro_batch, accumulate });
    }
    let wrong =
        format!("{micro_batch} * {accumulate} = {product} sequences, but `batch` says {batch}");
    let wrong = Diagnostic::new(Code::E0502, at, wrong)
        .primary(format!("{batch} sequences"))
        .label(micro_at, at_once(micro_batch))
        .label(accumulate_at, times(accumulate))
        .note("batch = micro_batch * accumulate");
    let help = match batch.is_multiple_of(micro_batch) {
        true => format!("use `batch {product}` or `accumulate {}`", batch / micro_batch),
        false => format!("use `batch {product}`"),
    };
    cx.report(wrong.help(help));
    None
}

fn at_once(micro_batch: u64) -> String {
    if micro_batch == 1 {
        "1 sequence at once".into()
    } else {
        format!("{micro_batch} sequences at once")
    }
}

fn times(accumulate: u64) -> String {
    if accumulate == 1 { "once".into() } else { format!("{accumulate} times") }
}

/// `batch` divided by one of the other two; the result is named as for `micro_batch`.
fn split(
    cx: &mut Checker<'_>,
    (batch, at): (u64, Span),
    (part, part_at): (u64, Span),
    name: &str,
) -> Option<Batch> {
    if batch.is_multiple_of(part) {
        return Some(Batch { batch, micro_batch: part, accumulate: batch / part });
    }
    let into = if name == "accumulate" {
        format!("{part} micro-batches")
    } else {
        format!("micro-batches of {part}")
    };
    let near = nearest_divisor(batch, part);
    let multiple = (batch / part).max(1) * part;
    let rest = if name == "accumulate" { "micro_batch" } else { "accumulate" };
    cx.report(
        Diagnostic::new(Code::E0501, part_at, "batch does not divide into micro-batches")
            .primary(format!("{batch} sequences cannot be split into {into}"))
            .label(at, format!("{batch} sequences per optimizer step"))
            .note("batch = micro_batch * accumulate")
            .help(format!("use `{name} {near}` ({rest} {}) or `batch {multiple}`", batch / near)),
    );
    None
}

/// The divisor of `n` nearest to `to`; the larger of two that are as near.
fn nearest_divisor(n: u64, to: u64) -> u64 {
    let far = |d: u64| d.abs_diff(to);
    let mut best = 1;
    let mut d = 1;
    // Divisors come in pairs around the square root.
    while d * d <= n {
        if n.is_multiple_of(d) {
            for found in [d, n / d] {
                if far(found) < far(best) || far(found) == far(best) && found > best {
                    best = found;
                }
            }
        }
        d += 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_sizes() {
        assert_eq!(nearest_divisor(64, 6), 8);
        assert_eq!(largest_micro(16, 64), 16);
        assert_eq!(largest_micro(32, 1024), 8);
        assert_eq!(largest_micro(7, 4096), 1);
    }
}
