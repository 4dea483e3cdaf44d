//! `llmc generate`: text from a run's newest checkpoint.

use std::path::Path;

use exec::error::Error;
use exec::generate::{Request, Sampled, Sampling, Session};

use super::Failure;
use super::out::{say, say_part, tell};
use crate::cli;
use crate::job::{self, Loaded};

pub(super) fn run(args: &cli::Generate) -> Result<(), Failure> {
    let mut request = request(&args.text)?;
    if args.samples == 0 {
        return Err(Failure::Usage("--samples must be 1 or more, found 0".to_owned()));
    }
    let Loaded { mut executor, vocabulary, .. } = load_run(&args.run, &args.machine)?;
    request.ends.extend(vocabulary.end());
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
    Ok(Request { length: args.length, sampling, stops: args.stops.clone(), ends: vec![] })
}

/// The newest checkpoint of a run, ready to write.
pub(super) fn load_run(dir: &Path, machine: &cli::Machine) -> Result<Loaded, Failure> {
    let loaded = job::load(dir, machine.threads, machine.device)?;
    for warning in &loaded.warnings {
        tell(format_args!("warning: {warning}\n"));
    }
    Ok(loaded)
}
