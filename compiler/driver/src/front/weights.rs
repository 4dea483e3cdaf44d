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
        let folder = self.run_folder(&origin, base)?;
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

    /// Where the run is; a job that cannot be read has none, and new weights would be no answer.
    fn run_folder(&self, origin: &Origin, base: &Path) -> Result<PathBuf, Box<Diagnostic>> {
        let name = match &origin.of {
            OriginOf::Folder(path) => return Ok(PathBuf::from(path)),
            OriginOf::Job(name) => name,
        };
        let wrong = |why: String| {
            let wrong = format!("the run of `{name}` is not known");
            let wrong = Diagnostic::new(Code::E0801, origin.span, wrong).primary(why);
            Box::new(wrong.help(format!("see what `llmc check .. {name}` says")))
        };
        let job = Some(Ident { text: name.clone(), span: origin.span });
        let broken = || wrong("that job has errors of its own".to_owned());
        let request = self
            .with_input(|input| sema::data_request(&sema::Input { job: job.as_ref(), ..*input }).0);
        let data = passes::plan_of::data_of(&request.ok_or_else(broken)?);
        let cache = crate::cache::of_user().map(|kept| kept.folder);
        let found = data::scan(&data, base, cache.as_deref());
        let facts = facts::of(&found.map_err(|error| wrong(error.to_string()))?.0);
        let program = self.with_input(|input| {
            sema::check(&sema::Input { job: job.as_ref(), ..*input }, Some(&facts)).0
        });
        Ok(super::run_folder(&program.ok_or_else(broken)?))
    }
}
