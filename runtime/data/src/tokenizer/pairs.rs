//! Learns which neighbours to join: byte pair encoding.
//!
//! Gage 1994; Sennrich et al. 2016, arXiv:1508.07909.
//! In: words as symbols, each with how often it occurs. Out: the joins, in order. The most frequent
//! pair comes first, among equals the one of smaller symbols, so that nothing depends on the order
//! of the words. The work follows the symbols that change: a text without spaces, where nearly
//! every word is another one, takes time by its length too.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// A pair that becomes a symbol.
pub(super) type Pair = (u32, u32);

/// A word in symbols, and how often it occurs.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) symbols: Vec<u32>,
    pub(super) count: u64,
}

/// How often a pair occurs, and in which words it did.
#[derive(Debug, Default)]
struct Seen {
    count: u64,
    words: Vec<u32>,
}

/// Learns at most `most` joins; the first makes symbol `next`. A pair that occurs once is none.
pub(super) fn learn(mut words: Vec<Word>, next: u32, most: usize) -> Vec<Pair> {
    let mut pairs: BTreeMap<Pair, Seen> = BTreeMap::new();
    for (i, word) in (0u32..).zip(&words) {
        for pair in word.symbols.windows(2) {
            let seen = pairs.entry((pair[0], pair[1])).or_default();
            seen.count += word.count;
            if seen.words.last() != Some(&i) {
                seen.words.push(i);
            }
        }
    }
    let mut heap: BinaryHeap<(u64, Reverse<Pair>)> =
        pairs.iter().map(|(pair, seen)| (seen.count, Reverse(*pair))).collect();
    let mut joins = Vec::new();
    while joins.len() < most {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        let now = pairs.get(&pair).map_or(0, |seen| seen.count);
        if now != count {
            // Counted less since it was put there: it goes back to where it belongs.
            if now > 1 {
                heap.push((now, Reverse(pair)));
            }
            continue;
        }
        if count < 2 {
            break;
        }
        let new = next + u32::try_from(joins.len()).expect("fewer than 2^32 joins");
        joins.push(pair);
        let seen = pairs.remove(&pair).expect("the pair was counted");
        let mut grown: BTreeMap<Pair, ()> = BTreeMap::new();
        for i in seen.words {
            join(&mut words[i as usize], i, pair, new, &mut pairs, &mut grown);
        }
        for (pair, ()) in grown {
            if let Some(seen) = pairs.get(&pair) {
                heap.push((seen.count, Reverse(pair)));
            }
        }
    }
    joins
}

/// Joins a pair in a word and counts its neighbours anew.
fn join(
    word: &mut Word,
    i: u32,
    pair: Pair,
    new: u32,
    pairs: &mut BTreeMap<Pair, Seen>,
    grown: &mut BTreeMap<Pair, ()>,
) {
    let old = std::mem::take(&mut word.symbols);
    let mut symbols = Vec::with_capacity(old.len());
    let mut at = 0;
    while at < old.len() {
        if at + 1 < old.len() && (old[at], old[at + 1]) == pair {
            symbols.push(new);
            at += 2;
        } else {
            symbols.push(old[at]);
            at += 1;
        }
    }
    if symbols.len() == old.len() {
        word.symbols = old;
        return;
    }
    for pair in old.windows(2) {
        if let Some(seen) = pairs.get_mut(&(pair[0], pair[1])) {
            seen.count = seen.count.saturating_sub(word.count);
        }
    }
    for made in symbols.windows(2) {
        let made = (made[0], made[1]);
        let seen = pairs.entry(made).or_default();
        seen.count += word.count;
        if made.0 == new || made.1 == new {
            if seen.words.last() != Some(&i) {
                seen.words.push(i);
            }
            grown.insert(made, ());
        }
    }
    word.symbols = symbols;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        let symbols = |word: &str| word.bytes().map(u32::from).collect();
        text.split(' ').map(|word| Word { symbols: symbols(word), count: 1 }).collect()
    }

    #[test]
    fn the_most_frequent_pair_is_joined_first_and_order_does_not_matter() {
        let text = "abab abab abc zz zz";
        let pair = |a: u8, b: u8| (u32::from(a), u32::from(b));
        let joins = learn(words(text), 256, 3);
        assert_eq!(joins, [pair(b'a', b'b'), pair(b'z', b'z'), (256, 256)]);
        let mut backwards = words(text);
        backwards.reverse();
        assert_eq!(learn(backwards, 256, 3), joins);
    }

    /// The same by the book: all pairs are counted anew for each join.
    fn slow(mut words: Vec<Word>, next: u32, most: usize) -> Vec<Pair> {
        let mut joins = Vec::new();
        for new in (next..).take(most) {
            let mut counts: BTreeMap<Pair, u64> = BTreeMap::new();
            for word in &words {
                for pair in word.symbols.windows(2) {
                    *counts.entry((pair[0], pair[1])).or_default() += word.count;
                }
            }
            let best = counts.into_iter().max_by_key(|(pair, n)| (*n, Reverse(*pair)));
            let Some((pair, 2..)) = best else { break };
            joins.push(pair);
            for word in &mut words {
                let (mut none, mut nothing) = (BTreeMap::new(), BTreeMap::new());
                join(word, 0, pair, new, &mut none, &mut nothing);
            }
        }
        joins
    }

    #[test]
    fn counting_what_changes_is_counting_all() {
        let mut n = 1u64;
        for _ in 0..40 {
            let mut text = String::new();
            for _ in 0..60 {
                n = crate::rng::mix(n);
                text.push(['a', 'b', 'c', ' ', 'a'][(n % 5) as usize]);
            }
            assert_eq!(learn(words(&text), 256, 20), slow(words(&text), 256, 20), "{text}");
        }
    }
}
