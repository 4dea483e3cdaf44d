//! `llmc generate`: text from a run's newest checkpoint.

use std::io::Write;

use exec::checkpoint::load;
use exec::error::Error;
use exec::executor::{Executor, Options};
use exec::generate::{Sampling, generate};
use exec::run_dir;
use sema::Facts;

use super::Failure;
use super::out::say;
use super::source::report;
use super::train::threads;
use crate::cli::{self, ErrorFormat};
use crate::compile::compile;
use crate::front::{Checked, Front};

pub(super) fn run(args: &cli::Generate) -> Result<(), Failure> {
    // Written so that NaN is refused too.
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        let found = args.temperature;
        return Err(Failure::Usage(format!("--temperature must be 0 or more, found {found}")));
    }
    let dir = &args.run;
    if !dir.join("run.json").is_file() {
        let what = "this is not the folder of a run; `llmc train` makes one";
        return Err(Error::checkpoint(dir, what).into());
    }
    let info = run_dir::info(dir)?;
    let vocabulary = run_dir::vocabulary(dir)?;
    let path = dir.join("spec.lt");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    let front = Front::parse(&path.to_string_lossy(), &text, &info.sets);
    let facts = facts(&front, vocabulary.size());
    let checked = front.check(Some(&facts));
    let Some(program) = &checked.program else {
        report(&front, &checked, ErrorFormat::Human);
        return Err(Failure::Spec);
    };
    let compiled = compile(program, &front.map, Some(&facts)).map_err(|diagnostics| {
        report(&front, &Checked { program: None, diagnostics }, ErrorFormat::Human);
        Failure::Spec
    })?;
    let found = load::newest(dir)?.ok_or_else(|| {
        Failure::Usage(format!("{} has no checkpoint yet; train it first", dir.display()))
    })?;
    for warning in &found.warnings {
        eprintln!("warning: {warning}");
    }
    let plan = compiled.plan;
    let mut executor = Executor::load(plan.clone(), &Options { threads: threads(&args.machine) })?;
    load::restore(&found, &plan, executor.memory_mut())?;
    executor.refresh()?;
    let prompt = vocabulary.encode(&args.prompt).map_err(|e| e.within("the prompt"))?;
    let sampling = Sampling { length: args.length, temperature: args.temperature, seed: args.seed };
    let mut out = std::io::stdout();
    let _ = out.write_all(args.prompt.as_bytes());
    let mut give = |token: u32| {
        let written = out.write_all(&vocabulary.decode(&[token]));
        written.and_then(|()| out.flush()).is_ok()
    };
    generate(&mut executor, &prompt, &sampling, &mut give)?;
    say(format_args!(""));
    Ok(())
}

/// What the data was known to hold when the run started, without opening it again.
fn facts(front: &Front, vocab: u64) -> Facts {
    let splits = front.data_request().map(|d| d.splits).unwrap_or_default();
    // Lengths in epochs do not matter for generation; any number of tokens will do.
    let tokens = splits.into_iter().map(|(name, _)| (name, 1 << 30)).collect();
    Facts { vocab: Some(vocab), tokens, hash: None }
}
