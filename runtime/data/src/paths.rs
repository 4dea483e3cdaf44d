//! Which files a spec's data paths name.
//!
//! In: paths as the user wrote them and the spec's folder. Out: regular files, each once, in
//! order. Relative paths start at the spec's folder and must stay under it or under the current
//! directory, links resolved; absolute paths are what the user asked for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The files of `paths`, relative to `base`.
pub(crate) fn resolve(paths: &[String], base: &Path) -> Result<Vec<PathBuf>, Error> {
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for path in paths {
        for file in one(path, base)? {
            // A file with two names is one: half of it could be trained on, half validate.
            let real = file.canonicalize().map_err(|source| Error::new(&file, source))?;
            if seen.insert(real) {
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        return Err(Error::new(base, "the data names no file"));
    }
    Ok(files)
}

fn one(path: &str, base: &Path) -> Result<Vec<PathBuf>, Error> {
    let full = base.join(path);
    let refuse = |message: String| Error::new(path, message);
    // A plain name comes first: a file may be called `a[1].txt`.
    let found = if full.exists() || !path.contains(['*', '?', '[']) {
        vec![full.clone()]
    } else {
        expand(path, base).map_err(refuse)?
    };
    if found.is_empty() {
        return Err(refuse("no file matches".to_owned()));
    }
    if Path::new(path).is_relative() {
        for file in &found {
            confine(path, file, base)?;
        }
    }
    Ok(found)
}

/// The files that a pattern matches, in alphabetical order.
fn expand(path: &str, base: &Path) -> Result<Vec<PathBuf>, String> {
    let pattern = if Path::new(path).is_absolute() {
        path.to_owned()
    } else {
        let base = base.to_str().ok_or("the spec's folder is not valid UTF-8")?;
        let base = if base.is_empty() { "." } else { base };
        format!("{}/{path}", glob::Pattern::escape(base))
    };
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let matches = glob::glob_with(&pattern, options).map_err(|e| format!("not a pattern: {e}"))?;
    let mut files = Vec::new();
    for found in matches {
        let file = found.map_err(|e| e.to_string())?;
        if file.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

fn confine(written: &str, file: &Path, base: &Path) -> Result<(), Error> {
    let real = |path: &Path| path.canonicalize().map_err(|source| Error::new(path, source));
    let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    let target = real(file)?;
    if target.starts_with(real(base)?) || target.starts_with(real(Path::new("."))?) {
        return Ok(());
    }
    let message = format!(
        "leads to {}, outside the spec's folder and the current directory; \
         write the absolute path to use it",
        target.display()
    );
    Err(Error::new(written, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn names(files: &[PathBuf]) -> Vec<String> {
        files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    fn folder(name: &str) -> Scratch {
        let scratch = Scratch::new(name);
        for file in ["b.txt", "a.txt", "c.md", ".hidden.txt", "odd[1].txt"] {
            std::fs::write(scratch.path().join(file), "x").unwrap();
        }
        scratch
    }

    #[test]
    fn patterns_are_sorted_and_each_file_comes_once() {
        let scratch = folder("paths_glob");
        let paths = ["b.txt".to_owned(), "*.txt".to_owned()];
        let files = resolve(&paths, scratch.path()).unwrap();
        assert_eq!(names(&files), ["b.txt", "a.txt", "odd[1].txt"]);
        let odd = resolve(&["odd[1].txt".to_owned()], scratch.path()).unwrap();
        assert_eq!(names(&odd), ["odd[1].txt"]);
    }

    #[test]
    fn a_file_with_two_names_comes_once() {
        let scratch = folder("paths_names");
        std::os::unix::fs::symlink("a.txt", scratch.path().join("link.txt")).unwrap();
        let paths = ["a.txt", "./a.txt", "link.txt"].map(str::to_owned);
        assert_eq!(names(&resolve(&paths, scratch.path()).unwrap()), ["a.txt"]);
    }

    #[test]
    fn what_leaves_the_folder_is_refused() {
        let scratch = folder("paths_confine");
        std::os::unix::fs::symlink("/etc/passwd", scratch.path().join("link.txt")).unwrap();
        for path in ["../../../../../../etc/passwd", "link.txt", "l*.txt"] {
            let error = resolve(&[path.to_owned()], scratch.path()).unwrap_err().to_string();
            assert!(error.contains("outside the spec's folder"), "{error}");
        }
        assert!(resolve(&["/etc/passwd".to_owned()], scratch.path()).is_ok());
    }

    #[test]
    fn nothing_found_is_named() {
        let scratch = folder("paths_none");
        let error = resolve(&["*.csv".to_owned()], scratch.path()).unwrap_err();
        assert_eq!(error.to_string(), "*.csv: no file matches");
        assert!(resolve(&["none.txt".to_owned()], scratch.path()).is_err());
        assert!(resolve(&[], scratch.path()).is_err());
    }
}
