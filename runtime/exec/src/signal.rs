//! The wish to stop: set by SIGINT and SIGTERM, read between steps.
//!
//! A thread waits for signals and sets a flag. Another signal ends the process at once, but not
//! within a second of the first: `timeout` and job schedulers signal a process and its group.

use std::{
    io,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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
