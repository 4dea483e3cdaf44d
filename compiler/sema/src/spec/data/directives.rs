//! The lines of a data block as values, and which of them go together.

use diag::{Code, Diagnostic, Span};

use super::super::Checker;
use super::super::args::{Given, Value};
use super::super::lines::{Line, Lines};
use super::super::words::alternatives;
use crate::program::{
    Clean, DataSource, Filter, Format, Limit, LossOn, Normal, Pack, Shuffle, Task,
};

/// Of the hidden tokens, as many stay as they are, and as many become any other
/// (Devlin et al. 2018, arXiv:1810.04805).
const KEPT: f64 = 0.1;

/// Shares in order; those of the default where the line is missing or wrong.
pub(super) fn splits(cx: &mut Checker<'_>, lines: &Lines<'_>) -> Vec<(String, f64)> {
    let default = vec![("train".to_owned(), 0.9), ("val".to_owned(), 0.1)];
    let Some(line) = lines.get("split") else {
        return default;
    };
    let mut splits: Vec<(String, f64)> = vec![];
    for item in &line.items {
        let Some(given) = &item.value else { return default };
        let Some(share) = given.real() else { return default };
        let Some((name, at)) = item.flag else {
            let wrong =
                Diagnostic::new(Code::E0301, given.span, "a share needs the name of its split");
            let names = alternatives(["train", "val", "test"]);
            cx.report(wrong.help(format!("add {names}")));
            return default;
        };
        if splits.iter().any(|(n, _)| n == name) {
            let wrong = format!("the split `{name}` is given twice");
            cx.report(Diagnostic::new(Code::E0703, at, wrong));
            return default;
        }
        splits.push((name.to_owned(), share));
    }
    let sum: f64 = splits.iter().map(|(_, share)| share).sum();
    let no_train = splits.iter().all(|(name, share)| name != "train" || *share == 0.0);
    if (sum - 1.0).abs() > 1e-9 {
        let percent = (sum * 1e6).round() / 1e4;
        cx.report(
            Diagnostic::new(Code::E0703, line.span, format!("splits add up to {percent}%"))
                .primary("the shares must add up to 100%")
                .help(to_whole(percent)),
        );
    } else if no_train {
        cx.report(
            Diagnostic::new(Code::E0703, line.span, "there is no `train` split")
                .primary("nothing is left to train on")
                .help("call one of the shares `train`"),
        );
    }
    splits
}

pub(super) fn shuffle(lines: &Lines<'_>) -> Shuffle {
    let line = lines.get("shuffle");
    match (line.and_then(Line::lead), line.and_then(Line::value).and_then(Given::count)) {
        (Some("none"), _) => Shuffle::None,
        (_, Some(n)) => Shuffle::Window(n),
        (_, None) => Shuffle::Full,
    }
}

pub(super) fn pack(lines: &Lines<'_>) -> Pack {
    match lines.get("pack").and_then(Line::lead) {
        Some("none") => Pack::Rows,
        _ => Pack::Documents,
    }
}

pub(super) fn loss_on(lines: &Lines<'_>) -> LossOn {
    match lines.get("loss_on").and_then(Line::value).and_then(Given::word) {
        Some("completion") => LossOn::Completion,
        _ => LossOn::Everything,
    }
}

pub(super) fn clean(cx: &mut Checker<'_>, lines: &Lines<'_>) -> Clean {
    let normalize = lines.get("normalize").and_then(Line::value).map_or(&[][..], Given::words);
    let normalize = normalize.iter().map(|word| match *word {
        "nfc" => Normal::Nfc,
        "nfkc" => Normal::Nfkc,
        "lowercase" => Normal::Lowercase,
        _ => Normal::Whitespace,
    });
    let limit = lines.get("limit").and_then(|line| {
        let n = line.value()?.count()?;
        Some(if line.flag() == Some("tokens") { Limit::Tokens(n) } else { Limit::Documents(n) })
    });
    let dedup = lines.get("dedup").is_some_and(|line| line.lead() != Some("none"));
    let filters = lines.all("filter").flat_map(|line| filters_of(cx, line)).collect();
    Clean { normalize: normalize.collect(), filters, dedup, limit }
}

fn filters_of(cx: &mut Checker<'_>, line: &Line<'_>) -> Vec<Filter> {
    let mut filters = vec![];
    for (word, given) in &line.items[0].options {
        let filter = match (&given.value, *word) {
            (Value::Count(n), "min_chars") => Some(Filter::MinChars(*n)),
            (Value::Count(n), _) => Some(Filter::MaxChars(*n)),
            (Value::Str(text), word) => {
                let text = super::super::settings::interpolate(cx, text, None);
                let of = if word == "without" { Filter::Without } else { Filter::Contains };
                text.map(of)
            }
            _ => None,
        };
        filters.extend(filter);
    }
    let bounds = [Filter::MinChars(0), Filter::MaxChars(0)].map(|kind| {
        let same = |f: &&Filter| std::mem::discriminant(*f) == std::mem::discriminant(&kind);
        filters.iter().find(same).cloned()
    });
    if let [Some(Filter::MinChars(min)), Some(Filter::MaxChars(max))] = bounds
        && min > max
    {
        let wrong = format!("no document has at least {min} and at most {max} characters");
        cx.report(Diagnostic::new(Code::E0302, line.span, wrong));
    }
    if filters.is_empty() && line.items[0].options.is_empty() {
        cx.report(
            Diagnostic::new(Code::E0301, line.span, "`filter` needs a condition")
                .help("for example `filter min_chars 20`"),
        );
    }
    filters
}

/// What the model is asked for, and what follows from it.
pub(super) fn task(cx: &mut Checker<'_>, lines: &Lines<'_>, source: &mut DataSource, word: Span) {
    let split = lines.get("split");
    source.stratified =
        split.is_some_and(|line| line.items.iter().any(|i| i.option("stratified").is_some()));
    if source.has_labels() {
        let stated = lines.get("classes").and_then(Line::value).and_then(Given::count);
        source.task = Task::Classes { stated };
        // A label is one of a row.
        source.pack = Pack::Rows;
    }
    let Some(line) = lines.get("mask") else { return };
    if source.has_labels() {
        return report(
            cx,
            line.span,
            "`mask` hides tokens, but rows have labels to predict",
            |d| d.label(word, "its source names a label").help("remove the line, or the label"),
        );
    }
    let option = |name: &str| line.option(name).and_then(Given::real).unwrap_or(KEPT);
    let (keep, random) = (option("keep"), option("random"));
    let Some(share) = line.value().and_then(Given::real) else { return };
    if keep + random > 1.0 + 1e-9 {
        let percent = ((keep + random) * 1e6).round() / 1e4;
        let wrong = format!("`keep` and `random` add up to {percent}% of the hidden tokens");
        cx.report(
            Diagnostic::new(Code::E0302, line.span, wrong)
                .primary("both are shares of the tokens that `mask` chooses"),
        );
    }
    if share == 0.0 {
        let wrong = "`mask 0%` hides nothing, so nothing is left to predict";
        cx.report(Diagnostic::new(Code::E0302, line.span, wrong).help("write `mask 15%`"));
    }
    source.task = Task::Masked { share, keep, random };
}

/// E0706 for lines that ask for what the source does not have.
pub(super) fn combinations(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    source: &DataSource,
    word: Span,
) {
    let (labels, completions) = (source.has_labels(), source.has_completions());
    if source.loss_on == LossOn::Completion
        && !completions
        && let Some(line) = lines.get("loss_on")
    {
        report(cx, line.span, "`loss_on completion` needs to know what a completion is", |d| {
            d.primary("the source has plain text").label(word, "this source").help(
                "name the parts: `jsonl(\"..\", prompt: \"..\", completion: \"..\")`, or `messages: \"..\"`",
            )
        });
    }
    if source.loss_on == LossOn::Completion
        && let Some(mask) = lines.get("mask")
    {
        report(cx, mask.span, "`mask` and `loss_on completion` both choose the targets", |d| {
            d.help("remove one of them")
        });
    }
    let needs_labels = [("classes", "`classes`"), ("split", "`stratified`")];
    for (name, called) in needs_labels {
        let Some(line) = lines.get(name).filter(|_| !labels) else { continue };
        if name == "classes" || source.stratified {
            report(cx, line.span, &format!("{called} needs labels"), |d| {
                d.label(word, "its source names none")
                    .help("name them: `table(\"..\", text: \"..\", label: \"..\")`")
            });
        }
    }
    if let Some(line) = lines.get("pack").filter(|l| labels && l.lead() != Some("none")) {
        report(cx, line.span, "documents with labels are not packed", |d| {
            d.primary("a sequence has one label").help("remove the line")
        });
    }
    ids_stay(cx, lines, source, word);
    documents(cx, lines, source, word);
    some_have_labels(cx, source);
}

/// What changes text has no text to change where files hold ids.
fn ids_stay(cx: &mut Checker<'_>, lines: &Lines<'_>, source: &DataSource, word: Span) {
    if source.sources.iter().all(|s| s.format != Format::Tokens) {
        return;
    }
    for name in ["normalize", "filter", "dedup"] {
        let Some(line) = lines.get(name) else { continue };
        report(cx, line.span, &format!("`{name}` works on text, but the files hold ids"), |d| {
            d.label(word, "these files").help("do it where the ids are made")
        });
    }
}

/// What looks at documents, where a file is one stretch of text.
fn documents(cx: &mut Checker<'_>, lines: &Lines<'_>, source: &DataSource, word: Span) {
    if source.sources.iter().all(|s| s.format.has_documents()) {
        return;
    }
    let is_on = |line: &&Line<'_>| line.lead() != Some("none");
    let rows = lines.get("pack").filter(|line| line.lead() == Some("none"));
    let asked = [
        (rows, "`pack none` makes a row of each document"),
        (lines.get("filter"), "`filter` looks at documents"),
        (lines.get("dedup").filter(is_on), "`dedup` compares documents"),
    ];
    let is_ids = |line: &Line<'_>| {
        line.directive.name != "pack" && source.sources.iter().any(|s| s.format == Format::Tokens)
    };
    for (line, what) in asked {
        let Some(line) = line.filter(|line| !is_ids(line)) else { continue };
        report(cx, line.span, &format!("{what}, and this source has none"), |d| {
            d.label(word, "files without a mark between documents")
                .help("`jsonl(..)` and `table(..)` have documents; or remove the line")
        });
    }
    if let (Some(Limit::Documents(n)), Some(line)) = (source.clean.limit, lines.get("limit")) {
        report(cx, line.span, "`limit` counts documents, and this source has none", |d| {
            d.label(word, "files without a mark between documents")
                .help(format!("count tokens: `limit {n} tokens`"))
        });
    }
}

/// A mixture of rows with and without labels has no task.
fn some_have_labels(cx: &mut Checker<'_>, source: &DataSource) {
    let with = source.sources.iter().find(|s| s.format.has_label());
    let without = source.sources.iter().find(|s| !s.format.has_label());
    if let (Some(with), Some(without)) = (with, without) {
        report(cx, source.span, "some parts of the mixture have labels, others do not", |d| {
            d.label(with.span, "has labels").label(without.span, "has none")
        });
    }
}

fn report(cx: &mut Checker<'_>, at: Span, wrong: &str, more: impl Fn(Diagnostic) -> Diagnostic) {
    cx.report(more(Diagnostic::new(Code::E0706, at, wrong)));
}

/// What brings shares to 100 %.
pub(super) fn to_whole(percent: f64) -> String {
    let off = ((percent - 100.0).abs() * 1e4).round() / 1e4;
    match percent > 100.0 {
        true => format!("take {off}% off one of them"),
        false => format!("add {off}% to one of them"),
    }
}
