//! `llmc check`: everything that can be known before a run.

use passes::usage::{count, size};

use super::Failure;
use super::out::say;
use super::source::ready;
use crate::cli::Check;
use crate::machine::{Site, room};

pub(super) fn run(args: &Check) -> Result<(), Failure> {
    let mut ready = ready(&args.source)?;
    let site = Site::of_checked(&ready.program.train);
    let compiled = super::build::compile_or_report(&mut ready, &args.source, &site)?;
    let params = compiled.plan.buffers.iter().filter(|b| b.role == plan::Role::Param);
    let n: u64 = params.map(|b| b.shape.iter().product::<u64>()).sum();
    let warnings = match ready.warnings {
        1 => "1 warning".to_owned(),
        n => format!("{n} warnings"),
    };
    say(format_args!(
        "{}: no errors, {warnings}; {} parameters, {} of memory",
        args.source.spec.display(),
        count(n),
        size(compiled.plan.arena_bytes + room().beside_bytes),
    ));
    Ok(())
}
