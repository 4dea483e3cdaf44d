//! The front end in one place: sources, overrides, the data's facts, the check.

mod facts;
mod missing;
mod unfit;
pub mod uses;
mod weights;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data::{Corpus, scan};
use diag::lints::{Allow, Flags, Scope, idle};
use diag::{Diagnostic, FileId, Level, SourceMap, Span};
use exec::error::Error;
use sema::{CliOption, DataSource, Facts, Import, Input, Interface, Origin, Override, Program};
use syntax::ast::{Ident, Spec};

use uses::Files;

/// A text to read as a spec, and what the command line says to it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The path that messages call it by, and that its `use` lines start from.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The texts of `--set`.
    pub sets: Vec<String>,
    /// Values of its arguments, by name: `--peak 1e-3`.
    pub options: Vec<(String, Option<String>)>,
    /// The job to run; the last one without.
    pub job: Option<String>,
    /// Where the files are that it uses.
    pub files: Files,
    /// The variables that its strings may name; those of the process without.
    pub environment: Option<Vec<(String, String)>>,
}

/// A parsed spec with its overrides and the standard library.
#[derive(Debug)]
pub struct Front {
    /// All texts that spans point into.
    pub map: SourceMap,
    /// The stem of the spec's file.
    pub name: String,
    /// The spec's text.
    pub file: FileId,
    /// The spec.
    pub spec: Arc<Spec>,
    /// Variables of the environment that its strings name.
    pub environment: Vec<(String, String)>,
    /// The texts of the files that it uses, by their path from its folder.
    pub texts: std::collections::BTreeMap<String, String>,
    overrides: Vec<Override>,
    options: Vec<CliOption>,
    imports: Vec<Import>,
    job: Option<Ident>,
    std: Vec<Arc<Spec>>,
    /// What the parser said.
    pub diagnostics: Vec<Diagnostic>,
    /// What the command line says of lints.
    pub flags: Flags,
}

/// The outcome of a check.
#[derive(Debug)]
pub struct Checked {
    /// The program, when there is no error.
    pub program: Option<Program>,
    /// Everything there is to say.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// Whether an error was found.
    pub fn has_errors(&self) -> bool {
        has_errors(&self.diagnostics)
    }
}

impl Front {
    /// Parses a spec called `path` and the texts of `--set`; it is a text alone and uses no files.
    pub fn parse(path: &str, text: &str, sets: &[String]) -> Self {
        let (path, text, sets) = (path.to_owned(), text.to_owned(), sets.to_vec());
        Self::read(&Request { path, text, sets, ..Request::default() })
    }

    /// Parses a spec, the files that it uses and what the command line says.
    pub fn read(request: &Request) -> Self {
        let mut map = SourceMap::new();
        let file = map.add(&request.path, &request.text);
        let (spec, mut diagnostics) = syntax::parse(&map, file);
        let mut std = vec![];
        for source in stdlib::SOURCES {
            let file = map.add(source.name, source.text);
            let (spec, faults) = syntax::parse(&map, file);
            assert!(faults.is_empty(), "the standard library parses: {faults:?}");
            std.push(spec);
        }
        let path = Path::new(&request.path);
        let uses::Used { imports, texts, diagnostics: faults } =
            uses::read(&mut map, &request.files, path, &spec);
        diagnostics.extend(faults);
        let mut overrides = vec![];
        for set in &request.sets {
            let (parsed, faults) = Override::parse(&mut map, set);
            overrides.extend(parsed);
            diagnostics.extend(faults);
        }
        let options = request.options.iter();
        let options =
            options.map(|(name, value)| CliOption::parse(&mut map, name, value.as_deref()));
        let options = options.collect();
        let job = request.job.as_ref().map(|job| word(&mut map, job));
        let used = imports.iter().filter_map(|i| i.spec.as_ref());
        let specs = [&spec].into_iter().chain(used).chain(overrides.iter().map(|o| &o.spec));
        let environment = environment(specs, request.environment.as_deref());
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let name = stem.unwrap_or_else(|| "spec".to_owned());
        Self {
            map,
            name,
            file,
            spec,
            environment,
            texts,
            overrides,
            options,
            imports,
            job,
            std,
            diagnostics,
            flags: Flags::default(),
        }
    }

    /// Calls a function with what a check reads.
    fn with_input<T>(&self, f: impl FnOnce(&Input<'_>) -> T) -> T {
        let std: Vec<&Arc<Spec>> = self.std.iter().collect();
        f(&Input {
            name: &self.name,
            spec: &self.spec,
            std: &std,
            map: &self.map,
            overrides: &self.overrides,
            options: &self.options,
            environment: &self.environment,
            imports: &self.imports,
            job: self.job.as_ref(),
        })
    }

    /// The arguments and the jobs of the spec.
    pub fn interface(&self) -> Interface {
        self.with_input(sema::interface)
    }

    /// What is left of `found` when flags and every `allow` of the spec have had their say.
    pub fn settle(&self, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        self.flags.settle(&self.allows(), found).0
    }

    /// Every `allow` of the spec and of the files that it uses.
    fn allows(&self) -> Vec<Allow> {
        let used = self.imports.iter().filter_map(|i| i.spec.as_ref());
        let mut seen = BTreeSet::new();
        let specs = [&self.spec].into_iter().chain(used).filter(|spec| seen.insert(spec.file));
        let allows = specs.flat_map(|spec| sema::allows(spec, &self.map).0);
        let bound = |allow: Allow| {
            let file = allow.at.file;
            Allow { only_in: Some(file).filter(|file| *file != self.file), ..allow }
        };
        allows.map(bound).collect()
    }

    /// The sources of the standard library.
    pub fn std_specs(&self) -> impl Iterator<Item = &Spec> {
        self.std.iter().map(|spec| &**spec)
    }

    /// The data that the training job wants, where that much is clear.
    pub fn data_request(&self) -> Option<DataSource> {
        self.with_input(|input| sema::data_request(input).0)
    }

    /// Where the job to run starts, where the spec says so.
    pub fn origin(&self) -> Option<Origin> {
        self.with_input(sema::origin)
    }

    /// Checks with what is known of the data.
    pub fn check(&self, facts: Option<&Facts>) -> Checked {
        let (program, found) = self.with_input(|input| sema::check(input, facts));
        let unread: BTreeSet<(FileId, usize)> =
            self.diagnostics.iter().map(|d| self.line(d)).collect();
        // A line that could not be read is not judged a second time for what is left of it.
        let found = found.into_iter().filter(|d| !unread.contains(&self.line(d)));
        let diagnostics: Vec<Diagnostic> = self.diagnostics.iter().cloned().chain(found).collect();
        let allows = self.allows();
        let (mut diagnostics, held) = self.flags.settle(&allows, diagnostics);
        // Errors may have kept a lint from being said, and so may unknown data.
        if let Some(program) = program.as_ref().filter(|_| !has_errors(&diagnostics))
            && facts.is_some()
        {
            let interface = self.interface();
            let is_whole = interface.jobs.len() == 1 && interface.n_datas <= 1;
            let idle = idle(&allows, &held, |allow| self.is_looked_at(allow, program, is_whole));
            diagnostics.extend(self.flags.settle(&allows, idle).0);
        }
        Checked { program: program.filter(|_| !has_errors(&diagnostics)), diagnostics }
    }

    /// Whether a check for one job says all lints that an `allow` may hold for: those of that job
    /// and of its data, and all others where the spec has nothing else.
    ///
    /// A used file is written for other specs, too.
    fn is_looked_at(&self, allow: &Allow, program: &Program, is_whole: bool) -> bool {
        let is_own = allow.at.file == self.file;
        is_own
            && match allow.scope {
                Scope::All => is_whole,
                Scope::Within(_) | Scope::Outside(_) => {
                    [program.train.span, program.data.span].iter().any(|b| b.covers(allow.at))
                }
            }
    }

    /// The line where a diagnostic points.
    fn line(&self, diagnostic: &Diagnostic) -> (FileId, usize) {
        let Span { file, start, .. } = diagnostic.span();
        (file, self.map.line(file, start))
    }

    /// Reads the data that the spec names and checks with what it holds.
    ///
    /// What is wrong with the data is a diagnostic; a cache that cannot be written is an error.
    pub fn check_with_data(
        &self,
        base: &Path,
    ) -> Result<(Checked, Option<(Facts, Corpus)>), Error> {
        let Some(request) = self.data_request() else { return Ok((self.check(None), None)) };
        let weights = match self.weights(base) {
            Ok(weights) => weights,
            Err(wrong) => {
                let mut checked = self.check(None);
                checked.diagnostics.push(*wrong);
                checked.program = None;
                return Ok((checked, None));
            }
        };
        let cache = crate::cache::of_user().map(|kept| kept.folder);
        match scan(&passes::plan_of::data_of(&request), base, cache.as_deref()) {
            Ok((found, corpus)) => {
                let chars = corpus.vocabulary().alphabet().map(<[char]>::to_vec);
                let facts = Facts { weights, chars, ..facts::of(&found) };
                Ok((self.check(Some(&facts)), Some((facts, corpus))))
            }
            // Nothing is wrong with the data.
            Err(error) if error.is_of_cache => Err(error.into()),
            Err(error) => {
                let mut checked = self.check(None);
                let missing = missing::data(&request, base);
                if !missing.is_empty() {
                    checked.diagnostics.extend(missing);
                } else if !checked.has_errors() {
                    checked.diagnostics.push(unfit::data(&error, &request, base));
                }
                checked.program = None;
                Ok((checked, None))
            }
        }
    }
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.level == Level::Error)
}

/// A word of the command line as a text of its own.
fn word(map: &mut SourceMap, text: &str) -> Ident {
    let file = map.add("<command line>", text);
    let end = u32::try_from(text.len()).expect("the command line is below 4 GiB");
    Ident { text: text.to_owned(), span: Span::new(file, 0, end) }
}

/// The variables that specs name and that are set.
fn environment<'a>(
    specs: impl Iterator<Item = &'a Arc<Spec>>,
    given: Option<&[(String, String)]>,
) -> Vec<(String, String)> {
    let names: BTreeSet<&str> = specs.flat_map(|spec| sema::variables(spec)).collect();
    let value = |name: &str| match given {
        Some(given) => given.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()),
        None => std::env::var(name).ok(),
    };
    names.into_iter().filter_map(|name| Some((name.to_owned(), value(name)?))).collect()
}

/// The folder that relative paths of a spec start at.
pub fn base_of(spec: &Path) -> PathBuf {
    match spec.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// The folder of a job's runs, unless the command line names another.
pub fn run_folder(program: &Program) -> PathBuf {
    match program.train.checkpoint.as_ref().and_then(|c| c.path.as_ref()) {
        Some(path) => PathBuf::from(path),
        None => Path::new("runs").join(&program.name),
    }
}
