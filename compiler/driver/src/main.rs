//! The command line of `llmc`.

use std::process::ExitCode;

use clap::Parser;

use llmc::cli::Cli;

fn main() -> ExitCode {
    llmc::command::run(Cli::parse())
}
