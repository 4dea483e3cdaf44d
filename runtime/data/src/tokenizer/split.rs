//! Cuts text into pieces that no token leaves, as GPT-2 does.
//!
//! The pieces are those of the published pattern `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+|
//! ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, found in one walk without looking back, so that a text of any
//! form takes time by its length. A piece longer than [`LONGEST`] is cut there: the pattern would
//! not, and nothing but a text without white space for so long can tell.

use std::sync::OnceLock;

use regex_syntax::hir::{Class, HirKind};

/// Bytes of the longest piece.
const LONGEST: usize = 1 << 16;

/// What a character is to the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `\p{L}`.
    Letter,
    /// `\p{N}`.
    Number,
    /// `\s`.
    Space,
    /// Everything else.
    Other,
}

/// What `c` is.
pub(super) fn kind(c: char) -> Kind {
    if c.is_ascii_alphabetic() {
        Kind::Letter
    } else if c.is_whitespace() {
        Kind::Space
    } else if c.is_numeric() {
        Kind::Number
    } else if !c.is_ascii() && is_within(letters(), c) {
        Kind::Letter
    } else {
        Kind::Other
    }
}

/// Whether `c` only changes the character before it.
pub(super) fn is_mark(c: char) -> bool {
    static MARKS: OnceLock<Vec<(char, char)>> = OnceLock::new();
    !c.is_ascii() && is_within(MARKS.get_or_init(|| ranges(r"\p{M}")), c)
}

/// Whether `c` is of a script that has no space between words.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff // Thai, Lao
        | 0x0f00..=0x0fff // Tibetan
        | 0x1000..=0x109f // Myanmar
        | 0x1780..=0x17ff // Khmer
        | 0x3040..=0x30ff | 0x31f0..=0x31ff // Kana
        | 0x2e80..=0x2fdf | 0x3005..=0x3007 | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x3ffff) // Han
}

fn letters() -> &'static [(char, char)] {
    static LETTERS: OnceLock<Vec<(char, char)>> = OnceLock::new();
    LETTERS.get_or_init(|| ranges(r"\p{L}"))
}

/// The characters of a class, as ranges that ascend.
fn ranges(class: &str) -> Vec<(char, char)> {
    let hir = regex_syntax::parse(class).expect("the class is one of Unicode's");
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
        unreachable!("a class of characters")
    };
    class.iter().map(|range| (range.start(), range.end())).collect()
}

fn is_within(ranges: &[(char, char)], c: char) -> bool {
    let at = ranges.partition_point(|(_, end)| *end < c);
    ranges.get(at).is_some_and(|(start, _)| *start <= c)
}

/// The pieces of a text.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, behind) = rest.split_at(first(rest));
        rest = behind;
        Some(piece)
    })
}

/// The length of the first piece of a text that is not empty.
fn first(text: &str) -> usize {
    if let Some(n) = contraction(text) {
        return n;
    }
    let mut chars = text.chars();
    let c = chars.next().expect("the text is not empty");
    match (c, kind(c), chars.next().map(kind)) {
        (' ', _, Some(next @ (Kind::Letter | Kind::Number | Kind::Other))) => {
            1 + run(&text[1..], next)
        }
        (_, Kind::Space, _) => spaces(text),
        (_, kind, _) => run(text, kind),
    }
}

/// `'s` and the like.
fn contraction(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    let two = ["ll", "ve", "re"].iter().any(|end| rest.starts_with(end));
    let one = rest.starts_with(['s', 'd', 'm', 't']);
    (one || two).then_some(if one { 2 } else { 3 })
}

/// Bytes of the characters of one kind at the start.
fn run(text: &str, wanted: Kind) -> usize {
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        if kind(c) != wanted || at >= LONGEST {
            end = at;
            break;
        }
    }
    end
}

/// White space at the start; its last character belongs to the text that follows.
fn spaces(text: &str) -> usize {
    let mut last = 0;
    for (at, c) in text.char_indices() {
        if !c.is_whitespace() {
            return if last == 0 { at } else { last };
        }
        if at >= LONGEST {
            return at;
        }
        last = at;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        pieces(text).collect()
    }

    #[test]
    fn pieces_are_those_of_the_pattern() {
        assert_eq!(cut("Hello, world!"), ["Hello", ",", " world", "!"]);
        assert_eq!(cut("I'll we've 'tis"), ["I", "'ll", " we", "'ve", " '", "tis"]);
        assert_eq!(cut("a  b\n\n c \n"), ["a", " ", " b", "\n\n", " c", " \n"]);
        assert_eq!(cut("a\n\nb"), ["a", "\n", "\n", "b"]);
        assert_eq!(cut("x2y 12.5"), ["x", "2", "y", " 12", ".", "5"]);
        assert_eq!(cut("你好，世界 🎉"), ["你好", "，", "世界", " 🎉"]);
    }

    #[test]
    fn pieces_are_the_text_and_no_piece_is_endless() {
        for unit in ["a", "字", " ", "\n", "1", "!", "\u{301}", "' "] {
            let text = unit.repeat(300_000);
            let all = cut(&text);
            assert_eq!(all.concat(), text);
            assert!(all.iter().all(|piece| piece.len() <= LONGEST + 4), "{unit:?}");
        }
    }
}
