//! A run of an embedder: watched by closures, stopped by them, left in a folder.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use exec::checkpoint::load;
use exec::executor::Executor;
use exec::log::Row;
use exec::run_dir::{Decision, Ended, OnChange};
use exec::signal::Stop;
use exec::train::{Event, Outcome, train_on};

use crate::budget::Watch;
use crate::compiled::Compiled;
use crate::error::Error;
use crate::job;
use crate::logs::Logs;
use crate::run::Run;

/// A closure that watches a run; breaking ends it.
type Watcher<'w> = Box<dyn FnMut(&Event) -> ControlFlow<()> + 'w>;

/// A run that is about to start; see [`Compiled::training`].
///
/// Nothing is printed and no signal is watched. Closures run on the thread of
/// [`Training::start`], between steps.
pub struct Training<'w> {
    compiled: &'w Compiled,
    watchers: Vec<Watcher<'w>>,
    threads: Option<usize>,
    /// What to do with another run in the folder, where not as the spec says.
    on_change: Option<OnChange>,
    stop: Stop,
}

impl fmt::Debug for Training<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Training").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl<'w> Training<'w> {
    pub(crate) fn new(compiled: &'w Compiled) -> Self {
        let (watchers, stop) = (vec![], Stop::default());
        Self { compiled, watchers, threads: None, on_change: None, stop }
    }

    /// Calls `watch` after every step with its metrics; breaking saves and ends the run.
    #[must_use]
    pub fn on_step(self, mut watch: impl FnMut(&Row) -> ControlFlow<()> + 'w) -> Self {
        self.on_event(move |event| {
            if let Event::Step(row) = event { watch(row) } else { ControlFlow::Continue(()) }
        })
    }

    /// Calls `watch` after every evaluation with its step and the validation loss.
    #[must_use]
    pub fn on_eval(self, mut watch: impl FnMut(u64, f64) -> ControlFlow<()> + 'w) -> Self {
        self.on_step(move |row| match row.val_loss {
            Some(loss) => watch(row.step, loss),
            None => ControlFlow::Continue(()),
        })
    }

    /// Calls `watch` after every checkpoint with its step and its folder.
    #[must_use]
    pub fn on_checkpoint(self, mut watch: impl FnMut(u64, &Path) -> ControlFlow<()> + 'w) -> Self {
        self.on_event(move |event| {
            let Event::Saved { step, path } = event else { return ControlFlow::Continue(()) };
            watch(*step, path)
        })
    }

    /// Calls `watch` for everything that happens.
    #[must_use]
    pub fn on_event(mut self, watch: impl FnMut(&Event) -> ControlFlow<()> + 'w) -> Self {
        self.watchers.push(Box::new(watch));
        self
    }

    /// Ends the run, with a checkpoint, once `stop` is requested: from another thread, or by
    /// signals where [`Stop::on_signals`] made it.
    #[must_use]
    pub fn stop_with(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// Uses so many threads, in place of one for each core. No number of threads changes a bit.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// Goes on with a run whose spec changed since, where its weights fit.
    #[must_use]
    pub fn resume(self) -> Self {
        Self { on_change: Some(OnChange::GoOn), ..self }
    }

    /// Trains to the end, from the newest checkpoint of the folder where there is one. A run that
    /// is finished is loaded as it is.
    ///
    /// # Errors
    /// A folder in use, a full disk, too little memory, numbers that are not finite: each has its
    /// exit code, see [`Error::exit_code`]. A run that was stopped is no error.
    pub fn start(mut self) -> Result<Run, Error> {
        let Compiled { checked, compiled, device, folder, .. } = self.compiled;
        let (_, corpus) = checked.data.as_ref().expect("a program that trains has data");
        let (train, plan) = (&compiled.train, &compiled.plan);
        let info = job::info(train, plan, corpus, &checked.front, &checked.request);
        let text = &checked.front.map.file(checked.front.file).text;
        let on_change = self.on_change.unwrap_or_else(|| job::on_change(&compiled.train));
        let folder = match on_change {
            OnChange::GoOn => &job::folder_of(folder, checked.out.as_deref(), &info)?,
            OnChange::Sibling | OnChange::Anew | OnChange::Refuse => folder,
        };
        let (decision, _lock) = job::open(folder, &info, on_change, corpus, &compiled.train, text)?;
        let dir = decision.folder().to_owned();
        let options = job::options(self.threads, *device);
        exec::room::check(&compiled.plan, &options)?;
        let mut executor = Executor::load(compiled.plan.clone(), &options)?;
        let outcome = match decision {
            Decision::Finished(_, ended) => finished(&mut executor, &dir, ended)?,
            Decision::Fresh(_) | Decision::Resume(..) | Decision::NewSibling(..) => {
                let stop = self.stop.clone();
                let mut logs = Logs::new(&compiled.train.logs, &dir)?;
                let mut watch = Watch::default();
                let watchers = &mut self.watchers;
                let mut tell = |event: &Event| {
                    // Every watcher sees every event, whoever wants to end the run.
                    let wishes = watchers.iter_mut().map(|watch| watch(event).is_break());
                    if wishes.fold(false, |ends, wish| ends | wish) {
                        stop.request();
                    }
                };
                let mut report = |event: Event| {
                    if let Event::Step(row) = &event {
                        let failures = logs.add(row);
                        failures.into_iter().for_each(|what| tell(&Event::Warning(what)));
                        if let Some(over) = watch.add(&compiled.train, row) {
                            tell(&Event::Warning(over.message));
                        }
                    }
                    tell(&event);
                };
                train_on(&mut executor, corpus, &dir, &self.stop, &mut report)?
            }
        };
        Ok(Run { executor, vocabulary: corpus.vocabulary().clone(), folder: dir, outcome })
    }
}

/// The state of a run that ended before.
fn finished(executor: &mut Executor, dir: &Path, ended: Ended) -> Result<Outcome, Error> {
    if let Some(found) = load::newest(dir)? {
        let plan = executor.plan().clone();
        load::restore(&found, &plan, executor.memory_mut())?;
        executor.refresh()?;
    }
    Ok(Outcome::Finished(ended))
}
