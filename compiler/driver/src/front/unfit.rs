//! E0709: files that are there and do not hold what the spec says of them.

use std::path::Path;

use diag::{Code, Diagnostic};
use sema::DataSource;

/// What is wrong with a file, at the path of the spec that names it.
pub(super) fn data(error: &data::Error, request: &DataSource, base: &Path) -> Diagnostic {
    let below = |path: &Path| path.strip_prefix(base).unwrap_or(path).to_owned();
    let wrong = data::Error { path: below(&error.path), ..error.clone() };
    let named = request.files().find(|(path, _)| names(path, &error.path, base));
    let (span, label) = match named {
        Some((_, span)) => (span, "read from here"),
        None => (request.span, "the data that is read"),
    };
    Diagnostic::new(Code::E0709, span, wrong.to_string()).primary(label)
}

/// Whether a path of the spec, or a pattern, means a file.
fn names(written: &str, file: &Path, base: &Path) -> bool {
    let below = file.strip_prefix(base).unwrap_or(file);
    // As `data` expands them.
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let is_met = |pattern: glob::Pattern| {
        [below, file].iter().any(|file| pattern.matches_path_with(file, options))
    };
    Path::new(written) == below
        || Path::new(written) == file
        || glob::Pattern::new(written).is_ok_and(is_met)
}
