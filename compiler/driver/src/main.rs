//! The command line of `llmc`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use llmc::cli::Cli;

fn main() -> ExitCode {
    let start = Instant::now();
    llmc::command::run(Cli::parse(), start)
}
