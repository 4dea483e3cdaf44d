//! The wish to stop: set by SIGINT and SIGTERM, read between steps.
//!
//! A thread waits for signals and sets a flag. Another signal ends the process at once, but not
//! within a second of the first: `timeout` and job schedulers signal a process and its group.
//! A dialogue has a wish of its own, to end one reply.

use std::{
    io,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

/// The exit code of a run that was asked to stop.
pub const PREEMPTED: i32 = 75;

/// The exit code of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Signals this close to the first are the same wish.
const SAME_WISH: Duration = Duration::from_secs(1);

/// A flag that training looks at after every step.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that SIGINT and SIGTERM set.
    pub fn on_signals() -> io::Result<Stop> {
        let stop = Stop::default();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let wish = stop.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut first: Option<Instant> = None;
            for _ in signals.forever() {
                if first.is_some_and(|at| at.elapsed() >= SAME_WISH) {
                    exit(PREEMPTED);
                }
                first.get_or_insert_with(Instant::now);
                wish.request();
            }
        })?;
        Ok(stop)
    }

    /// Asks for the end.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Nothing is under way that an interrupt could end but the program.
const IDLE: u8 = 0;
/// A reply is under way.
const REPLYING: u8 = 1;
/// It is to end.
const CAME: u8 = 2;

/// SIGINT in a dialogue: ends the reply that is under way, or else the program.
#[derive(Debug)]
pub struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Watches for SIGINT.
    pub fn watch() -> io::Result<Interrupt> {
        let state = Arc::new(AtomicU8::new(IDLE));
        let mut signals = Signals::new([SIGINT])?;
        let shared = Arc::clone(&state);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                let (from, to) = (REPLYING, CAME);
                let set = shared.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
                if set.is_err() {
                    exit(INTERRUPTED);
                }
            }
        })?;
        Ok(Interrupt(state))
    }

    /// A reply begins.
    pub fn begin(&self) {
        self.0.store(REPLYING, Ordering::Relaxed);
    }

    /// It has ended.
    pub fn end(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CAME
    }
}
