//! `llmc generate`: text from a run's newest checkpoint.

use std::path::Path;

use data::Vocabulary;
use exec::checkpoint::load;
use exec::error::Error;
use exec::executor::Executor;
use exec::generate::{Request, Sampled, Sampling, Session};
use exec::run_dir;
use passes::fit::Room;
use sema::Facts;

use super::Failure;
use super::out::{say, say_part};
use super::source::report;
use super::train::options;
use crate::cache;
use crate::cli::{self, ErrorFormat};
use crate::front::uses::Files;
use crate::front::{self, Checked, Front};
use crate::machine::Site;

pub(super) fn run(args: &cli::Generate) -> Result<(), Failure> {
    let mut request = request(&args.text)?;
    if args.samples == 0 {
        return Err(Failure::Usage("--samples must be 1 or more, found 0".to_owned()));
    }
    let (mut executor, vocabulary) = load_run(&args.run, &args.machine)?;
    let ids = vocabulary.encode(&args.prompt).map_err(|e| Error::from(e.within("the prompt")))?;
    let mut session = Session::new(&mut executor, &vocabulary)?;
    session.read(&ids)?;
    let start = session.mark()?;
    for n in 0..args.samples {
        if n > 0 {
            session.rewind(&start)?;
        }
        request.sampling.seed = args.text.seed.wrapping_add(n);
        if args.json {
            json(&mut session, &args.prompt, &request)?;
        } else {
            if args.samples > 1 {
                say(format_args!("--- sample {} ---", n + 1));
            }
            show(&mut session, &args.prompt, &request)?;
        }
    }
    Ok(())
}

/// Writes a text to the standard output as it is made.
fn show(session: &mut Session<'_>, prompt: &str, request: &Request) -> Result<(), Failure> {
    say_part(format_args!("{prompt}"));
    session.write(request, &mut |text| say_part(format_args!("{text}")))?;
    say(format_args!(""));
    Ok(())
}

/// Makes a text and writes it as a line of JSON.
fn json(session: &mut Session<'_>, prompt: &str, request: &Request) -> Result<(), Failure> {
    let mut text = String::new();
    let mut give = |piece: &str| {
        text.push_str(piece);
        true
    };
    let (tokens, end) = session.write(request, &mut give)?;
    let (prompt, seed) = (prompt.to_owned(), request.sampling.seed);
    say(format_args!("{}", Sampled { prompt, text, tokens, seed, end }.to_json()));
    Ok(())
}

/// What the words of the command line ask for.
pub(super) fn request(args: &cli::Text) -> Result<Request, Failure> {
    let must = |name: &str, be: &str, found: &dyn std::fmt::Display| {
        Err(Failure::Usage(format!("--{name} must be {be}, found {found}")))
    };
    // All written so that NaN is refused too.
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        return must("temperature", "0 or more", &args.temperature);
    }
    if args.top_k == Some(0) {
        return must("top-k", "1 or more", &0);
    }
    if !(0.0..=1.0).contains(&args.top_p) {
        return must("top-p", "within 0..1", &args.top_p);
    }
    if !(0.01..=100.0).contains(&args.repetition_penalty) {
        return must("repetition-penalty", "within 0.01..100", &args.repetition_penalty);
    }
    if args.stops.iter().any(String::is_empty) {
        return must("stop", "a text", &"none");
    }
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        repetition_penalty: args.repetition_penalty,
        seed: args.seed,
    };
    Ok(Request { length: args.length, sampling, stops: args.stops.clone() })
}

/// The newest checkpoint of a run, ready to write, and what its ids mean.
pub(super) fn load_run(
    dir: &Path,
    machine: &cli::Machine,
) -> Result<(Executor, Vocabulary), Failure> {
    if !dir.join("run.json").is_file() {
        let what = "this is not the folder of a run; `llmc train` makes one";
        return Err(Error::checkpoint(dir, what).into());
    }
    let info = run_dir::info(dir)?;
    let found = load::newest(dir)?.ok_or_else(|| {
        Failure::Usage(format!("{} has no checkpoint yet; train it first", dir.display()))
    })?;
    for warning in &found.warnings {
        eprintln!("warning: {warning}");
    }
    let vocabulary = run_dir::vocabulary(dir)?;
    let path = dir.join("spec.lt");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    let front = Front::read(&front::Request {
        path: path.to_string_lossy().into_owned(),
        text,
        sets: info.sets.clone(),
        options: info.options.clone(),
        job: info.job.clone(),
        files: Files::Texts(info.uses.clone()),
        environment: Some(info.environment.clone()),
    });
    let facts = facts(&front, vocabulary.size());
    let mut checked = front.check(Some(&facts));
    let Some(program) = &mut checked.program else {
        report(&front, &checked, ErrorFormat::Human);
        return Err(Failure::Spec);
    };
    let micro_batch = info.settings.get("micro_batch").and_then(|n| n.parse().ok());
    if let Some(n) = micro_batch
        && program.train.may_keep_micro_batch(n)
    {
        program.train.keep_micro_batch(n);
    }
    // What trained elsewhere may be too large to train here.
    let (site, device) = Site::of_program(machine.device, &program.train, &front.map)?;
    let (room, back_end) = (Room::UNBOUNDED, site.back_end);
    let done = cache::plan(program, &front.map, Some(&facts), room, back_end);
    let (plan, _) = done.map_err(|diagnostics| {
        report(&front, &Checked { program: None, diagnostics }, ErrorFormat::Human);
        Failure::Spec
    })?;
    let mut executor = Executor::load(plan.clone(), &options(machine, device))?;
    load::restore(&found, &plan, executor.memory_mut())?;
    executor.refresh()?;
    Ok((executor, vocabulary))
}

/// What the data was known to hold when the run started, without opening it again.
fn facts(front: &Front, vocab: u64) -> Facts {
    let splits = front.data_request().map(|d| d.splits).unwrap_or_default();
    // Lengths in epochs do not matter for generation; any number of tokens will do.
    let tokens = splits.into_iter().map(|(name, _)| (name, 1 << 30)).collect();
    Facts { vocab: Some(vocab), tokens, ..Facts::default() }
}
