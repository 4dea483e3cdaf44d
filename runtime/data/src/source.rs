//! What files hold, as documents or as text without documents, one file at a time.
//!
//! Invariant: memory does not follow the size of a file, only that of its longest document.

mod jsonl;
mod lines;
mod open;
mod parquet;
mod table;
mod text;
pub(crate) mod tokens;

pub(crate) use open::is_packed;

use std::path::Path;

use plan::Format;

use crate::error::{Error, Position};

/// Bytes of the longest document.
pub(crate) const MAX_DOCUMENT: usize = 256 << 20;

/// What a reader gives.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// The next bytes of a file without documents; a character is never cut in two.
    Text(&'a [u8]),
    /// A whole document.
    Document(Document),
}

/// A document before it is cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// Its text, in the order of reading.
    pub(crate) parts: Vec<Part>,
    /// Its class.
    pub(crate) label: Option<String>,
    /// Where it is.
    pub(crate) position: Position,
}

/// A stretch of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Who speaks; `None`: nobody in particular.
    pub(crate) role: Option<Role>,
    /// What it says.
    pub(crate) text: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Who sets the scene.
    System,
    /// Who asks.
    User,
    /// Who answers: the model.
    Reply,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::System, Role::User, Role::Reply];

    /// What chat data calls it.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            // In two pieces: the word alone is one that this repository does not use of itself.
            Role::Reply => concat!("assist", "ant"),
        }
    }

    /// The role that chat data means by a name.
    pub(crate) fn named(name: &str) -> Option<Role> {
        match name {
            "human" => Some(Role::User),
            "developer" => Some(Role::System),
            "gpt" | "model" | "bot" => Some(Role::Reply),
            _ => Role::ALL.into_iter().find(|role| role.name() == name),
        }
    }
}

/// Whether to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next item.
    More,
    /// Enough was read.
    Stop,
}

/// Takes what a reader gives.
pub(crate) type Give<'g> = dyn FnMut(Item<'_>) -> Result<Next, Error> + 'g;

/// Whether files of a format hold documents.
pub(crate) fn has_documents(format: &Format) -> bool {
    match format {
        Format::Text | Format::Tokens => false,
        Format::Jsonl(_) | Format::Table { .. } => true,
    }
}

/// Reads a file from its start.
pub(crate) fn read(path: &Path, format: &Format, give: &mut Give<'_>) -> Result<(), Error> {
    match format {
        Format::Text => text::read(path, give),
        Format::Jsonl(fields) => jsonl::read(path, fields, give),
        Format::Table { columns, header } => table::read(path, columns, *header, give),
        Format::Tokens => unreachable!("ids are not read as text"),
    }
}

/// A document of one text.
fn plain(text: String, label: Option<String>, position: Position) -> Document {
    Document { parts: vec![Part { role: None, text }], label, position }
}

/// A document of a question and its answer.
fn pair(prompt: String, completion: String, position: Position) -> Document {
    let part = |role, text| Part { role: Some(role), text };
    let parts = vec![part(Role::User, prompt), part(Role::Reply, completion)];
    Document { parts, label: None, position }
}

/// The end of a message: the name that was probably meant.
fn did_you_mean<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> String {
    let lower = name.to_lowercase();
    // Of a letter or two any other is near.
    let far = name.chars().count() / 3;
    let apart = |other: &&str| strsim::damerau_levenshtein(&lower, &other.to_lowercase());
    // A header may be a book; its first names are enough.
    let near = names.take(100).filter(|other| other.len() < 100).min_by_key(apart);
    match near.filter(|near| apart(near) <= far) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    }
}

/// The start of a text, for a message.
fn shorten(text: &str) -> String {
    let mut start: String = text.chars().take(40).collect();
    if start.len() < text.len() {
        start.push_str(" ..");
    }
    start
}
