//! What is said of files that are not there, and what was probably meant.
//!
//! In our own words: the message of the operating system names neither the folder that lacks the
//! file nor the file beside it whose name differs in a letter.

use std::io;
use std::path::Path;

use diag::{Code, Diagnostic, Span};
use sema::DataSource;
use sema::schema::nearest;

/// Names of a folder that are looked at: data may lie in millions of files.
const LISTED: usize = 10_000;

/// E0702 for each path of the data, and of its tokenizer, that no file matches.
pub(super) fn data(request: &DataSource, base: &Path) -> Vec<Diagnostic> {
    let missing = request.files().filter(|(path, _)| !has_file(path, base));
    missing.map(|(path, span)| no_file(path, span, base)).collect()
}

fn no_file(path: &str, span: Span, base: &Path) -> Diagnostic {
    let wrong = Diagnostic::new(Code::E0702, span, format!("no file matches `{path}`"));
    // What a pattern names before its first sign is a folder.
    let plain = path.find(['*', '?', '[']).map_or(path, |at| &path[..at]);
    let (folder, _) = split(plain);
    let shown = if folder.len() > 1 { folder.trim_end_matches('/') } else { folder };
    let wrong = match (folder.is_empty(), base.join(folder).is_dir()) {
        (true, _) => wrong.primary("the spec's folder has no such file"),
        (false, true) => wrong.primary(format!("the folder `{shown}` has no such file")),
        (false, false) => wrong.primary(format!("there is no folder `{shown}`")),
    };
    match near(path, base).filter(|_| plain == path) {
        // Another file is other data: which one is meant is not certain.
        Some(near) => wrong.help(format!("did you mean `{near}`?")),
        None if Path::new(path).is_absolute() => {
            wrong.help("correct the path, or put the file there")
        }
        None => wrong
            .note("relative paths start at the spec's folder")
            .help("correct the path, or put the file there"),
    }
}

/// Whether a path or a pattern names a file.
fn has_file(path: &str, base: &Path) -> bool {
    let full = base.join(path);
    if full.exists() {
        return true;
    }
    let pattern = match Path::new(path).is_absolute() {
        true => path.to_owned(),
        false => format!("{}/{path}", glob::Pattern::escape(&here(base).to_string_lossy())),
    };
    let mut found = glob::glob(&pattern).into_iter().flatten();
    found.any(|file| file.is_ok_and(|file| file.is_file()))
}

/// The file beside `path` whose name is nearly its own, as `path` would be written.
pub(super) fn near(path: &str, base: &Path) -> Option<String> {
    let (folder, name) = split(path);
    let entries = std::fs::read_dir(here(base).join(folder)).ok()?.take(LISTED);
    let files = entries.flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> =
        files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|other| other != name && !other.starts_with('.'));
    names.sort_unstable();
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(format!("{folder}{near}"))
}

/// Why a file that is there cannot be read.
pub(super) fn reason(error: &io::Error) -> String {
    let known = [
        (io::ErrorKind::NotFound, "it is not there"),
        (io::ErrorKind::PermissionDenied, "this user may not read it"),
        (io::ErrorKind::NotADirectory, "a part of its path is a file"),
        (io::ErrorKind::IsADirectory, "it is a folder"),
    ];
    let said = known.iter().find(|(kind, _)| *kind == error.kind());
    said.map_or_else(|| format!("the system says: {error}"), |(_, why)| (*why).to_owned())
}

/// The folder of a path, with its last `/`, and the rest.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |at| at + 1))
}

fn here(base: &Path) -> &Path {
    if base.as_os_str().is_empty() { Path::new(".") } else { base }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str) -> String {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("compiler/driver/src/front");
        let span = Span::new(diag::FileId(0), 0, 0);
        let wrong = no_file(path, span, &base);
        format!("{}; {}", wrong.labels[0].message, wrong.help.join("; "))
    }

    #[test]
    fn a_file_of_nearly_that_name_is_offered_and_another_is_not() {
        let place = "correct the path, or put the file there";
        assert_eq!(
            said("mising.rs"),
            "the spec's folder has no such file; did you mean `missing.rs`?"
        );
        assert_eq!(
            said("../front/Missing.rs"),
            "the folder `../front` has no such file; did you mean `../front/missing.rs`?"
        );
        assert_eq!(said("plays.txt"), format!("the spec's folder has no such file; {place}"));
        assert_eq!(said("plays/*.txt"), format!("there is no folder `plays`; {place}"));
        assert_eq!(said("/*.none"), format!("the folder `/` has no such file; {place}"));
    }

    #[test]
    fn a_pattern_of_files_alone_is_met_by_files() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("compiler/driver/src");
        assert!(has_file("front/*.rs", &base) && has_file("front/missing.rs", &base));
        assert!(!has_file("fron?", &base) && !has_file("front/*.txt", &base));
    }
}
