//! The commands: what prints, and what turns failures into exit codes.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the command line talks")]

mod bench;
mod build;
mod chat;
mod check;
mod data;
mod doctor;
mod explain;
mod format;
mod generate;
mod help;
mod out;
mod plan;
mod rewrite;
mod show;
pub(crate) mod source;
mod train;
mod verify;

use std::fmt;
use std::process::ExitCode;
use std::time::Instant;

use diag::Diagnostic;
use exec::error::Error;

use crate::cli::{Cli, Command};
use crate::report::exit_code;

/// Why a command ended early; what there was to say of the spec is already printed.
#[derive(Debug)]
pub enum Failure {
    /// The spec is wrong, or what it asks for: the exit code is that of its errors.
    Spec(u8),
    /// The user asked for something that is not there.
    Usage(String),
    /// The world failed.
    World(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::World(error)
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Spec(report) => {
                out::tell(format_args!("{report}"));
                Self::of(&report.diagnostics)
            }
            crate::Error::Usage(message) => Self::Usage(message),
            crate::Error::World(error) => Self::World(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The command itself has said all there is.
            Self::Spec(_) | Self::World(Error::Preempted) => Ok(()),
            Self::Usage(message) => f.write_str(message),
            Self::World(error) => error.fmt(f),
        }
    }
}

impl Failure {
    /// What errors of a spec end with.
    fn of(found: &[Diagnostic]) -> Self {
        Self::Spec(exit_code(found))
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Spec(code) => *code,
            Self::Usage(_) => 2,
            Self::World(error) => error.exit_code(),
        }
    }
}

/// Runs a command to its exit code; the process has run since `start`.
pub fn run(cli: Cli, start: Instant) -> ExitCode {
    let result = match cli.command {
        Command::Check(args) => check::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Fmt(args) => format::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Bench(args) => bench::run(&args, start),
        Command::Doctor => doctor::run(),
        Command::Data(args) => data::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Help { what } => help::run(what.as_deref()),
        Command::Explain { code } => explain::code(&code),
        Command::Std { name } => explain::std(name.as_deref()),
    };
    match result.and_then(|()| Ok(out::finish()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let message = failure.to_string();
            if !message.is_empty() {
                out::tell(format_args!("error: {message}\n"));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
