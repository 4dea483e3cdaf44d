//! Pieces of words, longest first: Schuster and Nakajima 2012, as BERT has them.
//!
//! Words are cut at white space; punctuation marks and characters of scripts without spaces are
//! words of their own. A piece inside of a word starts with `##`. White space is not kept.

use std::collections::{BTreeMap, HashMap};

use super::{
    pairs::{self, Word},
    split::{Kind, is_mark, is_unspaced, kind},
};

/// What stands for words that have no pieces.
pub(super) const UNKNOWN: &str = "[UNK]";

/// Marks a piece inside of a word.
pub(super) const INSIDE: &str = "##";

/// Characters of the longest word that is looked at; a longer one is unknown.
const LONGEST: usize = 100;

/// Pieces by id; the first is the unknown word.
#[derive(Debug, Clone)]
pub(crate) struct WordPiece {
    pieces: Vec<String>,
    ids: HashMap<String, u32>,
    /// Bytes of the longest piece.
    longest: usize,
}

impl PartialEq for WordPiece {
    fn eq(&self, other: &WordPiece) -> bool {
        self.pieces == other.pieces
    }
}

impl Eq for WordPiece {}

/// The words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let c = rest.chars().next()?;
        let end = if is_alone(c) {
            c.len_utf8()
        } else {
            let ends = |c: char| c.is_whitespace() || is_alone(c);
            rest.char_indices().find(|(_, c)| ends(*c)).map_or(rest.len(), |(at, _)| at)
        };
        let (word, behind) = rest.split_at(end);
        rest = behind;
        Some(word)
    })
}

/// Whether a character is a word of its own.
fn is_alone(c: char) -> bool {
    is_unspaced(c) || (kind(c) == Kind::Other && !is_mark(c))
}

impl WordPiece {
    /// From the pieces by id.
    pub(super) fn new(pieces: Vec<String>) -> Result<WordPiece, String> {
        if pieces.first().map(String::as_str) != Some(UNKNOWN) {
            return Err(format!("the first piece is not `{UNKNOWN}`"));
        }
        let ids: HashMap<String, u32> =
            (0u32..).zip(&pieces).map(|(id, piece)| (piece.clone(), id)).collect();
        if ids.len() != pieces.len() || ids.contains_key("") || ids.contains_key(INSIDE) {
            return Err("a piece is empty or comes twice".to_owned());
        }
        let longest = pieces.iter().map(String::len).max().unwrap_or_default();
        Ok(WordPiece { pieces, ids, longest })
    }

    /// Learns from words and how often they occur, until there are `size` pieces.
    ///
    /// At most half of the pieces are single characters, the most frequent ones.
    pub(super) fn learn(counts: &BTreeMap<Box<str>, u64>, size: usize) -> WordPiece {
        let symbols_of = |word: &str| -> Vec<String> {
            let inside = |(i, c): (usize, char)| {
                if i == 0 { c.to_string() } else { format!("{INSIDE}{c}") }
            };
            word.chars().enumerate().map(inside).collect()
        };
        let mut characters: BTreeMap<String, u64> = BTreeMap::new();
        for (word, count) in counts.iter().filter(|(word, _)| is_short(word)) {
            for symbol in symbols_of(word) {
                *characters.entry(symbol).or_default() += count;
            }
        }
        let mut ranked: Vec<(String, u64)> = characters.into_iter().collect();
        ranked.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
        ranked.truncate((size / 2).max(1));
        let mut pieces = vec![UNKNOWN.to_owned()];
        pieces.extend(ranked.into_iter().map(|(symbol, _)| symbol));
        let ids: HashMap<String, u32> =
            (0u32..).zip(&pieces).map(|(id, piece)| (piece.clone(), id)).collect();
        let known = |word: &str| {
            symbols_of(word)
                .iter()
                .map(|symbol| ids.get(symbol).copied())
                .collect::<Option<Vec<u32>>>()
        };
        let words = counts
            .iter()
            .filter(|(word, _)| is_short(word))
            .filter_map(|(word, count)| Some(Word { symbols: known(word)?, count: *count }))
            .collect();
        let first = u32::try_from(pieces.len()).expect("fewer than 2^32 pieces");
        for (left, right) in pairs::learn(words, first, size.saturating_sub(pieces.len())) {
            let right = &pieces[right as usize];
            let right = right.strip_prefix(INSIDE).unwrap_or(right);
            pieces.push(format!("{}{right}", pieces[left as usize]));
        }
        let mut seen = std::collections::BTreeSet::new();
        pieces.retain(|piece| seen.insert(piece.clone()));
        WordPiece::new(pieces).expect("what was learnt comes once")
    }

    /// Pieces by id.
    pub(super) fn all(&self) -> &[String] {
        &self.pieces
    }

    /// Adds the ids of a text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let mut key = String::new();
        for word in words(text) {
            let before = out.len();
            if !is_short(word) || !self.word(word, &mut key, out) {
                out.truncate(before);
                out.push(0);
            }
        }
    }

    /// Adds the pieces of a word, unless a part of it has none.
    fn word(&self, word: &str, key: &mut String, out: &mut Vec<u32>) -> bool {
        let mut start = 0;
        while start < word.len() {
            let mut end = word.len().min(start + self.longest);
            let found = loop {
                if end == start {
                    return false;
                }
                if word.is_char_boundary(end) {
                    key.clear();
                    key.push_str(if start == 0 { "" } else { INSIDE });
                    key.push_str(&word[start..end]);
                    if let Some(&id) = self.ids.get(key) {
                        break id;
                    }
                }
                end -= 1;
            };
            out.push(found);
            start = end;
        }
        true
    }
}

fn is_short(word: &str) -> bool {
    word.chars().nth(LONGEST).is_none()
}

/// Adds a piece as text behind others: no `##`, and a space where one is usual.
pub(super) fn write(piece: &str, out: &mut Vec<u8>) {
    let Some(inside) = piece.strip_prefix(INSIDE) else {
        let closes = |c: char| is_unspaced(c) || ".,!?;:')]}。，！？；：、」』）".contains(c);
        if !piece.starts_with(closes) {
            out.push(b' ');
        }
        out.extend_from_slice(piece.as_bytes());
        return;
    };
    out.extend_from_slice(inside.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(text: &str, size: usize) -> WordPiece {
        let mut counts = BTreeMap::new();
        for word in words(text) {
            *counts.entry(word.into()).or_insert(0) += 1;
        }
        WordPiece::learn(&counts, size)
    }

    #[test]
    fn words_are_cut_as_bert_does() {
        let cut: Vec<&str> = words(" Don't  stop 你好! a\u{301}b ").collect();
        assert_eq!(cut, ["Don", "'", "t", "stop", "你", "好", "!", "a\u{301}b"]);
    }

    #[test]
    fn the_longest_piece_comes_first_and_strangers_are_unknown() {
        let text = "unwanted running runner wanted run run want ".repeat(9);
        let model = learnt(&text, 60);
        let mut ids = Vec::new();
        model.encode("wanted runs zebra 字", &mut ids);
        let pieces: Vec<&str> = ids.iter().map(|&id| model.all()[id as usize].as_str()).collect();
        assert_eq!(pieces, ["wanted", "[UNK]", "[UNK]", "[UNK]"]);
        let mut long = Vec::new();
        model.encode(&"n".repeat(1_000_000), &mut long);
        assert_eq!(long, [0]);
    }

    #[test]
    fn spaces_come_back_where_they_are_usual() {
        let mut out = Vec::new();
        ["run", "##ning", ",", "a", "你", "好", "b"].iter().for_each(|p| write(p, &mut out));
        assert_eq!(String::from_utf8(out).unwrap(), " running, a你好 b");
    }
}
