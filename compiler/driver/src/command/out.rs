//! Writing to the standard output and the standard error stream.
//!
//! A run of a week must not die because its output went to `head`, so a failure ends nothing
//! here; what was not a reader who left is told of at the end.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use exec::error::Error;

/// The first failure that was not a closed pipe.
static FAILED: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Writes a line.
pub(super) fn say(line: Arguments<'_>) {
    say_part(format_args!("{line}\n"));
}

/// Writes text and shows it at once; says whether that went well.
pub(super) fn say_part(text: Arguments<'_>) -> bool {
    let mut out = std::io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.flush());
    written.map_err(remember).is_ok()
}

/// Writes what went wrong. Where nobody reads it, the exit code is left.
pub(super) fn tell(text: Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

fn remember(error: std::io::Error) {
    if error.kind() != ErrorKind::BrokenPipe {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Whether all that was written arrived, or its reader left.
pub(super) fn finish() -> Result<(), Error> {
    let failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), |error| Err(Error::io("write to", "the standard output", error)))
}
