//! The texts that say where a node of the graph came from.

use diag::{SourceMap, Span};
use indexmap::IndexSet;
use ir::graph::Origin;

/// Interns origins as `hello.lt:1:7 blocks.0.norm`.
#[derive(Debug)]
pub(crate) struct Origins<'a> {
    map: &'a SourceMap,
    texts: IndexSet<String>,
    /// The path of the module around each.
    scopes: Vec<String>,
}

impl<'a> Origins<'a> {
    /// Starts with the empty origin.
    pub(crate) fn new(map: &'a SourceMap) -> Self {
        Self { map, texts: IndexSet::from([String::new()]), scopes: vec![String::new()] }
    }

    /// The origin of an expression in a module.
    pub(crate) fn intern(&mut self, span: Span, scope: &str) -> Origin {
        let (line, column) = self.map.line_col(span.file, span.start);
        let file = &self.map.file(span.file).name;
        let file = file.rsplit('/').next().unwrap_or(file);
        let text = format!("{file}:{line}:{column} {scope}");
        let (index, is_new) = self.texts.insert_full(text.trim_end().to_owned());
        if is_new {
            self.scopes.push(scope.to_owned());
        }
        Origin(u32::try_from(index).expect("fewer than 2^32 origins"))
    }

    /// All texts, and the scopes in them, by origin.
    pub(crate) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.texts.into_iter().collect(), self.scopes)
    }
}
