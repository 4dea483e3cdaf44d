//! The training loop: batches in, metrics out, samples and checkpoints between.
//!
//! In: a plan, its corpus, the run's folder (locked by the caller). Out: how the run ended.
//! Invariant: what the loop decides depends on counters that are saved, never on where the
//! process started, so a resumed run writes the bytes that an uninterrupted one writes.

pub mod bench;
mod feed;
mod names;
mod replay;
mod saving;
mod skips;
#[cfg(test)]
mod tests;

use data::{Corpus, Sequences};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use plan::{Plan, Role};

use crate::{
    checkpoint::{load, manifest::Best, start},
    error::Error,
    executor::{Executor, Options},
    finite,
    generate::{Request, Sampling, Session, Silent},
    log::{self, Cause, Log, Row},
    room,
    run_dir::{self, Ended, Failure},
    signal::Stop,
};
use feed::{Ahead, Feeder};
use names::{EvalNames, Names};
pub use saving::products;

/// What happens during a run, for the driver to show.
#[derive(Debug)]
pub enum Event {
    /// A fresh run starts; the number is that of the weights' elements.
    Started {
        /// Elements of all weights.
        parameters: u64,
    },
    /// A fresh run has weights of another one.
    Took {
        /// The checkpoint.
        from: PathBuf,
        /// How many tensors.
        n_taken: usize,
        /// Those that are new, each with why.
        fresh: Vec<String>,
    },
    /// A run goes on.
    Resumed {
        /// From this step.
        step: u64,
    },
    /// Something that does not stop the run.
    Warning(String),
    /// An optimizer step is done, or was skipped.
    Step(Row),
    /// A checkpoint is complete.
    Saved {
        /// Its step.
        step: u64,
        /// Its folder.
        path: PathBuf,
    },
    /// Text was sampled.
    Sample {
        /// At this step.
        step: u64,
        /// What was given.
        prompt: String,
        /// What followed.
        text: String,
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// As planned.
    Finished(Ended),
    /// On request; exit code 75.
    Preempted {
        /// After this step.
        step: u64,
        /// Whether a checkpoint of it exists.
        saved: bool,
    },
}

/// Where the events go.
pub type Report<'r> = &'r mut dyn FnMut(Event);

/// Trains from the newest checkpoint in `folder`, or from the start.
pub fn train(
    plan: Plan,
    corpus: &Corpus,
    folder: &Path,
    options: &Options,
    stop: &Stop,
    report: Report<'_>,
) -> Result<Outcome, Error> {
    room::check(&plan, options)?;
    let mut executor = Executor::load(plan, options)?;
    train_on(&mut executor, corpus, folder, stop, report)
}

/// The same on an executor that is loaded, which then has the state of the last step.
pub fn train_on(
    executor: &mut Executor,
    corpus: &Corpus,
    folder: &Path,
    stop: &Stop,
    report: Report<'_>,
) -> Result<Outcome, Error> {
    Training::start(executor, corpus, folder, report)?.run(stop, report)
}

/// What an evaluation found.
#[derive(Debug, Clone, Copy)]
struct Evaluated {
    /// The mean over target tokens.
    loss: f64,
    /// The share of labels that were found, where there are labels.
    accuracy: Option<f64>,
}

/// The later of two evaluations if it is better by more than `min_delta`, else the earlier.
fn better(earlier: Option<Best>, later: Best, min_delta: f64) -> Best {
    let is_better = |earlier: Best| later.val_loss < earlier.val_loss - min_delta;
    earlier.filter(|&earlier| !is_better(earlier)).unwrap_or(later)
}

/// A run under way.
struct Training<'t> {
    executor: &'t mut Executor,
    corpus: &'t Corpus,
    folder: &'t Path,
    names: Names,
    sequences: Sequences,
    /// Those of the evaluation, where there is a split for it.
    val_sequences: Option<Sequences>,
    ahead: Ahead,
    log: Log,
    /// Seconds of training before this process.
    earlier_s: f64,
    began: Instant,
    last_save: Instant,
    /// Whether the folder holds a checkpoint.
    has_saved: bool,
    failed_saves: u32,
    loss: Option<f64>,
    /// The last validation loss and its step.
    val: Option<Best>,
    best: Option<Best>,
    /// The last validation loss that was better by enough, for `early_stop`.
    improved: Option<Best>,
    /// The batch after which an earlier start ended, until this one comes further.
    failed_at: Option<u64>,
}

impl<'t> Training<'t> {
    fn start(
        executor: &'t mut Executor,
        corpus: &'t Corpus,
        folder: &'t Path,
        report: Report<'_>,
    ) -> Result<Training<'t>, Error> {
        let names = Names::of(executor.plan())?;
        let sequences = train_sequences(executor.plan(), corpus)?;
        let run = &executor.plan().run;
        let val_sequences = Sequences::new(corpus, "val", run.context, run.seed);
        let found = load::newest(folder)?;
        match &found {
            Some(found) => resume(executor, found, corpus, report)?,
            None => {
                init(executor, &names)?;
                start_from(executor, corpus, report)?;
                report(Event::Started { parameters: parameters(executor.plan()) });
            }
        }
        executor.refresh()?;
        let failure = run_dir::failure(folder)?;
        if let Some(failure) = &failure {
            report(Event::Warning(failure.to_string()));
        }
        let consumed = names.consumed(executor.memory());
        let (log, last) = Log::open(folder, consumed)?;
        let val = found
            .as_ref()
            .and_then(|f| Some(Best { step: f.manifest.step, val_loss: f.manifest.val_loss? }));
        let has_saved = found.is_some();
        let mut improved = None;
        if let Some(stop) = executor.plan().run.early_stop {
            for (step, val_loss) in log::evaluations(folder)? {
                improved = Some(better(improved, Best { step, val_loss }, stop.min_delta));
            }
        }
        Ok(Training {
            ahead: Ahead::new(executor, &names),
            executor,
            corpus,
            folder,
            names,
            sequences,
            val_sequences,
            log,
            earlier_s: last.as_ref().map_or(0.0, |row| row.seconds),
            began: Instant::now(),
            last_save: Instant::now(),
            has_saved,
            failed_saves: 0,
            loss: last.and_then(|row| row.loss),
            val,
            best: found.as_ref().and_then(|f| f.manifest.best),
            improved,
            failed_at: failure.map(|failure| failure.batch),
        })
    }

    fn seconds(&self) -> f64 {
        self.earlier_s + self.began.elapsed().as_secs_f64()
    }

    fn applied(&self) -> u64 {
        self.names.applied(self.executor.memory())
    }

    /// Steps until the run ends, for whatever reason; one of its own is noted for the next start.
    fn run(mut self, stop: &Stop, report: Report<'_>) -> Result<Outcome, Error> {
        let result = self.steps(stop, report);
        if let Err(error @ (Error::Diverged(_) | Error::Fault(_))) = &result {
            let batch = self.names.consumed(self.executor.memory());
            let failure = Failure { step: self.applied(), batch, error: error.to_string() };
            // The error itself matters more than a note of it.
            if let Err(error) = run_dir::fail(self.folder, &failure) {
                report(Event::Warning(error.to_string()));
            }
        }
        result
    }

    fn steps(&mut self, stop: &Stop, report: Report<'_>) -> Result<Outcome, Error> {
        let reason = loop {
            if let Some(reason) = self.reason_to_end() {
                break reason;
            }
            if stop.requested() {
                let saved = self.save_if_new(report)?;
                return Ok(Outcome::Preempted { step: self.applied(), saved });
            }
            self.step(report)?;
        };
        self.end(reason, report)
    }

    fn reason_to_end(&self) -> Option<&'static str> {
        let run = &self.executor.plan().run;
        let below = |limit: f64| self.val.is_some_and(|val| val.val_loss < limit);
        if self.applied() >= run.steps {
            Some("steps")
        } else if run.stop_below_val_loss.is_some_and(below) {
            Some("val_loss")
        } else if run.stop_after_s.is_some_and(|limit| self.seconds() >= limit) {
            Some("time")
        } else if self.is_stuck() {
            Some("early_stop")
        } else {
            None
        }
    }

    /// Whether the validation loss has not become better for as long as the run waits.
    fn is_stuck(&self) -> bool {
        let Some(stop) = self.executor.plan().run.early_stop else { return false };
        let (Some(improved), Some(val)) = (self.improved, self.val) else { return false };
        val.step - improved.step >= stop.patience
    }

    /// One optimizer step and what is due after it.
    fn step(&mut self, report: Report<'_>) -> Result<(), Error> {
        let before_s = self.seconds();
        self.update()?;
        if let Some(warning) = self.executor.warning() {
            report(Event::Warning(warning));
        }
        let memory = self.executor.memory();
        let mut row = self.names.row(memory)?;
        row.seconds = self.seconds();
        row.tokens_per_s = row.tokens as f64 / (row.seconds - before_s).max(1e-9);
        self.loss = row.loss;
        if let Some(cause) = row.cause {
            return self.skipped(row, cause, report);
        }
        if self.evaluation_due(row.step) {
            let found = self.evaluate(row.step, report)?;
            row.val_loss = found.map(|v| v.loss);
            row.val_accuracy = found.and_then(|v| v.accuracy);
        }
        self.log.add(&row)?;
        if self.failed_at.is_some_and(|batch| row.batch > batch) {
            run_dir::forget_failure(self.folder)?;
            self.failed_at = None;
        }
        let new_best = self.note_val(&row);
        report(Event::Step(row));
        self.samples(false, report)?;
        if !self.has_saved && self.executor.plan().run.checkpoint.is_some() {
            // A folder that cannot hold the state should be known now, not in an hour. Before the
            // first step the state is a function of the seed, and nothing would be lost.
            self.write_checkpoint(report)?;
        } else if self.save_due(new_best) {
            self.save(report)?;
        }
        Ok(())
    }

    /// A step that changed neither weights nor `step`: nothing that follows steps is due.
    fn skipped(&mut self, mut row: Row, cause: Cause, report: Report<'_>) -> Result<(), Error> {
        row.tensor = match cause {
            Cause::Empty => None,
            // The loss is finite, so the weights are.
            Cause::Overflow => self.first_bad(&[Role::Grad])?,
            Cause::Nonfinite => self.first_bad(&finite::WATCHED)?,
        };
        self.log.add(&row)?;
        report(Event::Step(row.clone()));
        let reason = self.reason_to_stop(&row, cause);
        // An overflow is what a scaler looks for; all else should not happen, or not happen again.
        let is_expected = match cause {
            Cause::Overflow => reason.is_none(),
            Cause::Nonfinite => false,
            Cause::Empty => true,
        };
        if reason.is_some() || !is_expected {
            self.log.sync()?;
        }
        if !is_expected {
            self.replay(&row)?;
        }
        match reason {
            None => Ok(()),
            Some(why) => {
                self.executor.fetch(&finite::WATCHED)?;
                Err(self.ends_with(&row, cause, &why))
            }
        }
    }

    /// The first tensor of these roles that is not finite, in the order of the roles.
    ///
    /// A device gives its tensors one by one, and none behind that one.
    fn first_bad(&mut self, roles: &[Role]) -> Result<Option<String>, Error> {
        for &role in roles {
            let ids: Vec<_> = finite::of_role(self.executor.plan(), role).map(|x| x.0).collect();
            for id in ids {
                self.executor.fetch_buffer(id)?;
                let buffer = &self.executor.plan()[id];
                if !finite::all_finite(buffer.dtype, self.executor.memory().bytes(id)) {
                    return Ok(Some(finite::title(buffer)));
                }
            }
        }
        Ok(None)
    }

    /// Calls the compiled step on the next batch.
    fn update(&mut self) -> Result<(), Error> {
        let Training { executor, names, corpus, sequences, ahead, .. } = self;
        let mut feeder = Feeder::new(executor, names, corpus, sequences, ahead);
        executor.call(names.step, &mut feeder)
    }

    fn evaluation_due(&self, step: u64) -> bool {
        let run = &self.executor.plan().run;
        run.eval.as_ref().is_some_and(|eval| {
            step == run.steps || (eval.every > 0 && step.is_multiple_of(eval.every))
        })
    }

    /// The mean loss over the validation split, summed in f64.
    ///
    /// At the last step it is the whole split, whatever the number of batches.
    fn evaluate(&mut self, step: u64, report: Report<'_>) -> Result<Option<Evaluated>, Error> {
        let run = &self.executor.plan().run;
        let (batch, micro_batch) = (run.batch, run.micro_batch);
        let limit = run.eval.as_ref().and_then(|eval| eval.batches);
        let limit = limit.filter(|_| step != run.steps).unwrap_or(u64::MAX);
        let Some(sequences) = &self.val_sequences else { return Ok(None) };
        let names = EvalNames::of(self.executor.plan())?;
        let n = sequences.n_all();
        let whole = n.div_ceil(batch);
        let batches = whole.min(limit);
        // Fewer batches than the split has are spread over all of it, whatever a micro-batch is.
        let start = |i: u64| if batches == whole { i * batch } else { i * n / batches };
        let rows = |i: u64| (start(i)..start(i) + batch).step_by(micro_batch as usize);
        let (mut loss, mut tokens, mut correct) = (0.0, 0.0, 0.0);
        for first in (0..batches).flat_map(rows).filter(|&first| first < n) {
            let inputs = [names.ids, names.targets];
            let [ids, targets] = self.executor.memory_mut().i32_pair_mut(inputs);
            sequences.fill_eval(self.corpus, first, ids, targets)?;
            self.executor.call(names.function, &mut Silent)?;
            loss += self.executor.memory().f64(names.loss_sum)[0];
            tokens += self.executor.memory().f64(names.tokens)[0];
            correct += names.correct.map_or(0.0, |id| self.executor.memory().f64(id)[0]);
        }
        if tokens == 0.0 {
            return Ok(None);
        }
        let val_loss = loss / tokens;
        if !val_loss.is_finite() {
            let what = format!("step {step}: the validation loss is not finite");
            report(Event::Warning(what));
            return Ok(None);
        }
        if let Some((plateau, input)) = self.names.plateau {
            self.executor.memory_mut().f64_mut(input)[0] = val_loss;
            self.executor.call(plateau, &mut Silent)?;
        }
        let accuracy = names.correct.map(|_| correct / tokens);
        Ok(Some(Evaluated { loss: val_loss, accuracy }))
    }

    /// Remembers a validation loss; true when it is the lowest so far.
    fn note_val(&mut self, row: &Row) -> bool {
        let Some(val_loss) = row.val_loss else { return false };
        let val = Best { step: row.step, val_loss };
        self.val = Some(val);
        if let Some(stop) = self.executor.plan().run.early_stop {
            self.improved = Some(better(self.improved, val, stop.min_delta));
        }
        let lowest = self.best.is_none_or(|best| val_loss < best.val_loss);
        if lowest {
            self.best = Some(val);
        }
        lowest
    }

    /// The samples that are due after a step, or at the end.
    fn samples(&mut self, at_end: bool, report: Report<'_>) -> Result<(), Error> {
        let step = self.applied();
        let seed = self.executor.plan().run.seed;
        for index in 0..self.executor.plan().run.samples.len() {
            let sample = &self.executor.plan().run.samples[index];
            let due = match sample.every {
                Some(every) => !at_end && every > 0 && step.is_multiple_of(every),
                None => at_end,
            };
            if !due {
                continue;
            }
            let sample = sample.clone();
            let vocabulary = self.corpus.vocabulary();
            let prompt = match sample.prompt {
                Some(prompt) => prompt,
                None => first_line(self.corpus)?,
            };
            let ids = vocabulary
                .encode(&prompt)
                .map_err(|unknown| unknown.within("the prompt of `sample`"))?;
            let plan::Sample { length, temperature, top_k, top_p, .. } = sample;
            let sampling = Sampling { temperature, top_k, top_p, seed, ..Sampling::PLAIN };
            let ends = vocabulary.end().into_iter().collect();
            let request = Request { length, sampling, stops: vec![], ends };
            let mut session = Session::new(self.executor, vocabulary)?;
            session.read(&ids)?;
            let mut text = String::new();
            let mut give = |piece: &str| {
                text.push_str(piece);
                true
            };
            session.write(&request, &mut give)?;
            report(Event::Sample { step, prompt, text });
        }
        Ok(())
    }

    /// The last checkpoint and samples of a run that ended as planned.
    fn end(&mut self, reason: &str, report: Report<'_>) -> Result<Outcome, Error> {
        self.save_if_new(report)?;
        self.samples(true, report)?;
        let step = self.applied();
        let last = self.folder.join(format!("step-{step}"));
        let ended = Ended {
            step,
            reason: reason.to_owned(),
            loss: self.loss,
            val_loss: self.val.map(|val| val.val_loss),
            checkpoint: load::manifest(&last).ok().map(|manifest| manifest.sha256),
        };
        self.log.sync()?;
        if self.executor.plan().run.checkpoint.is_some() {
            run_dir::finish(self.folder, &ended)?;
        }
        Ok(Outcome::Finished(ended))
    }
}

fn train_sequences(plan: &Plan, corpus: &Corpus) -> Result<Sequences, Error> {
    let run = &plan.run;
    let refuse = |why: String| Err(Error::BadData(why));
    if corpus.vocabulary().size() != run.vocab {
        let size = corpus.vocabulary().size();
        return refuse(format!("the data have {size} different tokens, the model {}", run.vocab));
    }
    let Some(sequences) = Sequences::new(corpus, "train", run.context, run.seed) else {
        return refuse("the data have no split `train`".to_owned());
    };
    if sequences.n_whole() == 0 {
        let (tokens, needed) = (corpus.n_tokens("train"), run.context + 1);
        return refuse(match run.data.pack {
            plan::Pack::Documents => format!(
                "the training split has {tokens} tokens; a context of {} needs {needed}",
                run.context
            ),
            plan::Pack::Rows => "the training split has no document".to_owned(),
        });
    }
    Ok(sequences)
}

fn resume(
    executor: &mut Executor,
    found: &load::Found,
    corpus: &Corpus,
    report: Report<'_>,
) -> Result<(), Error> {
    let plan = executor.plan().clone();
    for warning in &found.warnings {
        report(Event::Warning(warning.clone()));
    }
    if found.manifest.vocabulary != corpus.vocabulary().hash() {
        return Err(Error::checkpoint(&found.path, "it was trained with another vocabulary"));
    }
    let products = saving::products_of(&plan);
    let changes = [
        ("training program", found.manifest.trajectory != plan.run.trajectory),
        ("data", found.manifest.data != corpus.hash()),
        ("family of matrix products", found.manifest.products != products),
    ];
    for (what, _) in changes.into_iter().filter(|(_, changed)| *changed) {
        let message = format!("the {what} changed since step {}", found.manifest.step);
        if plan.run.exact_resume {
            return Err(not_exact(&found.path, &message));
        }
        report(Event::Warning(message));
    }
    load::restore(found, &plan, executor.memory_mut())?;
    report(Event::Resumed { step: found.manifest.step });
    Ok(())
}

/// What a run that promises the same bits cannot go on with.
pub fn not_exact(path: &Path, change: &str) -> Error {
    let way_out = "`resume auto` goes on with the change, `--out DIR` starts anew";
    Error::checkpoint(path, format!("`resume exact`: {change}; {way_out}"))
}

/// The first weights of a run.
fn init(executor: &mut Executor, names: &Names) -> Result<(), Error> {
    // Seeds beyond 32 bits lose their upper half here; the order of the data keeps it.
    let seed = executor.plan().run.seed as u32 as i32;
    executor.memory_mut().i32_mut(names.seed)[0] = seed;
    executor.call(names.init, &mut Silent)
}

/// Replaces the first weights by those of another run, where the plan says so.
fn start_from(executor: &mut Executor, corpus: &Corpus, report: Report<'_>) -> Result<(), Error> {
    let plan = executor.plan().clone();
    let Some(from) = &plan.run.start else { return Ok(()) };
    let vocabulary = corpus.vocabulary().hash();
    let start::Taken { n_taken, fresh } =
        start::take(from, &plan, &vocabulary, executor.memory_mut())?;
    report(Event::Took { from: from.checkpoint.clone().into(), n_taken, fresh });
    Ok(())
}

/// Elements of all weights.
fn parameters(plan: &Plan) -> u64 {
    let weights = plan.buffers.iter().filter(|b| b.role == plan::Role::Param);
    weights.map(|b| b.shape.iter().product::<u64>()).sum()
}

/// The first whole line of the validation split that is not empty, from its first tokens, or of its
/// first document.
fn first_line(corpus: &Corpus) -> Result<String, Error> {
    let split = if corpus.has_split("val") { "val" } else { "train" };
    let ids = corpus.first_tokens(split, 1000)?;
    let vocabulary = corpus.vocabulary();
    let roles = data::Role::ALL.map(|role| vocabulary.opening(role).unwrap_or_default());
    // Marks between texts are no text.
    let is_mark = |id: &u32| roles.iter().any(|ids| ids.as_slice() == [*id]);
    let has_documents = ids.iter().any(|id| Some(*id) == vocabulary.end());
    let mut parts = ids.split(|id| Some(*id) == vocabulary.end() || is_mark(id));
    let ids = parts.find(|part| !part.is_empty()).unwrap_or_default();
    let text = String::from_utf8_lossy(&vocabulary.decode(ids)).into_owned();
    // A split may begin inside a line, even inside a character.
    let cut = text.split_once('\n').filter(|_| !has_documents);
    let whole = cut.map_or(text.as_str(), |(_, rest)| rest);
    let line = whole.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    Ok(line.to_owned())
}
