//! The check of an embedded text, without its data.

use diag::render::{Style, render};
use diag::{Diagnostic, Level, SourceMap};

/// What there is to say of a text.
pub(crate) struct Found {
    pub(crate) map: SourceMap,
    diagnostics: Vec<Diagnostic>,
}

/// Parses and checks a text together with the standard library.
pub(crate) fn check(name: &str, text: String) -> Found {
    let mut map = SourceMap::new();
    let file = map.add(name, text);
    let (spec, faults) = syntax::parse(&map, file);
    // What cannot be read is not judged.
    if !faults.is_empty() {
        return Found { map, diagnostics: faults };
    }
    let mut library = vec![];
    for source in stdlib::SOURCES {
        let file = map.add(source.name, source.text);
        library.push(syntax::parse(&map, file).0);
    }
    let library: Vec<_> = library.iter().collect();
    let input = sema::Input {
        name: "spec",
        spec: &spec,
        std: &library,
        map: &map,
        overrides: &[],
        options: &[],
        environment: &[],
        imports: &[],
        job: None,
    };
    let (_, diagnostics) = sema::check(&input, None);
    Found { map, diagnostics }
}

impl Found {
    /// What keeps the text from being compiled; a lint is said when the program runs.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|d| d.level == Level::Error)
    }

    /// All errors with their source lines.
    pub(crate) fn rendered(&self) -> String {
        let errors: Vec<Diagnostic> = self.errors().cloned().collect();
        render(&self.map, &errors, Style::Human)
    }
}
