//! What a `data` block says, and what its files turned out to hold.

use diag::Span;

use super::origin::Weights;

/// A `data` block.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSource {
    /// The name the spec gives it, if any.
    pub name: Option<String>,
    /// Where documents come from; more than one in a mixture.
    pub sources: Vec<Source>,
    /// How text becomes ids.
    pub tokenizer: Tokenizer,
    /// What names the tokenizer; the whole block where nothing does.
    pub tokenizer_span: Span,
    /// Shares, in order.
    pub splits: Vec<(String, f64)>,
    /// Whether every split has the same share of each label.
    pub stratified: bool,
    /// The order of sequences in an epoch.
    pub shuffle: Shuffle,
    /// How documents fill sequences.
    pub pack: Pack,
    /// Which tokens are targets.
    pub loss_on: LossOn,
    /// What a model is asked for.
    pub task: Task,
    /// What is done to documents before they become ids.
    pub clean: Clean,
    /// The whole block.
    pub span: Span,
}

/// Files of one format.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The name of its block, if any.
    pub name: Option<String>,
    /// Paths or globs, as written.
    pub paths: Vec<(String, Span)>,
    /// How documents lie in them.
    pub format: Format,
    /// Its part of the training tokens; 1 where it is the only one.
    pub share: f64,
    /// Where it stands.
    pub span: Span,
}

/// How documents lie in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Text without documents.
    Text,
    /// A JSON object a line is a document.
    Jsonl(Fields),
    /// A row of a csv, tsv or parquet file is a document.
    Table {
        /// Which columns are read.
        columns: Columns,
        /// Whether the first row has names; `None`: where that is certain.
        header: Option<bool>,
    },
    /// Ids, one behind the other.
    Tokens,
}

/// The fields of an object that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// A text, and its label where there is one.
    Text {
        /// The text.
        text: String,
        /// The label.
        label: Option<String>,
    },
    /// A question and its answer.
    Pair {
        /// The question.
        prompt: String,
        /// The answer.
        completion: String,
    },
    /// A list of turns.
    Messages(String),
}

/// The columns of a table that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// A text, and its label where there is one.
    Text {
        /// The text.
        text: Column,
        /// The label.
        label: Option<Column>,
    },
    /// A question and its answer.
    Pair {
        /// The question.
        prompt: Column,
        /// The answer.
        completion: Column,
    },
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// By its name.
    Name(String),
    /// By its place, from 1.
    Number(u32),
}

/// How text becomes ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tokenizer {
    /// One id a byte.
    Bytes,
    /// One id a distinct character.
    Chars,
    /// So many of the most frequent words.
    Words(u64),
    /// Merges of bytes, learned, so many ids.
    Bpe(u64),
    /// Pieces of words, learned, so many ids.
    Wordpiece(u64),
    /// The 50257 ids of GPT-2.
    Gpt2,
    /// A file that another tool wrote.
    File(String),
    /// So many ids whose text is not known.
    Ids(u64),
}

/// The order of sequences in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shuffle {
    /// That of the files.
    None,
    /// Any.
    Full,
    /// Any among so many neighbours.
    Window(u64),
}

/// How documents fill sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pack {
    /// End to end, cut where a sequence is full.
    Documents,
    /// Each a row of its own, cut or padded.
    Rows,
}

/// Which tokens are targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossOn {
    /// All.
    Everything,
    /// Those of a completion, or of replies.
    Completion,
}

/// What a model is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Task {
    /// The token that follows.
    NextToken,
    /// The label of a row.
    Classes {
        /// How many there are, where the spec says so.
        stated: Option<u64>,
    },
    /// The tokens that were hidden.
    Masked {
        /// Of all tokens.
        share: f64,
        /// Of these, as they are.
        keep: f64,
        /// Of these, replaced by any.
        random: f64,
    },
}

/// What is done to documents before they become ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clean {
    /// In order.
    pub normalize: Vec<Normal>,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// Whether documents that came before are dropped.
    pub dedup: bool,
    /// Where reading ends.
    pub limit: Option<Limit>,
}

/// A change of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normal {
    /// Composed characters.
    Nfc,
    /// Composed characters of one form.
    Nfkc,
    /// Small letters.
    Lowercase,
    /// One space for each run of white space, none at the ends.
    Whitespace,
}

/// What a document must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// At least so many characters.
    MinChars(u64),
    /// At most so many characters.
    MaxChars(u64),
    /// With this in it.
    Contains(String),
    /// Without this.
    Without(String),
}

/// Where reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// After so many documents.
    Documents(u64),
    /// After so many tokens.
    Tokens(u64),
}

/// What compilation needs to know of the data; the driver finds it out and passes it in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Distinct ids; known without a scan for `tokenizer bytes`.
    pub vocab: Option<u64>,
    /// Distinct labels, where there are labels.
    pub classes: Option<u64>,
    /// All characters that the tokenizer writes, ascending, where it does not write any text.
    pub chars: Option<Vec<char>>,
    /// The id of padding, where the vocabulary has one.
    pub pad: Option<u64>,
    /// Tokens of each split, by name.
    pub tokens: Vec<(String, u64)>,
    /// Documents of each split, by name.
    pub documents: Vec<(String, u64)>,
    /// Tokens of documents, ascending, evenly spaced where there are many.
    pub lengths: Vec<u64>,
    /// What is in two splits at once.
    pub overlaps: Vec<Overlap>,
    /// Hash of the content.
    pub hash: Option<String>,
    /// What the job starts from, where it says so.
    pub weights: Option<Weights>,
}

/// Documents that two splits, or two sources of a mixture, share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// Where they are twice: `train` and `val`.
    pub between: [String; 2],
    /// How many documents.
    pub documents: u64,
    /// The file, where a whole one is in both.
    pub file: Option<String>,
}

impl DataSource {
    /// Whether rows have labels.
    pub fn has_labels(&self) -> bool {
        self.sources.iter().any(|s| s.format.has_label())
    }

    /// Whether some documents say which part of them is an answer.
    pub fn has_completions(&self) -> bool {
        self.sources.iter().any(|s| s.format.has_completion())
    }

    /// Whether a model of this data goes on with a text that people can read.
    pub fn gives_text(&self) -> bool {
        self.task == Task::NextToken && !matches!(self.tokenizer, Tokenizer::Ids(_))
    }

    /// Every file that is read, the tokenizer's behind those of text, and what names it.
    pub fn files(&self) -> impl Iterator<Item = (&str, Span)> {
        let of_tokenizer =
            if let Tokenizer::File(path) = &self.tokenizer { Some(path) } else { None };
        let of_tokenizer = of_tokenizer.map(|path| (path.as_str(), self.tokenizer_span));
        self.paths().map(|(path, span)| (path.as_str(), *span)).chain(of_tokenizer)
    }

    /// Every path of text, in order.
    pub fn paths(&self) -> impl Iterator<Item = &(String, Span)> {
        self.sources.iter().flat_map(|s| &s.paths)
    }
}

impl Format {
    /// Whether its files hold documents.
    pub fn has_documents(&self) -> bool {
        match self {
            Self::Jsonl(_) | Self::Table { .. } => true,
            Self::Text | Self::Tokens => false,
        }
    }

    /// Whether it names a label.
    pub fn has_label(&self) -> bool {
        match self {
            Self::Jsonl(Fields::Text { label, .. }) => label.is_some(),
            Self::Table { columns: Columns::Text { label, .. }, .. } => label.is_some(),
            Self::Jsonl(Fields::Pair { .. } | Fields::Messages(_))
            | Self::Table { columns: Columns::Pair { .. }, .. }
            | Self::Text
            | Self::Tokens => false,
        }
    }

    /// Whether it says what an answer is.
    pub fn has_completion(&self) -> bool {
        match self {
            Self::Jsonl(fields) => !matches!(fields, Fields::Text { .. }),
            Self::Table { columns, .. } => matches!(columns, Columns::Pair { .. }),
            Self::Text | Self::Tokens => false,
        }
    }
}

impl Tokenizer {
    /// As it would be written.
    pub fn text(&self) -> String {
        match self {
            Self::Bytes => "bytes".to_owned(),
            Self::Chars => "chars".to_owned(),
            Self::Words(n) => format!("words({n})"),
            Self::Bpe(n) => format!("bpe({n})"),
            Self::Wordpiece(n) => format!("wordpiece({n})"),
            Self::Gpt2 => "gpt2".to_owned(),
            Self::File(path) => format!("{path:?}"),
            Self::Ids(n) => format!("{n} ids without text"),
        }
    }
}
