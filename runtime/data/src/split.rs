//! Which documents and tokens a split has.
//!
//! A split is a list of runs: stretches of a shard, of documents that follow each other where it
//! has documents. So a split takes memory by the number of gaps, not of documents.

use std::{collections::HashSet, ops::Range};

use plan::{Data, Limit};

use crate::{corpus::Split, error::Error, shard::Shard};

/// A stretch of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    shard: usize,
    documents: Range<u64>,
    tokens: Range<u64>,
    /// Documents and tokens of the runs before it.
    documents_before: u64,
    tokens_before: u64,
}

/// Runs, one behind the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    runs: Vec<Run>,
    /// Its part of the rows of a mixture.
    pub(crate) share: Option<f64>,
}

impl Stream {
    /// How many tokens.
    pub(crate) fn n_tokens(&self) -> u64 {
        self.runs.last().map_or(0, |r| r.tokens_before + r.tokens.end - r.tokens.start)
    }

    /// How many documents.
    pub(crate) fn n_documents(&self) -> u64 {
        self.runs.last().map_or(0, |r| r.documents_before + r.documents.end - r.documents.start)
    }

    /// Adds a stretch, joined to the last one where it follows it.
    fn push(&mut self, shard: usize, documents: Range<u64>, tokens: Range<u64>) {
        if let Some(last) = self.runs.last_mut()
            && last.shard == shard
            && last.tokens.end == tokens.start
            && last.documents.end == documents.start
        {
            last.tokens.end = tokens.end;
            last.documents.end = documents.end;
            return;
        }
        let (documents_before, tokens_before) = (self.n_documents(), self.n_tokens());
        self.runs.push(Run { shard, documents, tokens, documents_before, tokens_before });
    }

    fn run_of_token(&self, token: u64) -> usize {
        self.runs.partition_point(|run| run.tokens_before <= token).saturating_sub(1)
    }

    /// The pieces of shards that hold `n` tokens from `start` on: shard, token there, and part.
    fn pieces(&self, start: u64, n: usize) -> impl Iterator<Item = (usize, u64, Range<usize>)> {
        let (mut run, mut done) = (self.run_of_token(start), 0);
        std::iter::from_fn(move || {
            if done == n {
                return None;
            }
            let here = &self.runs[run];
            let skipped = start + done as u64 - here.tokens_before;
            let left = here.tokens.end - here.tokens.start - skipped;
            let take = usize::try_from(left).map_or(n - done, |left| left.min(n - done));
            let part = done..done + take;
            done += take;
            run += 1;
            Some((here.shard, here.tokens.start + skipped, part))
        })
    }

    /// Copies the ids from `start` on; all of them must exist.
    pub(crate) fn read(&self, shards: &[Shard], start: u64, out: &mut [i32]) -> Result<(), Error> {
        let mut pieces = self.pieces(start, out.len());
        pieces.try_for_each(|(shard, at, part)| shards[shard].read(at, &mut out[part]))
    }

    /// Takes away the targets that are none; `out[0]` is the token at `start`.
    pub(crate) fn mask(&self, shards: &[Shard], start: u64, out: &mut [i32]) {
        for (shard, at, part) in self.pieces(start, out.len()) {
            shards[shard].mask(at, &mut out[part]);
        }
    }

    /// The shard of a document and its number there.
    pub(crate) fn document(&self, document: u64) -> (usize, u64) {
        let at = self.runs.partition_point(|run| run.documents_before <= document);
        let run = &self.runs[at.saturating_sub(1)];
        (run.shard, run.documents.start + document - run.documents_before)
    }

    /// The first token of a document, and how many it has.
    pub(crate) fn tokens_of(&self, shards: &[Shard], document: u64) -> (u64, u64) {
        let at = self.runs.partition_point(|run| run.documents_before <= document);
        let run = &self.runs[at.saturating_sub(1)];
        let number = run.documents.start + document - run.documents_before;
        let start = shards[run.shard].start(number);
        let n = shards[run.shard].start(number + 1) - start;
        (run.tokens_before + start - run.tokens.start, n)
    }

    /// Visits all documents: their shard and their number there.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (usize, u64)> {
        self.runs.iter().flat_map(|run| run.documents.clone().map(|number| (run.shard, number)))
    }
}

/// What was chosen of all shards.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) splits: Vec<Split>,
    /// Documents that came before.
    pub(crate) duplicates: u64,
}

/// Cuts the shards of all sources into splits.
pub(crate) fn choose(
    data: &Data,
    shards: &[Shard],
    sources: &[usize],
    classes: &[Vec<u32>],
) -> Chosen {
    let names = match data.splits.as_slice() {
        [] => vec![("train".to_owned(), 1.0)],
        splits => splits.iter().map(|split| (split.name.clone(), split.share)).collect(),
    };
    let shares: Vec<f64> = names.iter().map(|(_, share)| *share).collect();
    let mut streams: Vec<Vec<Stream>> = vec![Vec::new(); names.len()];
    let (mut seen, mut duplicates) = (HashSet::new(), 0);
    for (source, settings) in data.sources.iter().enumerate() {
        let own: Vec<usize> = (0..shards.len()).filter(|&i| sources[i] == source).collect();
        // Without shares all sources are one stream.
        if source == 0 || settings.share.is_some() {
            streams.iter_mut().for_each(|s| s.push(Stream { runs: vec![], share: settings.share }));
        }
        let mut targets: Vec<&mut Stream> =
            streams.iter_mut().filter_map(|streams| streams.last_mut()).collect();
        if own.iter().all(|&i| shards[i].layout.documents.is_none()) {
            cut_tokens(data, shards, &own, &shares, &mut targets);
            continue;
        }
        let kept = keep(data, shards, &own, &mut seen, &mut duplicates);
        cut_documents(data, shards, classes, &kept, &shares, &mut targets);
    }
    let splits = names.into_iter().zip(streams);
    let splits = splits.map(|((name, _), streams)| Split { name, streams }).collect();
    Chosen { splits, duplicates }
}

/// Where the splits of `total` things end, in order from the start.
fn ends(shares: &[f64], total: u64) -> Vec<u64> {
    let (mut share, mut last) = (0.0, 0);
    let end = |part: &f64| {
        share += part;
        // Shares of 0.9 and 0.1 need not add up to 1 exactly; the last one still belongs.
        let end = if share > 1.0 - 1e-9 { total } else { (share * total as f64).floor() as u64 };
        last = end.clamp(last, total);
        last
    };
    shares.iter().map(end).collect()
}

fn cut_tokens(
    data: &Data,
    shards: &[Shard],
    own: &[usize],
    shares: &[f64],
    targets: &mut [&mut Stream],
) {
    let mut total: u64 = own.iter().map(|&i| shards[i].layout.n_tokens).sum();
    if let Some(Limit::Tokens(most)) = data.clean.limit {
        total = total.min(most);
    }
    let mut start = 0;
    for (target, end) in targets.iter_mut().zip(ends(shares, total)) {
        let mut before = 0;
        for &i in own {
            let n = shards[i].layout.n_tokens;
            let from = start.clamp(before, before + n) - before;
            let to = end.clamp(before, before + n) - before;
            if from < to {
                target.push(i, 0..0, from..to);
            }
            before += n;
        }
        start = end;
    }
}

/// Documents that stay, as ranges of each shard.
fn keep(
    data: &Data,
    shards: &[Shard],
    own: &[usize],
    seen: &mut HashSet<u128>,
    duplicates: &mut u64,
) -> Vec<(usize, Range<u64>)> {
    let mut kept: Vec<(usize, Range<u64>)> = Vec::new();
    let (mut n_documents, mut n_tokens) = (0, 0);
    for &i in own {
        let shard = &shards[i];
        if !data.clean.dedup && data.clean.limit.is_none() {
            kept.push((i, 0..shard.n_documents()));
            continue;
        }
        for document in 0..shard.n_documents() {
            let is_full = match data.clean.limit {
                Some(Limit::Documents(most)) => n_documents >= most,
                Some(Limit::Tokens(most)) => n_tokens >= most,
                None => false,
            };
            if is_full {
                return kept;
            }
            if data.clean.dedup && !seen.insert(shard.hash(document)) {
                *duplicates += 1;
                continue;
            }
            n_documents += 1;
            n_tokens += shard.start(document + 1) - shard.start(document);
            match kept.last_mut() {
                Some((last, range)) if *last == i && range.end == document => range.end += 1,
                Some(_) | None => kept.push((i, document..document + 1)),
            }
        }
    }
    kept
}

fn cut_documents(
    data: &Data,
    shards: &[Shard],
    classes: &[Vec<u32>],
    kept: &[(usize, Range<u64>)],
    shares: &[f64],
    targets: &mut [&mut Stream],
) {
    let class = |shard: usize, document: u64| {
        let class = if data.stratified { shards[shard].class(document) } else { None };
        class.map_or(0, |class| classes[shard][class as usize] as usize)
    };
    let all = || kept.iter().flat_map(|(i, range)| range.clone().map(|document| (*i, document)));
    let mut totals: Vec<u64> = Vec::new();
    for (i, document) in all() {
        let class = class(i, document);
        totals.resize(totals.len().max(class + 1), 0);
        totals[class] += 1;
    }
    let ends: Vec<Vec<u64>> = totals.iter().map(|total| ends(shares, *total)).collect();
    let mut places = vec![0; totals.len()];
    for (i, document) in all() {
        let class = class(i, document);
        let place = places[class];
        places[class] += 1;
        let Some(split) = ends[class].iter().position(|end| place < *end) else { continue };
        let tokens = shards[i].start(document)..shards[i].start(document + 1);
        targets[split].push(i, document..document + 1, tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_cover_everything_once() {
        for total in [0, 1, 2, 10, 999] {
            for shares in [vec![0.9, 0.1], vec![0.7, 0.2, 0.1], vec![1.0], vec![0.5]] {
                let ends = ends(&shares, total);
                assert!(ends.is_sorted());
                assert!(*ends.last().unwrap() == total || shares == [0.5]);
            }
        }
    }

    #[test]
    fn runs_that_follow_each_other_are_one() {
        let mut stream = Stream::default();
        stream.push(0, 0..1, 0..5);
        stream.push(0, 1..2, 5..9);
        stream.push(0, 3..4, 12..13);
        stream.push(1, 4..5, 13..14);
        assert_eq!(stream.runs.len(), 3);
        assert_eq!((stream.n_documents(), stream.n_tokens()), (4, 11));
        assert_eq!([0, 1, 2, 3].map(|i| stream.document(i)), [(0, 0), (0, 1), (0, 3), (1, 4)]);
        let seen: Vec<_> = stream.pieces(8, 3).collect();
        assert_eq!(seen, [(0, 8, 0..1), (0, 12, 1..2), (1, 13, 2..3)]);
    }
}
