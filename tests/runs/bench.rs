//! Plans that run whole in the test's own process, and what is left of them.

use data::{Corpus, scan};
use exec::error::Error;
use exec::executor::Options;
use exec::log::Row;
use exec::signal::Stop;
use exec::train::{Event, Outcome, train};
use plan::Plan;

use crate::folder::Folder;

/// A folder with a text, and what runs in it.
pub(crate) struct Bench {
    pub(crate) folder: Folder,
    corpus: Corpus,
}

/// What a run left.
pub(crate) struct Left {
    pub(crate) result: Result<Outcome, Error>,
    /// Every step, times cut out.
    pub(crate) rows: Vec<Row>,
    pub(crate) warnings: Vec<String>,
}

impl Left {
    /// The hash of the last checkpoint of a run that finished.
    pub(crate) fn hash(&self) -> String {
        match &self.result {
            Ok(Outcome::Finished(ended)) => ended.checkpoint.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The exit code and the text of a run that did not.
    pub(crate) fn error(&self) -> (u8, String) {
        let error = self.result.as_ref().expect_err("the run ends early");
        (error.exit_code(), error.to_string())
    }
}

impl Bench {
    pub(crate) fn new(name: &str, plan: &Plan) -> Self {
        let folder = Folder::new(name);
        let (_, corpus) = scan(&plan.run.data, &folder.at(""), None).unwrap();
        Self { folder, corpus }
    }

    /// Trains in a folder to the end of the run.
    pub(crate) fn train(&self, plan: Plan, run: &str) -> Left {
        self.train_until(plan, run, u64::MAX)
    }

    /// Trains until so many batches are consumed, and asks it to stop then.
    pub(crate) fn train_until(&self, plan: Plan, run: &str, batch: u64) -> Left {
        let dir = self.folder.at(run);
        std::fs::create_dir_all(&dir).unwrap();
        let (mut rows, mut warnings) = (vec![], vec![]);
        let stop = Stop::default();
        let mut report = |event: Event| match event {
            Event::Step(row) => {
                if row.batch == batch {
                    stop.request();
                }
                rows.push(Row { tokens_per_s: 0.0, seconds: 0.0, ..row });
            }
            Event::Warning(text) => warnings.push(text),
            Event::Started { .. }
            | Event::Took { .. }
            | Event::Resumed { .. }
            | Event::Saved { .. }
            | Event::Sample { .. } => {}
        };
        let options = Options::threads(1);
        let result = train(plan, &self.corpus, &dir, &options, &stop, &mut report);
        Left { result, rows, warnings }
    }
}
