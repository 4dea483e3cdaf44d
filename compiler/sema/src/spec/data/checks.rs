//! What the files turned out to hold, against what the spec does with them.

use diag::{Code, Diagnostic, Span};

use super::super::Checker;
use super::super::lines::Lines;
use super::Resolved;
use crate::program::{Pack, Task, Train};

/// Passes over the data from which on a run repeats itself.
const MANY_EPOCHS: f64 = 20.0;

/// Tokens above which a run may repeat them often without a word.
const SMALL: u64 = 100_000_000;

/// A step needs a batch of sequences, an evaluation at least one.
pub(in super::super) fn enough_data(
    cx: &mut Checker<'_>,
    data: &Resolved<'_>,
    context: u64,
    batch: u64,
) {
    for (split, needed) in [("train", batch), ("val", 1)] {
        let stated = data.source.splits.iter().any(|(n, share)| n == split && *share > 0.0);
        let Some(found) = data.sequences(cx, split, context).filter(|_| stated) else {
            continue;
        };
        if found >= needed {
            continue;
        }
        let wants = if split == "train" {
            format!("fewer than one batch of {batch}")
        } else {
            "not even one".to_owned()
        };
        let plural = if found == 1 { "" } else { "s" };
        let wrong = Diagnostic::new(
            Code::E0704,
            data.word,
            format!("`{split}` has {found} sequence{plural}, {wants}"),
        );
        let wrong = match data.source.pack {
            Pack::Documents => {
                let tokens = data.tokens(cx, split).unwrap_or(0);
                wrong.primary(format!("{tokens} tokens in `{split}`")).note(format!(
                    "a sequence has {context} tokens, and one more as the last target"
                ))
            }
            Pack::Rows => wrong.primary("each document is a sequence"),
        };
        let more = match data.source.pack {
            Pack::Documents => "use more text, a smaller `context`, or",
            Pack::Rows => "use more documents or",
        };
        let other = match split {
            "train" => "a smaller `batch`".to_owned(),
            split => format!("a larger share for `{split}` in `split`"),
        };
        cx.report(wrong.help(format!("{more} {other}")));
        // Both come from one text that is too short.
        return;
    }
}

/// W0705, W0707 and W0708, and E0706 for a measure of labels.
pub(in super::super) fn lints(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    data: &Resolved<'_>,
    train: &Train,
) {
    metrics(cx, lines, data);
    leaks(cx, data);
    cut_rows(cx, data, train.context);
    epochs(cx, data, train);
}

/// The accuracy is measured wherever rows have labels, and nowhere else.
fn metrics(cx: &mut Checker<'_>, lines: &Lines<'_>, data: &Resolved<'_>) {
    let items = lines.all("metric").flat_map(|line| &line.items);
    let asked = items.filter_map(|item| item.value.as_ref());
    for given in asked.filter(|g| g.word() == Some("accuracy") && !data.source.has_labels()) {
        cx.report(
            Diagnostic::new(Code::E0706, given.span, "`metric accuracy` needs labels")
                .label(data.word, "names none")
                .help("remove it, or name the labels of the data"),
        );
    }
}

fn split_line(data: &Resolved<'_>) -> Span {
    data.lines.get("split").map_or(data.word, |line| line.span)
}

/// W0705: what is trained on is evaluated on.
fn leaks(cx: &mut Checker<'_>, data: &Resolved<'_>) {
    let Some(facts) = cx.facts else { return };
    for overlap in &facts.overlaps {
        let [a, b] = &overlap.between;
        let what = match (&overlap.file, overlap.documents) {
            (Some(file), _) => format!("the file `{file}` is"),
            (None, 1) => "a document is".to_owned(),
            (None, n) => format!("{n} documents are"),
        };
        let wrong =
            Diagnostic::new(Code::W0705, split_line(data), format!("{what} in `{a}` and in `{b}`"));
        let wrong = match b.as_str() {
            "val" | "test" => {
                wrong.note(format!("the loss on `{b}` is better than it would be on new text"))
            }
            _ => wrong,
        };
        cx.report(match overlap.file {
            Some(_) => wrong.help("name each file once"),
            None if data.source.sources.iter().all(|s| s.format.has_documents()) => {
                wrong.help("add `dedup exact`, which keeps the first of equal documents")
            }
            // A part that is one stretch of text takes no `dedup`.
            None => wrong.help("take the second ones out of the files"),
        });
    }
}

/// W0707: rows that lose their end.
fn cut_rows(cx: &mut Checker<'_>, data: &Resolved<'_>, context: u64) {
    let Some(facts) = cx.facts.filter(|_| data.source.pack == Pack::Rows) else { return };
    // A row of next tokens has one more than its targets.
    let more = u64::from(data.source.task == Task::NextToken);
    let room = context + more;
    let (all, kept) = (facts.lengths.len(), facts.lengths.partition_point(|n| *n <= room));
    if all == 0 || (all - kept) * 100 < all {
        return;
    }
    let percent = ((all - kept) as f64 / all as f64 * 100.0).round();
    let at = |share: f64| facts.lengths[(share * (all - 1) as f64).round() as usize];
    let (half, longest) = (at(0.5), at(1.0));
    let longer = [(0.9, "nine of ten"), (0.99, "99 of 100")].map(|(share, of)| (at(share), of));
    let enough = longer.into_iter().find(|(tokens, _)| *tokens > room);
    let (enough, of) = enough.unwrap_or((longest, "all of them"));
    cx.report(
        Diagnostic::new(
            Code::W0707,
            data.word,
            format!("{percent}% of rows are longer than context {context}"),
        )
        .primary(format!("half have up to {half} tokens, the longest {longest}"))
        .help(format!("use `context {}`, which holds {of}", enough - more)),
    );
}

/// W0708: a run that sees little text many times.
fn epochs(cx: &mut Checker<'_>, data: &Resolved<'_>, train: &Train) {
    let (Some(sequences), Some(tokens)) =
        (data.sequences(cx, "train", train.context), data.tokens(cx, "train"))
    else {
        return;
    };
    if sequences < train.batch || tokens >= SMALL {
        return;
    }
    let epochs = train.steps as f64 * train.batch as f64 / sequences as f64;
    if epochs < MANY_EPOCHS {
        return;
    }
    let enough = (10.0 * sequences as f64 / train.batch as f64).ceil().max(1.0) as u64;
    cx.report(
        Diagnostic::new(
            Code::W0708,
            data.word,
            format!("{} epochs over {}: expect over-fitting", epochs.round(), amount(tokens)),
        )
        .primary(format!("{sequences} sequences, {} times each", epochs.round()))
        .label(train.span, format!("{} steps of {} sequences", train.steps, train.batch))
        .help(format!(
            "use `steps {enough}`, which are ten epochs, or more text; dropout helps, too"
        )),
    );
}

/// `1.2 M tokens`.
fn amount(tokens: u64) -> String {
    match tokens {
        0..10_000 => format!("{tokens} tokens"),
        10_000..1_000_000 => format!("{:.0} k tokens", tokens as f64 / 1e3),
        _ => format!("{:.1} M tokens", tokens as f64 / 1e6),
    }
}
