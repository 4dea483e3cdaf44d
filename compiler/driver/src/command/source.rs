//! Reads a spec, checks it with its data, and prints what there is to say.

use std::io::IsTerminal;
use std::path::PathBuf;

use data::Corpus;
use diag::lints::{Choice, Flags};
use diag::render::{Style, render};
use diag::{Diagnostic, Level};
use sema::schema::nearest;
use sema::{Facts, Program};

use super::Failure;
use super::out::tell;
use crate::cli::{self, ErrorFormat, Source};
use crate::front::uses::Files;
use crate::front::{Checked, Front, Request, base_of};

/// A spec without errors.
pub(super) struct Ready {
    pub(super) front: Front,
    pub(super) program: Program,
    /// What the data holds.
    pub(super) facts: Option<Facts>,
    pub(super) corpus: Option<Corpus>,
    /// How many warnings there were.
    pub(super) warnings: usize,
    /// The folder that the command line names for its run.
    pub(super) out: Option<PathBuf>,
    /// What is still to be printed: all of a spec is said at once.
    pub(super) unsaid: Vec<Diagnostic>,
}

impl Ready {
    /// Prints what came up while it runs; whether there is an error.
    pub(super) fn tell(&self, source: &Source, found: Vec<Diagnostic>) -> bool {
        let checked = Checked { program: None, diagnostics: self.front.settle(found) };
        report(&self.front, &checked, source.error_format);
        checked.has_errors()
    }

    /// Prints what there is to say, with what came up later; whether there is an error.
    pub(super) fn say(&mut self, source: &Source, later: Vec<Diagnostic>) -> bool {
        let later = self.front.settle(later);
        self.warnings += later.iter().filter(|d| d.level == Level::Warning).count();
        let mut diagnostics = std::mem::take(&mut self.unsaid);
        diagnostics.extend(later);
        let checked = Checked { program: None, diagnostics };
        report(&self.front, &checked, source.error_format);
        checked.has_errors()
    }
}

/// Parses a spec from its file.
pub(super) fn parse(source: &Source) -> Result<Front, Failure> {
    let text = crate::spec::read(&source.spec)?;
    let mut front = Front::read(&request(source, text));
    front.flags = flags(source)?;
    no_option_of_a_command(source, &front)?;
    Ok(front)
}

/// What the command line says to a spec of this text.
pub(super) fn request(source: &Source, text: String) -> Request {
    let root = source.root.clone().unwrap_or_else(|| base_of(&source.spec));
    Request {
        path: source.spec.to_string_lossy().into_owned(),
        text,
        sets: source.sets.clone(),
        options: source.options(),
        job: source.job.clone(),
        files: Files::Below(root),
        environment: None,
    }
}

/// Refuses a misspelt option of the command, which would be taken for an argument of the spec.
fn no_option_of_a_command(source: &Source, front: &Front) -> Result<(), Failure> {
    let args = front.interface().args;
    for (name, _) in source.options() {
        let name = name.replace('_', "-");
        if args.iter().any(|arg| arg.name.replace('_', "-") == name) {
            continue;
        }
        let options = cli::options_of("train").into_iter().chain(cli::options_of("bench"));
        let options: Vec<String> = options.map(|(name, _)| name).collect();
        let args = args.iter().map(|arg| arg.name.as_str());
        let near_arg = nearest(&name, args);
        if let (None, Some(near)) = (near_arg, nearest(&name, options.iter().map(String::as_str))) {
            let is_line = sema::schema::Home::Train.find(&near.replace('-', "_")).is_some();
            let message = if is_line {
                format!("a line of `train` is set with `--set train.{}=..`", near.replace('-', "_"))
            } else if near == name {
                format!("this command has no option `--{name}`")
            } else {
                format!("unknown option `--{name}`; did you mean `--{near}`?")
            };
            return Err(Failure::Usage(message));
        }
    }
    Ok(())
}

/// What the command line says of lints.
pub(super) fn flags(source: &Source) -> Result<Flags, Failure> {
    let mut flags = Flags::default();
    let words = [
        (Choice::Deny, &source.deny),
        (Choice::Allow, &source.allow),
        (Choice::Warn, &source.warn),
    ];
    for (choice, words) in words {
        for word in words {
            flags.add(choice, word).map_err(Failure::Usage)?;
        }
    }
    Ok(flags)
}

/// Parses and checks; messages of a spec that cannot run go to the standard error stream.
pub(super) fn ready(source: &Source) -> Result<Ready, Failure> {
    let front = parse(source)?;
    let base = base_of(&source.spec);
    let (checked, data) = front.check_with_data(&base)?;
    let (facts, corpus) = data.map_or((None, None), |(f, c)| (Some(f), Some(c)));
    match checked.program {
        Some(program) => {
            let unsaid = checked.diagnostics;
            let warnings = unsaid.len();
            Ok(Ready { front, program, facts, corpus, warnings, out: None, unsaid })
        }
        None if checked.diagnostics.is_empty() => Err(Failure::Usage(format!(
            "{} has no `train` block, so there is nothing to run; \
             add `train {{ .. }}` with at least `steps`",
            source.spec.display()
        ))),
        None => {
            report(&front, &checked, source.error_format);
            Err(Failure::of(&checked.diagnostics))
        }
    }
}

/// Prints all diagnostics.
pub(super) fn report(front: &Front, checked: &Checked, format: ErrorFormat) {
    let style = match format {
        ErrorFormat::Human if std::io::stderr().is_terminal() => Style::HumanColour,
        ErrorFormat::Human => Style::Human,
        ErrorFormat::Short => Style::Short,
        ErrorFormat::Json => Style::Json,
        ErrorFormat::Sarif => Style::Sarif,
        ErrorFormat::Github => Style::GitHub,
    };
    tell(format_args!("{}", render(&front.map, &checked.diagnostics, style)));
}
