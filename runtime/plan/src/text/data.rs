//! The lines of a plan that say where the data comes from.

use super::{
    ParseError,
    parse::Reader,
    print::{line, quote},
    scan::Line,
};
use crate::{
    Clean, Column, Columns, Data, Fields, Filter, Format, Limit, LossOn, Normalize, Pack, Shuffle,
    Source, Split, Task, Tokenizer,
};

/// Prints all of it, one level inside.
pub(super) fn print(out: &mut String, data: &Data) {
    let stratified = if data.stratified { " stratified" } else { "" };
    let pack = match data.pack {
        Pack::Documents => "documents",
        Pack::Rows => "rows",
    };
    let loss_on = match data.loss_on {
        LossOn::Everything => "everything",
        LossOn::Completion => "completion",
    };
    line(out, 1, &format!("data {}{stratified}", tokenizer(&data.tokenizer)));
    line(out, 1, &format!("shuffle {}", shuffle(data.shuffle)));
    line(out, 1, &format!("pack {pack}"));
    line(out, 1, &format!("loss_on {loss_on}"));
    line(out, 1, &format!("task {}", task(data.task)));
    clean(out, &data.clean);
    for source in &data.sources {
        let name = source.name.as_ref().map(|n| format!(" name {}", quote(n))).unwrap_or_default();
        let share = source.share.map(|s| format!(" share {s:?}")).unwrap_or_default();
        line(out, 1, &format!("source {}{name}{share}", format_of(&source.format)));
        for path in &source.paths {
            line(out, 1, &format!("path {}", quote(path)));
        }
    }
    for split in &data.splits {
        line(out, 1, &format!("split {} {:?}", quote(&split.name), split.share));
    }
}

fn tokenizer(tokenizer: &Tokenizer) -> String {
    match tokenizer {
        Tokenizer::Bytes => "bytes".to_owned(),
        Tokenizer::Chars => "chars".to_owned(),
        Tokenizer::Words(n) => format!("words {n}"),
        Tokenizer::Bpe(n) => format!("bpe {n}"),
        Tokenizer::WordPiece(n) => format!("wordpiece {n}"),
        Tokenizer::Gpt2 => "gpt2".to_owned(),
        Tokenizer::File(path) => format!("file {}", quote(path)),
        Tokenizer::Ids(n) => format!("ids {n}"),
    }
}

fn shuffle(shuffle: Shuffle) -> String {
    match shuffle {
        Shuffle::None => "none".to_owned(),
        Shuffle::Full => "full".to_owned(),
        Shuffle::Window(n) => format!("window {n}"),
    }
}

fn task(task: Task) -> String {
    match task {
        Task::NextToken => "next_token".to_owned(),
        Task::Classes { n: None } => "classes".to_owned(),
        Task::Classes { n: Some(n) } => format!("classes {n}"),
        Task::Masked { share, keep, random } => format!("masked {share:?} {keep:?} {random:?}"),
    }
}

fn clean(out: &mut String, clean: &Clean) {
    for step in &clean.normalize {
        let name = match step {
            Normalize::Nfc => "nfc",
            Normalize::Nfkc => "nfkc",
            Normalize::Lowercase => "lowercase",
            Normalize::Whitespace => "whitespace",
        };
        line(out, 1, &format!("normalize {name}"));
    }
    for filter in &clean.filters {
        let what = match filter {
            Filter::MinChars(n) => format!("min_chars {n}"),
            Filter::MaxChars(n) => format!("max_chars {n}"),
            Filter::Has(text) => format!("has {}", quote(text)),
            Filter::Lacks(text) => format!("lacks {}", quote(text)),
        };
        line(out, 1, &format!("filter {what}"));
    }
    if clean.dedup {
        line(out, 1, "dedup");
    }
    match clean.limit {
        None => {}
        Some(Limit::Documents(n)) => line(out, 1, &format!("limit documents {n}")),
        Some(Limit::Tokens(n)) => line(out, 1, &format!("limit tokens {n}")),
    }
}

fn format_of(format: &Format) -> String {
    match format {
        Format::Text => "text".to_owned(),
        Format::Tokens => "tokens".to_owned(),
        Format::Jsonl(Fields::Text { text, label }) => {
            let label = label.as_ref().map(|l| format!(" label {}", quote(l))).unwrap_or_default();
            format!("jsonl text {}{label}", quote(text))
        }
        Format::Jsonl(Fields::Pair { prompt, completion }) => {
            format!("jsonl pair {} {}", quote(prompt), quote(completion))
        }
        Format::Jsonl(Fields::Messages(field)) => format!("jsonl messages {}", quote(field)),
        Format::Table { columns, header } => {
            let header = match header {
                None => "",
                Some(true) => " header yes",
                Some(false) => " header no",
            };
            format!("table {}{header}", columns_of(columns))
        }
    }
}

fn columns_of(columns: &Columns) -> String {
    let column = |column: &Column| match column {
        Column::Name(name) => quote(name),
        Column::Number(n) => n.to_string(),
    };
    match columns {
        Columns::Text { text, label: None } => format!("text {}", column(text)),
        Columns::Text { text, label: Some(label) } => {
            format!("text {} label {}", column(text), column(label))
        }
        Columns::Pair { prompt, completion } => {
            format!("pair {} {}", column(prompt), column(completion))
        }
    }
}

/// Reads what [`print`] wrote.
pub(super) fn parse(r: &mut Reader<'_>) -> Result<Data, ParseError> {
    let (tokenizer, stratified) =
        r.directive("data", |line| Ok((read_tokenizer(line)?, line.accept_name("stratified"))))?;
    let shuffle = r.directive("shuffle", read_shuffle)?;
    let pack = r.directive("pack", |line| {
        line.one_of(&[("documents", Pack::Documents), ("rows", Pack::Rows)])
    })?;
    let loss_on = r.directive("loss_on", |line| {
        line.one_of(&[("everything", LossOn::Everything), ("completion", LossOn::Completion)])
    })?;
    let task = r.directive("task", read_task)?;
    let clean = read_clean(r)?;
    let mut sources = Vec::new();
    while r.follows("source") {
        let (format, name, share) = r.directive("source", |line| {
            let format = read_format(line)?;
            let name = if line.accept_name("name") { Some(line.string()?) } else { None };
            let share = if line.accept_name("share") { Some(line.number()?) } else { None };
            Ok((format, name, share))
        })?;
        let mut paths = Vec::new();
        while r.follows("path") {
            paths.push(r.directive("path", Line::string)?);
        }
        sources.push(Source { name, paths, format, share });
    }
    let mut splits = Vec::new();
    while r.follows("split") {
        splits.push(r.directive("split", |line| {
            Ok(Split { name: line.string()?, share: line.number()? })
        })?);
    }
    Ok(Data { sources, tokenizer, splits, stratified, shuffle, pack, loss_on, task, clean })
}

fn read_tokenizer(line: &mut Line) -> Result<Tokenizer, ParseError> {
    Ok(match line.plain("a tokenizer")?.to_owned().as_str() {
        "bytes" => Tokenizer::Bytes,
        "chars" => Tokenizer::Chars,
        "words" => Tokenizer::Words(line.number()?),
        "bpe" => Tokenizer::Bpe(line.number()?),
        "wordpiece" => Tokenizer::WordPiece(line.number()?),
        "gpt2" => Tokenizer::Gpt2,
        "file" => Tokenizer::File(line.string()?),
        "ids" => Tokenizer::Ids(line.number()?),
        other => return Err(line.error(format!("`{other}` is no tokenizer"))),
    })
}

fn read_shuffle(line: &mut Line) -> Result<Shuffle, ParseError> {
    if line.accept_name("window") {
        return Ok(Shuffle::Window(line.number()?));
    }
    line.one_of(&[("none", Shuffle::None), ("full", Shuffle::Full)])
}

fn read_task(line: &mut Line) -> Result<Task, ParseError> {
    Ok(match line.plain("a task")?.to_owned().as_str() {
        "next_token" => Task::NextToken,
        "classes" if line.is_at_end() => Task::Classes { n: None },
        "classes" => Task::Classes { n: Some(line.number()?) },
        "masked" => {
            Task::Masked { share: line.number()?, keep: line.number()?, random: line.number()? }
        }
        other => return Err(line.error(format!("`{other}` is no task"))),
    })
}

fn read_clean(r: &mut Reader<'_>) -> Result<Clean, ParseError> {
    let mut clean = Clean::default();
    while r.follows("normalize") {
        clean.normalize.push(r.directive("normalize", |line| {
            line.one_of(&[
                ("nfc", Normalize::Nfc),
                ("nfkc", Normalize::Nfkc),
                ("lowercase", Normalize::Lowercase),
                ("whitespace", Normalize::Whitespace),
            ])
        })?);
    }
    while r.follows("filter") {
        clean.filters.push(r.directive("filter", |line| {
            Ok(match line.plain("a filter")?.to_owned().as_str() {
                "min_chars" => Filter::MinChars(line.number()?),
                "max_chars" => Filter::MaxChars(line.number()?),
                "has" => Filter::Has(line.string()?),
                "lacks" => Filter::Lacks(line.string()?),
                other => return Err(line.error(format!("`{other}` is no filter"))),
            })
        })?);
    }
    if r.follows("dedup") {
        r.directive("dedup", |_| Ok(()))?;
        clean.dedup = true;
    }
    if r.follows("limit") {
        clean.limit = Some(r.directive("limit", |line| {
            Ok(match line.plain("`documents` or `tokens`")?.to_owned().as_str() {
                "documents" => Limit::Documents(line.number()?),
                "tokens" => Limit::Tokens(line.number()?),
                other => return Err(line.error(format!("`{other}` is no limit"))),
            })
        })?);
    }
    Ok(clean)
}

fn read_format(line: &mut Line) -> Result<Format, ParseError> {
    Ok(match line.plain("a format")?.to_owned().as_str() {
        "text" => Format::Text,
        "tokens" => Format::Tokens,
        "jsonl" => Format::Jsonl(match line.plain("the fields")?.to_owned().as_str() {
            "text" => {
                let text = line.string()?;
                let label = if line.accept_name("label") { Some(line.string()?) } else { None };
                Fields::Text { text, label }
            }
            "pair" => Fields::Pair { prompt: line.string()?, completion: line.string()? },
            "messages" => Fields::Messages(line.string()?),
            other => return Err(line.error(format!("`{other}` are no fields"))),
        }),
        "table" => {
            let columns = read_columns(line)?;
            let header = if line.accept_name("header") {
                Some(line.one_of(&[("yes", true), ("no", false)])?)
            } else {
                None
            };
            Format::Table { columns, header }
        }
        other => return Err(line.error(format!("`{other}` is no format"))),
    })
}

fn read_columns(line: &mut Line) -> Result<Columns, ParseError> {
    Ok(match line.plain("the columns")?.to_owned().as_str() {
        "text" => {
            let text = read_column(line)?;
            let label = if line.accept_name("label") { Some(read_column(line)?) } else { None };
            Columns::Text { text, label }
        }
        "pair" => Columns::Pair { prompt: read_column(line)?, completion: read_column(line)? },
        other => return Err(line.error(format!("`{other}` are no columns"))),
    })
}

fn read_column(line: &mut Line) -> Result<Column, ParseError> {
    if line.is_at_string() {
        return Ok(Column::Name(line.string()?));
    }
    Ok(Column::Number(line.number()?))
}
