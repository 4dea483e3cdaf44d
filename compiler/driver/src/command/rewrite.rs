//! Puts a new text in the place of a spec.

use std::fs;
use std::path::Path;

use exec::error::Error;

use super::Failure;

/// The file is whole at any time, keeps its permissions, and a link to it stays one.
pub(super) fn rewrite(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |e| Error::io("write", path, e);
    let path = fs::canonicalize(path).map_err(failed)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    let draft = path.with_file_name(name);
    let written = fs::write(&draft, text)
        .and_then(|()| fs::set_permissions(&draft, fs::metadata(&path)?.permissions()))
        .and_then(|()| fs::rename(&draft, &path));
    written.map_err(|e| {
        // It may not be there; the first error is the one to tell.
        let _ = fs::remove_file(&draft);
        failed(e)
    })?;
    Ok(())
}
