//! Threads that share the units of one step.
//!
//! Started once. A run hands out pieces by an atomic counter and allocates nothing; which thread
//! takes a piece never changes a result. A worker that is still asleep is not waited for, so more
//! threads than cores cost little.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::{self, JoinHandle, Thread};

/// Pieces for each thread, so that a slow one does not hold up the rest.
const PIECES: u64 = 4;
/// Looks at the state before a thread yields, then parks; none where threads outnumber cores.
const SPINS: u32 = 4000;
/// Yields before a thread parks.
const YIELDS: u32 = 8;
/// In the state word: workers inside in the low bits, then whether a job is open, then its number.
const OPEN: u64 = 1 << 16;
const INSIDE: u64 = OPEN - 1;
const NUMBER: u64 = 1 << 17;

/// The work of one run, borrowed from the caller for as long as the run lasts.
type Work = *const (dyn Fn(Range<u64>) + Sync);

/// What the workers read; written while no job is open and nobody is inside.
struct Job {
    work: Option<Work>,
    units: u64,
    piece: u64,
}

struct Shared {
    state: AtomicU64,
    next: AtomicU64,
    job: UnsafeCell<Job>,
    is_ending: AtomicBool,
    has_panicked: AtomicBool,
    is_parked: Vec<AtomicBool>,
    spins: u32,
}

// SAFETY: `job` is written by the caller while the job is closed and nobody is inside; the state
// word orders that against the workers, who read it only inside.
unsafe impl Sync for Shared {}
// SAFETY: as above; the work itself is `Sync`.
unsafe impl Send for Shared {}

/// A thread pool; the caller is one of its threads.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    threads: Vec<Thread>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &(self.workers.len() + 1)).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts the threads but one, which is the caller.
    pub fn new(threads: usize) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let n_workers = threads.clamp(1, 1 << 10) - 1;
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            next: AtomicU64::new(0),
            job: UnsafeCell::new(Job { work: None, units: 0, piece: 1 }),
            is_ending: AtomicBool::new(false),
            has_panicked: AtomicBool::new(false),
            is_parked: (0..n_workers).map(|_| AtomicBool::new(false)).collect(),
            spins: if n_workers < cores { SPINS } else { 0 },
        });
        // A machine that refuses a thread is served by fewer: results do not depend on it.
        let workers: Vec<JoinHandle<()>> = (0..n_workers)
            .map_while(|index| {
                let shared = Arc::clone(&shared);
                let name = format!("worker {index}");
                thread::Builder::new().name(name).spawn(move || shared.serve(index)).ok()
            })
            .collect();
        let threads = workers.iter().map(|w| w.thread().clone()).collect();
        Self { shared, workers, threads }
    }

    /// How many threads there are, the caller among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `work` over `0..units` in pieces of a multiple of `grain`, on all threads.
    ///
    /// Exclusive, so that no second run starts inside or beside it.
    pub fn run(&mut self, units: u64, grain: u64, work: &(dyn Fn(Range<u64>) + Sync)) {
        let grain = grain.max(1);
        if units == 0 {
            return;
        }
        if self.workers.is_empty() || units <= grain {
            return work(0..units);
        }
        let pieces = (self.workers.len() as u64 + 1) * PIECES;
        let piece = units.div_ceil(pieces).div_ceil(grain) * grain;
        let open = Opened::new(self, Job { work: Some(erase(work)), units, piece });
        let mut helpers = units.div_ceil(piece) - 1;
        for (thread, is_parked) in self.threads.iter().zip(&self.shared.is_parked) {
            if helpers > 0 && is_parked.swap(false, Ordering::AcqRel) {
                thread.unpark();
            }
            helpers = helpers.saturating_sub(1);
        }
        self.shared.take_pieces(work, units, piece);
        drop(open);
        assert!(!self.shared.has_panicked.load(Ordering::Acquire), "a worker thread panicked");
    }
}

impl Pool {
    /// Runs `work` once on each thread.
    pub fn on_each_thread(&mut self, work: &(dyn Fn() + Sync)) {
        let threads = self.threads() as u64;
        let arrived = AtomicU64::new(0);
        self.run(threads, 1, &|units| {
            for _ in units {
                // Nobody takes a second piece before the last thread has its first.
                arrived.fetch_add(1, Ordering::AcqRel);
                while arrived.load(Ordering::Acquire) < threads {
                    thread::yield_now();
                }
                work();
            }
        });
    }
}

/// Forgets the lifetime of the work: `Opened` waits for all who use it before it ends.
fn erase(work: &(dyn Fn(Range<u64>) + Sync)) -> Work {
    // SAFETY: only the lifetime changes; the pointer is used while the borrow lasts.
    unsafe { std::mem::transmute::<&(dyn Fn(Range<u64>) + Sync), Work>(work) }
}

/// An open job; closing it, also in a panic, waits until nobody is inside.
struct Opened<'p> {
    shared: &'p Shared,
}

impl<'p> Opened<'p> {
    fn new(pool: &'p Pool, job: Job) -> Self {
        let shared = &*pool.shared;
        // SAFETY: the last job is closed and nobody is inside, see `drop`; and the pool
        // is borrowed exclusively, so no other run opens a job.
        unsafe { *shared.job.get() = job }
        shared.next.store(0, Ordering::Relaxed);
        shared.state.fetch_add(NUMBER | OPEN, Ordering::SeqCst);
        // Orders the opening before the looks at who is parked, see `serve`.
        fence(Ordering::SeqCst);
        Self { shared }
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while self.shared.state.load(Ordering::Acquire) & INSIDE != 0 {
            looks += 1;
            if looks < self.shared.spins { std::hint::spin_loop() } else { thread::yield_now() }
        }
    }
}

impl Shared {
    fn take_pieces(&self, work: &(dyn Fn(Range<u64>) + Sync), units: u64, piece: u64) {
        loop {
            let from = self.next.fetch_add(piece, Ordering::Relaxed);
            if from >= units {
                return;
            }
            work(from..units.min(from + piece));
        }
    }

    /// The life of a worker.
    fn serve(&self, index: usize) {
        let mut seen = 0;
        loop {
            let state = self.wait(index, seen);
            if self.is_ending.load(Ordering::Acquire) {
                return;
            }
            let entered =
                self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed);
            if entered.is_err() {
                continue;
            }
            seen = state / NUMBER;
            let _inside = Inside(self);
            // SAFETY: inside an open job nobody writes it, and the work outlives the job.
            let (work, units, piece) = unsafe {
                let job = &*self.job.get();
                (job.work.map(|w| &*w), job.units, job.piece)
            };
            if let Some(work) = work {
                self.take_pieces(work, units, piece);
            }
        }
    }

    /// Waits for an open job that was not served yet, or for the end.
    fn wait(&self, index: usize, seen: u64) -> u64 {
        let mut looks = 0;
        loop {
            let state = self.state.load(Ordering::Acquire);
            let is_new = state & OPEN != 0 && state / NUMBER != seen;
            if is_new || self.is_ending.load(Ordering::Acquire) {
                self.is_parked[index].store(false, Ordering::Relaxed);
                return state;
            }
            looks += 1;
            if looks < self.spins {
                std::hint::spin_loop();
            } else if looks < self.spins + YIELDS {
                thread::yield_now();
            } else if looks == self.spins + YIELDS {
                // Looks once more after saying so: either this sees the job, or the opener sees
                // the flag.
                self.is_parked[index].store(true, Ordering::SeqCst);
                fence(Ordering::SeqCst);
            } else {
                thread::park();
                looks = 0;
            }
        }
    }
}

/// A worker inside a job; leaves also in a panic.
struct Inside<'s>(&'s Shared);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_panicked.store(true, Ordering::Release);
        }
        self.0.state.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::SeqCst);
        for thread in &self.threads {
            thread.unpark();
        }
        for worker in self.workers.drain(..) {
            // A panic of a worker was reported by the run that it happened in.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    use std::thread;

    use super::Pool;

    #[test]
    fn every_unit_runs_once() {
        for threads in [1, 2, 3, 8] {
            let mut pool = Pool::new(threads);
            for units in [0u64, 1, 2, 7, 64, 1000, 4097] {
                for grain in [1, 3, 64] {
                    let hits: Vec<AtomicU32> = (0..units).map(|_| AtomicU32::new(0)).collect();
                    pool.run(units, grain, &|range| {
                        assert!(range.start % grain == 0);
                        for unit in range {
                            hits[unit as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    });
                    assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn each_thread_gets_its_turn() {
        for threads in [1, 2, 3, 8] {
            let mut pool = Pool::new(threads);
            for _ in 0..20 {
                let seen = Mutex::new(vec![]);
                pool.on_each_thread(&|| seen.lock().unwrap().push(thread::current().id()));
                let mut seen = seen.into_inner().unwrap();
                seen.sort_by_key(|id| format!("{id:?}"));
                seen.dedup();
                assert_eq!(seen.len(), pool.threads());
            }
        }
    }

    #[test]
    fn runs_follow_each_other_quickly() {
        for threads in [2, 8] {
            let mut pool = Pool::new(threads);
            let sum = AtomicU64::new(0);
            for _ in 0..20_000 {
                pool.run(16, 1, &|range| {
                    sum.fetch_add(range.sum::<u64>(), Ordering::Relaxed);
                });
            }
            assert_eq!(sum.into_inner(), 20_000 * 120);
        }
    }
}
