//! The front end in one place: sources, overrides, the data's facts, the check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use data::{Corpus, scan};
use diag::lints::{Flags, idle};
use diag::{Code, Diagnostic, FileId, Level, SourceMap, Span};
use exec::error::Error;
use sema::{DataSource, Facts, Override, Program};
use syntax::ast::Spec;

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
    pub spec: Spec,
    overrides: Vec<Override>,
    std: Vec<(Spec, FileId)>,
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
    /// Parses a spec called `path` and the texts of `--set`.
    pub fn parse(path: &str, text: &str, sets: &[String]) -> Self {
        let mut map = SourceMap::new();
        let file = map.add(path, text);
        let (spec, mut diagnostics) = syntax::parse(&map, file);
        let mut std = vec![];
        for source in stdlib::SOURCES {
            let file = map.add(source.name, source.text);
            let (spec, faults) = syntax::parse(&map, file);
            assert!(faults.is_empty(), "the standard library parses: {faults:?}");
            std.push((spec, file));
        }
        let mut overrides = vec![];
        for set in sets {
            let (parsed, faults) = Override::parse(&mut map, set);
            overrides.extend(parsed);
            diagnostics.extend(faults);
        }
        let stem = Path::new(path).file_stem().map(|s| s.to_string_lossy().into_owned());
        let name = stem.unwrap_or_else(|| "spec".to_owned());
        let flags = Flags::default();
        Self { map, name, file, spec, overrides, std, diagnostics, flags }
    }

    /// What is left of `found` when flags and every `allow` of the spec have had their say.
    pub fn settle(&self, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        self.flags.settle(&sema::allows(&self.spec, &self.map).0, found).0
    }

    /// The sources of the standard library.
    pub fn std_specs(&self) -> impl Iterator<Item = (&Spec, FileId)> {
        self.std.iter().map(|(spec, file)| (spec, *file))
    }

    /// The data that the training job wants, where that much is clear.
    pub fn data_request(&self) -> Option<DataSource> {
        sema::data_request(&self.name, &self.spec, &self.overrides, &self.map).0
    }

    /// Checks with what is known of the data.
    pub fn check(&self, facts: Option<&Facts>) -> Checked {
        let std: Vec<&Spec> = self.std.iter().map(|(spec, _)| spec).collect();
        let (program, found) =
            sema::check(&self.name, &self.spec, &self.overrides, &std, &self.map, facts);
        let unread: BTreeSet<(FileId, usize)> =
            self.diagnostics.iter().map(|d| self.line(d)).collect();
        // A line that could not be read is not judged a second time for what is left of it.
        let found = found.into_iter().filter(|d| !unread.contains(&self.line(d)));
        let diagnostics: Vec<Diagnostic> = self.diagnostics.iter().cloned().chain(found).collect();
        let (allows, _) = sema::allows(&self.spec, &self.map);
        let (mut diagnostics, held) = self.flags.settle(&allows, diagnostics);
        // Errors may have kept a lint from being said, and so may unknown data.
        if !has_errors(&diagnostics) && facts.is_some() {
            diagnostics.extend(self.flags.settle(&allows, idle(&allows, &held)).0);
        }
        Checked { program: program.filter(|_| !has_errors(&diagnostics)), diagnostics }
    }

    /// The line where a diagnostic points.
    fn line(&self, diagnostic: &Diagnostic) -> (FileId, usize) {
        let Span { file, start, .. } = diagnostic.span();
        (file, self.map.line_col(file, start).0)
    }

    /// Reads the data that the spec names and checks with what it holds.
    ///
    /// Files that are not there are a diagnostic; other faults of the data are an error.
    pub fn check_with_data(
        &self,
        base: &Path,
    ) -> Result<(Checked, Option<(Facts, Corpus)>), Error> {
        let Some(request) = self.data_request() else { return Ok((self.check(None), None)) };
        match scan(&passes::plan_of::data_of(&request), base) {
            Ok((found, corpus)) => {
                let facts = Facts {
                    vocab: Some(found.vocab),
                    tokens: found.tokens.clone(),
                    hash: Some(found.hash.clone()),
                    ..Facts::default()
                };
                Ok((self.check(Some(&facts)), Some((facts, corpus))))
            }
            Err(error) => {
                let error = Error::from(error);
                let mut checked = self.check(None);
                if !is_missing(&request, base) {
                    return if checked.has_errors() { Ok((checked, None)) } else { Err(error) };
                }
                checked.diagnostics.push(missing(&request, &error));
                checked.program = None;
                Ok((checked, None))
            }
        }
    }
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.level == Level::Error)
}

/// Whether a path that the data names matches no file.
fn is_missing(request: &DataSource, base: &Path) -> bool {
    request.paths().any(|(path, _)| match glob::glob(&base.join(path).to_string_lossy()) {
        Ok(mut found) => found.next().is_none(),
        Err(_) => true,
    })
}

fn missing(request: &DataSource, error: &Error) -> Diagnostic {
    let span = request.paths().next().map_or(request.span, |(_, span)| *span);
    let paths: Vec<String> = request.paths().map(|(path, _)| format!("`{path}`")).collect();
    Diagnostic::new(Code::E0702, span, format!("no file matches {}", paths.join(", ")))
        .primary(error.to_string())
        .help("relative paths start at the spec's folder; correct the path or put the file there")
}

/// The folder that relative paths of a spec start at.
pub fn base_of(spec: &Path) -> PathBuf {
    match spec.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}
