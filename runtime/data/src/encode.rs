//! Files to texts, and texts to the ids of a shard.

use std::path::Path;

use plan::{Data, Format, Limit, LossOn};

use crate::{
    check::has_replies,
    clean,
    error::{Error, Position},
    file::Original,
    shard::{Builder, Shard, Width, file::Writer},
    source::{self, Document, Item, Next, Role},
    tokenizer::{Unknown, Vocabulary},
};

/// Shows every text of a file that stays, cleaned.
pub(crate) fn texts(
    file: &Original,
    format: &Format,
    data: &Data,
    see: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let (path, mut place, mut n) = (file.path(), Place::default(), 0);
    source::read(path, format, &mut |item| {
        match item {
            Item::Text(bytes) => {
                see(&piece(path, bytes, &mut place, data)?);
            }
            Item::Document(mut document) => {
                if stays(&mut document, data) {
                    document.parts.iter().for_each(|part| see(&part.text));
                    n += 1;
                }
            }
        }
        Ok(if enough(data, n, 0) { Next::Stop } else { Next::More })
    })?;
    file.check()
}

/// Whether a file need not be read further.
fn enough(data: &Data, n_documents: u64, n_tokens: u64) -> bool {
    match data.clean.limit {
        // What is left out later does not count yet.
        Some(Limit::Documents(most)) => !data.clean.dedup && n_documents >= most,
        Some(Limit::Tokens(most)) => !data.clean.dedup && n_tokens >= most,
        None => false,
    }
}

/// How much of a text without documents was given, and how it ended.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Bytes.
    at: u64,
    /// Whether the last of them ended a line.
    ends_line: bool,
}

/// A piece of text without documents, cleaned.
///
/// What separates it from the piece before stays where it was.
fn piece(path: &Path, bytes: &[u8], place: &mut Place, data: &Data) -> Result<String, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let place = Position::Byte(place.at + error.valid_up_to() as u64);
        let message = if data.tokenizer == plan::Tokenizer::Chars {
            "not valid UTF-8, which `tokenizer chars` needs; `tokenizer bytes` reads any file"
        } else {
            "not valid UTF-8; save the file as UTF-8, or read it with `tokenizer bytes`"
        };
        Error::at(path, place, message)
    })?;
    let Place { at, ends_line: is_line } = *place;
    *place = Place { at: at + bytes.len() as u64, ends_line: text.ends_with('\n') };
    let start = &text[..text.len() - text.trim_start().len()];
    let gap = if start.contains('\n') { '\n' } else { ' ' };
    let has_gap = at > 0 && !is_line && !start.is_empty();
    let mut text = text.to_owned();
    for step in &data.clean.normalize {
        let ends_line = text.ends_with('\n');
        text = clean::normalized(&text, *step);
        if ends_line && !text.ends_with('\n') {
            text.push('\n');
        }
        if has_gap && !text.starts_with(char::is_whitespace) {
            text.insert(0, gap);
        }
    }
    Ok(text)
}

/// Cleans a document; whether it stays.
fn stays(document: &mut Document, data: &Data) -> bool {
    clean::normalize(document, &data.clean);
    let has_text = document.parts.iter().any(|part| !part.text.is_empty());
    has_text && clean::passes(document, &data.clean)
}

/// Makes the shard of a file, in memory or into a file of its own.
pub(crate) fn shard(
    file: &Original,
    format: &Format,
    data: &Data,
    vocabulary: &Vocabulary,
    writer: Option<Writer>,
) -> Result<Shard, Error> {
    let has_mask = data.loss_on == LossOn::Completion && has_replies(format);
    let mut builder = Builder::new(Width::of(vocabulary.size()), has_mask, writer);
    let (path, mut place, mut ids) = (file.path(), Place::default(), Vec::new());
    source::read(path, format, &mut |item| {
        match item {
            Item::Text(bytes) if vocabulary.takes_bytes() && data.clean.normalize.is_empty() => {
                ids.clear();
                ids.extend(bytes.iter().map(|&byte| u32::from(byte)));
                builder.push(&ids, true)?;
            }
            Item::Text(bytes) => {
                let start = place.at;
                let text = piece(path, bytes, &mut place, data)?;
                ids.clear();
                vocabulary.encode_into(&text, &mut ids).map_err(|unknown| {
                    let offset = usize::try_from(start).unwrap_or_default() + unknown.offset;
                    Unknown { offset, ..unknown }.within(&path.display().to_string())
                })?;
                builder.push(&ids, true)?;
            }
            Item::Document(mut document) => {
                if stays(&mut document, data) {
                    let pushed = push_document(&mut builder, &document, vocabulary, &mut ids);
                    pushed.map_err(|refused| refused.within(path, document.position))?;
                } else {
                    builder.filtered();
                }
            }
        }
        let is_enough = enough(data, builder.n_documents(), builder.n_tokens());
        Ok(if is_enough { Next::Stop } else { Next::More })
    })?;
    // Before it is kept by the hash of what was looked at.
    file.check()?;
    builder.finish(source::has_documents(format))
}

/// Why a document has no ids.
enum Refused {
    /// The shard cannot be written.
    Shard(Error),
    /// A character is not known.
    Unknown(Unknown),
}

impl Refused {
    fn within(self, path: &Path, position: Position) -> Error {
        match self {
            Refused::Shard(error) => error,
            Refused::Unknown(unknown) => Error::at(path, position, unknown.within("").message),
        }
    }
}

/// Adds a document: its turns, then the end. Targets are what the model says, and what ends it.
fn push_document(
    builder: &mut Builder,
    document: &Document,
    vocabulary: &Vocabulary,
    ids: &mut Vec<u32>,
) -> Result<(), Refused> {
    builder.open_document(clean::hash(document), document.label.as_deref());
    let mut was_reply = false;
    for part in &document.parts {
        let Some(role) = part.role else {
            ids.clear();
            vocabulary.encode_into(&part.text, ids).map_err(Refused::Unknown)?;
            builder.push(ids, true).map_err(Refused::Shard)?;
            continue;
        };
        let opening = vocabulary.opening(role).map_err(Refused::Unknown)?;
        // Who is to answer learns that another one speaks next.
        builder.push(&opening, was_reply && role != Role::Reply).map_err(Refused::Shard)?;
        ids.clear();
        vocabulary.encode_into(&part.text, ids).map_err(Refused::Unknown)?;
        ids.extend(vocabulary.closing().map_err(Refused::Unknown)?);
        was_reply = role == Role::Reply;
        builder.push(ids, was_reply).map_err(Refused::Shard)?;
    }
    if let Some(end) = vocabulary.end() {
        let is_plain = document.parts.iter().all(|part| part.role.is_none());
        builder.push(&[end], was_reply || is_plain).map_err(Refused::Shard)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// Ids of a new text under the hash of the old one would be taken for those of the old one.
    #[test]
    fn nothing_is_kept_of_a_file_that_changed_on_the_way() {
        let scratch = Scratch::new("encode_changed");
        let (path, cache) = (scratch.path().join("a.txt"), scratch.path().join("cache"));
        let data = Data::text(vec!["a.txt".to_owned()], plan::Tokenizer::Gpt2);
        let vocabulary = Vocabulary::bytes();
        std::fs::write(&path, "old").unwrap();
        let original = Original::look(&path).unwrap();
        let make = || {
            let writer = Writer::new(&cache, "key").unwrap();
            shard(&original, &Format::Text, &data, &vocabulary, Some(writer))
        };
        let kept = || std::fs::read_dir(&cache).unwrap().count();
        assert_eq!((make().unwrap().layout.n_tokens, kept()), (3, 1));
        std::fs::remove_file(cache.join("key.ids")).unwrap();
        std::fs::write(&path, "newer").unwrap();
        let error = make().unwrap_err().to_string();
        assert!(error.contains("changed while it was in use"), "{error}");
        assert_eq!(kept(), 0);
        assert!(texts(&original, &Format::Text, &data, &mut |_| {}).is_err());
    }
}
