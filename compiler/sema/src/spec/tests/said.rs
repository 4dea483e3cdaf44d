//! Specs of several files, and what the command line says to them.

use std::sync::Arc;

use diag::{Diagnostic, SourceMap};
use syntax::ast::{Spec, StmtKind};

use super::{STD, list};
use crate::program::{Facts, Program};
use crate::spec::{CliOption, Import, Input, Override, check};

/// What is said to a spec.
#[derive(Default)]
pub(super) struct Said<'s> {
    pub(super) sets: &'s [&'s str],
    pub(super) options: &'s [(&'s str, Option<&'s str>)],
    pub(super) environment: &'s [(&'s str, &'s str)],
    pub(super) job: Option<&'s str>,
}

/// A program, or what is said instead: a line for each diagnostic, with its file.
pub(super) fn program(files: &[(&str, &str)], said: &Said<'_>) -> Result<Program, String> {
    let mut map = SourceMap::new();
    let specs: Vec<(&str, Arc<Spec>)> = files
        .iter()
        .map(|(name, text)| {
            let file = map.add(*name, *text);
            let (spec, found) = syntax::parse(&map, file);
            assert!(found.is_empty(), "{name}: {}", list(&map, &found));
            (*name, spec)
        })
        .collect();
    let std_file = map.add("std/test.lt", STD);
    let (std, _) = syntax::parse(&map, std_file);
    let std = [&std];
    let imports: Vec<Import> = specs.iter().flat_map(|(_, spec)| imports(spec, &specs)).collect();
    let overrides: Vec<Override> =
        said.sets.iter().filter_map(|set| Override::parse(&mut map, set).0).collect();
    let options: Vec<CliOption> =
        said.options.iter().map(|(name, value)| CliOption::parse(&mut map, name, *value)).collect();
    let job = said.job.map(|job| {
        let file = map.add("<command line>", job);
        let span = diag::Span::new(file, 0, u32::try_from(job.len()).unwrap());
        syntax::ast::Ident { text: job.to_owned(), span }
    });
    let pairs = said.environment.iter();
    let environment: Vec<_> = pairs.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let input = Input {
        overrides: &overrides,
        options: &options,
        environment: &environment,
        imports: &imports,
        job: job.as_ref(),
        ..Input::new("spec", &specs[0].1, &std, &map)
    };
    let facts = Facts {
        vocab: Some(256),
        tokens: vec![("train".to_owned(), 100_000), ("val".to_owned(), 10_000)],
        ..Facts::default()
    };
    let (program, found) = check(&input, Some(&facts));
    let lints: Vec<&Diagnostic> = found.iter().collect();
    program.ok_or_else(|| lints.iter().map(|d| line(&map, d)).collect())
}

fn imports(spec: &Spec, all: &[(&str, Arc<Spec>)]) -> Vec<Import> {
    let uses = spec.body.iter().filter_map(|&id| {
        if let StmtKind::Use { path, .. } = &spec[id].kind { Some(path) } else { None }
    });
    let import = |path: &syntax::ast::StrLit| {
        let name = path.plain().unwrap();
        let found = all.iter().find(|(n, _)| *n == name).map(|(_, spec)| spec.clone());
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        Import { at: path.span, folder, spec: found }
    };
    uses.map(import).collect()
}

fn line(map: &SourceMap, d: &Diagnostic) -> String {
    let (line, column) = map.line_col(d.span().file, d.span().start);
    let file = &map.file(d.span().file).name;
    format!("{file}:{line}:{column} {} {}\n", d.code.name(), d.message)
}

/// The value of a setting, and where it comes from.
#[track_caller]
pub(super) fn setting(program: &Program, name: &str) -> (String, String) {
    let found = program.train.settings.iter().find(|s| s.name == name);
    let found = found.unwrap_or_else(|| panic!("there is no setting `{name}`"));
    (found.value.clone(), found.origin())
}
