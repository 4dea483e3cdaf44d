//! Diagnostics as commands of GitHub's workflows, which show them beside the lines.
//!
//! A step shows ten errors and ten warnings, so errors come first and what is left out is counted.

use crate::{Diagnostic, Level, SourceMap};

/// What a step shows of each level.
const MOST: usize = 10;

/// The commands, a line each.
pub(super) fn commands(map: &SourceMap, found: &[&Diagnostic], n_hidden: usize) -> String {
    let mut out = String::new();
    let mut n_left = n_hidden;
    for (level, word) in [(Level::Error, "error"), (Level::Warning, "warning")] {
        let of_level = found.iter().filter(|d| d.level == level);
        n_left += of_level.clone().count().saturating_sub(MOST);
        for d in of_level.take(MOST) {
            out += &command(map, d, word);
        }
    }
    if n_left > 0 {
        out += &format!("::notice::and {n_left} more\n");
    }
    out
}

fn command(map: &SourceMap, d: &Diagnostic, word: &str) -> String {
    let span = d.span();
    let (line, col) = map.line_col(span.file, span.start);
    let (end_line, end_col) = map.line_col(span.file, span.end);
    let lines = [&d.message].into_iter().chain(&d.notes).chain(&d.help);
    let text = lines.map(String::as_str).collect::<Vec<_>>().join("\n");
    let file = property(&map.file(span.file).name);
    format!(
        "::{word} file={file},line={line},col={col},endLine={end_line},endColumn={end_col},\
         title={}::{}\n",
        d.code.name(),
        message(&text)
    )
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
