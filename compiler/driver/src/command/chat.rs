//! `llmc chat`: a line from the user, a reply of the model, and so on.
//!
//! Both are one text that the model goes on with: each line as it was typed, with its end, and
//! each reply, which gets an end of line if it has none. A model that learned from questions and
//! answers gets them as such, each under its role. Ctrl-C ends a reply, or the program when none
//! is under way.

use std::io::{BufRead, IsTerminal};

use data::{Role, Unknown, Vocabulary};
use exec::error::Error;
use exec::generate::{End, Request, Session};
use exec::signal::Interrupt;

use super::Failure;
use super::generate::{load_run, request};
use super::out::{say, say_part, tell};
use crate::cli;
use crate::job::Loaded;

pub(super) fn run(args: &cli::Chat) -> Result<(), Failure> {
    let mut request = request(&args.text)?;
    let Loaded { mut executor, vocabulary, is_dialogue, .. } = load_run(&args.run, &args.machine)?;
    if is_dialogue {
        end_turns(&vocabulary, &mut request);
    }
    let watch = Interrupt::watch();
    let interrupt = watch.map_err(|e| Error::io("watch signals for", &args.run, e))?;
    let mut session = Session::new(&mut executor, &vocabulary)?;
    let is_terminal = std::io::stdin().is_terminal();
    loop {
        if is_terminal {
            say_part(format_args!("> "));
        }
        let Some(line) = line(args)? else { return Ok(()) };
        let ids = line.and_then(|line| {
            let ids = if is_dialogue { turn(&vocabulary, &line) } else { vocabulary.encode(&line) };
            ids.map_err(|unknown| unknown.within("your line").to_string())
        });
        match ids {
            Ok(ids) => session.read(&ids)?,
            // Nothing of the line was read: the user may say it in other words.
            Err(wrong) => {
                tell(format_args!("error: {wrong}\n"));
                continue;
            }
        }
        match reply(&mut session, &request, &interrupt)? {
            Reply::Closed => return Ok(()),
            Reply::Line | Reply::Open if is_dialogue => {
                session.read(&vocabulary.closing().unwrap_or_default())?;
            }
            Reply::Line => {}
            // A text without ends of lines has no id for them.
            Reply::Open => session.read(&vocabulary.encode("\n").unwrap_or_default())?,
        }
        // The same line twice need not give the same reply.
        request.sampling.seed = request.sampling.seed.wrapping_add(1);
    }
}

/// A line of the user, as data with questions and answers has it, and the start of an answer.
fn turn(vocabulary: &Vocabulary, line: &str) -> Result<Vec<u32>, Unknown> {
    let mut ids = vocabulary.opening(Role::User)?;
    ids.extend(vocabulary.encode(line.trim_end())?);
    ids.extend(vocabulary.closing()?);
    ids.extend(vocabulary.opening(Role::Reply)?);
    Ok(ids)
}

/// An answer ends where the document does, or where the next turn would start.
fn end_turns(vocabulary: &Vocabulary, request: &mut Request) {
    request.ends.extend(vocabulary.end());
    for role in Role::ALL {
        match vocabulary.opening(role).as_deref() {
            Ok([id]) => request.ends.push(*id),
            // Roles that are text of several ids.
            Ok(_) | Err(_) => request.stops.push(format!("\n{}:", role.name())),
        }
    }
}

/// How a reply ended.
enum Reply {
    /// With its line, or with a stop string.
    Line,
    /// Inside of a line.
    Open,
    /// Nobody reads it.
    Closed,
}

/// The next line with its end, or what is wrong with it; none at the end of the input or at the
/// word that ends the program.
fn line(args: &cli::Chat) -> Result<Option<Result<String, String>>, Failure> {
    let mut line = vec![];
    let read = std::io::stdin().lock().read_until(b'\n', &mut line);
    let n_bytes = read.map_err(|e| Error::io("read", "the standard input", e))?;
    let Ok(mut line) = String::from_utf8(line) else {
        return Ok(Some(Err("your line is not UTF-8".to_owned())));
    };
    if n_bytes == 0 || line.trim() == args.exit.trim() {
        return Ok(None);
    }
    if !line.ends_with('\n') {
        line.push('\n');
    }
    Ok(Some(Ok(line)))
}

/// Writes a reply as it is made.
fn reply(
    session: &mut Session<'_>,
    request: &Request,
    interrupt: &Interrupt,
) -> Result<Reply, Failure> {
    let (mut is_read, mut ends_line) = (true, false);
    let mut give = |text: &str| {
        is_read = say_part(format_args!("{text}"));
        if !text.is_empty() {
            ends_line = text.ends_with('\n');
        }
        is_read && !interrupt.came()
    };
    interrupt.begin();
    let written = session.write(request, &mut give);
    interrupt.end();
    let (_, end) = written?;
    if !is_read {
        return Ok(Reply::Closed);
    }
    if !ends_line {
        say(format_args!(""));
    }
    Ok(match end {
        End::Stop => Reply::Line,
        End::Length | End::Refused if ends_line => Reply::Line,
        End::Length | End::Refused => Reply::Open,
    })
}
