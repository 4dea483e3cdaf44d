//! `log` lines: the rows of a run in files of the user's own.
//!
//! A file always holds what the run's own log holds up to its last row: it is written anew when a
//! run starts or goes on, so that nothing is in it twice and nothing that was taken back stays.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use exec::error::Error;
use exec::log::{Row, rows};
use sema::{LogForm, LogTo};
use serde_json::Value;

/// The columns of a table; norms by weight have no place in one.
const COLUMNS: [&str; 15] = [
    "step",
    "batch",
    "loss",
    "lr",
    "grad_norm",
    "clip_coef",
    "loss_scale",
    "skipped",
    "cause",
    "tokens",
    "tokens_per_s",
    "seconds",
    "val_loss",
    "val_accuracy",
    "noise_scale",
];

/// The files of a run.
#[derive(Debug)]
pub(crate) struct Logs {
    folder: PathBuf,
    files: Vec<One>,
}

#[derive(Debug)]
struct One {
    form: LogForm,
    path: PathBuf,
    every: u64,
    /// Open once there was a row; none again when it cannot be written.
    out: Option<File>,
    failed: bool,
}

impl Logs {
    /// The files that a spec asks for; `folder` is that of the run.
    ///
    /// # Errors
    /// A file in the folder of the run, or two logs in one file: nothing may be written over.
    pub(crate) fn new(logs: &[LogTo], folder: &Path) -> Result<Self, Error> {
        let mut files: Vec<One> = vec![];
        for log in logs {
            let Some((form, path)) = log.file.clone() else { continue };
            let (path, every) = (PathBuf::from(path), log.every.unwrap_or(1));
            let shown = path.display();
            if whole(&path).starts_with(whole(folder)) {
                let folder = folder.display();
                let why = "which only the run itself writes; name a file elsewhere";
                return Err(Error::Folder(format!("`log` names {shown} in {folder}, {why}")));
            }
            if files.iter().any(|file| whole(&file.path) == whole(&path)) {
                return Err(Error::Folder(format!("two `log` lines name {shown}")));
            }
            files.push(One { form, path, every, out: None, failed: false });
        }
        Ok(Self { folder: folder.to_owned(), files })
    }

    /// Writes a row to every file that it is due in; what fails is said once.
    pub(crate) fn add(&mut self, row: &Row) -> Vec<String> {
        let folder = &self.folder;
        let open = self.files.iter_mut().filter(|file| !file.failed);
        let failures = open.filter_map(|file| {
            let error = file.add(row, folder).err()?;
            file.failed = true;
            Some(format!("{error}; this log ends here"))
        });
        failures.collect()
    }
}

impl One {
    fn add(&mut self, row: &Row, folder: &Path) -> Result<(), Error> {
        let mut text = String::new();
        if self.out.is_none() {
            if let Some(parent) = self.path.parent().filter(|p| !p.as_os_str().is_empty()) {
                std::fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
            }
            let earlier = rows(folder)?;
            let file = File::create(&self.path).map_err(|e| Error::io("create", &self.path, e))?;
            self.out = Some(file);
            if self.form == LogForm::Csv {
                text.push_str(&format!("{}\n", COLUMNS.join(",")));
            }
            for row in earlier.iter().filter(|old| old.batch < row.batch) {
                self.push(row, &mut text);
            }
        }
        self.push(row, &mut text);
        let Some(out) = &mut self.out else { return Ok(()) };
        out.write_all(text.as_bytes()).map_err(|e| Error::io("write", &self.path, e))
    }

    fn push(&self, row: &Row, text: &mut String) {
        if row.step.is_multiple_of(self.every) {
            text.push_str(&line(self.form, row));
            text.push('\n');
        }
    }
}

/// A path without links and `..`, as far as it is there.
fn whole(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new(".")).canonicalize();
    match (parent, path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        (Ok(_) | Err(_), _) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// A row as a line.
fn line(form: LogForm, row: &Row) -> String {
    let known = "a row has names as keys";
    match form {
        LogForm::Jsonl => serde_json::to_string(row).expect(known),
        LogForm::Csv => {
            let row = serde_json::to_value(row).expect(known);
            COLUMNS.map(|column| cell(&row[column])).join(",")
        }
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
