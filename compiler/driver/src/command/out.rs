//! Writing to the standard output: a reader who closed the pipe ends nothing.
//!
//! A run of a week must not die because its output went to `head`.

use std::fmt::Arguments;
use std::io::Write;

/// Writes a line.
pub(super) fn say(line: Arguments<'_>) {
    say_part(format_args!("{line}\n"));
}

/// Writes text and shows it at once.
pub(super) fn say_part(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}
