//! `llmc data show`: what the model gets of the data, and what it is asked for.
//!
//! Rows come from where training takes them, so that nothing shown here is another's work.

mod cells;

use std::ops::Range;

use data::{Corpus, Sequences, Vocabulary};
use exec::error::Error;
use plan::{Data, Task};
use serde_json::{Value, json};

use super::Failure;
use super::out::say;
use super::source::{Ready, ready};
use crate::cli;
use cells::Cell;

/// A row of a split.
struct Row {
    ids: Vec<i32>,
    targets: Vec<i32>,
}

pub(super) fn run(args: &cli::Data) -> Result<(), Failure> {
    let cli::Data::Show(args) = args;
    let ready = ready(&args.source)?;
    let corpus = ready.corpus.as_ref().expect("a program that trains has data");
    let data = passes::plan_of::data_of(&ready.program.data);
    let Some(tokens) = corpus.split(&args.split) else {
        let splits = ready.program.data.splits.iter().map(|(name, _)| format!("`{name}`"));
        let splits = splits.collect::<Vec<_>>().join(", ");
        let wrong = format!("there is no split `{}`; the data has {splits}", args.split);
        return Err(Failure::Usage(wrong));
    };
    let context = ready.program.train.context;
    let sequences = Sequences::new(tokens, context, None);
    let n = args.n.min(sequences.n_all());
    let rows = (0..n).map(|i| row(corpus, &sequences, &data, context, i));
    let rows = rows.collect::<Result<Vec<_>, Error>>()?;
    match args.json {
        true => print_json(args, &ready, corpus, &rows),
        false => print_text(args, &ready, corpus, &data, &rows),
    }
    Ok(())
}

/// A row as training reads it, in the order of the files.
fn row(
    corpus: &Corpus,
    sequences: &Sequences,
    data: &Data,
    context: u64,
    index: u64,
) -> Result<Row, Error> {
    let context = usize::try_from(context).expect("a sequence fits in memory");
    let n_targets = if matches!(data.task, Task::Classes { .. }) { 1 } else { context };
    let (mut ids, mut targets) = (vec![0; context], vec![-1; n_targets]);
    sequences.fill_eval(corpus, index, &mut ids, &mut targets)?;
    Ok(Row { ids, targets })
}
