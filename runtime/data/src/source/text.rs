//! Text without documents, in pieces that end where no token runs on.
//!
//! A piece ends behind a line end between text, else in front of the last white space before text; a
//! mark of byte order at the start is no text; only a stretch of [`PIECE`] bytes without white space is cut elsewhere.

use std::path::Path;

use super::{
    Give, Item, Next,
    open::{fill, open},
};
use crate::error::{Error, Position};

/// The mark of byte order, U+FEFF in UTF-8.
const BYTE_ORDER: &[u8] = &[0xef, 0xbb, 0xbf];

/// Bytes of a piece at most.
const PIECE: usize = 1 << 20;

/// Gives a file piece by piece.
pub(super) fn read(path: &Path, give: &mut Give<'_>) -> Result<(), Error> {
    let mut source = open(path)?;
    let mut buffer = vec![0; PIECE];
    let (mut kept, mut done) = (0, 0);
    loop {
        let n = fill(&mut source, &mut buffer[kept..])
            .map_err(|e| Error::at(path, Position::Byte(done), format!("cannot be read: {e}")))?;
        let len = kept + n;
        let is_last = len < buffer.len();
        let end = if is_last { len } else { border(&buffer[..len]) };
        let mark =
            if done == 0 && buffer[..end].starts_with(BYTE_ORDER) { BYTE_ORDER.len() } else { 0 };
        if end > mark && give(Item::Text(&buffer[mark..end]))? == Next::Stop {
            return Ok(());
        }
        if is_last {
            return Ok(());
        }
        buffer.copy_within(end..len, 0);
        kept = len - end;
        done += end as u64;
    }
}

/// The last place of a full buffer where no token runs on; never 0.
fn border(text: &[u8]) -> usize {
    let is_space = |b: u8| b.is_ascii_whitespace();
    // Of several line ends some tokenizers join all but the last.
    let is_between =
        |i: usize| text[i - 1] == b'\n' && !is_space(text[i]) && !is_space(text[i.max(2) - 2]);
    let after_line = (2..text.len()).rev().find(|&i| is_between(i));
    let before_space = || {
        let ends_gap = |&i: &usize| is_space(text[i]) && !is_space(text[i + 1]);
        (1..text.len() - 1).rev().find(ends_gap)
    };
    let before_character = || {
        // At most three bytes back is the start of a character; other bytes are no text anyway.
        let starts = |&i: &usize| text[i] & 0xc0 != 0x80;
        (text.len().saturating_sub(3)..text.len()).rev().find(starts).filter(|&i| i > 0)
    };
    after_line.or_else(before_space).or_else(before_character).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn pieces(text: &[u8]) -> Vec<Vec<u8>> {
        let scratch = Scratch::new("text_pieces");
        let path = scratch.path().join("a.txt");
        std::fs::write(&path, text).unwrap();
        let mut pieces = Vec::new();
        let mut give = |item: Item<'_>| {
            let Item::Text(text) = item else { panic!("text has no documents") };
            pieces.push(text.to_vec());
            Ok(Next::More)
        };
        read(&path, &mut give).unwrap();
        pieces
    }

    #[test]
    fn pieces_are_the_whole_text_and_end_where_words_end() {
        for unit in ["a line of words\n", "words alone ", "x", "é", "字", "  \n\n"] {
            let text = unit.repeat(PIECE * 5 / 2 / unit.len());
            let pieces = pieces(text.as_bytes());
            assert!(pieces.len() >= 3, "{unit:?}");
            assert_eq!(pieces.concat(), text.as_bytes(), "{unit:?}");
            for piece in &pieces {
                assert!(std::str::from_utf8(piece).is_ok(), "{unit:?}");
            }
            if unit.starts_with("a line") {
                assert!(pieces.iter().all(|p| p.ends_with(b"\n") || p == pieces.last().unwrap()));
            }
        }
    }
}
