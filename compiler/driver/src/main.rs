//! The command line of `llmc`.

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let start = Instant::now();
    llmc::command::run(llmc::cli::parse(std::env::args_os()), start)
}
