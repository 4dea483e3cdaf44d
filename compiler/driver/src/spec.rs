//! A spec as an embedder has it: text, a file, or what Rust code built.

use std::io::Read;
use std::path::{Path, PathBuf};

use build::Built;

use crate::checked::Checked;
use crate::error::Error;
use crate::front::uses::Files;
use crate::front::{Front, Request, base_of};

/// A spec that is not checked yet.
///
/// ```
/// let spec = llmc::Spec::from_text("tiny.lt", "train {\n  batsh 8\n  steps 10\n}");
/// let checked = spec.check()?;
/// let finding = checked.report().findings().find(|f| f.code == "E0203");
/// let finding = finding.expect("`batsh` is no directive");
/// assert_eq!((finding.line, finding.column), (2, 3));
/// # Ok::<(), llmc::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Spec {
    request: Request,
    base: PathBuf,
    out: Option<PathBuf>,
    built: Option<Built>,
}

impl Spec {
    /// A spec from its text. Messages call it `name`, and its run is called after that name
    /// without its ending; paths of data start at the working directory. It is one text: it has no
    /// files to `use`.
    pub fn from_text(name: impl Into<String>, text: impl Into<String>) -> Self {
        let request = Request { path: name.into(), text: text.into(), ..Request::default() };
        Self { request, base: PathBuf::from("."), out: None, built: None }
    }

    /// A spec from its file; paths of data start at the file's folder.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut spec = Self::from_text(path.to_string_lossy(), read(path)?);
        spec.request.files = Files::Below(base_of(path));
        Ok(spec.relative_to(base_of(path)))
    }

    /// A spec that Rust code built; messages point at the calls that built it.
    ///
    /// ```
    /// let built = llmc::build::Spec::new().train(|t| t.set("batsh", 8).set("steps", 10));
    /// let checked = llmc::Spec::built("tiny", &built).check()?;
    /// let finding = checked.report().findings().next().expect("`batsh` is no directive");
    /// assert!(finding.file.ends_with(".rs"));
    /// # Ok::<(), llmc::Error>(())
    /// ```
    pub fn built(name: impl Into<String>, spec: &build::Spec) -> Self {
        let built = spec.build();
        let text = built.text.clone();
        Self { built: Some(built), ..Self::from_text(name.into() + ".lt", text) }
    }

    /// The same with paths of data that start at `folder`.
    #[must_use]
    pub fn relative_to(self, folder: impl Into<PathBuf>) -> Self {
        Self { base: folder.into(), ..self }
    }

    /// The same with a directive set from outside, as `--set` does: `train.steps=20`.
    #[must_use]
    pub fn set(mut self, directive: impl Into<String>) -> Self {
        self.request.sets.push(directive.into());
        self
    }

    /// The same with a value for an argument that it declares with `arg`.
    #[must_use]
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.options.push((name.into(), Some(value.into())));
        self
    }

    /// The same for one of its jobs, in place of the last one.
    #[must_use]
    pub fn job(mut self, name: impl Into<String>) -> Self {
        self.request.job = Some(name.into());
        self
    }

    /// The same called `name`, after which its run is called.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        let path = Path::new(&self.request.path).with_file_name(name.into() + ".lt");
        self.request.path = path.to_string_lossy().into_owned();
        self
    }

    /// The same with a folder for its run, in place of `runs/NAME` or the one that it names.
    #[must_use]
    pub fn run_in(self, folder: impl Into<PathBuf>) -> Self {
        Self { out: Some(folder.into()), ..self }
    }

    /// The text of the language.
    pub fn text(&self) -> &str {
        &self.request.text
    }

    /// Checks everything that can be known before a run, with what the data hold.
    ///
    /// A spec that is wrong is no error of this call: the report says what is wrong with it.
    ///
    /// # Errors
    /// Data that are there and cannot be read.
    pub fn check(&self) -> Result<Checked, Error> {
        let mut front = Front::read(&self.request);
        if let Some(built) = self.built.as_ref().filter(|_| front.diagnostics.is_empty()) {
            front.diagnostics = built.faults(front.file, &front.spec);
        }
        let (checked, data) = front.check_with_data(&self.base)?;
        let places = self.built.as_ref().map(|built| built.places.clone());
        let (request, out) = (self.request.clone(), self.out.clone());
        Ok(Checked::new(front, checked, data, places, request, out))
    }
}

/// The text of a spec's file: regular, of limited size, UTF-8.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let io = |action, error| Error::Usage(exec::error::Error::io(action, path, error).to_string());
    let about = std::fs::metadata(path).map_err(|e| io("read", e))?;
    let shown = path.display();
    if !about.is_file() {
        return Err(Error::Usage(format!("{shown} is not a regular file")));
    }
    let limit = syntax::limits::FILE_BYTES as u64;
    if about.len() > limit {
        let size = about.len();
        return Err(Error::Usage(format!("{shown} has {size} bytes; a spec may have {limit}")));
    }
    let mut bytes = vec![];
    let file = std::fs::File::open(path).map_err(|e| io("open", e))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| io("read", e))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1;
        Error::Usage(format!("{shown}:{line}: byte {at} is not UTF-8; save the file as UTF-8"))
    })
}
