//! `llmc check`: everything that can be known before a run.

use passes::usage::{count, size};

use super::Failure;
use super::out::say;
use super::rewrite::rewrite;
use super::source::{flags, ready, request};
use crate::cli::{Check, Source};
use crate::front::{Front, base_of};
use crate::machine::{Site, room};
use crate::spec::read;

pub(super) fn run(args: &Check) -> Result<(), Failure> {
    if args.fix {
        mend(&args.source)?;
    }
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

/// Rounds of edits at most: what one edit brings to light may have an edit too.
const ROUNDS: usize = 20;

/// Makes the edits that are certain, and says which.
fn mend(source: &Source) -> Result<(), Failure> {
    if source.spec.extension().is_none_or(|ending| ending != "lt") {
        let name = source.spec.display();
        return Err(Failure::Usage(format!("`--fix` edits files that end with `.lt`, not {name}")));
    }
    let text = read(&source.spec)?;
    let name = source.spec.to_string_lossy();
    let mut mended = text.clone();
    for _ in 0..ROUNDS {
        let mut front = Front::read(&request(source, mended.clone()));
        front.flags = flags(source)?;
        let found = front.check_with_data(&base_of(&source.spec))?.0.diagnostics;
        let (next, made) = diag::fix::apply(front.file, &mended, &found);
        if made.is_empty() {
            break;
        }
        for d in made {
            let line = front.map.line(front.file, d.span().start);
            say(format_args!("{name}:{line}: {}: {}", d.code.name(), d.fixes[0].title));
        }
        mended = next;
    }
    if mended != text {
        rewrite(&source.spec, &mended)?;
    }
    Ok(())
}
