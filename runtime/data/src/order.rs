//! The order of sequences: which tokens the n-th sequence of a run holds.
//!
//! In: a split cut into sequences of `context` tokens, and a number that only grows. Out: ids
//! and targets. The order is permutation(seed, epoch)(index), so the cursor is that one number,
//! whatever the size of a micro-batch. The permutation is a Feistel network over the next power
//! of four, walked until it lands inside (Black and Rogaway 2002, "Ciphers with Arbitrary Finite
//! Domains").

use std::ops::Range;

use crate::{corpus::Corpus, error::Error, rng};

const ROUNDS: u64 = 6;

/// The place of `index` in the order of an epoch: a bijection on `0..n`.
pub(crate) fn permutation(seed: u64, epoch: u64, n: u64, index: u64) -> u64 {
    assert!(index < n, "only positions below the size are permuted");
    let half_bits = (u64::BITS - (n - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1u64 << half_bits) - 1;
    let key = rng::mix(rng::mix(seed) ^ epoch);
    let mut value = index;
    // The walk ends: following a permutation from inside comes back inside.
    loop {
        let (mut left, mut right) = (value >> half_bits, value & mask);
        for round in 0..ROUNDS {
            let f = rng::mix(key ^ rng::mix((round << 32) | right)) & mask;
            (left, right) = (right, left ^ f);
        }
        value = (left << half_bits) | right;
        if value < n {
            return value;
        }
    }
}

/// A split as sequences.
#[derive(Debug, Clone)]
pub struct Sequences {
    tokens: Range<u64>,
    context: u64,
    /// The seed of the permutation; `None` keeps the order of the text.
    shuffle: Option<u64>,
}

impl Sequences {
    /// The sequences of a split.
    pub fn new(tokens: Range<u64>, context: u64, shuffle: Option<u64>) -> Sequences {
        assert!(context > 0, "a sequence holds at least one token");
        Sequences { tokens, context, shuffle }
    }

    /// Tokens that have a next one.
    fn predicted(&self) -> u64 {
        (self.tokens.end - self.tokens.start).saturating_sub(1)
    }

    /// Sequences whose every token has a target: those of an epoch of training.
    pub fn n_whole(&self) -> u64 {
        self.predicted() / self.context
    }

    /// Sequences with at least one target: those of an evaluation.
    pub fn n_all(&self) -> u64 {
        self.predicted().div_ceil(self.context)
    }

    /// Rows of training from sequence number `first` on; epochs follow each other.
    ///
    /// The split must have at least one whole sequence.
    pub fn fill_train(
        &self,
        corpus: &Corpus,
        first: u64,
        ids: &mut [i32],
        targets: &mut [i32],
    ) -> Result<(), Error> {
        let n = self.n_whole();
        for (row, (ids, targets)) in self.rows(ids, targets).enumerate() {
            let number = first + row as u64;
            let (epoch, index) = (number / n, number % n);
            let index = match self.shuffle {
                Some(seed) => permutation(seed, epoch, n, index),
                None => index,
            };
            self.fill(corpus, index, ids, targets)?;
        }
        Ok(())
    }

    /// Rows of evaluation from sequence `first` on, in the order of the text.
    ///
    /// What lies behind the end gets id 0 and target -1.
    pub fn fill_eval(
        &self,
        corpus: &Corpus,
        first: u64,
        ids: &mut [i32],
        targets: &mut [i32],
    ) -> Result<(), Error> {
        for (row, (ids, targets)) in self.rows(ids, targets).enumerate() {
            self.fill(corpus, first + row as u64, ids, targets)?;
        }
        Ok(())
    }

    fn rows<'a>(
        &self,
        ids: &'a mut [i32],
        targets: &'a mut [i32],
    ) -> impl Iterator<Item = (&'a mut [i32], &'a mut [i32])> {
        let context = usize::try_from(self.context).expect("a sequence fits in memory");
        ids.chunks_exact_mut(context).zip(targets.chunks_exact_mut(context))
    }

    /// One sequence, padded behind the end of the split.
    fn fill(
        &self,
        corpus: &Corpus,
        index: u64,
        ids: &mut [i32],
        targets: &mut [i32],
    ) -> Result<(), Error> {
        let skipped = index.saturating_mul(self.context).min(self.predicted());
        let left = (self.predicted() - skipped).min(self.context);
        let left = usize::try_from(left).expect("a sequence fits in memory");
        let start = self.tokens.start + skipped;
        ids[left..].fill(0);
        targets[left..].fill(-1);
        if left > 0 {
            corpus.read(start, &mut ids[..left])?;
            corpus.read(start + 1, &mut targets[..left])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{corpus::sample, scratch::Scratch};

    #[test]
    fn the_order_is_a_permutation() {
        for n in (1..70).chain([127, 128, 129, 255, 256, 257, 1000, 4096, 10_007]) {
            for (seed, epoch) in [(0, 0), (0, 1), (u64::MAX, 3)] {
                let mut seen = vec![false; usize::try_from(n).unwrap()];
                for index in 0..n {
                    let at = usize::try_from(permutation(seed, epoch, n, index)).unwrap();
                    assert!(!std::mem::replace(&mut seen[at], true), "{n} {seed} {epoch}");
                }
            }
        }
    }

    #[test]
    fn epochs_and_seeds_differ() {
        let order = |seed, epoch| -> Vec<u64> {
            (0..100).map(|index| permutation(seed, epoch, 100, index)).collect()
        };
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
        assert_eq!(order(1, 0), order(1, 0));
        assert_ne!(order(1, 0), (0..100).collect::<Vec<u64>>());
    }

    #[test]
    fn huge_domains_stay_inside() {
        for n in [u64::MAX, 1 << 63, (1 << 62) + 1] {
            for index in [0, 1, n - 1] {
                assert!(permutation(5, 9, n, index) < n);
            }
        }
    }

    #[test]
    fn an_epoch_of_training_shows_each_sequence_once() {
        let scratch = Scratch::new("order_epoch");
        let text: Vec<u8> = (0..100).collect();
        let corpus = sample(scratch.path(), &text);
        let sequences = Sequences::new(0..90, 8, Some(3));
        let n = sequences.n_whole();
        assert_eq!(n, 11);
        let mut starts = Vec::new();
        for number in 0..2 * n {
            let (mut ids, mut targets) = ([0; 8], [0; 8]);
            sequences.fill_train(&corpus, number, &mut ids, &mut targets).unwrap();
            assert!(ids.iter().zip(targets).all(|(&id, target)| id + 1 == target));
            starts.push(ids[0]);
        }
        let sorted = |part: &[i32]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part
        };
        let all: Vec<i32> = (0..11).map(|i| i * 8).collect();
        assert_eq!(sorted(&starts[..11]), all);
        assert_eq!(sorted(&starts[11..]), all);
        assert_ne!(starts[..11], starts[11..]);
    }

    #[test]
    fn micro_batches_of_any_size_show_the_same_rows() {
        let scratch = Scratch::new("order_micro");
        let corpus = sample(scratch.path(), &[b'q'; 300]);
        let sequences = Sequences::new(0..270, 5, Some(3));
        let rows = |size: usize| {
            let mut all = Vec::new();
            for first in (0..12).step_by(size) {
                let (mut ids, mut targets) = (vec![0; size * 5], vec![0; size * 5]);
                sequences.fill_train(&corpus, first, &mut ids, &mut targets).unwrap();
                all.extend(ids);
            }
            all
        };
        assert_eq!(rows(1), rows(4));
        assert_eq!(rows(3), rows(12));
    }

    #[test]
    fn evaluation_covers_each_target_once_and_pads() {
        let scratch = Scratch::new("order_eval");
        let text: Vec<u8> = (0..100).collect();
        let corpus = sample(scratch.path(), &text);
        let sequences = Sequences::new(90..100, 4, None);
        assert_eq!((sequences.n_all(), sequences.n_whole()), (3, 2));
        let (mut ids, mut targets) = ([0; 16], [0; 16]);
        sequences.fill_eval(&corpus, 0, &mut ids, &mut targets).unwrap();
        assert_eq!(targets[..9], [91, 92, 93, 94, 95, 96, 97, 98, 99]);
        assert_eq!(targets[9..], [-1; 7]);
        assert_eq!(ids[8..], [98, 0, 0, 0, 0, 0, 0, 0]);
    }
}
