//! `llmc data show`: what the model gets of the data, and what it is asked for.
//!
//! Rows come from where training takes them, in its order, so that what is shown is what is read.

mod cells;

use data::{Corpus, Sequences, Shown, Token};
use serde_json::{Value, json};

use super::Failure;
use super::out::say;
use super::source::{Ready, ready};
use crate::cli;
use cells::Cell;

/// Columns of the screen that a row of tokens takes at most.
const WIDTH: usize = 96;

pub(super) fn run(args: &cli::Data) -> Result<(), Failure> {
    let cli::DataCommand::Show(args) = &args.command;
    let ready = ready(&args.source)?;
    let corpus = ready.corpus.as_ref().expect("a program that trains has data");
    let train = &ready.program.train;
    let Some(sequences) = Sequences::new(corpus, &args.split, train.context, train.seed) else {
        let splits = ready.program.data.splits.iter().map(|(name, _)| format!("`{name}`"));
        let splits = splits.collect::<Vec<_>>().join(", ");
        let wrong = format!("there is no split `{}`; the data has {splits}", args.split);
        return Err(Failure::Usage(wrong));
    };
    let context = usize::try_from(train.context).expect("a sequence fits in memory");
    let mut rows = vec![];
    for number in 0..args.n.min(sequences.n_whole()) {
        let row = sequences.show(corpus, number, context);
        rows.push(row.map_err(|e| Failure::World(e.into()))?);
    }
    let summary = Summary::of(&ready, corpus, &sequences, &args.split);
    if args.json {
        say(format_args!("{}", summary.json()));
        rows.iter().for_each(|row| say(format_args!("{}", json_of(row, corpus))));
    } else {
        summary.print();
        for (number, row) in rows.iter().enumerate() {
            print_row(number, &args.split, row, corpus);
        }
    }
    Ok(())
}

/// What there is of everything.
struct Summary<'a> {
    ready: &'a Ready,
    corpus: &'a Corpus,
    /// Rows of the split that is shown, and its name.
    rows: (u64, &'a str),
}

impl<'a> Summary<'a> {
    fn of(ready: &'a Ready, corpus: &'a Corpus, sequences: &Sequences, split: &'a str) -> Self {
        Self { ready, corpus, rows: (sequences.n_whole(), split) }
    }

    /// Name, tokens and documents of each split.
    fn splits(&self) -> Vec<(&'a str, u64, u64)> {
        let documents = self.ready.facts.as_ref().map_or(&[][..], |f| &f.documents);
        let of = |name: &str| documents.iter().find(|(n, _)| n == name).map_or(0, |(_, n)| *n);
        let splits = self.ready.program.data.splits.iter();
        splits.map(|(name, _)| (name.as_str(), self.corpus.n_tokens(name), of(name))).collect()
    }

    /// The length that so many documents do not exceed.
    fn length(&self, share: f64) -> Option<u64> {
        let lengths = self.ready.facts.as_ref().map_or(&[][..], |f| &f.lengths);
        let last = lengths.len().checked_sub(1)?;
        lengths.get((share * last as f64).round() as usize).copied()
    }

    fn json(&self) -> Value {
        let one = |(name, tokens, documents)| json!({ "name": name, "tokens": tokens, "documents": documents });
        let [median, p90, longest] = [0.5, 0.9, 1.0].map(|share| self.length(share));
        json!({
            "tokenizer": self.ready.program.data.tokenizer.text(),
            "vocabulary": self.corpus.vocabulary().size(),
            "labels": self.corpus.classes(),
            "splits": self.splits().into_iter().map(one).collect::<Vec<_>>(),
            "lengths": { "median": median, "p90": p90, "longest": longest },
            "context": self.ready.program.train.context,
            "split": self.rows.1,
            "rows": self.rows.0,
        })
    }

    fn print(&self) {
        let tokenizer = self.ready.program.data.tokenizer.text();
        let size = self.corpus.vocabulary().size();
        say(format_args!("vocabulary  {size} ids of `{tokenizer}`"));
        let labels = self.corpus.classes();
        if !labels.is_empty() {
            say(format_args!("labels      {}: {}", labels.len(), labels.join(", ")));
        }
        for (name, tokens, documents) in self.splits() {
            let documents = match documents {
                0 => String::new(),
                n => format!(" in {n} documents"),
            };
            say(format_args!("{name:<11} {tokens} tokens{documents}"));
        }
        let lengths = [0.5, 0.9, 1.0].map(|share| self.length(share));
        if let [Some(median), Some(p90), Some(longest)] = lengths {
            say(format_args!(
                "documents   half up to {median} tokens, nine of ten up to {p90}, the longest {longest}"
            ));
        }
        let (n, split) = self.rows;
        let context = self.ready.program.train.context;
        say(format_args!("rows        {n} of {context} tokens in `{split}`"));
    }
}

fn json_of(row: &Shown, corpus: &Corpus) -> Value {
    let ids: Vec<u32> = row.tokens.iter().map(|t| t.id).collect();
    let targets: Vec<Option<u32>> = row.tokens.iter().map(|t| t.target).collect();
    let documents: Vec<u64> = row.tokens.iter().map(|t| t.document).collect();
    let used: Vec<u32> = row.tokens.iter().filter(|t| !t.is_pad).map(|t| t.id).collect();
    let text = String::from_utf8_lossy(&corpus.vocabulary().decode(&used)).into_owned();
    match &row.class {
        Some(label) => json!({ "text": text, "ids": ids, "label": label }),
        None => json!({ "text": text, "ids": ids, "targets": targets, "documents": documents }),
    }
}

/// A row: what the model gets above what it is to say, `-` where that does not count.
fn print_row(number: usize, split: &str, row: &Shown, corpus: &Corpus) {
    say(format_args!(""));
    match &row.class {
        Some(label) => say(format_args!("row {number} of `{split}`, label `{label}`")),
        None => say(format_args!("row {number} of `{split}`")),
    }
    let text = |id: u32| cells::shown(&corpus.vocabulary().decode(&[id]));
    let below = |token: &Token| match (&row.class, token.target) {
        (Some(_), _) => None,
        (None, Some(id)) => Some(text(id)),
        (None, None) => Some("-".to_owned()),
    };
    let mut document = 0;
    let mut all = vec![];
    for token in row.tokens.iter().filter(|t| !t.is_pad) {
        let starts = token.document != document;
        document = token.document;
        all.push(Cell { above: text(token.id), below: below(token), starts });
    }
    for line in cells::lines(&all, WIDTH) {
        say(format_args!("{line}"));
    }
    let n_pads = row.tokens.len() - all.len();
    if n_pads > 0 {
        say(format_args!("  and {n_pads} of padding"));
    }
}
