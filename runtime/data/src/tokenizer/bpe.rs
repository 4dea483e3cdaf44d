//! Byte pairs: every text has ids, and no text more than it has bytes.
//!
//! A token is a stretch of bytes; its id is its rank. In a piece of text the neighbours that make
//! the token of the lowest rank are joined first, as GPT-2 does it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    hash::{BuildHasherDefault, Hasher},
};

use super::{
    pairs::{self, Word},
    split::pieces,
};

/// Mixes the numbers of a key; keys are ids, which nobody chooses with bad intent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

type Mixed = BuildHasherDefault<Mixer>;

/// In longer pieces the places to join are kept in order.
const SHORT: usize = 48;

/// The tokens, and what joins them.
#[derive(Debug, Clone)]
pub(crate) struct Bpe {
    tokens: Vec<Box<[u8]>>,
    /// The token of each byte.
    bytes: Box<[u32; 256]>,
    ids: HashMap<Box<[u8]>, u32, Mixed>,
    /// What two tokens make.
    pairs: HashMap<u64, u32, Mixed>,
}

impl PartialEq for Bpe {
    fn eq(&self, other: &Bpe) -> bool {
        self.tokens == other.tokens
    }
}

impl Eq for Bpe {}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Bpe {
    /// From its tokens by rank. Every byte must be one, none may be empty or come twice.
    pub(super) fn new(tokens: Vec<Box<[u8]>>) -> Result<Bpe, String> {
        let mut ids: HashMap<Box<[u8]>, u32, Mixed> = HashMap::default();
        for (id, token) in (0u32..).zip(&tokens) {
            if token.is_empty() {
                return Err(format!("token {id} is empty"));
            }
            if let Some(first) = ids.insert(token.clone(), id) {
                return Err(format!("tokens {first} and {id} are the same"));
            }
        }
        let mut bytes = Box::new([0; 256]);
        for (byte, id) in (0u8..=255).zip(bytes.iter_mut()) {
            *id = *ids.get(&[byte][..]).ok_or(format!("no token for the byte {byte}"))?;
        }
        let mut pairs: HashMap<u64, u32, Mixed> = HashMap::default();
        for (id, token) in (0u32..).zip(&tokens) {
            for cut in 1..token.len() {
                let (left, right) = token.split_at(cut);
                if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                    pairs.insert(key(left, right), id);
                }
            }
        }
        Ok(Bpe { tokens, bytes, ids, pairs })
    }

    /// Learns from pieces of text and how often they occur, until there are `size` tokens.
    pub(super) fn learn(counts: &BTreeMap<Box<str>, u64>, size: usize) -> Bpe {
        let symbols = |piece: &str| piece.bytes().map(u32::from).collect();
        let words = counts
            .iter()
            .map(|(piece, count)| Word { symbols: symbols(piece), count: *count })
            .collect();
        let mut tokens: Vec<Box<[u8]>> = (0u8..=255).map(|byte| Box::from([byte])).collect();
        for (left, right) in pairs::learn(words, 256, size.saturating_sub(256)) {
            let token = [&*tokens[left as usize], &*tokens[right as usize]].concat();
            tokens.push(token.into());
        }
        let mut seen = std::collections::BTreeSet::new();
        // Two joins may make the same bytes; the first one has them.
        tokens.retain(|token| seen.insert(token.clone()));
        Bpe::new(tokens).expect("what was learnt has all bytes, each token once")
    }

    /// Tokens by rank.
    pub(super) fn tokens(&self) -> &[Box<[u8]>] {
        &self.tokens
    }

    /// Adds the ids of a text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        for piece in pieces(text) {
            match self.ids.get(piece.as_bytes()) {
                Some(&id) => out.push(id),
                None => self.piece(piece.as_bytes(), out),
            }
        }
    }

    fn piece(&self, piece: &[u8], out: &mut Vec<u32>) {
        if piece.len() > SHORT {
            self.long_piece(piece, out);
        } else {
            self.short_piece(piece, out);
        }
    }

    /// Looks for the best join again and again.
    fn short_piece(&self, piece: &[u8], out: &mut Vec<u32>) {
        let first = out.len();
        out.extend(piece.iter().map(|&byte| self.bytes[byte as usize]));
        loop {
            let rank = |at: usize| self.pairs.get(&key(out[at], out[at + 1])).map(|id| (*id, at));
            let best = (first..out.len() - 1).filter_map(rank).min();
            let Some((id, at)) = best else { return };
            out[at] = id;
            out.remove(at + 1);
        }
    }

    /// The same for any length: the places of each join wait together, by its rank.
    fn long_piece(&self, piece: &[u8], out: &mut Vec<u32>) {
        const GONE: u32 = u32::MAX;
        // Pieces are cut long before they have 2^32 bytes.
        let n = piece.len() as u32;
        let mut ids: Vec<u32> = piece.iter().map(|&byte| self.bytes[byte as usize]).collect();
        // Neighbours by position; `n` is the end, and `GONE` what is before the start.
        let mut next: Vec<u32> = (1..=n).collect();
        let mut before: Vec<u32> = (0..n).map(|at| at.wrapping_sub(1)).collect();
        let joined = |ids: &[u32], at: u32, right: u32| {
            self.pairs.get(&key(ids[at as usize], ids[right as usize])).copied()
        };
        let mut waiting = Waiting::default();
        for right in 1..n {
            if let Some(id) = joined(&ids, right - 1, right) {
                waiting.add(id, right - 1);
            }
        }
        while let Some((id, at)) = waiting.take() {
            let right = next[at as usize];
            // A place is old when one of both has been joined since.
            if ids[at as usize] == GONE || right == n || joined(&ids, at, right) != Some(id) {
                continue;
            }
            (ids[at as usize], ids[right as usize]) = (id, GONE);
            let behind = next[right as usize];
            next[at as usize] = behind;
            if behind < n {
                before[behind as usize] = at;
                if let Some(id) = joined(&ids, at, behind) {
                    waiting.add(id, at);
                }
            }
            let ahead = before[at as usize];
            if ahead != GONE
                && let Some(id) = joined(&ids, ahead, at)
            {
                waiting.add(id, ahead);
            }
        }
        out.extend(ids.into_iter().filter(|&id| id != GONE));
    }
}

/// Places to join, the lowest rank first and in it the first place.
///
/// A join adds places of longer tokens only, so none is added to a rank while its places are taken:
/// each is sorted about once, and it comes almost sorted.
#[derive(Default)]
struct Waiting {
    /// Those that have places.
    ranks: BinaryHeap<Reverse<u32>>,
    places: HashMap<u32, Places, Mixed>,
    /// What is taken from now, out of `places`.
    rank: u32,
    now: Places,
}

/// Of one rank.
#[derive(Default)]
struct Places {
    all: Vec<u32>,
    n_taken: usize,
    is_sorted: bool,
}

impl Waiting {
    fn add(&mut self, rank: u32, place: u32) {
        let places = self.places.entry(rank).or_default();
        if places.all.is_empty() {
            self.ranks.push(Reverse(rank));
        }
        places.all.push(place);
        places.is_sorted = false;
    }

    fn take(&mut self) -> Option<(u32, u32)> {
        let is_done = self.now.n_taken == self.now.all.len();
        if let Some(&Reverse(lowest)) = self.ranks.peek()
            && (is_done || lowest < self.rank)
        {
            self.ranks.pop();
            let next = self.places.remove(&lowest).expect("a rank that waits has places");
            let left = std::mem::replace(&mut self.now, next);
            if !is_done {
                self.ranks.push(Reverse(self.rank));
                self.places.insert(self.rank, left);
            }
            self.rank = lowest;
            if !self.now.is_sorted {
                self.now.all[self.now.n_taken..].sort();
                self.now.is_sorted = true;
            }
        }
        let place = *self.now.all.get(self.now.n_taken)?;
        self.now.n_taken += 1;
        Some((self.rank, place))
    }
}

/// The characters that stand for bytes in files of GPT-2's tokenizers.
///
/// Visible ones of Latin-1 stand for themselves, the others for those from U+0100 on.
pub(super) fn byte_characters() -> [char; 256] {
    let is_visible = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut shift = 0;
    let mut characters = ['\0'; 256];
    for (byte, c) in (0u32..).zip(&mut characters) {
        let code = if is_visible(byte) {
            byte
        } else {
            shift += 1;
            0xff + shift
        };
        *c = char::from_u32(code).expect("below U+0200");
    }
    characters
}

/// A token in those characters.
pub(super) fn to_characters(token: &[u8]) -> String {
    let characters = byte_characters();
    token.iter().map(|&byte| characters[byte as usize]).collect()
}

/// The bytes of such a token.
pub(super) fn from_characters(token: &str) -> Result<Box<[u8]>, String> {
    let characters = byte_characters();
    let byte = |c| {
        let found = characters.iter().position(|&known| known == c);
        found
            .and_then(|at| u8::try_from(at).ok())
            .ok_or(format!("`{token}` has the character {c:?}, which stands for no byte"))
    };
    token.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(text: &str, size: usize) -> Bpe {
        let mut counts = BTreeMap::new();
        for piece in pieces(text) {
            *counts.entry(piece.into()).or_insert(0) += 1;
        }
        Bpe::learn(&counts, size)
    }

    #[test]
    fn ids_give_the_text_back_and_long_pieces_are_joined_like_short_ones() {
        let text = "the cat and the hat; 你好世界你好 the the aaaa";
        let bpe = learnt(text, 300);
        assert!(bpe.tokens().len() > 265);
        for text in [text, "unseen Ω text 🎉", &"abcthecat".repeat(9), &"a".repeat(1000)] {
            let mut ids = Vec::new();
            bpe.encode(text, &mut ids);
            let bytes: Vec<u8> =
                ids.iter().flat_map(|&id| bpe.tokens[id as usize].to_vec()).collect();
            assert_eq!(bytes, text.as_bytes());
            let (mut short, mut long) = (Vec::new(), Vec::new());
            for piece in pieces(text).filter(|p| (2..=SHORT).contains(&p.len())) {
                bpe.short_piece(piece.as_bytes(), &mut short);
                bpe.long_piece(piece.as_bytes(), &mut long);
            }
            assert_eq!(short, long);
        }
    }

    /// Ranks in any order: a join may make place for one of a lower rank.
    #[test]
    fn long_pieces_are_joined_like_short_ones_by_any_ranks() {
        let mut random = 1u64;
        let mut below = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % n
        };
        let text = |n: usize, below: &mut dyn FnMut(usize) -> usize| -> Vec<u8> {
            (0..n).map(|_| b"ab"[below(2)]).collect()
        };
        for _ in 0..200 {
            let mut tokens: Vec<Box<[u8]>> = (0u8..=255).map(|byte| Box::from([byte])).collect();
            for _ in 0..1 + below(40) {
                let token: Box<[u8]> = text(2 + below(5), &mut below).into();
                if !tokens.contains(&token) {
                    let at = below(tokens.len());
                    tokens.insert(at, token);
                }
            }
            let bpe = Bpe::new(tokens).unwrap();
            let piece = text(1 + below(300), &mut below);
            let (mut short, mut long) = (Vec::new(), Vec::new());
            bpe.short_piece(&piece, &mut short);
            bpe.long_piece(&piece, &mut long);
            assert_eq!(short, long, "{:?}", &bpe.tokens);
        }
    }

    #[test]
    fn characters_stand_for_all_bytes() {
        let all: Vec<u8> = (0..=255).collect();
        let text = to_characters(&all);
        assert_eq!(text.chars().count(), 256);
        assert_eq!(&*from_characters(&text).unwrap(), &all[..]);
        assert!(to_characters(b" a\n").starts_with("Ġa"));
    }
}
