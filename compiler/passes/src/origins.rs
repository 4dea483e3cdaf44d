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

    /// What an origin says.
    pub(crate) fn text(&self, origin: Origin) -> &str {
        &self.texts[origin.0 as usize]
    }

    /// All texts, and the scopes in them, by origin.
    pub(crate) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.texts.into_iter().collect(), self.scopes)
    }
}

/// The line and the scope of an origin's text, copies of a block as one: `nn.lt:6 blocks.*.mlp`.
pub(crate) fn line_of(text: &str) -> String {
    // A scope has no space in it; names of files may.
    let (place, scope) = match text.rsplit_once(' ') {
        Some((place, scope)) if line(place).is_some() => (place, scope),
        Some(_) | None => (text, ""),
    };
    let Some(line) = line(place) else { return text.to_owned() };
    let parts = scope.split('.').map(|part| if part.parse::<u64>().is_ok() { "*" } else { part });
    format!("{line} {}", parts.collect::<Vec<_>>().join(".")).trim_end().to_owned()
}

/// `hello.lt:1` of `hello.lt:1:7`.
fn line(place: &str) -> Option<&str> {
    let (line, column) = place.rsplit_once(':')?;
    let (_, number) = line.rsplit_once(':')?;
    (column.parse::<u32>().is_ok() && number.parse::<u32>().is_ok()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_block_are_one_line() {
        assert_eq!(line_of("my own.lt:12:3 blocks.0.attn"), "my own.lt:12 blocks.*.attn");
        assert_eq!(line_of("my own.lt:12:3"), "my own.lt:12");
        assert_eq!(line_of("micro.v7"), "micro.v7");
    }
}
