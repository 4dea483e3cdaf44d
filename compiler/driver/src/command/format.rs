//! `llmc fmt`: the one layout of specs.

use std::fs;
use std::io::Read;
use std::path::Path;

use exec::error::Error;

use super::Failure;
use super::out::{say, say_part};
use super::rewrite::rewrite;
use crate::cli::Fmt;

/// Lays files out, or says which are not.
pub(super) fn run(args: &Fmt) -> Result<(), Failure> {
    let mut n_other = 0;
    for path in &args.specs {
        let is_input = path.as_os_str() == "-";
        let text = if is_input { standard_input()? } else { read(path)? };
        let laid_out = syntax::format(&text)
            .map_err(|why| Failure::Usage(format!("{} stays as it is: {why}", path.display())))?;
        let is_other = laid_out != text;
        n_other += usize::from(is_other);
        if args.check {
            if is_other {
                say(format_args!("{} is not laid out", path.display()));
            }
        } else if is_input {
            say_part(format_args!("{laid_out}"));
        } else if is_other {
            rewrite(path, &laid_out)?;
        }
    }
    match n_other {
        0 => Ok(()),
        _ if !args.check => Ok(()),
        1 => Err(Failure::Usage("1 file is not laid out; `llmc fmt` does it".to_owned())),
        n => Err(Failure::Usage(format!("{n} files are not laid out; `llmc fmt` does it"))),
    }
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Error::io("read", "the standard input", e))?;
    Ok(text)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|e| Failure::Usage(format!("cannot read {}: {e}", path.display())))
}
