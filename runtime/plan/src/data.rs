//! Where training data comes from, how it becomes ids, and how it is cut into rows.
//!
//! Data without a directive is [`Data::text`]; the driver resolves everything else.

/// Sources, a tokenizer, splits, and what a row is.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Several are a mixture, drawn by their shares.
    pub sources: Vec<Source>,
    /// How text becomes ids.
    pub tokenizer: Tokenizer,
    /// Shares, in order from the start of each source.
    pub splits: Vec<Split>,
    /// Whether each split has the classes in the shares of the whole.
    pub stratified: bool,
    /// The order of rows in an epoch.
    pub shuffle: Shuffle,
    /// What a row holds.
    pub pack: Pack,
    /// Which tokens are targets.
    pub loss_on: LossOn,
    /// What is predicted.
    pub task: Task,
    /// What is done to documents before they become ids.
    pub clean: Clean,
}

impl Data {
    /// Text of some files under the defaults of the language, all of it for training.
    pub fn text(paths: Vec<String>, tokenizer: Tokenizer) -> Data {
        Data {
            sources: vec![Source { name: None, paths, format: Format::Text, share: None }],
            tokenizer,
            splits: Vec::new(),
            stratified: false,
            shuffle: Shuffle::Full,
            pack: Pack::Documents,
            loss_on: LossOn::Everything,
            task: Task::NextToken,
            clean: Clean::default(),
        }
    }

    /// Every path of every source.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.sources.iter().flat_map(|source| &source.paths)
    }
}

/// Files of one format.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its name in a mixture.
    pub name: Option<String>,
    /// Files as the user wrote them, relative to the spec's folder unless absolute.
    pub paths: Vec<String>,
    /// What the files hold.
    pub format: Format,
    /// Its part of the rows of a mixture; `None`: by its size.
    pub share: Option<f64>,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Text without documents.
    Text,
    /// A JSON object a line, each a document.
    Jsonl(Fields),
    /// Rows of csv, tsv or parquet, each a document.
    Table {
        /// Which columns are read.
        columns: Columns,
        /// Whether the first row holds names; `None`: where that is certain.
        header: Option<bool>,
    },
    /// Ids, as nanoGPT or llm.c write them.
    Tokens,
}

/// The fields of a JSON object; a dot goes into an object inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// A text, and its class where there is one.
    Text {
        /// The field with the text.
        text: String,
        /// The field with the class.
        label: Option<String>,
    },
    /// A question and its answer.
    Pair {
        /// The field with what is given.
        prompt: String,
        /// The field with what is to be said.
        completion: String,
    },
    /// A list of turns: `{role, content}`, or strings of question and reply in turn.
    Messages(String),
}

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// A text, and its class where there is one.
    Text {
        /// The column with the text.
        text: Column,
        /// The column with the class.
        label: Option<Column>,
    },
    /// A question and its answer.
    Pair {
        /// The column with what is given.
        prompt: Column,
        /// The column with what is to be said.
        completion: Column,
    },
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// By its name in the header.
    Name(String),
    /// By its place, from 1.
    Number(u32),
}

/// How text becomes ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tokenizer {
    /// 256 ids, one a byte.
    Bytes,
    /// One id for each character that occurs, in code point order.
    Chars,
    /// The most frequent words, so many ids in all.
    Words(u64),
    /// Byte pairs, learnt from the data until there are so many ids.
    Bpe(u64),
    /// Pieces of words, learnt from the data until there are so many ids.
    WordPiece(u64),
    /// The 50,257 ids of GPT-2.
    Gpt2,
    /// A `tokenizer.json`, relative to the spec's folder unless absolute.
    File(String),
    /// So many ids whose text is not known.
    Ids(u64),
}

/// A share of the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// `train`, `val`, `test`.
    pub name: String,
    /// 0..1.
    pub share: f64,
}

/// The order of rows in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shuffle {
    /// As they are in the files.
    None,
    /// A permutation of all, another one in each epoch.
    Full,
    /// A permutation within each stretch of so many.
    Window(u64),
}

/// What a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pack {
    /// The documents one behind the other, cut wherever a row ends.
    Documents,
    /// One document, cut at the context and padded up to it.
    Rows,
}

/// Which tokens are targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossOn {
    /// All of them.
    Everything,
    /// Those of completions and replies.
    Completion,
}

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Task {
    /// The token behind each one.
    NextToken,
    /// The class of a document.
    Classes {
        /// How many there are; `None`: as many as the data has.
        n: Option<u64>,
    },
    /// Tokens that are hidden.
    Masked {
        /// How many tokens are targets, 0..1.
        share: f64,
        /// How many of the targets stay as they are.
        keep: f64,
        /// How many of the targets become another token.
        random: f64,
    },
}

/// What is done to documents before they become ids, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clean {
    /// In this order.
    pub normalize: Vec<Normalize>,
    /// A document stays when it passes all.
    pub filters: Vec<Filter>,
    /// Whether a document that came before is left out.
    pub dedup: bool,
    /// How much is read.
    pub limit: Option<Limit>,
}

impl Clean {
    /// Whether it changes nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Clean::default()
    }
}

/// A change of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalize {
    /// Unicode's composed form.
    Nfc,
    /// Unicode's composed form of compatible characters.
    Nfkc,
    /// Small letters.
    Lowercase,
    /// One space for each run of white space, none at the ends; line ends stay one line end.
    Whitespace,
}

/// What a document must be to stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// At least so many characters.
    MinChars(u64),
    /// At most so many characters.
    MaxChars(u64),
    /// Holds this text.
    Has(String),
    /// Does not hold this text.
    Lacks(String),
}

/// How much of a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many documents that stayed.
    Documents(u64),
    /// So many tokens.
    Tokens(u64),
}
