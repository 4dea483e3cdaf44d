//! A data block, as the runtime opens it.

use sema::{
    Clean, Column, Columns, DataSource, Fields, Filter, Format, Limit, LossOn, Normal, Pack,
    Shuffle, Source, Task, Tokenizer,
};

/// A data block without the places it came from.
pub fn data_of(block: &DataSource) -> plan::Data {
    let is_mixture = block.sources.len() > 1;
    let split = |(name, share): &(String, f64)| plan::Split { name: name.clone(), share: *share };
    plan::Data {
        sources: block.sources.iter().map(|s| source(s, is_mixture)).collect(),
        tokenizer: tokenizer(&block.tokenizer),
        splits: block.splits.iter().map(split).collect(),
        stratified: block.stratified,
        shuffle: match block.shuffle {
            Shuffle::None => plan::Shuffle::None,
            Shuffle::Full => plan::Shuffle::Full,
            Shuffle::Window(n) => plan::Shuffle::Window(n),
        },
        pack: match block.pack {
            Pack::Documents => plan::Pack::Documents,
            Pack::Rows => plan::Pack::Rows,
        },
        loss_on: match block.loss_on {
            LossOn::Everything => plan::LossOn::Everything,
            LossOn::Completion => plan::LossOn::Completion,
        },
        task: match block.task {
            Task::NextToken => plan::Task::NextToken,
            Task::Classes { stated } => plan::Task::Classes { n: stated },
            Task::Masked { share, keep, random } => plan::Task::Masked { share, keep, random },
        },
        clean: clean(&block.clean),
    }
}

fn source(source: &Source, is_mixture: bool) -> plan::Source {
    plan::Source {
        name: source.name.clone().filter(|_| is_mixture),
        paths: source.paths.iter().map(|(path, _)| path.clone()).collect(),
        format: format(&source.format),
        share: is_mixture.then_some(source.share),
    }
}

fn format(format: &Format) -> plan::Format {
    match format {
        Format::Text => plan::Format::Text,
        Format::Jsonl(fields) => plan::Format::Jsonl(match fields.clone() {
            Fields::Text { text, label } => plan::Fields::Text { text, label },
            Fields::Pair { prompt, completion } => plan::Fields::Pair { prompt, completion },
            Fields::Messages(field) => plan::Fields::Messages(field),
        }),
        Format::Table { columns, header } => {
            plan::Format::Table { columns: columns_of(columns), header: *header }
        }
        Format::Tokens => plan::Format::Tokens,
    }
}

fn columns_of(columns: &Columns) -> plan::Columns {
    let one = |column: &Column| match column {
        Column::Name(name) => plan::Column::Name(name.clone()),
        Column::Number(n) => plan::Column::Number(*n),
    };
    match columns {
        Columns::Text { text, label } => {
            plan::Columns::Text { text: one(text), label: label.as_ref().map(one) }
        }
        Columns::Pair { prompt, completion } => {
            plan::Columns::Pair { prompt: one(prompt), completion: one(completion) }
        }
    }
}

fn tokenizer(tokenizer: &Tokenizer) -> plan::Tokenizer {
    match tokenizer {
        Tokenizer::Bytes => plan::Tokenizer::Bytes,
        Tokenizer::Chars => plan::Tokenizer::Chars,
        Tokenizer::Words(n) => plan::Tokenizer::Words(*n),
        Tokenizer::Bpe(n) => plan::Tokenizer::Bpe(*n),
        Tokenizer::Wordpiece(n) => plan::Tokenizer::WordPiece(*n),
        Tokenizer::Gpt2 => plan::Tokenizer::Gpt2,
        Tokenizer::File(path) => plan::Tokenizer::File(path.clone()),
        Tokenizer::Ids(n) => plan::Tokenizer::Ids(*n),
    }
}

fn clean(clean: &Clean) -> plan::Clean {
    let normal = |normal: &Normal| match normal {
        Normal::Nfc => plan::Normalize::Nfc,
        Normal::Nfkc => plan::Normalize::Nfkc,
        Normal::Lowercase => plan::Normalize::Lowercase,
        Normal::Whitespace => plan::Normalize::Whitespace,
    };
    let filter = |filter: &Filter| match filter {
        Filter::MinChars(n) => plan::Filter::MinChars(*n),
        Filter::MaxChars(n) => plan::Filter::MaxChars(*n),
        Filter::Contains(text) => plan::Filter::Has(text.clone()),
        Filter::Without(text) => plan::Filter::Lacks(text.clone()),
    };
    plan::Clean {
        normalize: clean.normalize.iter().map(normal).collect(),
        filters: clean.filters.iter().map(filter).collect(),
        dedup: clean.dedup,
        limit: clean.limit.map(|limit| match limit {
            Limit::Documents(n) => plan::Limit::Documents(n),
            Limit::Tokens(n) => plan::Limit::Tokens(n),
        }),
    }
}
