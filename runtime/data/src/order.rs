//! The order of rows: what the n-th row of a run holds.
//!
//! In: a split and a number that only grows. Out: ids and targets. The order is
//! permutation(seed, epoch)(index), so the cursor is that one number, whatever the size of a
//! micro-batch. The permutation is a Feistel network over the next power of four, walked until it
//! lands inside (Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains"). Rows of a
//! mixture come in cycles of [`CYCLE`], in which each source has its share.

use std::cmp::Reverse;

use plan::{Pack, Shuffle, Task};

use crate::{corpus::Corpus, error::Error, rng, split::Stream};

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

/// Rows in which the shares of a mixture are kept.
const CYCLE: u64 = 1000;

/// The epoch of an evaluation, for what is drawn at random.
const EVALUATION: u64 = u64::MAX;

/// A split as rows.
#[derive(Debug, Clone)]
pub struct Sequences {
    /// The number of the split.
    split: usize,
    context: u64,
    seed: u64,
    shuffle: Shuffle,
    lanes: Vec<Lane>,
    /// The lane of each row of a cycle and its number among the lane's, where rows keep their order.
    spread: Vec<(usize, u64)>,
}

/// The rows of a stream.
#[derive(Debug, Clone, Copy)]
struct Lane {
    n_whole: u64,
    n_all: u64,
    /// Its rows in a cycle come behind so many of others.
    quota_before: u64,
    quota: u64,
}

impl Sequences {
    /// The rows of a split; `seed` is that of the order and of what is drawn at random.
    pub fn new(corpus: &Corpus, split: &str, context: u64, seed: u64) -> Option<Sequences> {
        assert!(context > 0, "a row holds at least one token");
        let split = corpus.splits.iter().position(|s| s.name == split)?;
        let streams = &corpus.splits[split].streams;
        let mut quota_before = 0;
        let quotas = quotas(streams);
        let lanes = streams.iter().zip(quotas).map(|(stream, quota)| {
            let (n_whole, n_all) = rows_of(corpus, stream, context);
            let lane = Lane { n_whole, n_all, quota_before, quota };
            quota_before += quota;
            lane
        });
        let lanes: Vec<Lane> = lanes.collect();
        let shuffle = corpus.data.shuffle;
        let spread = if shuffle == Shuffle::None { spread(&lanes) } else { vec![] };
        Some(Sequences { split, context, seed, shuffle, lanes, spread })
    }

    /// Rows of an epoch of training: sequences whose every token has a target, or documents.
    ///
    /// None when a source of a mixture has none.
    pub fn n_whole(&self) -> u64 {
        let all = self.lanes.iter().map(|lane| lane.n_whole);
        if all.clone().any(|n| n == 0) { 0 } else { all.sum() }
    }

    /// Rows with at least one target: those of an evaluation.
    pub fn n_all(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.n_all).sum()
    }

    /// Rows of training from number `first` on; epochs follow each other.
    ///
    /// `ids` has `context` numbers a row, `targets` as many, or one where the task is a class. The
    /// split must have at least one whole row.
    pub fn fill_train(
        &self,
        corpus: &Corpus,
        first: u64,
        ids: &mut [i32],
        targets: &mut [i32],
    ) -> Result<(), Error> {
        for (row, (ids, targets)) in self.rows(corpus, ids, targets).enumerate() {
            let (lane, number) = self.lane_of(first + row as u64);
            let n = self.lanes[lane].n_whole;
            let (epoch, index) = (number / n, number % n);
            let index = match self.shuffle {
                Shuffle::None => index,
                Shuffle::Full => permutation(self.seed, epoch, n, index),
                Shuffle::Window(size) => window(self.seed, epoch, n, index, size),
            };
            self.fill(corpus, lane, epoch, index, ids, targets)?;
        }
        Ok(())
    }

    /// Rows of evaluation from number `first` on, in the order of the data.
    ///
    /// What lies behind the end gets targets of -1.
    pub fn fill_eval(
        &self,
        corpus: &Corpus,
        first: u64,
        ids: &mut [i32],
        targets: &mut [i32],
    ) -> Result<(), Error> {
        for (row, (ids, targets)) in self.rows(corpus, ids, targets).enumerate() {
            let mut index = first + row as u64;
            let mut lane = 0;
            while lane + 1 < self.lanes.len() && index >= self.lanes[lane].n_all {
                index -= self.lanes[lane].n_all;
                lane += 1;
            }
            self.fill(corpus, lane, EVALUATION, index, ids, targets)?;
        }
        Ok(())
    }

    fn rows<'a>(
        &self,
        corpus: &Corpus,
        ids: &'a mut [i32],
        targets: &'a mut [i32],
    ) -> impl Iterator<Item = (&'a mut [i32], &'a mut [i32])> {
        let context = usize::try_from(self.context).expect("a row fits in memory");
        let n_targets = if matches!(corpus.data.task, Task::Classes { .. }) { 1 } else { context };
        ids.chunks_exact_mut(context).zip(targets.chunks_exact_mut(n_targets))
    }

    /// The source of a row of training, and the number of the row there.
    fn lane_of(&self, number: u64) -> (usize, u64) {
        if self.lanes.len() == 1 {
            return (0, number);
        }
        let (cycle, index) = (number / CYCLE, number % CYCLE);
        if self.shuffle == Shuffle::None {
            let (lane, rank) = self.spread[usize::try_from(index).expect("a cycle is short")];
            return (lane, cycle * self.lanes[lane].quota + rank);
        }
        let place = permutation(self.seed ^ 0x6d69_7874, cycle, CYCLE, index);
        let lane = self.lanes.partition_point(|lane| lane.quota_before <= place) - 1;
        let Lane { quota, quota_before, .. } = self.lanes[lane];
        (lane, cycle * quota + place - quota_before)
    }

    /// One row, padded behind the end of what it holds.
    fn fill(
        &self,
        corpus: &Corpus,
        lane: usize,
        epoch: u64,
        index: u64,
        ids: &mut [i32],
        targets: &mut [i32],
    ) -> Result<(), Error> {
        let stream = &corpus.splits[self.split].streams[lane];
        let pad = corpus.vocabulary.pad().map_or(0, |id| id as i32);
        // The tokens of the row, and how many may follow them.
        let (start, n_behind) = match corpus.data.pack {
            Pack::Documents => {
                let start = index.saturating_mul(self.context).min(stream.n_tokens());
                (start, stream.n_tokens() - start)
            }
            Pack::Rows if index >= stream.n_documents() => (0, 0),
            Pack::Rows => stream.tokens_of(&corpus.shards, index),
        };
        let take = |n: u64| usize::try_from(n.min(self.context)).expect("a row fits in memory");
        match corpus.data.task {
            Task::NextToken => {
                let n = take(n_behind.saturating_sub(1));
                ids[n..].fill(pad);
                targets[n..].fill(-1);
                if n > 0 {
                    stream.read(&corpus.shards, start, &mut ids[..n])?;
                    stream.read(&corpus.shards, start + 1, &mut targets[..n])?;
                    stream.mask(&corpus.shards, start + 1, &mut targets[..n]);
                    self.end_documents(corpus, &ids[..n], &mut targets[..n]);
                }
            }
            Task::Classes { .. } => {
                let n = take(n_behind);
                ids[n..].fill(pad);
                stream.read(&corpus.shards, start, &mut ids[..n])?;
                targets[0] = if n == 0 { -1 } else { corpus.class(stream, index) };
            }
            Task::Masked { share, keep, random } => {
                let n = take(n_behind);
                ids[n..].fill(pad);
                targets.fill(-1);
                stream.read(&corpus.shards, start, &mut ids[..n])?;
                let key = rng::mix(rng::mix(rng::mix(self.seed) ^ epoch) ^ (start << 1 | 1));
                hide(corpus, key, [share, keep, random], &mut ids[..n], &mut targets[..n]);
            }
        }
        Ok(())
    }

    /// What follows the end of a document is no target: it is another document.
    fn end_documents(&self, corpus: &Corpus, ids: &[i32], targets: &mut [i32]) {
        let Some(end) = corpus.vocabulary.end() else { return };
        for (id, target) in ids.iter().zip(targets) {
            if *id == end as i32 {
                *target = -1;
            }
        }
    }
}

/// Hides tokens: `share` of them are targets, of which some stay and some become others.
fn hide(corpus: &Corpus, key: u64, shares: [f64; 3], ids: &mut [i32], targets: &mut [i32]) {
    let [share, keep, random] = shares;
    let mask = corpus.vocabulary.mask().map_or(0, |id| id as i32);
    let n_text = corpus.vocabulary.n_text();
    for (place, (id, target)) in (0u64..).zip(ids.iter_mut().zip(targets)) {
        let is_text = u64::try_from(*id).is_ok_and(|id| id < n_text)
            && corpus.vocabulary.end() != u32::try_from(*id).ok();
        if !is_text || rng::uniform(key, 3 * place) >= share {
            continue;
        }
        *target = *id;
        let what = rng::uniform(key, 3 * place + 1);
        if what >= keep + random {
            *id = mask;
        } else if what >= keep {
            let other = rng::uniform(key, 3 * place + 2) * n_text as f64;
            *id = (other as u64).min(n_text - 1) as i32;
        }
    }
}

/// The place of `index` among neighbours: a permutation of each stretch of `size`.
fn window(seed: u64, epoch: u64, n: u64, index: u64, size: u64) -> u64 {
    let size = size.max(1);
    let start = index / size * size;
    let length = size.min(n - start);
    start + permutation(rng::mix(seed) ^ start, epoch, length, index - start)
}

/// Rows of training and of evaluation.
fn rows_of(corpus: &Corpus, stream: &Stream, context: u64) -> (u64, u64) {
    if corpus.data.pack == Pack::Rows {
        return (stream.n_documents(), stream.n_documents());
    }
    let usable = match corpus.data.task {
        Task::NextToken => stream.n_tokens().saturating_sub(1),
        Task::Classes { .. } | Task::Masked { .. } => stream.n_tokens(),
    };
    (usable / context, usable.div_ceil(context))
}

/// The rows of a cycle as evenly spread as their shares allow: always of the lane that is furthest
/// behind its share.
fn spread(lanes: &[Lane]) -> Vec<(usize, u64)> {
    let mut taken = vec![0; lanes.len()];
    let row = |n: u64| {
        let behind =
            |lane: &usize| (lanes[*lane].quota * (n + 1)) as i64 - (taken[*lane] * CYCLE) as i64;
        let lane = (0..lanes.len()).max_by_key(|lane| (behind(lane), Reverse(*lane)));
        let lane = lane.expect("a mixture has parts");
        taken[lane] += 1;
        (lane, taken[lane] - 1)
    };
    (0..CYCLE).map(row).collect()
}

/// The rows of each stream in a cycle: its share, the largest remainders rounded up.
fn quotas(streams: &[Stream]) -> Vec<u64> {
    let exact = |stream: &Stream| stream.share.unwrap_or(1.0) * CYCLE as f64;
    let mut quotas: Vec<u64> = streams.iter().map(|s| exact(s).floor() as u64).collect();
    let mut order: Vec<usize> = (0..streams.len()).collect();
    let rest = |i: &usize| exact(&streams[*i]).fract();
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)).then(a.cmp(b)));
    let missing = CYCLE.saturating_sub(quotas.iter().sum());
    let extra = usize::try_from(missing).unwrap_or(0);
    order.into_iter().cycle().take(extra.min(streams.len())).for_each(|i| quotas[i] += 1);
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::{Scratch, sample};

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
        let sequences = Sequences::new(&corpus, "train", 8, 3).unwrap();
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
        let sequences = Sequences::new(&corpus, "train", 5, 3).unwrap();
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
        let sequences = Sequences::new(&corpus, "val", 4, 0).unwrap();
        assert_eq!((sequences.n_all(), sequences.n_whole()), (3, 2));
        let (mut ids, mut targets) = ([0; 16], [0; 16]);
        sequences.fill_eval(&corpus, 0, &mut ids, &mut targets).unwrap();
        assert_eq!(targets[..9], [91, 92, 93, 94, 95, 96, 97, 98, 99]);
        assert_eq!(targets[9..], [-1; 7]);
        assert_eq!(ids[8..], [98, 0, 0, 0, 0, 0, 0, 0]);
    }
}
