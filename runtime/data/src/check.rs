//! Settings that contradict each other, found before any file is opened.

use plan::{Columns, Data, Fields, Format, Limit, LossOn, Pack, Source, Task, Tokenizer};

use crate::{error::Error, source::has_documents};

/// Refuses what no file could satisfy.
pub(crate) fn check(data: &Data) -> Result<(), Error> {
    let path = data.paths().next().map_or("the data", String::as_str);
    match contradiction(data) {
        Some(message) => Err(Error::new(path, message)),
        None => Ok(()),
    }
}

fn contradiction(data: &Data) -> Option<String> {
    let all = |is: fn(&Format) -> bool| data.sources.iter().all(|s| is(&s.format));
    let any = |is: fn(&Format) -> bool| data.sources.iter().any(|s| is(&s.format));
    if data.sources.is_empty() {
        return Some("the data has no source".to_owned());
    }
    if !all(has_documents) {
        let what = if matches!(data.task, Task::Classes { .. }) {
            Some("classes are of documents")
        } else if data.pack == Pack::Rows {
            Some("`pack none` makes a row of a document")
        } else if data.clean.dedup || !data.clean.filters.is_empty() {
            Some("`filter` and `dedup` look at documents")
        } else if matches!(data.clean.limit, Some(Limit::Documents(_))) {
            Some("`limit` counts documents")
        } else if data.stratified {
            Some("`stratified` looks at the classes of documents")
        } else {
            None
        };
        if let Some(what) = what {
            return Some(format!("{what}, and text or ids have none; use `jsonl` or `table`"));
        }
    }
    let is_classes = matches!(data.task, Task::Classes { .. });
    if (is_classes || data.stratified) && !all(has_label) {
        return Some("there is no class; name its field or column with `label:`".to_owned());
    }
    if is_classes && data.pack == Pack::Documents {
        return Some("classes need `pack none`: a row is a document".to_owned());
    }
    if data.loss_on == LossOn::Completion && !any(has_replies) {
        return Some(
            "`loss_on completion` needs `prompt:` and `completion:`, or `messages:`".to_owned(),
        );
    }
    let gives_text =
        matches!(data.tokenizer, Tokenizer::Gpt2 | Tokenizer::File(_) | Tokenizer::Bytes);
    let is_ids = matches!(data.tokenizer, Tokenizer::Ids(_));
    if any(|format| *format == Format::Tokens) && !gives_text && !is_ids {
        return Some(
            "ids come from a tokenizer that is known: `gpt2`, or the file of one".to_owned(),
        );
    }
    if is_ids && !all(|format| *format == Format::Tokens) {
        return Some("text needs a tokenizer".to_owned());
    }
    if any(|format| *format == Format::Tokens) && !data.clean.is_nothing() {
        let is_limit = data.clean == plan::Clean { limit: data.clean.limit, ..Default::default() };
        if !is_limit {
            return Some("ids cannot be cleaned; clean the text that they come from".to_owned());
        }
    }
    masked(data).or_else(|| shares(&data.sources))
}

fn has_label(format: &Format) -> bool {
    match format {
        Format::Jsonl(Fields::Text { label, .. }) => label.is_some(),
        Format::Table { columns: Columns::Text { label, .. }, .. } => label.is_some(),
        Format::Text | Format::Tokens | Format::Jsonl(_) | Format::Table { .. } => false,
    }
}

/// Whether documents have a part that is to be said.
pub(crate) fn has_replies(format: &Format) -> bool {
    match format {
        Format::Jsonl(fields) => match fields {
            Fields::Pair { .. } | Fields::Messages(_) => true,
            Fields::Text { .. } => false,
        },
        Format::Table { columns, .. } => match columns {
            Columns::Pair { .. } => true,
            Columns::Text { .. } => false,
        },
        Format::Text | Format::Tokens => false,
    }
}

fn masked(data: &Data) -> Option<String> {
    let Task::Masked { share, keep, random } = data.task else { return None };
    let is_share = |x: f64| (0.0..=1.0).contains(&x);
    if !is_share(share) || share == 0.0 || !is_share(keep) || !is_share(random) {
        return Some("shares of masked tokens are above 0 and at most 1".to_owned());
    }
    if keep + random > 1.0 {
        return Some(
            "`keep` and `random` are parts of the masked tokens, together at most 100%".to_owned(),
        );
    }
    (data.loss_on == LossOn::Completion)
        .then(|| "masked tokens are targets wherever they are; remove `loss_on`".to_owned())
}

/// The least share of a mixture that can be kept in its cycle of rows.
const LEAST_SHARE: f64 = 0.001;

fn shares(sources: &[Source]) -> Option<String> {
    let stated = sources.iter().filter_map(|source| source.share);
    let (n, sum) = (stated.clone().count(), stated.clone().sum::<f64>());
    if n == 0 {
        return None;
    }
    if n < sources.len() {
        return Some("either all sources of a mixture have a share, or none".to_owned());
    }
    if stated.clone().any(|share| share > 0.0 && share < LEAST_SHARE) {
        return Some("the least share of a mixture is 0.1%; make it larger or leave it out".into());
    }
    if stated.clone().any(|share| share.is_nan() || share <= 0.0) || (sum - 1.0).abs() > 1e-6 {
        return Some(format!(
            "the shares of a mixture are above 0 and add up to 100%, not to {}%",
            sum * 100.0
        ));
    }
    None
}
