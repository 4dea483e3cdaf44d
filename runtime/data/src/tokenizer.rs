//! Text to ids and back.
//!
//! `bytes` has 256 ids. `chars` has one id for each character of the training text, in code
//! point order; the list is saved with the run.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Position},
    hash,
};

/// What the ids of a model mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vocabulary {
    /// The value of a byte.
    Bytes,
    /// The position in this list, which ascends.
    Chars(Vec<char>),
}

/// A character that the vocabulary does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown {
    /// The character.
    pub character: char,
    /// Bytes before it.
    pub offset: usize,
}

impl Unknown {
    /// As an error in `what`, a file or `the prompt`.
    pub fn within(self, what: &str) -> Error {
        let Unknown { character, offset } = self;
        let message = format!(
            "the character {character:?} (U+{:04X}) does not occur in the training text",
            u32::from(character)
        );
        Error::at(what, Position::Byte(offset as u64), message)
    }
}

impl Vocabulary {
    /// Number of ids.
    pub fn size(&self) -> u64 {
        match self {
            Vocabulary::Bytes => 256,
            Vocabulary::Chars(chars) => chars.len() as u64,
        }
    }

    /// The id of a character, when it is known.
    fn id(chars: &[char], character: char) -> Option<u32> {
        chars.binary_search(&character).ok().and_then(|id| u32::try_from(id).ok())
    }

    /// The ids of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Unknown> {
        match self {
            Vocabulary::Bytes => Ok(text.bytes().map(u32::from).collect()),
            Vocabulary::Chars(chars) => text
                .char_indices()
                .map(|(offset, c)| Self::id(chars, c).ok_or(Unknown { character: c, offset }))
                .collect(),
        }
    }

    /// The bytes of ids; an id that is out of range gives U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> Vec<u8> {
        let mut out = Vec::with_capacity(ids.len());
        for &id in ids {
            self.decode_one(id, &mut out);
        }
        out
    }

    /// Adds the bytes of an id to `out`.
    pub fn decode_one(&self, id: u32, out: &mut Vec<u8>) {
        let id = id as usize;
        match self {
            Vocabulary::Bytes => match u8::try_from(id) {
                Ok(byte) => out.push(byte),
                Err(_) => push(out, char::REPLACEMENT_CHARACTER),
            },
            Vocabulary::Chars(chars) => {
                push(out, chars.get(id).copied().unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
    }

    /// The form in which it is saved with a run.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a list of characters has a JSON form")
    }

    /// Reads what [`Vocabulary::to_json`] wrote; the list must ascend.
    pub fn from_json(text: &str) -> Result<Vocabulary, String> {
        let vocabulary: Vocabulary = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match &vocabulary {
            Vocabulary::Chars(chars) if !chars.is_sorted_by(|a, b| a < b) => {
                Err("the characters do not ascend".to_owned())
            }
            Vocabulary::Bytes | Vocabulary::Chars(_) => Ok(vocabulary),
        }
    }

    /// SHA-256 of the saved form.
    pub fn hash(&self) -> String {
        hash::sha256(self.to_json().as_bytes())
    }
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        let text = "héllo\n";
        for vocabulary in [Vocabulary::Bytes, Vocabulary::Chars(vec!['\n', 'h', 'l', 'o', 'é'])] {
            let ids = vocabulary.encode(text).unwrap();
            assert_eq!(vocabulary.decode(&ids), text.as_bytes());
            assert!(ids.iter().all(|&id| u64::from(id) < vocabulary.size()));
            assert_eq!(Vocabulary::from_json(&vocabulary.to_json()).unwrap(), vocabulary);
        }
    }

    #[test]
    fn an_unknown_character_is_located() {
        let error = Vocabulary::Chars(vec!['a', 'é']).encode("aéz").unwrap_err();
        assert_eq!(error, Unknown { character: 'z', offset: 3 });
        assert_eq!(
            error.within("the prompt").to_string(),
            "the prompt: byte 3: the character 'z' (U+007A) does not occur in the training text"
        );
    }

    #[test]
    fn a_list_out_of_order_is_refused() {
        assert!(Vocabulary::from_json(r#"{"chars":["b","a"]}"#).is_err());
        assert!(Vocabulary::from_json(r#"{"chars":["a","a"]}"#).is_err());
        assert!(Vocabulary::from_json(r#"{"chars":["ab"]}"#).is_err());
    }
}
