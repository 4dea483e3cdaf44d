//! A run that ended, or its folder: metrics, weights and text.

use std::path::{Path, PathBuf};

use data::Vocabulary;
use exec::checkpoint::load;
use exec::executor::Executor;
use exec::generate::{Request, Sampling, Session};
use exec::log::Row;
use exec::run_dir::{self, Ended};
use exec::train::Outcome;
use exec::weights::values;

use crate::error::Error;
use crate::job::{self, Loaded};

/// A run with its model in memory.
#[derive(Debug)]
pub struct Run {
    pub(crate) executor: Executor,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) folder: PathBuf,
    pub(crate) outcome: Outcome,
}

/// A weight with its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Its shape.
    pub shape: Vec<u64>,
    /// By rows.
    pub values: Vec<f32>,
}

/// The temperature of [`Run::generate`], as that of `llmc generate`.
const TEMPERATURE: f64 = 0.8;

impl Run {
    /// Loads the newest checkpoint of a run from its folder alone, on the CPU or the device that
    /// its spec names.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref().to_owned();
        let Loaded { executor, vocabulary, step, .. } = job::load(&folder, None, None)?;
        let outcome = match run_dir::outcome(&folder)? {
            Some(ended) => Outcome::Finished(ended),
            None => Outcome::Preempted { step, saved: false },
        };
        Ok(Self { executor, vocabulary, folder, outcome })
    }

    /// How it ended.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Whether it ended as planned, and how; `None` where it was stopped and can go on.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.outcome {
            Outcome::Finished(ended) => Some(ended),
            Outcome::Preempted { .. } => None,
        }
    }

    /// The optimizer step of the model.
    pub fn step(&self) -> u64 {
        match &self.outcome {
            Outcome::Finished(ended) => ended.step,
            Outcome::Preempted { step, .. } => *step,
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The steps of its checkpoints, ascending.
    pub fn checkpoints(&self) -> Vec<u64> {
        load::steps(&self.folder)
    }

    /// The metrics of all its steps, from the first start of the run on.
    pub fn metrics(&self) -> Result<Vec<Row>, Error> {
        Ok(exec::log::rows(&self.folder)?)
    }

    /// A weight by its path in the model: `blocks.0.attn.qkv.weight`.
    pub fn weights(&mut self, path: &str) -> Result<Weight, Error> {
        let plan = self.executor.plan();
        let id = plan.buffer(path).filter(|id| plan[*id].role == plan::Role::Param);
        let Some(id) = id else {
            return Err(Error::Usage(format!("the model has no weight `{path}`")));
        };
        let shape = plan[id].shape.clone();
        Ok(Weight { shape, values: values(&mut self.executor, id)? })
    }

    /// Writes on from a prompt: `length` tokens at most, the choices by `seed`.
    pub fn generate(&mut self, prompt: &str, length: u64, seed: u64) -> Result<String, Error> {
        let sampling = Sampling { temperature: TEMPERATURE, seed, ..Sampling::PLAIN };
        let mut text = String::new();
        let ends = self.vocabulary.end().into_iter().collect();
        let request = Request { length, sampling, stops: vec![], ends };
        self.write(prompt, &request, |piece| {
            text.push_str(piece);
            true
        })?;
        Ok(text)
    }

    /// The same in full: how tokens are chosen, what ends the text, and each piece of it as it is
    /// made; `give` says whether to go on.
    pub fn write(
        &mut self,
        prompt: &str,
        request: &Request,
        mut give: impl FnMut(&str) -> bool,
    ) -> Result<(), Error> {
        let ids = self.vocabulary.encode(prompt).map_err(|e| e.within("the prompt"));
        let mut session = Session::new(&mut self.executor, &self.vocabulary)?;
        session.read(&ids.map_err(exec::error::Error::from)?)?;
        session.write(request, &mut give)?;
        Ok(())
    }
}
