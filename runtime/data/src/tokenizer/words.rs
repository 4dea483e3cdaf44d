//! The most frequent words; all others are one id.
//!
//! A word has the space before it, so that ids give the text back. In scripts without spaces each
//! character is a word. `<unk>` in a text is the unknown word itself.

use std::collections::{BTreeMap, HashMap};

use super::split::{is_unspaced, pieces};

/// What stands for words that are not known.
pub(super) const UNKNOWN: &str = "<unk>";

/// Words by id; the first is the unknown one.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    words: Vec<String>,
    ids: HashMap<String, u32>,
}

impl PartialEq for Words {
    fn eq(&self, other: &Words) -> bool {
        self.words == other.words
    }
}

impl Eq for Words {}

/// The words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let stretches = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(UNKNOWN).map_or(rest.len(), |at| {
            let before = rest[..at].strip_suffix(' ').map_or(at, str::len);
            if before > 0 { before } else { at + UNKNOWN.len() }
        });
        let (stretch, behind) = rest.split_at(end);
        rest = behind;
        Some(stretch)
    });
    stretches.flat_map(|stretch| {
        let is_unknown = stretch.trim_start() == UNKNOWN;
        let cut = (!is_unknown).then(|| pieces(stretch).flat_map(characters));
        is_unknown.then_some(stretch).into_iter().chain(cut.into_iter().flatten())
    })
}

/// A piece, or its characters where those are words.
fn characters(piece: &str) -> impl Iterator<Item = &str> {
    let mut rest = piece;
    std::iter::from_fn(move || {
        let c = rest.chars().nth(usize::from(rest.starts_with(' '))).or(rest.chars().next())?;
        let end = if is_unspaced(c) {
            rest.len().min(c.len_utf8() + usize::from(rest.starts_with(' ')))
        } else {
            rest.char_indices().find(|(_, c)| is_unspaced(*c)).map_or(rest.len(), |(at, _)| at)
        };
        let (word, behind) = rest.split_at(end);
        rest = behind;
        Some(word)
    })
}

impl Words {
    /// From the words by id.
    pub(super) fn new(words: Vec<String>) -> Result<Words, String> {
        if words.first().map(String::as_str) != Some(UNKNOWN) {
            return Err(format!("the first word is not `{UNKNOWN}`"));
        }
        let numbered = (0u32..).zip(&words).map(|(id, word)| (word.clone(), id));
        let ids: HashMap<String, u32> = numbered.collect();
        if ids.len() != words.len() {
            return Err("a word comes twice".to_owned());
        }
        Ok(Words { words, ids })
    }

    /// The most frequent words, the unknown one among the `size`; among equals in byte order.
    pub(super) fn learn(counts: &BTreeMap<Box<str>, u64>, size: usize) -> Words {
        let mut ranked: Vec<(&str, u64)> = counts
            .iter()
            .filter(|(word, _)| word.trim_start() != UNKNOWN)
            .map(|(word, n)| (&**word, *n))
            .collect();
        ranked.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
        let known =
            ranked.into_iter().take(size.saturating_sub(1)).map(|(word, _)| word.to_owned());
        let words = std::iter::once(UNKNOWN.to_owned()).chain(known).collect();
        Words::new(words).expect("what was counted comes once")
    }

    /// Words by id.
    pub(super) fn all(&self) -> &[String] {
        &self.words
    }

    /// Adds the ids of a text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        out.extend(words(text).map(|word| self.ids.get(word).copied().unwrap_or(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_their_spaces_and_give_the_text_back() {
        let cut = |text: &'static str| words(text).collect::<Vec<_>>();
        assert_eq!(cut("the <unk> cat, 好的 x"), ["the", " <unk>", " cat", ",", " 好", "的", " x"]);
        assert_eq!(cut("<unk><unk> a"), ["<unk>", "<unk>", " a"]);
        assert_eq!(cut("好a的b"), ["好", "a", "的", "b"]);
        for text in ["a  b\n", " <unk> ", "日本語テキスト、です。", "", " 好"] {
            assert_eq!(words(text).collect::<String>(), text);
        }
    }

    #[test]
    fn the_most_frequent_words_have_ids() {
        let counts = [("b", 2), ("a", 2), ("c", 3), ("d", 1), (" <unk>", 9)];
        let counts = counts.into_iter().map(|(w, n)| (Box::from(w), n)).collect();
        let learnt = Words::learn(&counts, 4);
        assert_eq!(learnt.all(), ["<unk>", "c", "a", "b"]);
        let mut ids = Vec::new();
        learnt.encode("c d", &mut ids);
        assert_eq!(ids, [1, 0]);
    }
}
