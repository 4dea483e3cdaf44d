//! Settles `micro_batch` and `recompute` so that a run stays within its memory.
//!
//! In: a checked program, and how much a process may take. Out: the program with both settled and
//! its schedule, or E0901 or E0902. What the spec says is never changed. Without a word of it, the
//! usual micro-batch without recomputing is taken if it fits, and nothing else is looked at; then
//! smaller micro-batches, which cost little; then recomputing as few blocks as are enough.

mod refusal;

use std::collections::BTreeSet;

use diag::Diagnostic;
use ir::schedule::Target;
use sema::{ParamSet, Program, Recompute, Step, Term, Train};

use crate::cost;
use crate::memory::Memory;
use crate::pipeline::{Graphs, Placed, Scheduled, Stage};
use crate::train::Training;
use crate::usage::Usage;

/// How much memory a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Of the process, when the spec has no `memory`; `None`: any amount.
    pub default_bytes: Option<u64>,
    /// What the process takes beside the arena.
    pub beside_bytes: u64,
}

impl Room {
    /// No bound but that of the spec.
    pub const UNBOUNDED: Self = Self { default_bytes: None, beside_bytes: 0 };

    /// What the process may take.
    pub fn bytes(&self, train: &Train) -> Option<u64> {
        train.memory.or(self.default_bytes)
    }
}

/// A program that fits.
#[derive(Debug)]
pub struct Fitted {
    /// The training job with `micro_batch` and `recompute` settled.
    pub train: Train,
    /// How it runs.
    pub scheduled: Scheduled,
    /// What could be better.
    pub warnings: Vec<Diagnostic>,
}

/// Settles what the spec leaves open.
pub fn fit(
    training: &Training<'_>,
    target: &Target,
    room: Room,
    observe: &mut dyn FnMut(&str, Stage<'_>),
) -> Result<Fitted, Vec<Diagnostic>> {
    let train = &training.program.train;
    let limit = room.bytes(train).map(|bytes| bytes.saturating_sub(room.beside_bytes));
    let recompute = match &train.recompute {
        Recompute::Auto => Recompute::None,
        stated @ (Recompute::None | Recompute::All | Recompute::Every(_) | Recompute::Only(_)) => {
            stated.clone()
        }
    };
    let way = Way { micro_batch: train.micro_batch, recompute };
    let graphs = Graphs::of(training, observe)?;
    let placed = graphs.place(&way.recompute, target, observe);
    let limit = limit.unwrap_or(u64::MAX);
    if placed.memory.bytes <= limit {
        let warnings = refusal::unneeded(training, target, &graphs, &placed, limit);
        let train = settled(train, &way);
        return Ok(Fitted { train, scheduled: graphs.scheduled(placed), warnings });
    }
    let usage = Usage::of(&placed.schedule, &placed.memory);
    drop(placed);
    let mut search = Search { training, target, limit, graphs: vec![(way.micro_batch, graphs)] };
    let free = Free {
        micro_batch: train.may_choose_micro_batch(),
        recompute: train.recompute == Recompute::Auto,
    };
    if usage.kept() > limit {
        // No way makes these smaller.
        return Err(vec![refusal::no_room(&mut search, train, room)?]);
    }
    let Some(found) = search.cheapest(&way, free)? else {
        return Err(vec![refusal::refuse(&mut search, &way, room, &usage)?]);
    };
    let graphs = search.graphs(found.micro_batch)?;
    let placed = graphs.place(&found.recompute, target, observe);
    let train = settled(train, &found);
    let graphs = search.take(found.micro_batch);
    Ok(Fitted { train, scheduled: graphs.scheduled(placed), warnings: vec![] })
}

/// The job as it runs.
fn settled(train: &Train, way: &Way) -> Train {
    let mut train = train.clone();
    if train.recompute == Recompute::Auto {
        train.derive("recompute", way.recompute.text());
        train.recompute = way.recompute.clone();
    }
    if train.micro_batch != way.micro_batch {
        train.choose_micro_batch(way.micro_batch);
    }
    train
}

/// A way to run a program.
#[derive(Debug, Clone, PartialEq)]
struct Way {
    micro_batch: u64,
    recompute: Recompute,
}

/// What may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    micro_batch: bool,
    recompute: bool,
}

/// What a way takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    /// Of the arena.
    bytes: u64,
    /// Of a step, see [`cost`].
    cost: u64,
}

/// Looks for a way that fits.
struct Search<'a> {
    training: &'a Training<'a>,
    target: &'a Target,
    /// Bytes of the arena.
    limit: u64,
    /// Graphs for the micro-batches that were looked at.
    graphs: Vec<(u64, Graphs)>,
}

impl Search<'_> {
    /// The cheapest way that fits, beside one that does not, by what the spec leaves open.
    fn cheapest(&mut self, way: &Way, free: Free) -> Result<Option<Way>, Vec<Diagnostic>> {
        let batch = self.training.program.train.batch;
        let micros = match free.micro_batch {
            true => divisors(batch, way.micro_batch),
            false => vec![way.micro_batch],
        };
        let first = if free.recompute { Recompute::None } else { way.recompute.clone() };
        if let Some(micro_batch) = self.largest(&micros, &first)? {
            return Ok(Some(Way { micro_batch, recompute: first }));
        }
        if !free.recompute {
            return Ok(None);
        }
        let least = *micros.last().expect("1 divides a batch");
        let Some(recompute) = self.least_recomputed(least)? else { return Ok(None) };
        let at_least = Way { micro_batch: least, recompute };
        let Some(micro_batch) = self.largest(&micros, &Recompute::All)? else {
            return Ok(Some(at_least));
        };
        let at_most = Way { micro_batch, recompute: Recompute::All };
        let [fine, coarse] = [&at_least, &at_most].map(|way| self.taken(way));
        Ok(Some(if fine?.cost <= coarse?.cost { at_least } else { at_most }))
    }

    /// The largest of descending micro-batches that fits with a policy.
    fn largest(
        &mut self,
        micros: &[u64],
        recompute: &Recompute,
    ) -> Result<Option<u64>, Vec<Diagnostic>> {
        let fits = |search: &mut Self, &micro_batch: &u64| {
            let way = Way { micro_batch, recompute: recompute.clone() };
            search.fits(&way)
        };
        self.first(micros, fits)
    }

    /// The cheapest policy that fits with a micro-batch.
    fn least_recomputed(&mut self, micro_batch: u64) -> Result<Option<Recompute>, Vec<Diagnostic>> {
        let policies = policies(self.graphs(micro_batch)?);
        let fits = |search: &mut Self, recompute: &Recompute| {
            search.fits(&Way { micro_batch, recompute: recompute.clone() })
        };
        self.first(&policies, fits)
    }

    /// The first of candidates that take less and less memory, by bisection.
    fn first<T: Clone>(
        &mut self,
        candidates: &[T],
        mut fits: impl FnMut(&mut Self, &T) -> Result<bool, Vec<Diagnostic>>,
    ) -> Result<Option<T>, Vec<Diagnostic>> {
        let Some(last) = candidates.last() else { return Ok(None) };
        if !fits(self, last)? {
            return Ok(None);
        }
        let (mut from, mut to) = (0, candidates.len() - 1);
        while from < to {
            let middle = (from + to) / 2;
            if fits(self, &candidates[middle])? {
                to = middle;
            } else {
                from = middle + 1;
            }
        }
        Ok(Some(candidates[to].clone()))
    }

    fn fits(&mut self, way: &Way) -> Result<bool, Vec<Diagnostic>> {
        Ok(self.taken(way)?.bytes <= self.limit)
    }

    fn taken(&mut self, way: &Way) -> Result<Taken, Vec<Diagnostic>> {
        let accumulate = self.training.program.train.batch / way.micro_batch;
        let placed = self.placed(way)?;
        Ok(taken(&placed, accumulate))
    }

    fn placed(&mut self, way: &Way) -> Result<Placed, Vec<Diagnostic>> {
        let target = self.target;
        let graphs = self.graphs(way.micro_batch)?;
        Ok(graphs.place(&way.recompute, target, &mut |_, _| {}))
    }

    /// Bytes of the arena for sequences of another length, with as little of them as can be.
    fn bytes_at(&self, context: u64) -> Result<u64, Vec<Diagnostic>> {
        let mut program = with_micro_batch(self.training.program, 1);
        program.train.context = context;
        let training = Training { program: &program, map: self.training.map };
        let graphs = Graphs::of(&training, &mut |_, _| {})?;
        Ok(graphs.place(&Recompute::All, self.target, &mut |_, _| {}).memory.bytes)
    }

    /// The graphs for a micro-batch.
    fn graphs(&mut self, micro_batch: u64) -> Result<&Graphs, Vec<Diagnostic>> {
        let at = match self.graphs.iter().position(|(n, _)| *n == micro_batch) {
            Some(at) => at,
            None => {
                let program = with_micro_batch(self.training.program, micro_batch);
                let training = Training { program: &program, map: self.training.map };
                self.graphs.push((micro_batch, Graphs::of(&training, &mut |_, _| {})?));
                self.graphs.len() - 1
            }
        };
        Ok(&self.graphs[at].1)
    }

    fn take(&mut self, micro_batch: u64) -> Graphs {
        let at = self.graphs.iter().position(|(n, _)| *n == micro_batch);
        self.graphs.swap_remove(at.expect("it was looked at")).1
    }
}

fn taken(placed: &Placed, accumulate: u64) -> Taken {
    let Memory { bytes, .. } = placed.memory;
    Taken { bytes, cost: cost::of_step(&placed.schedule, accumulate) }
}

/// A program with another micro-batch.
fn with_micro_batch(program: &Program, micro_batch: u64) -> Program {
    let mut program = program.clone();
    program.train.accumulate = program.train.batch / micro_batch;
    program.train.micro_batch = micro_batch;
    program
}

/// The divisors of a batch up to `most`, descending.
fn divisors(batch: u64, most: u64) -> Vec<u64> {
    let small = (1..=batch.isqrt()).filter(|n| batch.is_multiple_of(*n));
    let all: BTreeSet<u64> = small.flat_map(|n| [n, batch / n]).collect();
    all.into_iter().rev().filter(|&n| n <= most).collect()
}

/// Policies that take less and less memory: one block more computed again with each.
fn policies(graphs: &Graphs) -> Vec<Recompute> {
    let blocks = graphs.blocks();
    let [(path, n)] = blocks.as_slice() else { return vec![Recompute::All] };
    let first = |n: &u64| {
        let names = path.split('.').map(|part| Step::Name(part.to_owned()));
        let steps = names.chain([Step::Copies(0, *n)]).collect();
        Recompute::Only(ParamSet::of(&format!("{path}[0..{n}]"), Term::Binding(steps)))
    };
    let some: Vec<u64> = (1..*n).collect();
    some.iter().map(first).chain([Recompute::All]).collect()
}
