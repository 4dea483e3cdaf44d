//! Finds the tasks that run together on chunks of rows.

use std::collections::{BTreeMap, BTreeSet};

use ir::kernel::Kernel;
use ir::schedule::{Arg, BufferId, Schedule, Task};

use super::cut::{Access, Axis, Cut, Effect, cuts};
use super::split::split;
use super::touch::{Touch, conflict, moved, overlap, touches};
use super::{Candidate, is_temporary};

/// The tasks of a loop, and what they do to their buffers.
pub(super) struct Found {
    /// Tasks of the loop and the axis of each.
    pub(super) axes: BTreeMap<usize, Axis>,
    /// The order in which they run.
    pub(super) order: Vec<usize>,
    /// Tasks among them that run behind the loop.
    pub(super) behind: BTreeSet<usize>,
    /// Buffers that are as large as one chunk; elements of a row.
    pub(super) local: BTreeMap<BufferId, u64>,
    /// Elements that the others move on with each chunk; 0 for those that stay.
    pub(super) advance: BTreeMap<BufferId, u64>,
    /// Temporaries as wide as the result that stay whole, and why.
    pub(super) whole: BTreeMap<BufferId, String>,
}

/// Why there is no loop.
pub(super) enum Blocked {
    /// In words.
    By(String),
    /// A task stands before and behind it; it can be taken apart into these.
    Mixed(usize, Box<[(Kernel, Vec<Arg>); 2]>),
}

/// Looks for the tasks; every buffer as wide as the result of the product is to be
/// as large as a chunk too, as far as that goes.
pub(super) struct Search<'s> {
    schedule: &'s Schedule,
    tasks: &'s [Task],
    touches: Vec<Vec<Touch>>,
    rows: u64,
    chunk: u64,
    producer: usize,
    result: BufferId,
    chosen: BTreeMap<usize, Cut>,
    advance: BTreeMap<BufferId, u64>,
    /// The last wide buffer whose tasks were added.
    taken: Option<BufferId>,
    /// Wide buffers that stay whole, and why.
    whole: BTreeMap<BufferId, String>,
}

impl<'s> Search<'s> {
    /// The tasks around the result of a candidate, or why there is no loop.
    pub(super) fn run(
        schedule: &'s Schedule,
        function: usize,
        candidate: &Candidate,
    ) -> Result<Found, Blocked> {
        let tasks = &schedule.functions[function].tasks;
        let all = tasks.iter().map(|task| touches(schedule, task)).collect();
        let mut search = Search {
            schedule,
            tasks,
            touches: all,
            rows: candidate.rows,
            chunk: candidate.chunk,
            producer: candidate.producer,
            result: candidate.result,
            chosen: BTreeMap::new(),
            advance: BTreeMap::new(),
            taken: None,
            whole: BTreeMap::new(),
        };
        loop {
            search.chosen.clear();
            search.advance.clear();
            search.taken = None;
            let why = match search.grow() {
                Ok(found) => return Ok(Found { whole: search.whole, ..found }),
                Err(Blocked::By(why)) => why,
                Err(Blocked::Mixed(task, parts)) => return Err(Blocked::Mixed(task, parts)),
            };
            // Without the readers of the last wide buffer there may be a loop.
            match search.taken {
                Some(buffer) => search.whole.insert(buffer, why),
                None => return Err(Blocked::By(why)),
            };
        }
    }

    fn grow(&mut self) -> Result<Found, Blocked> {
        self.add(self.producer).map_err(Blocked::By)?;
        while let Some(at) = self.missing() {
            self.add(at).map_err(|why| self.mixed(at).unwrap_or(Blocked::By(why)))?;
        }
        self.rows_are_apart().map_err(Blocked::By)?;
        let axes = self.chosen.iter().map(|(&at, cut)| (at, cut.axis)).collect();
        let (behind, local) = (self.behind(), self.local());
        let (advance, whole) = (self.advance.clone(), BTreeMap::new());
        let order = self.order(&local);
        Ok(Found { axes, order, behind, local, advance, whole })
    }

    /// A task that the loop needs: one that touches what is to be as large as a chunk, or one that
    /// has to run behind one of the loop and before another one.
    fn missing(&mut self) -> Option<usize> {
        if let Some(at) = self.touching(self.result) {
            return Some(at);
        }
        if let Some(at) = self.between() {
            return Some(at);
        }
        let written: BTreeSet<BufferId> = self.written().collect();
        let is_open = |b: &BufferId| self.is_wide(*b) && !self.whole.contains_key(b);
        let next = written.into_iter().filter(is_open).find_map(|b| Some((b, self.touching(b)?)));
        let (buffer, at) = next?;
        self.taken = Some(buffer);
        Some(at)
    }

    /// A task outside that touches a buffer.
    fn touching(&self, buffer: BufferId) -> Option<usize> {
        let touches = |at: usize| self.touches[at].iter().any(|t| t.buffer == buffer);
        (0..self.tasks.len()).find(|&at| touches(at) && !self.chosen.contains_key(&at))
    }

    /// Adds a task to the loop, cut so that every buffer moves on as for the tasks before.
    fn add(&mut self, at: usize) -> Result<(), String> {
        let fits = |cut: &Cut| {
            let agrees = |access: &Access| {
                let known = self.advance.get(&access.arg.buffer);
                known.is_none_or(|&by| by == access.advance)
            };
            let mut own = BTreeMap::new();
            let agrees_with_itself = |access: &Access| {
                *own.entry(access.arg.buffer).or_insert(access.advance) == access.advance
            };
            cut.accesses.iter().all(agrees)
                && cut.accesses.iter().all(agrees_with_itself)
                && cut.accesses.iter().any(|access| access.advance > 0)
        };
        let task = &self.tasks[at];
        let all = cuts(self.schedule, task, self.rows, self.chunk);
        let is_first = at == self.producer;
        let found = all.into_iter().find(|cut| (!is_first || cut.axis == Axis::M) && fits(cut));
        let cut = found.ok_or_else(|| format!("{} does not walk its rows", self.name(at)))?;
        for access in &cut.accesses {
            self.advance.insert(access.arg.buffer, access.advance);
        }
        self.chosen.insert(at, cut);
        Ok(())
    }

    /// A task in the way that does two things, one before the loop and one behind it.
    fn mixed(&self, at: usize) -> Option<Blocked> {
        let behind = self.behind();
        let late = |&other: &usize| self.chosen.contains_key(&other) || behind.contains(&other);
        let earlier: Vec<usize> = (0..at).filter(late).collect();
        let is_late = |arg: Arg| {
            let writes = |t: &Touch| t.buffer == arg.buffer && t.writes;
            earlier.iter().any(|&other| self.touches[other].iter().any(writes))
        };
        let parts = split(self.schedule, &self.tasks[at], is_late)?;
        Some(Blocked::Mixed(at, Box::new(parts)))
    }

    fn name(&self, at: usize) -> String {
        match &self.tasks[at] {
            Task::Kernel { kernel, origin, .. } => {
                format!("kernel {kernel} `{}` of {origin}", self.schedule.kernels[*kernel].name)
            }
            Task::Product { origin, .. } => format!("a product of {origin}"),
            Task::Attention { origin, .. } => format!("the attention of {origin}"),
            Task::Sort { .. } => "a sort".to_owned(),
            Task::Tiles { .. } => "another loop".to_owned(),
        }
    }

    /// Whether the loop writes a temporary whose rows are as long as those of the result.
    fn is_wide(&self, buffer: BufferId) -> bool {
        let width = |buffer| self.advance.get(&buffer).copied().unwrap_or(0) / self.chunk;
        let about = &self.schedule.buffers[buffer.0 as usize];
        is_temporary(about) && width(buffer) >= width(self.result)
    }

    fn written(&self) -> impl Iterator<Item = BufferId> {
        self.accesses().filter(|(_, a)| a.effect != Effect::Reads).map(|(_, a)| a.arg.buffer)
    }

    fn accesses(&self) -> impl Iterator<Item = (usize, &Access)> {
        self.chosen.iter().flat_map(|(&at, cut)| cut.accesses.iter().map(move |a| (at, a)))
    }

    /// Tasks outside that have to run behind one of the loop, as far as its last one.
    fn behind(&self) -> BTreeSet<usize> {
        let mut late: Vec<usize> = vec![];
        let mut behind = BTreeSet::new();
        let [Some((&first, _)), Some((&last, _))] =
            [self.chosen.first_key_value(), self.chosen.last_key_value()]
        else {
            return behind;
        };
        for at in first..=last {
            let is_late = || late.iter().any(|&l| conflict(&self.touches[l], &self.touches[at]));
            if self.chosen.contains_key(&at) {
                late.push(at);
            } else if is_late() {
                late.push(at);
                behind.insert(at);
            }
        }
        behind
    }

    /// A task outside that has to run behind one of the loop and before another one.
    fn between(&self) -> Option<usize> {
        self.behind().into_iter().find(|&at| {
            let follows =
                |&other: &usize| other > at && conflict(&self.touches[at], &self.touches[other]);
            self.chosen.keys().any(follows)
        })
    }

    /// Whether each iteration touches, of what the loop writes, nothing that another one does.
    fn rows_are_apart(&self) -> Result<(), String> {
        for (writer, write) in self.accesses().filter(|(_, a)| a.effect != Effect::Reads) {
            for (other, access) in self.accesses() {
                if access.arg.buffer != write.arg.buffer {
                    continue;
                }
                let is_apart = match (write.effect, access.effect) {
                    (Effect::Writes, Effect::Reads | Effect::Writes) => {
                        self.is_one_row(write) && self.is_one_row(access)
                    }
                    (Effect::Reads, _) => true,
                    // Nothing else in the loop may see a sum that is under way.
                    (Effect::Adds | Effect::WritesBlocks, _)
                    | (Effect::Writes, Effect::Adds | Effect::WritesBlocks) => {
                        let [x, y] = [write, access].map(|a| moved(a.row.clone(), a.arg));
                        let is_same = writer == other && access.effect == write.effect;
                        is_same || (write.advance == 0 && !overlap(&x, &y))
                    }
                };
                if !is_apart {
                    return Err(format!("{} touches other rows", self.name(other)));
                }
            }
        }
        Ok(())
    }

    /// Whether what is touched for a row are elements of that row, the first for the first.
    fn is_one_row(&self, access: &Access) -> bool {
        let row = moved(access.row.clone(), access.arg);
        let width = (access.advance / self.chunk).cast_signed();
        0 <= row.start && row.end <= width
    }

    /// The tasks of the loop, those that leave the least for others of the loop first, as far as
    /// they may: what reads a chunk is done when a last one writes over it.
    fn order(&self, local: &BTreeMap<BufferId, u64>) -> Vec<usize> {
        let leaves = |at: usize| -> u64 {
            let cut = &self.chosen[&at];
            let written = cut.accesses.iter().filter(|a| a.effect != Effect::Reads);
            written.filter_map(|a| local.get(&a.arg.buffer)).sum()
        };
        let mut left: Vec<usize> = self.chosen.keys().copied().collect();
        let mut order = vec![];
        while !left.is_empty() {
            let waits = |&at: &usize| {
                let earlier = left.iter().take_while(|&&other| other < at);
                earlier.into_iter().any(|&o| conflict(&self.touches[o], &self.touches[at]))
            };
            let ready = left.iter().copied().filter(|at| !waits(at));
            let next = ready.min_by_key(|&at| (leaves(at), at)).expect("the first one is ready");
            left.retain(|&at| at != next);
            order.push(next);
        }
        order
    }

    /// Temporaries that nothing outside touches, with the elements of a row.
    fn local(&self) -> BTreeMap<BufferId, u64> {
        let mut rows = BTreeMap::new();
        for (_, access) in self.accesses().filter(|(_, a)| a.effect == Effect::Writes) {
            let buffer = access.arg.buffer;
            let about = &self.schedule.buffers[buffer.0 as usize];
            let width = access.advance / self.chunk;
            let is_whole = about.bytes() == self.rows * width * about.dtype.bytes();
            let touches = |at: usize| self.touches[at].iter().any(|t| t.buffer == buffer);
            let is_inside =
                (0..self.tasks.len()).all(|at| self.chosen.contains_key(&at) || !touches(at));
            if is_temporary(about) && is_whole && is_inside {
                rows.insert(buffer, width);
            }
        }
        rows
    }
}
