//! The checkpoint that a job starts from, found and read.

use std::path::{Path, PathBuf};

use diag::{Code, Diagnostic};
use exec::checkpoint::{FILES, start};
use sema::{Origin, OriginOf, Weights};
use syntax::ast::Ident;

use super::{Front, facts};

impl Front {
    /// What the job to run starts from; `None` where it makes its weights.
    pub(super) fn weights(&self, base: &Path) -> Result<Option<Weights>, Box<Diagnostic>> {
        let Some(origin) = self.origin() else { return Ok(None) };
        let Some(folder) = self.run_folder(&origin, base) else {
            // What is wrong with the other job is said with the rest of the spec.
            return Ok(None);
        };
        let found = start::find(&folder).map_err(|error| {
            let shown = folder.display();
            let wrong = format!("there is no run in {shown} to start from");
            let wrong = Diagnostic::new(Code::E0801, origin.span, wrong).primary(error.to_string());
            Box::new(wrong.help(match &origin.of {
                OriginOf::Job(name) => format!("train that job first: `llmc train .. {name}`"),
                OriginOf::Folder(_) => {
                    "paths of runs start at the folder that `llmc` runs in".into()
                }
            }))
        })?;
        let tensors = found.manifest.tensors.iter().filter(|t| t.file == FILES[0]);
        Ok(Some(Weights {
            checkpoint: found.path.display().to_string(),
            sha256: found.manifest.sha256.clone(),
            tensors: tensors.map(|t| (t.name.clone(), t.shape.clone())).collect(),
        }))
    }

    fn run_folder(&self, origin: &Origin, base: &Path) -> Option<PathBuf> {
        match &origin.of {
            OriginOf::Folder(path) => Some(PathBuf::from(path)),
            OriginOf::Job(name) => {
                let job = Some(Ident { text: name.clone(), span: origin.span });
                let request = self.with_input(|input| {
                    sema::data_request(&sema::Input { job: job.as_ref(), ..*input }).0
                })?;
                let cache = crate::cache::of_user().map(|kept| kept.folder);
                let data = passes::plan_of::data_of(&request);
                let (found, _) = data::scan(&data, base, cache.as_deref()).ok()?;
                let facts = facts::of(&found);
                let program = self.with_input(|input| {
                    sema::check(&sema::Input { job: job.as_ref(), ..*input }, Some(&facts)).0
                })?;
                Some(super::run_folder(&program))
            }
        }
    }
}
