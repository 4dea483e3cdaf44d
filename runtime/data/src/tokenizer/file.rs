//! A `tokenizer.json`, read by the crate that defines the format.
//!
//! The text is held against its own promises before that crate sees it: ids that are unique and
//! below 2^24, joins of known tokens, none empty or twice, and a token for every byte where bytes
//! are what unknown text falls back to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::bpe::{byte_characters, from_characters};

/// Bytes of the longest file.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// Ids end below this.
const MAX_ID: u32 = 1 << 24;

/// How tokens become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Characters that stand for bytes.
    Bytes,
    /// `▁` is a space, `<0x41>` a byte.
    Spaces,
    /// `##` inside of words.
    Pieces,
    /// As it stands.
    Plain,
}

/// A tokenizer from a file.
#[derive(Debug, Clone)]
pub(crate) struct FileTokenizer {
    /// The file.
    json: Value,
    tokenizer: Box<Tokenizer>,
    spelling: Spelling,
    /// By id; ids may have gaps.
    tokens: BTreeMap<u32, String>,
    /// The special ones.
    added: BTreeMap<String, u32>,
}

impl PartialEq for FileTokenizer {
    fn eq(&self, other: &FileTokenizer) -> bool {
        self.json == other.json
    }
}

impl Eq for FileTokenizer {}

impl FileTokenizer {
    /// From the text of a file.
    pub(super) fn parse(text: &[u8]) -> Result<FileTokenizer, String> {
        let text = std::str::from_utf8(text)
            .map_err(|e| format!("byte {}: not UTF-8", e.valid_up_to()))?;
        let json: Value = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
        FileTokenizer::new(json)
    }

    /// From what a file holds.
    pub(super) fn new(mut json: Value) -> Result<FileTokenizer, String> {
        let tokens = check(&json)?;
        let spelling = spelling(&json);
        // What cuts and fills rows here is `context` and `pack`.
        if let Value::Object(object) = &mut json {
            object.insert("truncation".to_owned(), Value::Null);
            object.insert("padding".to_owned(), Value::Null);
        }
        let tokenizer: Tokenizer =
            serde_json::from_value(json.clone()).map_err(|e| format!("no tokenizer: {e}"))?;
        let added = json.get("added_tokens").and_then(Value::as_array).into_iter().flatten();
        let added = added.filter_map(entry).map(|(id, text)| (text.to_owned(), id)).collect();
        Ok(FileTokenizer { json, tokenizer: Box::new(tokenizer), spelling, tokens, added })
    }

    /// What the file holds.
    pub(super) fn json(&self) -> &Value {
        &self.json
    }

    /// One more than the largest id.
    pub(super) fn size(&self) -> u64 {
        self.tokens.last_key_value().map_or(0, |(id, _)| u64::from(*id) + 1)
    }

    /// The id of a special token that has one of these names.
    pub(super) fn special(&self, names: &[&str]) -> Option<u32> {
        names.iter().find_map(|name| self.added.get(*name).copied())
    }

    /// Adds the ids of a text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), String> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|e| e.to_string())?;
        out.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    /// Adds the bytes of a token; one that does not exist is U+FFFD.
    pub(super) fn write(&self, id: u32, out: &mut Vec<u8>) {
        let Some(token) = self.tokens.get(&id) else {
            return super::push(out, char::REPLACEMENT_CHARACTER);
        };
        if self.added.contains_key(token) {
            return out.extend_from_slice(token.as_bytes());
        }
        match self.spelling {
            Spelling::Bytes => match from_characters(token) {
                Ok(bytes) => out.extend_from_slice(&bytes),
                Err(_) => out.extend_from_slice(token.as_bytes()),
            },
            Spelling::Spaces => match byte_token(token) {
                Some(byte) => out.push(byte),
                None => out.extend_from_slice(token.replace('▁', " ").as_bytes()),
            },
            Spelling::Pieces => super::wordpiece::write(token, out),
            Spelling::Plain => out.extend_from_slice(token.as_bytes()),
        }
    }
}

/// The byte that `<0x41>` is.
fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// Whether a part of the file is, or holds, something of a type.
fn mentions(part: Option<&Value>, name: &str) -> bool {
    match part {
        Some(Value::Object(object)) => {
            object.get("type").and_then(Value::as_str) == Some(name)
                || object.values().any(|value| mentions(Some(value), name))
        }
        Some(Value::Array(parts)) => parts.iter().any(|part| mentions(Some(part), name)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => false,
    }
}

fn spelling(json: &Value) -> Spelling {
    let decoder = json.get("decoder");
    if mentions(decoder, "ByteLevel") || mentions(json.get("pre_tokenizer"), "ByteLevel") {
        Spelling::Bytes
    } else if mentions(decoder, "Metaspace")
        || mentions(decoder, "ByteFallback")
        || mentions(json.get("pre_tokenizer"), "Metaspace")
    {
        Spelling::Spaces
    } else if mentions(decoder, "WordPiece") {
        Spelling::Pieces
    } else {
        Spelling::Plain
    }
}

/// The id and text of an entry of `added_tokens`.
fn entry(value: &Value) -> Option<(u32, &str)> {
    let id = value.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok())?;
    Some((id, value.get("content").and_then(Value::as_str)?))
}

/// Holds a file against its promises; its tokens by id.
fn check(json: &Value) -> Result<BTreeMap<u32, String>, String> {
    let model = json.get("model").and_then(Value::as_object).ok_or("there is no `model`")?;
    let mut tokens: BTreeMap<u32, String> = BTreeMap::new();
    let mut put = |id: u64, token: &str, again: bool| {
        let at = u32::try_from(id)
            .ok()
            .filter(|id| *id < MAX_ID)
            .ok_or_else(|| format!("`{}` has the id {id}; ids end below {MAX_ID}", short(token)))?;
        match tokens.insert(at, token.to_owned()) {
            Some(other) if !(again && other == token) => {
                Err(format!("`{}` and `{}` both have the id {id}", short(&other), short(token)))
            }
            Some(_) | None => Ok(()),
        }
    };
    match model.get("vocab") {
        Some(Value::Object(vocab)) => {
            for (token, id) in vocab {
                let id = id
                    .as_u64()
                    .ok_or_else(|| format!("the id of `{}` is no number", short(token)))?;
                put(id, token, false)?;
            }
        }
        Some(Value::Array(vocab)) => {
            for (id, token) in (0u64..).zip(vocab) {
                let text = token.get(0).and_then(Value::as_str);
                put(id, text.ok_or_else(|| format!("entry {id} of `vocab` has no text"))?, false)?;
            }
        }
        Some(_) | None => return Err("the model has no `vocab`".to_owned()),
    }
    let added = json.get("added_tokens").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (i, value) in added.iter().enumerate() {
        let (id, text) = entry(value)
            .ok_or_else(|| format!("entry {i} of `added_tokens` has no id or no text"))?;
        put(u64::from(id), text, true)?;
    }
    let known: BTreeSet<&str> = tokens.values().map(String::as_str).collect();
    if let Some(Value::Array(merges)) = model.get("merges") {
        check_merges(merges, &known)?;
    }
    check_bytes(json, model, &known)?;
    Ok(tokens)
}

fn check_merges(merges: &[Value], known: &BTreeSet<&str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (i, merge) in merges.iter().enumerate() {
        let pair = match merge {
            Value::String(text) => text.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(left), Value::String(right)] => {
                    Some((left.as_str(), right.as_str()))
                }
                _ => None,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        let Some((left, right)) = pair else {
            return Err(format!("entry {i} of `merges` is no pair of tokens"));
        };
        // Every join makes a longer token, unless one side is empty: such a join never ends.
        if left.is_empty() || right.is_empty() {
            return Err(format!("entry {i} of `merges` joins an empty token, which never ends"));
        }
        for token in [left, right, &format!("{left}{right}")] {
            if !known.contains(token) {
                let token = short(token);
                return Err(format!("entry {i} of `merges`: `{token}` is not in `vocab`"));
            }
        }
        if !seen.insert((left, right)) {
            let (left, right) = (short(left), short(right));
            return Err(format!("entry {i} of `merges` comes twice: `{left} {right}`"));
        }
    }
    Ok(())
}

/// A token for each byte, where unknown text becomes bytes.
fn check_bytes(
    json: &Value,
    model: &Map<String, Value>,
    known: &BTreeSet<&str>,
) -> Result<(), String> {
    let falls_back = model.get("byte_fallback").and_then(Value::as_bool) == Some(true);
    let missing = if falls_back {
        (0..=255u8)
            .map(|byte| format!("<0x{byte:02X}>"))
            .find(|token| !known.contains(token.as_str()))
    } else if mentions(json.get("pre_tokenizer"), "ByteLevel")
        && model.get("unk_token").is_none_or(Value::is_null)
    {
        byte_characters()
            .into_iter()
            .map(String::from)
            .find(|token| !known.contains(token.as_str()))
    } else {
        None
    };
    match missing {
        Some(token) => Err(format!("unknown text becomes bytes, but `vocab` has no `{token}`")),
        None => Ok(()),
    }
}

fn short(token: &str) -> String {
    token.chars().take(40).collect()
}
