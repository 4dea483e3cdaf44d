//! A checked spec, with what there is to say of it, on its way to a plan.

use std::path::{Path, PathBuf};

use build::Places;
use data::Corpus;
use diag::Diagnostic;
use sema::{Facts, Program, Setting};

use crate::budget::known;
use crate::compile::compile_within;
use crate::compiled::Compiled;
use crate::error::Error;
use crate::front::{self, Front, Request};
use crate::job;
use crate::machine::Site;
use crate::report::Report;

/// A spec that was checked.
#[derive(Debug)]
pub struct Checked {
    pub(crate) front: Front,
    pub(crate) program: Option<Program>,
    pub(crate) data: Option<(Facts, Corpus)>,
    pub(crate) request: Request,
    pub(crate) out: Option<PathBuf>,
    places: Option<Places>,
    found: Vec<Diagnostic>,
    report: Report,
}

impl Checked {
    pub(crate) fn new(
        front: Front,
        checked: front::Checked,
        data: Option<(Facts, Corpus)>,
        places: Option<Places>,
        request: Request,
        out: Option<PathBuf>,
    ) -> Self {
        let front::Checked { program, diagnostics: found } = checked;
        let report = Report::default();
        let mut checked = Self { front, program, data, request, out, places, found, report };
        checked.report = checked.report_with(&[]);
        checked
    }

    /// Everything there is to say of the spec.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether it can be compiled: there is a training job and no error.
    pub fn is_ready(&self) -> bool {
        self.program.is_some()
    }

    /// What every directive came out as, and why; empty where there is an error.
    pub fn settings(&self) -> &[Setting] {
        self.program.as_ref().map_or(&[], |program| &program.train.settings)
    }

    /// Compiles it for the device that it names, or the CPU.
    ///
    /// # Errors
    /// The report, when the spec has an error, or does not fit the memory.
    pub fn compile(mut self) -> Result<Compiled, Error> {
        let Some(mut program) = self.program.take() else {
            return Err(if self.report.has_errors() {
                Error::Spec(self.report)
            } else {
                Error::Usage("the spec has no `train` block, so there is nothing to run".to_owned())
            });
        };
        let folder = job::folder(&program, self.out.as_deref());
        job::keep_micro_batch(&mut program.train, &folder);
        let map = &self.front.map;
        let (site, device) = Site::of_program(None, &program.train, map)?;
        let facts = self.data.as_ref().map(|(facts, _)| facts);
        match compile_within(&program, map, facts, site.room, site.back_end) {
            Ok(mut done) => {
                site.settle(&mut done.train);
                done.warnings.extend(known(&done.train, &folder));
                self.report = self.report_with(&self.front.settle(done.warnings.clone()));
                Ok(Compiled { checked: self, compiled: done, site, device, folder })
            }
            Err(diagnostics) => Err(Error::Spec(self.report_with(&diagnostics))),
        }
    }

    /// What was found and some more, at the places of the caller's sources.
    fn report_with(&self, more: &[Diagnostic]) -> Report {
        let map = &self.front.map;
        let diagnostics: Vec<Diagnostic> = self.found.iter().chain(more).cloned().collect();
        let (map, diagnostics) = match &self.places {
            None => (map.clone(), diagnostics),
            Some(places) => places.relocate(map, self.front.file, &diagnostics, &mut rust_source),
        };
        Report { map, diagnostics }
    }
}

/// The text of a Rust source by the path that the compiler gave it: from the working directory, or
/// from a folder above it, since packages of a workspace are tested in their own folders.
fn rust_source(path: &str) -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let found = here.ancestors().map(|folder| folder.join(path)).find(|path| path.is_file())?;
    std::fs::read_to_string(Path::new(&found)).ok()
}
