//! A device with a memory of its own, and the host's copy of that memory.
//!
//! Of every buffer it is known who has the newest bytes. What the host wrote goes over before the
//! next step; what a step may have written comes back when it is asked for. To read or change what
//! was not asked for is a bug of ours, and [`Memory`] asserts that nobody does. Nothing is copied
//! inside of a step.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Instant;

use plan::{Buffer, BufferId, Function, Launch, Plan, Role, Step};

use super::cpu::Memory;
use super::stretch::Bound;
use super::{Device, Wanted};
use crate::error::Error;

/// Bytes that are copied with others rather than starting another copy.
const GAP_BYTES: u64 = 4 << 10;

/// What runs the launches of a verified plan.
pub(crate) trait Accelerator: fmt::Debug {
    /// Writes bytes to these places of the arena, behind all steps so far.
    fn write(&mut self, parts: &[(u64, &[u8])]) -> Result<(), Error>;

    /// Reads bytes of the arena as all steps so far leave them.
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), Error>;

    /// As [`Device::begin`].
    fn begin(&mut self, function: &Function);

    /// Runs all blocks of a launch behind all steps so far; it may return before they ran.
    fn launch(&mut self, launch: &Bound) -> Result<(), Error>;

    /// Does the same for a stretch of launches, which is always the same one for an `id`.
    fn stretch(&mut self, _id: usize, launches: &[Bound]) -> Result<(), Error> {
        launches.iter().try_for_each(|launch| self.launch(launch))
    }

    /// Seconds that a launch takes from when all steps so far are done.
    fn time(&mut self, launch: &Bound) -> Result<f64, Error> {
        self.wait()?;
        let start = Instant::now();
        self.launch(launch)?;
        self.wait()?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// As [`Device::warning`].
    fn warning(&mut self) -> Option<String> {
        None
    }

    /// Returns when all steps so far are done.
    fn wait(&mut self) -> Result<(), Error>;
}

/// An accelerator and the host's copy of its memory.
#[derive(Debug)]
pub(crate) struct Mirrored<A> {
    accelerator: A,
    memory: Memory,
    buffers: Vec<Buffer>,
    /// For each buffer those that lie within it.
    pieces: Vec<Vec<BufferId>>,
    stretches: Vec<Stretch>,
    /// How many bytes each place of a buffer is further on, inside of tiles.
    shifts: Vec<u64>,
    iteration: u64,
}

/// Launches that follow each other.
#[derive(Debug)]
struct Stretch {
    launches: Vec<Bound>,
    /// The buffers that they may write.
    written: Vec<BufferId>,
}

impl<A: Accelerator> Mirrored<A> {
    /// Beside an accelerator that has loaded the plan.
    pub(crate) fn new(
        plan: &Plan,
        accelerator: A,
        stretches: Vec<Vec<Bound>>,
    ) -> Result<Self, Error> {
        let memory = Memory::mirror(plan)?;
        let mut pieces = vec![vec![]; plan.buffers.len()];
        for (id, buffer) in (0..).map(BufferId).zip(&plan.buffers) {
            if let Some(parent) = buffer.within {
                pieces[parent.0 as usize].push(id);
            }
        }
        let mut mirrored = Self {
            accelerator,
            memory,
            buffers: plan.buffers.clone(),
            pieces,
            stretches: vec![],
            shifts: vec![0; plan.buffers.len()],
            iteration: 0,
        };
        let stretch = |launches: Vec<Bound>| {
            let written = launches.iter().flat_map(|bound| mirrored.written(&bound.launch));
            let written: BTreeSet<BufferId> = written.collect();
            Stretch { launches, written: written.into_iter().collect() }
        };
        mirrored.stretches = stretches.into_iter().map(stretch).collect();
        Ok(mirrored)
    }

    /// Takes what the host wrote over to the device.
    fn send(&mut self) -> Result<(), Error> {
        let written = self.memory.take_written();
        if written.is_empty() {
            return Ok(());
        }
        let part = |id: &BufferId| {
            let range = range(&self.buffers[id.0 as usize]);
            (range.start, self.memory.range(range))
        };
        let parts: Vec<(u64, &[u8])> = written.iter().map(part).collect();
        self.accelerator.write(&parts)
    }

    /// What a launch may write: all that it names, inputs aside, which are the host's.
    fn written(&self, launch: &Launch) -> Vec<BufferId> {
        let named = launch.places().map(|arg| arg.buffer);
        let of_device = named.filter(|id| self.buffers[id.0 as usize].role != Role::Input);
        let all = of_device.flat_map(|id| [id].into_iter().chain(self.within(id)));
        all.collect()
    }

    fn within(&self, id: BufferId) -> impl Iterator<Item = BufferId> {
        self.pieces[id.0 as usize].iter().copied()
    }

    /// A launch as it is now, when the device has all that it reads.
    fn bind(&mut self, launch: &Launch, origin: &str) -> Result<Bound, Error> {
        self.send()?;
        for id in self.written(launch) {
            self.memory.moves_on(id);
        }
        Ok(Bound::new(launch, origin, self.iteration, |id| self.shifts[id.0 as usize]))
    }

    fn launch(&mut self, launch: &Launch, origin: &str) -> Result<(), Error> {
        let bound = self.bind(launch, origin)?;
        self.accelerator.launch(&bound)
    }

    fn make(&mut self, id: usize) -> Result<(), Error> {
        self.send()?;
        let Stretch { launches, written } = &self.stretches[id];
        written.iter().for_each(|&id| self.memory.moves_on(id));
        self.accelerator.stretch(id, launches)
    }

    fn receive(&mut self, wanted: Wanted<'_>) -> Result<(), Error> {
        // Gaps between buffers come with them, so nothing of the host's may wait there.
        self.send()?;
        let ids = (0..).map(BufferId).zip(&self.buffers);
        let wanted = ids.filter(|(id, buffer)| self.memory.is_behind(*id) && wanted(*id, buffer));
        let (ids, ranges): (Vec<BufferId>, Vec<Range<u64>>) =
            wanted.map(|(id, buffer)| (id, range(buffer))).unzip();
        for range in joined(ranges) {
            self.accelerator.read(range.start, self.memory.range_mut(range))?;
        }
        ids.into_iter().for_each(|id| self.memory.arrived(id));
        Ok(())
    }

    /// A device that failed has nothing newer: what the host has is what there is.
    fn settled<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            (0..self.buffers.len() as u32).for_each(|id| self.memory.arrived(BufferId(id)));
        }
        result
    }
}

fn range(buffer: &Buffer) -> Range<u64> {
    buffer.offset..buffer.offset + buffer.bytes
}

/// Ranges that cover the same, ascending; those with small gaps between them are one.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = vec![];
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end + GAP_BYTES => last.end = last.end.max(range.end),
            Some(_) | None => joined.push(range),
        }
    }
    joined
}

impl<A: Accelerator> Device for Mirrored<A> {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    fn fetch(&mut self, wanted: Wanted<'_>) -> Result<(), Error> {
        let result = self.receive(wanted);
        self.settled(result)
    }

    fn wait(&mut self) -> Result<(), Error> {
        let result = self.accelerator.wait();
        self.settled(result)
    }

    fn begin(&mut self, function: &Function) {
        self.accelerator.begin(function);
    }

    fn begin_iteration(&mut self, advance: &[(BufferId, u64)], iteration: u64) {
        for &(buffer, bytes) in advance {
            self.shifts[buffer.0 as usize] = bytes * iteration;
        }
        self.iteration = iteration;
    }

    fn stretch(&mut self, id: usize) -> Result<(), Error> {
        let result = self.make(id);
        self.settled(result)
    }

    fn time(&mut self, step: &Step) -> Result<f64, Error> {
        let Step::Launch { launch, origin } = step else {
            unreachable!("a plan for a GPU has grids only")
        };
        let result = self.bind(launch, origin).and_then(|bound| self.accelerator.time(&bound));
        self.settled(result)
    }

    fn warning(&mut self) -> Option<String> {
        self.accelerator.warning()
    }

    fn step(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Launch { launch, origin } => {
                let result = self.launch(launch, origin);
                self.settled(result)
            }
            Step::Kernel { .. }
            | Step::Product { .. }
            | Step::Attention { .. }
            | Step::Sort { .. } => unreachable!("a plan for a GPU has grids only"),
            Step::Loop { .. } | Step::Tiles { .. } | Step::Call(_) | Step::Yield(_) => {
                unreachable!("the executor makes what repeats, calls or yields")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use plan::{Arg, LaunchArg};

    use super::*;
    use crate::tiny;

    /// A device whose launches fill 8 bytes of every place with their number.
    #[derive(Debug)]
    struct Counting {
        arena: Vec<u8>,
        n_launches: u8,
        n_reads: u64,
        fails: bool,
    }

    impl Accelerator for Counting {
        fn write(&mut self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
            for (at, bytes) in parts {
                self.arena[*at as usize..][..bytes.len()].copy_from_slice(bytes);
            }
            Ok(())
        }

        fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), Error> {
            self.n_reads += 1;
            bytes.copy_from_slice(&self.arena[at as usize..][..bytes.len()]);
            Ok(())
        }

        fn begin(&mut self, _: &Function) {}

        fn launch(&mut self, bound: &Bound) -> Result<(), Error> {
            self.n_launches += 1;
            for arg in bound.launch.places() {
                let at = tiny::plan()[arg.buffer].offset + arg.offset;
                self.arena[at as usize..][..8].fill(self.n_launches);
            }
            if self.fails { Err(Error::Fault("lost".to_owned())) } else { Ok(()) }
        }

        fn wait(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    fn mirrored() -> Mirrored<Counting> {
        let plan = tiny::plan();
        let arena = vec![0; plan.arena_bytes as usize];
        let device = Counting { arena, n_launches: 0, n_reads: 0, fails: false };
        Mirrored::new(&plan, device, vec![]).unwrap()
    }

    fn id(name: &str) -> BufferId {
        tiny::plan().buffer(name).unwrap()
    }

    fn step(buffers: &[&str]) -> Step {
        let arg = |name: &&str| LaunchArg::Memory(Arg { buffer: id(name), offset: 0 });
        let args = buffers.iter().map(arg).collect();
        let launch = Launch { code: 0, args, blocks: 1, threads: 1, shared_bytes: 0, flops: 0 };
        Step::Launch { launch, origin: "here".to_owned() }
    }

    #[test]
    fn what_the_host_wrote_is_there_for_the_next_step() {
        let mut device = mirrored();
        device.memory_mut().i32_mut(id("ids")).fill(7);
        device.step(&step(&["loss"])).unwrap();
        let at = tiny::plan()[id("ids")].offset as usize;
        assert_eq!(device.accelerator.arena[at..at + 4], 7i32.to_le_bytes());
    }

    #[test]
    fn what_a_step_wrote_comes_when_it_is_asked_for() {
        let mut device = mirrored();
        device.step(&step(&["loss", "w"])).unwrap();
        device.fetch(&|_, buffer| buffer.role == Role::Metric).unwrap();
        assert_eq!(device.memory().bytes(id("loss")), [1; 8]);
        assert_eq!(device.accelerator.n_reads, 1);
        device.fetch(&|_, buffer| buffer.role == Role::Metric).unwrap();
        assert_eq!(device.accelerator.n_reads, 1, "nothing changed");
        let read = catch_unwind(AssertUnwindSafe(|| device.memory().bytes(id("w")).to_vec()));
        assert!(read.is_err(), "nobody asked for `w`");
        device.fetch(&|_, _| true).unwrap();
        assert_eq!(device.memory().bytes(id("w"))[..8], [1; 8]);
    }

    #[test]
    fn what_comes_with_others_does_not_undo_what_the_host_wrote() {
        let mut device = mirrored();
        let plan = tiny::plan();
        let [first, between, last] = ["loss", "tokens", "lr"].map(|name| plan[id(name)].offset);
        assert!(first < between && between < last);
        device.step(&step(&["loss", "lr"])).unwrap();
        device.memory_mut().f64_mut(id("tokens"))[0] = 5.0;
        device.fetch(&|_, buffer| buffer.role == Role::Metric).unwrap();
        assert_eq!(device.accelerator.n_reads, 1, "both at once");
        assert_eq!(device.memory().f64(id("tokens"))[0], 5.0);
    }

    #[test]
    fn a_device_that_fails_leaves_what_the_host_knew() {
        let mut device = mirrored();
        device.memory_mut().f64_mut(id("consumed_batches"))[0] = 3.0;
        device.accelerator.fails = true;
        assert!(device.step(&step(&["consumed_batches"])).is_err());
        assert_eq!(device.memory().f64(id("consumed_batches"))[0], 3.0);
    }

    #[test]
    fn neighbours_are_copied_at_once() {
        let far = 64 + GAP_BYTES;
        let ends = |ranges: Vec<Range<u64>>| {
            joined(ranges).into_iter().map(|r| (r.start, r.end)).collect::<Vec<_>>()
        };
        assert_eq!(ends(vec![far..far + 8, 0..64]), [(0, far + 8)]);
        assert_eq!(ends(vec![far + 1..far + 8, 0..64]), [(0, 64), (far + 1, far + 8)]);
        assert_eq!(ends(vec![0..64, 8..16]), [(0, 64)]);
        assert_eq!(ends(vec![]), []);
    }
}
