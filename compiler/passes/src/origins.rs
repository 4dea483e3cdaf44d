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

/// The line in an origin's text, without column and scope: `hello.lt:1`.
pub(crate) fn line_of(text: &str) -> &str {
    let place = |text: &'_ str| -> Option<usize> {
        let (front, column) = text.rsplit_once(':')?;
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let (_, line) = front.rsplit_once(':')?;
        (is_number(column) && is_number(line)).then_some(front.len())
    };
    // Neither a scope nor what stands for the empty one has a space in it; names of files may.
    let front = text.rsplit_once(' ').map(|(front, _)| front);
    let line = front.and_then(|front| place(front).map(|end| &front[..end]));
    line.or_else(|| place(text).map(|end| &text[..end])).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_origin_without_column_and_scope() {
        assert_eq!(line_of("my own.lt:12:3 blocks.0.attn"), "my own.lt:12");
        assert_eq!(line_of("my own.lt:12:3"), "my own.lt:12");
        assert_eq!(line_of("micro.v7"), "micro.v7");
    }
}
