//! Text to ids and back.
//!
//! `bytes` has 256 ids. `chars` has one id for each character of the training text, in code
//! point order. Words, byte pairs and pieces of words are learnt from it; GPT-2's and those of a
//! file are given. The list is saved with the run, and holds all that is needed to write text.
//! Special tokens stand behind the ids of text, unless the tokenizer has its own.

mod bpe;
mod file;
mod gpt2;
mod learn;
mod pairs;
mod split;
mod wordpiece;
mod words;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::{Error, Position},
    hash,
    source::Role,
};
use bpe::Bpe;
use file::FileTokenizer;
use learn::Counts;
pub(crate) use learn::Learner;
use wordpiece::WordPiece;
use words::Words;

/// What the ids of a model mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    model: Model,
    specials: Specials,
}

/// Ids of text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Model {
    Bytes,
    /// The position in this list, which ascends.
    Chars(Vec<char>),
    Words(Words),
    Bpe(Bpe),
    WordPiece(WordPiece),
    Gpt2,
    File(Box<FileTokenizer>),
    Ids(u64),
}

/// Ids that stand for no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Specials {
    end: Option<u32>,
    pad: Option<u32>,
    mask: Option<u32>,
    roles: Option<[u32; 3]>,
}

/// Which special tokens the data asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Needs {
    pub(crate) end: bool,
    pub(crate) pad: bool,
    pub(crate) mask: bool,
    pub(crate) roles: bool,
}

impl Needs {
    /// How many ids of their own they take.
    fn count(self) -> u64 {
        let flags = [self.end, self.pad, self.mask];
        flags.into_iter().map(u64::from).sum::<u64>() + if self.roles { 3 } else { 0 }
    }
}

/// The form in which a vocabulary is saved.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Saved {
    Bytes,
    Chars(Vec<char>),
    Words(Vec<String>),
    /// Tokens by rank, in the characters that stand for bytes.
    Bpe(Vec<String>),
    Wordpiece(Vec<String>),
    Gpt2,
    /// What the file holds.
    File(Value),
    Ids(u64),
    /// Ids of text, and special ones.
    With(Box<Saved>, Specials),
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

/// A vocabulary, or what has to see the text first.
#[derive(Debug)]
pub(crate) enum Start {
    Known(Vocabulary),
    Learns(Learner),
}

/// What a tokenizer of a spec starts from.
pub(crate) fn start(
    tokenizer: &plan::Tokenizer,
    needs: Needs,
    base: &Path,
) -> Result<Start, Error> {
    use plan::Tokenizer as T;
    let learns = |name: &str, n: u64, least: u64, counts| {
        let own = needs.count();
        if n < least + own {
            let message = format!(
                "`{name}({n})` is too small: {least} ids come first, and {own} special ones"
            );
            return Err(Error::new("the tokenizer", message));
        }
        Ok(Start::Learns(Learner::new(counts, n - own)))
    };
    let known = |model| Ok(Start::Known(Vocabulary::new(model, needs)?));
    match tokenizer {
        T::Bytes => known(Model::Bytes),
        T::Chars => Ok(Start::Learns(Learner::new(Counts::Chars(Default::default()), 0))),
        T::Words(n) => learns("words", *n, 2, Counts::Words(Default::default())),
        T::Bpe(n) => learns("bpe", *n, 256, Counts::Bpe(Default::default())),
        T::WordPiece(n) => learns("wordpiece", *n, 4, Counts::WordPiece(Default::default())),
        T::Gpt2 => known(Model::Gpt2),
        T::Ids(n) => known(Model::Ids(*n)),
        T::File(path) => {
            let found = crate::paths::resolve(std::slice::from_ref(path), base)?;
            let original = crate::file::Original::look(&found[0])?;
            if original.len() > file::MAX_BYTES {
                let most = file::MAX_BYTES >> 20;
                return Err(Error::new(original.path(), format!("longer than {most} MiB")));
            }
            let n = usize::try_from(original.len()).expect("at most 64 MiB");
            let parsed = FileTokenizer::parse(&original.start(n)?);
            known(Model::File(Box::new(parsed.map_err(|e| Error::new(original.path(), e))?)))
        }
    }
}

impl Vocabulary {
    /// The value of a byte.
    pub fn bytes() -> Vocabulary {
        Vocabulary { model: Model::Bytes, specials: Specials::default() }
    }

    /// The position in a list of characters, which ascends.
    pub fn chars(chars: Vec<char>) -> Vocabulary {
        Vocabulary { model: Model::Chars(chars), specials: Specials::default() }
    }

    /// What a learner has learnt.
    pub(crate) fn learnt(learner: Learner, needs: Needs) -> Result<Vocabulary, Error> {
        Vocabulary::new(learner.finish(), needs)
    }

    /// With the special tokens that are needed: the tokenizer's own, else new ones behind it.
    fn new(model: Model, needs: Needs) -> Result<Vocabulary, Error> {
        let mut specials = Specials::default();
        if model == Model::Gpt2 {
            if needs.mask {
                let message = "`gpt2` has no token that hides another; `wordpiece`, `bpe` and \
                               `words` get one";
                return Err(Error::new("the tokenizer", message));
            }
            specials.end = Some(gpt2::END);
            specials.pad = needs.pad.then_some(gpt2::END);
            return Ok(Vocabulary { model, specials });
        }
        let mut needs = needs;
        if let Model::File(file) = &model {
            let own = |wanted: bool, names| if wanted { file.special(names) } else { None };
            specials.end = own(
                true,
                &["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[SEP]"],
            );
            specials.pad = own(needs.pad, &["[PAD]", "<pad>", "<|pad|>", "<|endoftext|>"]);
            specials.mask = own(needs.mask, &["[MASK]", "<mask>", "<|mask|>"]);
            needs.end &= specials.end.is_none();
            needs.pad &= specials.pad.is_none();
            needs.mask &= specials.mask.is_none();
            // Its roles are written as text, which it has seen.
            needs.roles = false;
        }
        let first = u32::try_from(model.size()).expect("ids stay below 2^24");
        let mut next = first;
        let mut take = |wanted: bool, known: Option<u32>| {
            let id = if wanted { Some(next) } else { known };
            next += u32::from(wanted);
            id
        };
        specials.end = take(needs.end, specials.end);
        specials.pad = take(needs.pad, specials.pad);
        specials.mask = take(needs.mask, specials.mask);
        specials.roles = needs.roles.then(|| [next, next + 1, next + 2]);
        Ok(Vocabulary { model, specials })
    }

    /// Number of ids.
    pub fn size(&self) -> u64 {
        let behind = |id: u32| u64::from(id) + 1;
        self.special_ids().map(|(id, _)| behind(id)).fold(self.model.size(), u64::max)
    }

    /// Ids of text: those below this.
    pub(crate) fn n_text(&self) -> u64 {
        self.model.size()
    }

    fn special_ids(&self) -> impl Iterator<Item = (u32, String)> {
        let Specials { end, pad, mask, roles } = self.specials;
        let named = |id: Option<u32>, name: &str| id.map(|id| (id, name.to_owned()));
        let roles = roles.into_iter().flat_map(|ids| ids.into_iter().zip(Role::ALL));
        let roles = roles.map(|(id, role)| (id, format!("<|{}|>", role.name())));
        let others = [named(end, "<|end|>"), named(pad, "<|pad|>"), named(mask, "<|mask|>")];
        others.into_iter().flatten().chain(roles)
    }

    /// The id that ends a document.
    pub fn end(&self) -> Option<u32> {
        self.specials.end
    }

    /// The id that fills rows up.
    pub fn pad(&self) -> Option<u32> {
        self.specials.pad
    }

    /// The id that hides another one.
    pub fn mask(&self) -> Option<u32> {
        self.specials.mask
    }

    /// The ids that open what `role` says.
    pub fn opening(&self, role: Role) -> Result<Vec<u32>, Unknown> {
        match self.specials.roles {
            Some(ids) => Ok(vec![ids[role as usize]]),
            None => self.encode(&format!("{}: ", role.name())),
        }
    }

    /// The ids that close what a role said, where it is not the end of the document.
    pub fn closing(&self) -> Result<Vec<u32>, Unknown> {
        match self.specials.roles {
            Some(_) => Ok(Vec::new()),
            None => self.encode("\n"),
        }
    }

    /// The id of a character, when it is known.
    fn id(chars: &[char], character: char) -> Option<u32> {
        chars.binary_search(&character).ok().and_then(|id| u32::try_from(id).ok())
    }

    /// The ids of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Unknown> {
        let mut ids = Vec::new();
        self.encode_into(text, &mut ids)?;
        Ok(ids)
    }

    /// Adds the ids of a text.
    pub(crate) fn encode_into(&self, text: &str, out: &mut Vec<u32>) -> Result<(), Unknown> {
        match &self.model {
            Model::Bytes => out.extend(text.bytes().map(u32::from)),
            Model::Chars(chars) => {
                for (offset, character) in text.char_indices() {
                    out.push(Self::id(chars, character).ok_or(Unknown { character, offset })?);
                }
            }
            Model::Words(words) => words.encode(text, out),
            Model::Bpe(bpe) => bpe.encode(text, out),
            Model::WordPiece(pieces) => pieces.encode(text, out),
            Model::Gpt2 => gpt2::bpe().encode(text, out),
            Model::File(file) => {
                if file.encode(text, out).is_err() {
                    let character = text.chars().next().unwrap_or_default();
                    return Err(Unknown { character, offset: 0 });
                }
            }
            Model::Ids(_) => {
                if let Some(character) = text.chars().next() {
                    return Err(Unknown { character, offset: 0 });
                }
            }
        }
        Ok(())
    }

    /// All characters that it writes, ascending, where it does not write any text.
    pub fn alphabet(&self) -> Option<&[char]> {
        if let Model::Chars(chars) = &self.model { Some(chars) } else { None }
    }

    /// Whether every byte is an id, text or not.
    pub(crate) fn takes_bytes(&self) -> bool {
        self.model == Model::Bytes
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
        let special = self.special_ids().find(|(special, _)| *special == id);
        if let (Some((_, name)), false) = (special, self.model.has(id)) {
            return out.extend_from_slice(name.as_bytes());
        }
        let at = id as usize;
        let text = |list: &[String], out: &mut Vec<u8>| match list.get(at) {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => push(out, char::REPLACEMENT_CHARACTER),
        };
        match &self.model {
            Model::Bytes => match u8::try_from(at) {
                Ok(byte) => out.push(byte),
                Err(_) => push(out, char::REPLACEMENT_CHARACTER),
            },
            Model::Chars(chars) => {
                push(out, chars.get(at).copied().unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Model::Words(words) => text(words.all(), out),
            Model::WordPiece(pieces) => match pieces.all().get(at) {
                Some(piece) => wordpiece::write(piece, out),
                None => push(out, char::REPLACEMENT_CHARACTER),
            },
            Model::Bpe(bpe) => bytes_of(bpe, at, out),
            Model::Gpt2 if id == gpt2::END => out.extend_from_slice(gpt2::END_NAME.as_bytes()),
            Model::Gpt2 => bytes_of(gpt2::bpe(), at, out),
            Model::File(file) => file.write(id, out),
            Model::Ids(_) => out.extend_from_slice(format!("<{id}>").as_bytes()),
        }
    }

    fn saved(&self) -> Saved {
        let model = match &self.model {
            Model::Bytes => Saved::Bytes,
            Model::Chars(chars) => Saved::Chars(chars.clone()),
            Model::Words(words) => Saved::Words(words.all().to_vec()),
            Model::Bpe(bpe) => {
                Saved::Bpe(bpe.tokens().iter().map(|t| bpe::to_characters(t)).collect())
            }
            Model::WordPiece(pieces) => Saved::Wordpiece(pieces.all().to_vec()),
            Model::Gpt2 => Saved::Gpt2,
            Model::File(file) => Saved::File(file.json().clone()),
            Model::Ids(n) => Saved::Ids(*n),
        };
        if self.specials == Specials::default() {
            model
        } else {
            Saved::With(Box::new(model), self.specials)
        }
    }

    /// The form in which it is saved with a run.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.saved()).expect("a vocabulary has a JSON form")
    }

    /// Reads what [`Vocabulary::to_json`] wrote, and holds it against what it must be.
    pub fn from_json(text: &str) -> Result<Vocabulary, String> {
        let saved: Saved = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let (saved, specials) = match saved {
            Saved::With(model, specials) => (*model, specials),
            other @ (Saved::Bytes
            | Saved::Chars(_)
            | Saved::Words(_)
            | Saved::Bpe(_)
            | Saved::Wordpiece(_)
            | Saved::Gpt2
            | Saved::File(_)
            | Saved::Ids(_)) => (other, Specials::default()),
        };
        let model = match saved {
            Saved::Bytes => Model::Bytes,
            Saved::Chars(chars) if !chars.is_sorted_by(|a, b| a < b) => {
                return Err("the characters do not ascend".to_owned());
            }
            Saved::Chars(chars) => Model::Chars(chars),
            Saved::Words(words) => Model::Words(Words::new(words)?),
            Saved::Bpe(tokens) => {
                let tokens =
                    tokens.iter().map(|t| bpe::from_characters(t)).collect::<Result<_, _>>();
                Model::Bpe(Bpe::new(tokens?)?)
            }
            Saved::Wordpiece(pieces) => Model::WordPiece(WordPiece::new(pieces)?),
            Saved::Gpt2 => Model::Gpt2,
            Saved::File(json) => Model::File(Box::new(FileTokenizer::new(json)?)),
            Saved::Ids(n) => Model::Ids(n),
            Saved::With(..) => return Err("special tokens of special tokens".to_owned()),
        };
        Ok(Vocabulary { model, specials })
    }

    /// SHA-256 of the saved form.
    pub fn hash(&self) -> String {
        hash::sha256(self.to_json().as_bytes())
    }
}

impl Model {
    fn size(&self) -> u64 {
        match self {
            Model::Bytes => 256,
            Model::Chars(chars) => chars.len() as u64,
            Model::Words(words) => words.all().len() as u64,
            Model::Bpe(bpe) => bpe.tokens().len() as u64,
            Model::WordPiece(pieces) => pieces.all().len() as u64,
            Model::Gpt2 => u64::from(gpt2::END) + 1,
            Model::File(file) => file.size(),
            Model::Ids(n) => *n,
        }
    }

    /// Whether an id is one of text.
    fn has(&self, id: u32) -> bool {
        u64::from(id) < self.size()
    }
}

fn bytes_of(bpe: &Bpe, at: usize, out: &mut Vec<u8>) {
    match bpe.tokens().get(at) {
        Some(token) => out.extend_from_slice(token),
        None => push(out, char::REPLACEMENT_CHARACTER),
    }
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind, learnt from `text`.
    pub(crate) fn each_kind(text: &str, needs: Needs) -> Vec<Vocabulary> {
        use plan::Tokenizer as T;
        let kinds = [T::Bytes, T::Chars, T::Words(300), T::Bpe(300), T::WordPiece(300), T::Gpt2];
        let made =
            kinds.into_iter().map(|kind| match start(&kind, needs, Path::new("")).unwrap() {
                Start::Known(vocabulary) => vocabulary,
                Start::Learns(mut learner) => {
                    learner.read(text);
                    Vocabulary::learnt(learner, needs).unwrap()
                }
            });
        made.collect()
    }

    #[test]
    fn text_goes_there_and_back() {
        let text = "héllo wörld, hello\n你好世界 🎉";
        for vocabulary in each_kind(text, Needs::default()) {
            let ids = vocabulary.encode(text).unwrap();
            if !matches!(vocabulary.model, Model::WordPiece(_)) {
                assert_eq!(vocabulary.decode(&ids), text.as_bytes());
            }
            assert!(ids.iter().all(|&id| u64::from(id) < vocabulary.size()));
            assert_eq!(Vocabulary::from_json(&vocabulary.to_json()).unwrap(), vocabulary);
        }
    }

    #[test]
    fn special_tokens_come_behind_those_of_text() {
        let needs = Needs { end: true, pad: true, mask: false, roles: true };
        for vocabulary in each_kind("some text, some more text", needs) {
            assert_eq!(Vocabulary::from_json(&vocabulary.to_json()).unwrap(), vocabulary);
            let end = vocabulary.end().unwrap();
            if vocabulary.model == Model::Gpt2 {
                assert_eq!(
                    (end, vocabulary.pad(), vocabulary.size()),
                    (50_256, Some(50_256), 50_257)
                );
                continue;
            }
            assert_eq!(u64::from(end), vocabulary.model.size());
            assert_eq!(vocabulary.size(), vocabulary.model.size() + 5);
            let role = vocabulary.opening(Role::User).unwrap()[0];
            assert_eq!(vocabulary.decode(&[end, role]), b"<|end|><|user|>");
        }
    }

    #[test]
    fn plain_vocabularies_are_saved_as_ever() {
        assert_eq!(Vocabulary::bytes().to_json(), r#""bytes""#);
        assert_eq!(Vocabulary::chars(vec!['a', 'b']).to_json(), r#"{"chars":["a","b"]}"#);
    }

    #[test]
    fn an_unknown_character_is_located() {
        let error = Vocabulary::chars(vec!['a', 'é']).encode("aéz").unwrap_err();
        assert_eq!(error, Unknown { character: 'z', offset: 3 });
        assert_eq!(
            error.within("the prompt").to_string(),
            "the prompt: byte 3: the character 'z' (U+007A) does not occur in the training text"
        );
    }

    #[test]
    fn a_list_out_of_order_is_refused() {
        for text in [
            r#"{"chars":["b","a"]}"#,
            r#"{"chars":["a","a"]}"#,
            r#"{"chars":["ab"]}"#,
            r#"{"words":["a"]}"#,
            r#"{"bpe":["a","b"]}"#,
        ] {
            assert!(Vocabulary::from_json(text).is_err(), "{text}");
        }
    }
}
